"""What a queue still has to do."""

from __future__ import annotations

from taskq.cli.api import Api
from taskq.cli.bulk import Found, found_of
from taskq.cli.errors import ApiRefused
from taskq.cli.kinds import TASK
from taskq.cli.selection import GROUPS, Selection, selected
from taskq.resources.common import Phase

LONGEST_WATCH_SECONDS = 60


def unfinished(api: Api, queue: str, phases: tuple[Phase, ...] = GROUPS["unfinished"]) -> list[Found]:
    """The Tasks of a queue that have not ended."""
    selection = Selection(queues=(queue,), phases=phases)
    return [found_of(task) for task in selected(api, selection, api.namespace, api.clock.now())]


def wait_idle(api: Api, queue: str, until: float | None) -> bool:
    """Wait until a queue has no unfinished Task; False when `until` (by uptime) came first.

    Every change of a Task of the namespace makes it look again; the list tells, the watch only wakes.
    """
    while True:
        version = next(iter(api.pages(TASK, api.namespace, size=1))).version
        if not unfinished(api, queue):
            return True
        left = LONGEST_WATCH_SECONDS if until is None else until - api.clock.uptime()
        if left <= 0:
            return False
        seconds = max(1, min(LONGEST_WATCH_SECONDS, round(left)))
        try:
            for kind, _ in api.watch(TASK, api.namespace, version, seconds=seconds):
                if kind != "BOOKMARK":
                    break
        except ApiRefused as error:
            if error.status != 410:
                raise
