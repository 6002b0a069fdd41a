"""What the chart makes of its values: every toggle, alone. tests/e2e/test_chart.py installs it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.conftest import Render
from cluster_tools.chart import CHART, NAMESPACE, Json, call, documented, operators_rules, permissions
from taskq.settings import Settings, variable_of

REPO = CHART.parents[1]
CRDS = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((REPO / "crds").glob("*.yaml"))]
EXAMPLES = sorted((REPO / "helm/values").glob("*.yaml"))
KEEP = "helm.sh/resource-policy"
POLICY = "ValidatingAdmissionPolicy"
CLUSTER_SCOPED = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", POLICY, f"{POLICY}Binding"}
MOST_BYTES = 700_000
"""Of what helm stores of a release in a Secret, packed; a Secret has room for a MiB."""


# --- the whole ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [None, *EXAMPLES], ids=lambda file: file.stem if file else "defaults")
def test_lint_is_content(helm: Path, file: Path | None) -> None:
    """With the defaults and with every example of values."""
    values = yaml.safe_load(file.read_text(encoding="utf-8")) if file else {}
    done = call(helm, "lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_a_plain_install_consists_of_this(render: Render) -> None:
    """Nothing that a cluster without the Prometheus operator lacks."""
    made = {(obj["kind"], obj["metadata"]["name"]) for obj in render().objects}
    assert made == {
        ("ServiceAccount", "taskq"),
        ("ClusterRole", "taskq"),
        ("ClusterRoleBinding", "taskq"),
        ("Role", "taskq-lease"),
        ("RoleBinding", "taskq-lease"),
        *(("ClusterRole", f"taskq-{name}") for name in ("view", "edit", "admin", "submitter")),
        ("Service", "taskq-metrics"),
        ("Deployment", "taskq"),
        (POLICY, "taskq-reserved-labels"),
        (f"{POLICY}Binding", "taskq-reserved-labels"),
        *(("CustomResourceDefinition", crd["metadata"]["name"]) for crd in CRDS),
    }


def test_every_object_has_its_namespace_and_labels(render: Render) -> None:
    """Also commonLabels, so that they can be found and charged."""
    made = render(
        commonLabels={"team": "data"},
        replicas=2,
        networkPolicy={"enabled": True},
        metrics={"monitor": {"kind": "PodMonitor"}},
        dashboards={"enabled": True},
        prometheusRule={"enabled": True},
        admissionPolicies={"templatesOnly": {"enabled": True}},
    )
    for obj in made.objects:
        metadata = obj["metadata"]
        assert metadata["labels"]["team"] == "data", obj["kind"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == "taskq"
        assert metadata.get("namespace") == (None if obj["kind"] in CLUSTER_SCOPED else NAMESPACE), obj["kind"]


def test_names_can_be_chosen(render: Render) -> None:
    """Two releases live side by side; the Lease follows the name."""
    made = render(fullnameOverride="queues")
    assert made.one("Deployment")["metadata"]["name"] == "queues"
    assert made.environment["TASKQ_LEASE_NAME"] == "queues"
    assert made.one("Role")["rules"][1]["resourceNames"] == ["queues"]
    assert render(nameOverride="queues").one("Deployment")["metadata"]["name"] == "taskq-queues"


def test_a_release_fits_into_a_secret(render: Render, helm: Path) -> None:
    """With everything in it."""
    import base64
    import gzip

    done = call(
        helm,
        "template",
        "taskq",
        str(CHART),
        values={"dashboards": {"enabled": True}, "prometheusRule": {"enabled": True}},
    )
    chart = b"".join(path.read_bytes() for path in sorted(CHART.rglob("*")) if path.is_file())
    packed = base64.b64encode(gzip.compress(json.dumps([done.stdout, chart.decode()]).encode()))
    assert len(packed) < MOST_BYTES


# --- CRDs ---------------------------------------------------------------------------------------------------------


def test_the_crds_are_those_of_the_repository_and_stay(render: Render) -> None:
    """Only labels and the annotation that keeps them are added."""
    made = render(crds={"annotations": {"a": "b"}}).all("CustomResourceDefinition")
    assert [crd["metadata"].pop("annotations") for crd in made] == [{"a": "b", KEEP: "keep"}] * len(CRDS)
    for crd in made:
        assert crd["metadata"].pop("labels")
    assert sorted(made, key=str) == sorted(CRDS, key=str)


def test_the_crds_can_be_left_out_or_left_to_helm(render: Render) -> None:
    """Somebody else installs them; or helm deletes them with the release."""
    assert not render(crds={"install": False}).all("CustomResourceDefinition")
    for crd in render(crds={"keep": False}).all("CustomResourceDefinition"):
        assert KEEP not in crd["metadata"].get("annotations", {})


# --- permissions --------------------------------------------------------------------------------------------------


def test_no_permission_is_given_twice_or_by_a_star(render: Render) -> None:
    """So that taking one away takes it away; tests/integration/test_permissions.py does that with each."""
    rules = render().one("ClusterRole", "taskq")["rules"]
    given = permissions(rules)
    assert len(given) == len(set(given))
    assert "*" not in json.dumps(rules)
    assert not {"secrets", "configmaps", "pods/exec", "serviceaccounts"} & {resource for resource, _ in given}


def test_the_security_page_tells_every_permission(render: Render) -> None:
    """With its reason, and none that is not given."""
    assert sorted(documented()) == sorted(permissions(operators_rules(render())))


def test_a_list_of_namespaces_gets_a_role_in_each_and_nothing_in_the_cluster(render: Render) -> None:
    """The same rules as for the whole cluster; the operator is told the same list."""
    made = render(namespaces=["a", "b"], rbac={"aggregate": False, "submitter": False})
    assert not made.all("ClusterRole")
    assert not made.all("ClusterRoleBinding")
    assert made.environment["TASKQ_NAMESPACES"] == "a,b"
    whole = render().one("ClusterRole", "taskq")["rules"]
    for namespace in ("a", "b"):
        [role] = [r for r in made.all("Role") if r["metadata"]["namespace"] == namespace]
        [binding] = [b for b in made.all("RoleBinding") if b["metadata"]["namespace"] == namespace]
        assert role["rules"] == whole
        assert binding["roleRef"]["name"] == role["metadata"]["name"]
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "taskq", "namespace": NAMESPACE}]


def test_permissions_can_be_somebody_elses(render: Render) -> None:
    """An existing ServiceAccount, with roles of its own."""
    made = render(
        rbac={"create": False, "aggregate": False, "submitter": False},
        serviceAccount={"create": False, "name": "theirs"},
    )
    assert not [obj for obj in made.objects if obj["kind"] in ("Role", "ClusterRole", "ServiceAccount")]
    assert made.pod["serviceAccountName"] == "theirs"


def test_the_roles_of_kubernetes_learn_the_kinds(render: Render) -> None:
    """Who may view, edit or administer a namespace may do so with TaskQ's kinds; nobody writes a status."""
    made = render()
    labelled = {
        label.rpartition("-")[2]: role
        for role in made.all("ClusterRole")
        for label in role["metadata"]["labels"]
        if label.startswith("rbac.authorization.k8s.io/aggregate-to-")
    }
    assert set(labelled) == {"view", "edit", "admin"}
    assert {verb for _, verb in permissions(labelled["view"]["rules"])} == {"get", "list", "watch"}
    assert ("tasks", "create") in permissions(labelled["edit"]["rules"])
    assert ("taskqueues", "update") in permissions(labelled["admin"]["rules"])
    assert ("tasktemplates", "create") not in permissions(made.one("ClusterRole", "taskq-submitter")["rules"])
    for role in labelled.values():
        assert not [resource for resource, _ in permissions(role["rules"]) if "/" in resource]


