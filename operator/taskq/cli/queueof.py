"""The queue of a Task, also of one that leaves it to its TaskTemplate and that no operator has written about yet."""

from __future__ import annotations

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused
from taskq.cli.kinds import TEMPLATE, Object, name_of, namespace_of


class QueueOf:
    """Asks for the TaskTemplates of a namespace when the first such Task comes, and once."""

    def __init__(self, api: Api) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._known: dict[str, dict[str, str]] = {}

    def __call__(self, task: Object) -> str:
        """The queue in use, or the one that will be."""
        template = tasks.type_of(task)
        if task.get("status", {}).get("queueName") or task["spec"].get("queueName") or not template:
            return tasks.queue(task)
        return self._of(namespace_of(task)).get(template) or tasks.queue(task)

    def _of(self, namespace: str) -> dict[str, str]:
        """The queue that each TaskTemplate of a namespace names; nothing for those who may not read them."""
        if namespace not in self._known:
            try:
                found = {name_of(one): one["spec"].get("queueName", "") for one in self._api.list(TEMPLATE, namespace)}
            except ApiRefused:
                found = {}
            self._known[namespace] = found
        return self._known[namespace]


def queue_of(api: Api) -> QueueOf:
    """The one that a command uses."""
    found: QueueOf = api.memo.setdefault("queue_of", QueueOf(api))
    return found
