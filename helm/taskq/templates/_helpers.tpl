{{- define "taskq.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: names of objects add to it. */}}
{{- define "taskq.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "taskq.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "taskq.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What tells the operator's pods from others; it can't be changed later. */}}
{{- define "taskq.selector" -}}
app.kubernetes.io/name: {{ include "taskq.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "taskq.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "taskq.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: taskq
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "taskq.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "taskq.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name: name the ServiceAccount to use, or set serviceAccount.create" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "taskq.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* A value of a setting as its variable has it. Numbers come as floats: whole ones are written without an exponent. */}}
{{- define "taskq.setting" -}}
{{- if kindIs "slice" . }}{{ join "," . }}
{{- else if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}
{{- else }}{{ . }}
{{- end }}
{{- end }}

{{/* What the operator does in a namespace that it serves. docs/how-to/security.md has these reasons for readers. */}}
{{- define "taskq.rules" -}}
# Tasks: known by list and watch, read again when what is known may be old; Schedules create them, cancel them
# (concurrencyPolicy Replace) and drop them; those that have outlived their ttl or their queue's retention are deleted.
- apiGroups: [taskq.dev]
  resources: [tasks]
  verbs: [get, list, watch, create, patch, delete]
# What a Task's owner and a Schedule are configured by; never changed by the operator.
- apiGroups: [taskq.dev]
  resources: [taskqueues, tasktemplates, schedules]
  verbs: [get, list, watch]
# Outcomes, counts and conditions. The main resource can't be changed through this.
- apiGroups: [taskq.dev]
  resources: [tasks/status, taskqueues/status, tasktemplates/status, schedules/status]
  verbs: [patch]
# One Job an attempt, and a dry run of every template; stopping a Job is a patch of `suspend`.
# Deleting them is the garbage collector's, with their Task.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch]
# Pods tell why an attempt failed or can't start. Deleted are those of a Job that is stopped at once.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
# What happened, for `kubectl describe`.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What the operator does in its own namespace: it holds its Lease. Kubernetes can't restrict `create` to a name. */}}
{{- define "taskq.leaseRules" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "taskq.fullname" . }}]
  verbs: [get, update]
{{- end }}
