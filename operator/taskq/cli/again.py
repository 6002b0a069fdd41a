"""The same work once more: a new Task that refers to one that has ended."""

from __future__ import annotations

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused
from taskq.cli.kinds import TASK, TEMPLATE, Object, name_of, namespace_of
from taskq.resources.common import API_VERSION, GROUP

MARK = "-retry-"
LEFT_OUT = frozenset(
    {
        *("jobTemplate", "templateRef", "parameters", "retryOf", "parent"),  # retryOf stands for these
        *("cancellation", "suspend", "notBeforeTime"),  # what was asked of that Task alone
        *("dependsOn", "onDependencyFailure", "deduplication"),  # what it waited for; it is meant to be done again
    }
)
"""Fields of the old Task that the new one does not have; the others, such as queue and priority, are the same."""

OF_TEMPLATE = ("priority", "timeouts", "retryPolicy", "onSuccess", "onFailure")
"""What a Task that says nothing has from its TaskTemplate, beside its queue."""


def retry_manifest(task: Object, template: Object | None, parameters: list[Object], overrides: Object) -> Object:
    """A Task that runs the Job of one that has ended once more; `template` is the spec of that one's TaskTemplate.

    A Task with retryOf takes only Job and parameters from the old one, so what the template said is written into it.
    """
    spec = {field: (template or {}).get(field) for field in OF_TEMPLATE} | {"queueName": tasks.queue(task)}
    spec |= {field: value for field, value in task["spec"].items() if field not in LEFT_OUT}
    if "priorityLevel" in spec:
        spec.pop("priority", None)
    spec = {field: value for field, value in spec.items() if value is not None}
    if "priority" in overrides or "priorityLevel" in overrides:
        spec.pop("priority", None)
        spec.pop("priorityLevel", None)
    spec |= overrides | {"retryOf": {"name": name_of(task)}} | ({"parameters": parameters} if parameters else {})
    base = name_of(task).partition(MARK)[0][: 63 - len(MARK) - 5]
    labels = {key: value for key, value in (task["metadata"].get("labels") or {}).items() if GROUP not in key}
    metadata: Object = {"generateName": base + MARK, "namespace": namespace_of(task)}
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": metadata | ({"labels": labels} if labels else {}),
        "spec": spec,
    }


def retry(api: Api, stub: Object, parameters: list[Object], overrides: Object, *, dry_run: bool) -> Object:
    """Create the new Task; ApiRefused when the old one is not there any more or has not ended."""
    task = api.get(TASK, namespace_of(stub), name_of(stub))
    if task["metadata"]["uid"] != stub["metadata"]["uid"]:
        raise ApiRefused("another Task has taken its name meanwhile", status=409)
    if not tasks.ended(task):
        raise ApiRefused(f"it is {tasks.phase(task)}: only what has ended is run again; `cancel` ends it", status=409)
    found = api.find(TEMPLATE, namespace_of(task), tasks.type_of(task)) if tasks.type_of(task) else None
    body = retry_manifest(task, found["spec"] if found else None, parameters, overrides)
    return api.create(TASK, namespace_of(task), body, dry_run=dry_run)