# --- the pod ------------------------------------------------------------------------------------------------------


def test_the_pod_is_restricted(render: Render) -> None:
    """As the Pod Security Standard «restricted» asks, and with a root file system that can't be written."""
    made = render()
    assert made.pod["securityContext"]["runAsNonRoot"] is True
    assert made.pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert made.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & made.pod.keys()


def test_a_cluster_may_assign_the_user_itself(render: Render, refuse: Callable[..., str]) -> None:
    """As OpenShift does: null leaves a number out, another one is taken as it is; root is refused."""
    fixed = {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532}
    rest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert render().pod["securityContext"] == rest | fixed
    assert render(podSecurityContext=dict.fromkeys(fixed)).pod["securityContext"] == rest
    given = {"runAsUser": 1000680000, "runAsGroup": 0, "fsGroup": None}
    wanted = rest | {"runAsUser": 1000680000, "runAsGroup": 0}
    assert render(podSecurityContext=given).pod["securityContext"] == wanted
    assert "runAsUser" in refuse(podSecurityContext={"runAsUser": 0})


def test_settings_reach_the_operator(render: Render) -> None:
    """As variables that it reads as they are meant: large numbers, fractions, truth values."""
    made = render(
        settings={
            "cluster_max_concurrency": 1_000_000,
            "events_per_second": 2.5,
            "implicit_default_queue": False,
            "log_level": "debug",
        }
    )
    loaded = Settings.load([], made.environment)
    assert loaded.cluster_max_concurrency == 1_000_000
    assert loaded.events_per_second == 2.5
    assert loaded.implicit_default_queue is False
    assert (loaded.log_level, loaded.log_format) == ("debug", "json")
    assert loaded.http_address == ":8080"
    assert loaded.lease_namespace == NAMESPACE


