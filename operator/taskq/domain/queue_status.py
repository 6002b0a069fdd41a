"""What stands in a TaskQueue's status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskq.domain import requests
from taskq.domain.admission import Fault, unreadable_queue
from taskq.domain.model import Queue, QueueStatus, seconds, stamp
from taskq.domain.queue_state import Counts
from taskq.domain.reasons import Reason
from taskq.domain.requests import Request
from taskq.domain.status import State, conditions
from taskq.domain.stuck import STUCK

ENDS = ("Succeeded", "Failed", "Expired", "Cancelled")

_STATES: dict[str, tuple[str, str, str]] = {
    "Open": ("True", Reason.ACCEPTING, "Accepts Tasks and starts them"),
    "Paused": ("True", "Paused", "Accepts Tasks; starts none until spec.state is Open"),
    "DryRun": ("True", "DryRun", "Accepts and orders Tasks; starts none until spec.state is Open"),
    "Draining": ("False", "Draining", "Works off what it has; Tasks created from now on wait until spec.state is Open"),
    "Closed": ("False", "Closed", "Starts nothing; all Tasks wait until spec.state is Open"),
}


def queue_patch(
    queue: Queue,
    counts: Counts,
    finished: Mapping[str, int],
    last_start: float | None,
    now: float,
    *,
    totals: Mapping[str, int] | None = None,
    fault: Fault | None = None,
    stuck: Fault | None = None,
    asked: Iterable[Request] = (),
) -> dict[str, Any] | None:
    """The status to write, or None when it stands already.

    ``finished`` counts, by phase, the finished Tasks that are still kept, ``totals`` all that there were (None while
    that is not known yet); ``fault`` is why it can start nothing, ``stuck`` why it has
    started nothing for long; ``asked`` is what it is to tell of from now on.
    """
    present = queue.status
    states: dict[str, State | None] = {
        "Ready": ("False", *fault) if fault else ("True", Reason.READY, "The operator serves this queue"),
        "Stalled": ("True", *fault) if fault else None,
        "Accepting": _accepting(queue),
        "Idle": _idleness(counts),
        STUCK: ("True", *_steady(queue, stuck)) if stuck else None,
    }
    if last_start is None and present.last_start_time:
        last_start = seconds(present.last_start_time)
    patch: dict[str, Any] = {
        "observedGeneration": queue.metadata.generation,
        "pending": counts.pending + counts.held,
        "running": counts.running,
        "retrying": counts.retrying,
        **_by_phase(finished),
        "oldestPendingTime": None if counts.oldest_pending is None else stamp(counts.oldest_pending),
        "lastStartTime": None if last_start is None else stamp(last_start),
        "conditions": conditions(present.conditions, queue.metadata.generation, states, now),
    }
    if totals is not None and _by_phase(totals) != _totals(present):
        patch["totals"] = _by_phase(totals)
    patch |= requests.told(asked)
    return patch if _facts(patch) != _present(queue) else None


def stops_accepting(queue: Queue) -> bool:
    """Whether Accepting is about to turn False.

    That has to be written at the beginning of a second, one that began after the queue was seen to stop: creation times
    have whole seconds, so only then does none have Tasks from before and from after.
    """
    shown = queue.accepting_since
    return _accepting(queue)[0] == "False" and not (shown and shown.status == "False")


def _accepting(queue: Queue) -> State:
    unreadable = unreadable_queue(queue)
    return ("False", *unreadable) if unreadable else _STATES[queue.spec.state]


def _steady(queue: Queue, why: Fault) -> Fault:
    """The words that stand there while the reason is the same: they have figures in them that move."""
    shown = queue.condition(STUCK)
    return (shown.reason, shown.message) if shown and shown.reason == why[0] else why


def _by_phase(counts: Mapping[str, int]) -> dict[str, int]:
    return {phase.lower(): counts.get(phase, 0) for phase in ENDS}


def _totals(status: QueueStatus) -> dict[str, int] | None:
    return None if status.totals is None else {phase.lower(): getattr(status.totals, phase.lower()) for phase in ENDS}


def _idleness(counts: Counts) -> State:
    unfinished = counts.pending + counts.held + counts.running + counts.retrying
    if unfinished:
        return "False", "Working", "There are unfinished Tasks"
    return "True", "NothingToDo", "Every Task has ended"


def _facts(patch: dict[str, Any]) -> dict[str, Any]:
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in patch["conditions"]}
    return patch | {"conditions": conditions}


def _present(queue: Queue) -> dict[str, Any]:
    status = queue.status
    times = {"oldestPendingTime": status.oldest_pending_time, "lastStartTime": status.last_start_time}
    return {
        "observedGeneration": status.observed_generation,
        "pending": status.pending,
        "running": status.running,
        "retrying": status.retrying,
        "succeeded": status.succeeded,
        "failed": status.failed,
        "expired": status.expired,
        "cancelled": status.cancelled,
        "conditions": {c.type: (c.status, c.reason, c.message) for c in status.conditions},
    } | {name: stamp(seconds(time)) if time else None for name, time in times.items()}
