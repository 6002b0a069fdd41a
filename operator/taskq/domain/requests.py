"""Requests by annotation of TaskQueues, from when they are seen until their queue's status tells of them.

A request concerns what was created up to a second, by the API server's clock, as creation times are: the second in
which the annotation was written. It is told of only when that second is over for certain, which is a second after it
was seen: so nothing that is created once the status tells of it bears the same time, and no other clock counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from taskq.domain.model import Queue, seconds, stamp
from taskq.domain.queue_facts import QueueRequest
from taskq.resources.common import CANCEL_ALL_ANNOTATION, MAX_TOKEN_LENGTH, PURGE_ANNOTATION

_WAIT_SECONDS = 1.0
"""A creation time's second is over so long after any moment of it."""


class Request(NamedTuple):
    """What a queue is asked for and its status does not tell of; ``until`` is in epoch seconds."""

    field: str
    nonce: str
    until: float


class OpenRequests:
    """The requests of all queues that are not told of yet."""

    def __init__(self) -> None:
        """None was seen."""
        self._seen: dict[tuple[str, str, str], tuple[Request, float]] = {}

    def look(self, queues: Iterable[Queue], now: float, uptime: float) -> None:
        """Find those that are new, and forget those that are told of or withdrawn."""
        found = ((queue.metadata.uid, request) for queue in queues for request in made_on(queue, now))
        due = uptime + _WAIT_SECONDS
        # The first look counts: who wrote the annotation may write something else, which has a later time.
        self._seen = {
            key: self._seen.get(key, (request, due))
            for key, request in (((uid, request.field, request.nonce), request) for uid, request in found)
        }

    def due(self, queue: Queue, uptime: float) -> list[Request]:
        """Those of a queue that its status may tell of now."""
        uid = queue.metadata.uid
        return [request for key, (request, at) in self._seen.items() if key[0] == uid and at <= uptime]

    def next_due(self, uptime: float) -> float | None:
        """When the next one may be told of, on the clock of ``uptime``; None when none waits."""
        return min((at for _, at in self._seen.values() if at > uptime), default=None)


def made_on(queue: Queue, now: float) -> list[Request]:
    """What a queue's annotations ask for and its status does not tell of.

    ``now`` counts only where the API server's record of who wrote what has been deleted.
    """
    asked = {
        "purge": (PURGE_ANNOTATION, queue.status.purge),
        "cancelAll": (CANCEL_ALL_ANNOTATION, queue.status.cancel_all),
    }
    found = []
    for field, (annotation, before) in asked.items():
        nonce = queue.metadata.annotations.get(annotation, "")[:MAX_TOKEN_LENGTH]
        if nonce and (before is None or before.nonce != nonce):
            written = queue.metadata.annotated(annotation)
            found.append(Request(field, nonce, _until(nonce, now if written is None else written, before)))
    return found


def told(requests: Iterable[Request]) -> dict[str, Any]:
    """What a queue's status is to say of them."""
    return {request.field: {"nonce": request.nonce, "time": stamp(request.until)} for request in requests}


def _until(nonce: str, written: float, before: QueueRequest | None) -> float:
    """The time that a value names, if it names an earlier one than it was written at; nothing is taken back.

    A day alone, or a time without a zone, names none: it might as well be a number that somebody counts up.
    """
    until = written
    try:
        named = datetime.fromisoformat(nonce)
    except ValueError:
        pass
    else:
        until = max(0.0, min(written, seconds(named))) if named.tzinfo else written
    return max(until, seconds(before.time) if before else 0.0)
