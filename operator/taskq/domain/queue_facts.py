"""The facts of a TaskQueue's status that are more than a number."""

from __future__ import annotations

from datetime import datetime

from taskq.domain.facts import Value


class QueueRequest(Value, frozen=True):
    """A request by annotation that was taken up: it concerns Tasks created until then."""

    nonce: str
    time: datetime


class Totals(Value, frozen=True):
    """Tasks that ended, cleaned up or not."""

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
