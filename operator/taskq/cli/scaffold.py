"""Manifests to begin with: a queue, a type of Task with a parameter, and a Schedule of it, each field with a word."""

from __future__ import annotations

import json
from typing import NamedTuple

from taskq.resources.common import API_VERSION


class Wanted(NamedTuple):
    """What the manifests are for."""

    name: str
    image: str
    cron: str
    zone: str


def manifests(wanted: Wanted) -> dict[str, str]:
    """The texts by the names of their files."""
    values = {field: json.dumps(value) for field, value in wanted._asdict().items()}  # JSON's text is YAML's
    values |= {"api": API_VERSION, "name": wanted.name}
    return {f"{part}.yaml": text.format(**values) for part, text in PARTS.items()}


PARTS = {
    "queue": """\
# Where Tasks wait. `kubectl taskq explain taskqueue.spec` tells of all fields.
apiVersion: {api}
kind: TaskQueue
metadata:
  name: {name}
spec:
  maxConcurrency: 5 # so many of its Tasks run at once
  priorityLevels: # names for priorities: a Task may say priorityLevel: urgent
    - {{name: urgent, value: 100}}
    - {{name: normal, value: 0}}
  taskDefaults: # for Tasks that do not say it themselves
    retryPolicy:
      maxAttempts: 3
""",
    "template": """\
# A type of Task: `kubectl taskq run {name} -p greeting=hi` makes one. `kubectl taskq explain tasktemplate.spec`
apiVersion: {api}
kind: TaskTemplate
metadata:
  name: {name}
spec:
  description: Say here what it does
  queueName: {name}
  timeouts:
    hardSeconds: 3600 # an attempt is stopped after an hour
  parameters: # what each Task chooses; it is checked before anything starts
    - name: greeting
      default: hello
  jobTemplate: # a Job as in batch/v1
    spec:
      template:
        spec:
          containers:
            - name: main
              image: {image}
              command: ["sh", "-c", "echo \\"$TASKQ_PARAM_GREETING\\""] # parameters are in the environment
              resources:
                requests: {{cpu: 10m, memory: 16Mi}}
                limits: {{memory: 64Mi}}
""",
    "schedule": """\
# Makes Tasks of the template by the clock. `kubectl taskq explain schedule.spec` tells of all fields.
apiVersion: {api}
kind: Schedule
metadata:
  name: {name}
spec:
  schedules: [{cron}] # `kubectl taskq schedule preview` shows when that is
  timeZone: {zone}
  concurrencyPolicy: Forbid # no second one while the first is unfinished
  startingDeadlineSeconds: 3600 # given up when it could not start within an hour
  taskTemplate:
    spec:
      templateRef:
        name: {name}
      parameters:
        - {{name: greeting, value: good morning}}
""",
}
