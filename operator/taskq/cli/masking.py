"""Values that a TaskTemplate calls sensitive: hidden in all that is printed of a Task or a Schedule.

The operator refuses a Task that holds such a value as text, but it stands in the Task until somebody deletes it.
"""

from __future__ import annotations

from typing import Any

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused
from taskq.cli.kinds import TEMPLATE, Object, name_of, namespace_of

MASK = "********"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
"""Where `kubectl apply` keeps the whole manifest once more."""


def is_sensitive(name: str, template: Object | None) -> bool:
    """Whether a parameter's value is to be hidden. Without its TaskTemplate nobody knows, so it is."""
    if template is None:
        return True
    known = {one["name"]: one for one in template["spec"].get("parameters") or ()}
    return bool(known.get(name, {}).get("sensitive"))


class Masked:
    """Hides them; asks for the TaskTemplates of a namespace when the first value comes, and once."""

    def __init__(self, api: Api) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._known: dict[str, dict[str, Object]] = {}

    def task(self, task: Object) -> Object:
        """The Task, changed in place."""
        return self._hide(task, task)

    def schedule(self, schedule: Object) -> Object:
        """The Schedule, changed in place: its Tasks' parameters are hidden as theirs are."""
        return self._hide(schedule, schedule["spec"].get("taskTemplate") or {})

    def _hide(self, obj: Object, task: dict[str, Any]) -> Object:
        spec = task.get("spec") or {}
        given = [one for one in spec.get("parameters") or () if "value" in one]
        name = tasks.type_of({"spec": spec})
        if not given or not name:
            return obj
        template = self._of(namespace_of(obj)).get(name)
        hidden = [one for one in given if is_sensitive(one["name"], template)]
        for one in hidden:
            one["value"] = MASK
        if hidden and LAST_APPLIED in (annotations := obj["metadata"].get("annotations") or {}):
            annotations[LAST_APPLIED] = MASK
        return obj

    def _of(self, namespace: str) -> dict[str, Object]:
        """The TaskTemplates of a namespace; none for those who may not read them."""
        if namespace not in self._known:
            try:
                self._known[namespace] = {name_of(one): one for one in self._api.list(TEMPLATE, namespace)}
            except ApiRefused:
                self._known[namespace] = {}
        return self._known[namespace]