def test_every_variable_of_the_pod_is_a_setting(render: Render) -> None:
    """A renamed setting would silently keep its default."""
    known = {variable_of(name) for name in Settings.model_fields}
    assert set(render(namespaces=["a"]).environment) <= known


def test_extras_are_added(render: Render) -> None:
    """Arguments, variables, volumes, and where the pod may run."""
    made = render(
        extraArgs=["--log-level=debug"],
        extraEnv=[{"name": "A", "value": "b"}],
        extraEnvFrom=[{"secretRef": {"name": "s"}}],
        extraVolumes=[{"name": "v", "emptyDir": {}}],
        extraVolumeMounts=[{"name": "v", "mountPath": "/v"}],
        priorityClassName="system-cluster-critical",
        nodeSelector={"a": "b"},
        tolerations=[{"key": "k", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        podAnnotations={"n": "o"},
        podLabels={"l": "m"},
        image={"pullSecrets": [{"name": "registry"}]},
        resources={"limits": {"memory": "1Gi"}},
    )
    pod, container = made.pod, made.container
    assert container["args"] == ["--log-level=debug"]
    assert {"name": "A", "value": "b"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "s"}}]
    assert [volume["name"] for volume in pod["volumes"]] == ["tmp", "v"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp", "/v"]
    assert pod["priorityClassName"] == "system-cluster-critical"
    assert (pod["nodeSelector"], pod["affinity"]) == ({"a": "b"}, {"nodeAffinity": {}})
    assert pod["tolerations"] == [{"key": "k", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert container["resources"]["limits"] == {"memory": "1Gi"}
    template = made.one("Deployment")["spec"]["template"]["metadata"]
    assert template["annotations"] == {"n": "o"}
    assert template["labels"]["l"] == "m"


def test_webhooks_come_from_a_secret(render: Render) -> None:
    """Mounted, so that a change of it needs no restart and the operator no right to read Secrets."""
    made = render(webhooks={"secretName": "targets"})
    file = Path(Settings.load([], made.environment).webhooks_file)
    [volume] = [volume for volume in made.pod["volumes"] if volume["name"] == "webhooks"]
    [mount] = [mount for mount in made.container["volumeMounts"] if mount["name"] == "webhooks"]
    assert volume["secret"] == {"secretName": "targets"}
    assert (Path(mount["mountPath"]), file.name) == (file.parent, "webhooks.yaml")
    assert "TASKQ_WEBHOOKS_FILE" not in render().environment


def test_the_image_by_tag_or_digest(render: Render) -> None:
    """The tag is the chart's version unless it is given; a digest wins."""
    version = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["appVersion"]
    assert render(image={"repository": "r.example/q"}).container["image"] == f"r.example/q:{version}"
    assert render(image={"tag": "x"}).container["image"] == "taskq.dev/operator:x"
    digest = "sha256:" + 64 * "0"
    assert render(image={"tag": "x", "digest": digest}).container["image"] == f"taskq.dev/operator@{digest}"


def test_replicas_are_spread_and_not_evicted_together(render: Render) -> None:
    """A single one has no budget: it could only keep a node from being drained."""
    assert not render().all("PodDisruptionBudget")
    made = render(replicas=2)
    assert made.one("Deployment")["spec"]["replicas"] == 2
    assert made.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert made.pod["topologySpreadConstraints"][0]["topologyKey"] == "kubernetes.io/hostname"
    assert not render(replicas=2, podDisruptionBudget={"enabled": False}).all("PodDisruptionBudget")


# --- beside it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "field"), [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")])
def test_one_monitor_keeps_the_metrics_labels(render: Render, kind: str, field: str) -> None:
    """honorLabels: the metrics' own `namespace` is the queue's, not the operator's."""
    made = render(
        metrics={"monitor": {"kind": kind, "labels": {"release": "prometheus"}}, "service": {"enabled": False}}
    )
    monitor = made.one(kind)
    [endpoint] = monitor["spec"][field]
    assert (endpoint["port"], endpoint["honorLabels"]) == ("http", True)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    target = made.one("Service" if kind == "ServiceMonitor" else "Deployment")
    assert wanted <= target["metadata"]["labels"].items()


def test_the_network_policy_lets_little_through(render: Render) -> None:
    """Metrics in; the API server and DNS out."""
    spec = render(
        networkPolicy={"enabled": True, "metricsFrom": [{"namespaceSelector": {}}], "apiServerPorts": [6443]}
    ).one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"ports": [{"port": "http"}], "from": [{"namespaceSelector": {}}]}]
    assert [port["port"] for rule in spec["egress"] for port in rule["ports"]] == [6443, 53, 53]
    extra = {"ports": [{"port": 8443}]}
    spec = render(networkPolicy={"enabled": True, "extraIngress": [extra], "extraEgress": [extra]}).one("NetworkPolicy")
    assert spec["spec"]["ingress"][-1] == spec["spec"]["egress"][-1] == extra


def test_every_dashboard_is_loaded_by_its_label(render: Render) -> None:
    """One ConfigMap a file; the content is the file's, braces and all."""
    made = render(dashboards={"enabled": True, "annotations": {"grafana_folder": "TaskQ"}})
    files = sorted((CHART / "dashboards").glob("*.json"))
    maps = made.all("ConfigMap")
    assert len(maps) == len(files)
    for obj, file in zip(maps, files, strict=True):
        assert obj["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert obj["metadata"]["annotations"] == {"grafana_folder": "TaskQ"}
        assert json.loads(obj["data"][file.name]) == json.loads(file.read_text(encoding="utf-8"))


def test_every_file_of_rules_is_a_prometheus_rule(render: Render) -> None:
    """As it stands there, placeholders of Prometheus included."""
    made = render(prometheusRule={"enabled": True, "labels": {"release": "prometheus"}}).all("PrometheusRule")
    files = sorted((CHART / "rules").glob("*.yaml"))
    assert [rule["spec"] for rule in made] == [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]


def test_the_pages_of_alerts_may_be_served_anywhere(render: Render) -> None:
    """The rules know their paths in the repository; where that is, whoever installs knows."""
    rules = {"enabled": True, "runbookPrefix": "https://wiki.example.com/taskq/"}
    for made in render(prometheusRule=rules).all("PrometheusRule"):
        for alert in (alert for group in made["spec"]["groups"] for alert in group["rules"]):
            page = f"https://wiki.example.com/taskq/docs/runbooks/{alert['alert']}.md"
            assert alert["annotations"]["runbook_url"] == page


def test_single_alerts_can_be_left_out_or_changed(render: Render) -> None:
    """By name; all others stay as they are."""
    changed = {"TaskQHighUtilization": {"enabled": False}, "TaskQQueueStuck": {"for": "5m", "severity": "warning"}}

    def alerts(**values: Any) -> dict[str, Json]:
        made = render(prometheusRule={"enabled": True, **values}).all("PrometheusRule")
        return {rule["alert"]: rule for one in made for group in one["spec"]["groups"] for rule in group["rules"]}

    before, after = alerts(), alerts(alerts=changed)
    assert before.pop("TaskQHighUtilization")
    stuck = before["TaskQQueueStuck"]
    before["TaskQQueueStuck"] = {**stuck, "for": "5m", "labels": {**stuck["labels"], "severity": "warning"}}
    assert after == before


def test_a_file_of_rules_without_any_left_makes_no_object(render: Render) -> None:
    """Prometheus refuses a group of nothing."""
    schedules = {f"TaskQSchedule{name}": {"enabled": False} for name in ("Missed", "Late", "Failing")}
    made = render(prometheusRule={"enabled": True, "alerts": schedules}).all("PrometheusRule")
    assert {rule["metadata"]["name"] for rule in made} == {"taskq-operator", "taskq-queues"}


def test_further_objects_come_with_the_release(render: Render) -> None:
    """With what templates know in them."""
    queue = {"apiVersion": "taskq.dev/v1alpha1", "kind": "TaskQueue"}
    metadata = {"name": "{{ .Release.Name }}-mail", "namespace": "team-a"}
    made = render(extraObjects=[{**queue, "metadata": metadata, "spec": {"maxConcurrency": 3}}])
    assert made.one("TaskQueue")["metadata"]["name"] == "taskq-mail"
    assert made.one("TaskQueue")["spec"] == {"maxConcurrency": 3}


# --- refused ------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Json, str]] = {
    "typo": ({"replica": 2}, "'replica'"),
    "inner typo": ({"image": {"tagg": "x"}}, "'tagg'"),
    "unknown setting": ({"settings": {"lunchers": 3}}, "'lunchers'"),
    "setting out of bounds": ({"settings": {"launchers": 0}}, "/settings/launchers"),
    "the chart's own setting": ({"settings": {"lease_name": "x"}}, "'lease_name'"),
    "log format": ({"settings": {"log_format": "xml"}}, "'text', 'json'"),
    "digest": ({"image": {"digest": "abc"}}, "/image/digest"),
    "pull policy": ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    "namespace": ({"namespaces": ["No Name"]}, "/namespaces/0"),
    "namespace twice": ({"namespaces": ["a", "a"]}, "/namespaces"),
    "monitor": ({"metrics": {"monitor": {"kind": "Both"}}}, "/metrics/monitor/kind"),
    "port": ({"networkPolicy": {"apiServerPorts": [0]}}, "/networkPolicy/apiServerPorts/0"),
    "replicas": ({"replicas": "two"}, "/replicas"),
    "runbooks": ({"prometheusRule": {"runbookPrefix": "https://a/b"}}, "/prometheusRule/runbookPrefix"),
    "alert that is none": ({"prometheusRule": {"alerts": {"TaskQueueStuck": {}}}}, "TaskQueueStuck"),
    "time of an alert": ({"prometheusRule": {"alerts": {"TaskQQueueStuck": {"for": "soon"}}}}, "TaskQQueueStuck/for"),
    "no object": ({"extraObjects": [{"kind": "TaskQueue"}]}, "/extraObjects/0"),
    "budget": ({"podDisruptionBudget": {"maxUnavailable": 0}}, "/podDisruptionBudget/maxUnavailable"),
    "no ServiceAccount": ({"serviceAccount": {"create": False}}, "serviceAccount.name: name the ServiceAccount"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_that_can_not_work_are_refused(refuse: Callable[..., str], case: str) -> None:
    """And the message names the one to change."""
    values, words = REFUSED[case]
    assert words in refuse(**values)


def test_every_value_has_its_place_in_the_schema() -> None:
    """A new value that the schema does not know could not even be set to its default; one only there is of no use."""

    def names(values: Any, prefix: str = "") -> set[str]:
        if not isinstance(values, dict):
            return {prefix}
        return {prefix}.union(*(names(value, f"{prefix}.{name}") for name, value in values.items()))

    def known(schema: Json, prefix: str = "") -> set[str]:
        inner = schema.get("properties", {})
        return {prefix}.union(*(known(value, f"{prefix}.{name}") for name, value in inner.items()))

    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    open_ones = (".settings", ".resources", ".global")
    values = names(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))
    assert {n for n in values ^ known(schema) if not n.startswith(open_ones)} == set()


def test_the_api_that_says_why_brings_the_right_to_ask_who_asks(render: Render) -> None:
    """Tokens and rights are reviewed by the API server; without the setting the operator may not ask for that."""
    assert not [obj for obj in render().all("ClusterRoleBinding") if obj["metadata"]["name"] == "taskq-reviews"]
    binding = render(settings={"api_address": "127.0.0.1:8081"}, namespaces=["a"]).one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "system:auth-delegator"
    assert binding["subjects"][0]["name"] == "taskq"


def test_templates_only_can_be_asked_for(render: Render) -> None:
    """Everywhere, or where a label says so; tests/integration/test_templates_only.py shows what it does."""
    selector = {"matchLabels": {"taskq.dev/templates-only": "true"}}
    for given, selected in (({}, {}), ({"namespaceSelector": selector}, selector)):
        made = render(admissionPolicies={"templatesOnly": {"enabled": True, **given}})
        name = "taskq-templates-only"
        binding = made.one(f"{POLICY}Binding", name)
        assert binding["spec"]["policyName"] == name
        assert binding["spec"]["matchResources"]["namespaceSelector"] == selected
        assert len(made.one(POLICY, name)["spec"]["validations"]) == 1
    strict = render(admissionPolicies={"templatesOnly": {"enabled": True, "allowSecretParameters": False}})
    assert len(strict.one(POLICY, name)["spec"]["validations"]) == 2


def test_the_labels_are_reserved_where_the_operator_works(render: Render) -> None:
    """Everywhere, in some namespaces, or nowhere; tests/integration/test_reserved_labels.py shows what it does."""
    name = "taskq-reserved-labels"
    assert "matchResources" not in render().one(f"{POLICY}Binding", name)["spec"]
    some = render(namespaces=["team-a", "team-b"]).one(f"{POLICY}Binding", name)["spec"]
    assert some["matchResources"]["namespaceSelector"]["matchExpressions"] == [
        {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
    ]
    without = render(admissionPolicies={"reservedLabels": {"enabled": False}})
    assert not [obj for obj in without.objects if obj["kind"].startswith(POLICY)]
