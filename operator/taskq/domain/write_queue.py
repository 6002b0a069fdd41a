"""Status writes that wait for their turn: the newest of each Task only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from taskq.domain.actions import WriteStatus

STAND_BACK_SECONDS = 10.0
"""How long a write that only says Running makes way for launches: it costs the API server as much as two of them."""


class WriteQueue:
    """Ends, retries and faults go first come, first served; then what is only for the record.

    What only says Running waits for a moment of peace.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._urgent: dict[str, WriteStatus] = {}
        self._records: dict[str, WriteStatus] = {}
        """Such as how a dependency ended: ten thousand Tasks may have waited for the same one."""
        self._minor: dict[str, tuple[float, WriteStatus]] = {}
        """With the time when each was first wanted."""

    def decided(self, uid: str, write: WriteStatus | None, now: float) -> None:
        """Replace what a Task wanted written by what it wants now."""
        self._urgent.pop(uid, None)
        self._records.pop(uid, None)
        wanted_since = self._minor.pop(uid, (now,))[0]
        if write is None:
            return
        if write.note is None and write.status["phase"] == "Running":
            self._minor[uid] = (wanted_since, write)
        elif write.note is None and write.status["phase"] == "Pending":
            self._records[uid] = write
        else:
            self._urgent[uid] = write

    @property
    def has_urgent(self) -> bool:
        """Whether a write waits that should not."""
        return bool(self._urgent or self._records)

    def drop(self, uid: str) -> None:
        """Forget a Task."""
        self._urgent.pop(uid, None)
        self._records.pop(uid, None)
        self._minor.pop(uid, None)

    def take_urgent(self, room: int) -> Iterator[WriteStatus]:
        """Take out at most so many that should not wait."""
        room = max(0, room)
        for uid in list(islice(self._urgent, room)):
            room -= 1
            yield self._urgent.pop(uid)
        for uid in list(islice(self._records, room)):
            yield self._records.pop(uid)

    def take_minor(self, room: int, now: float, *, peace: bool) -> Iterator[WriteStatus]:
        """Take out at most so many of the others, provided that no launch waits or that they have waited too long."""
        for _ in range(min(room, len(self._minor))):
            uid, (since, write) = next(iter(self._minor.items()))
            if not peace and now < since + STAND_BACK_SECONDS:
                return
            del self._minor[uid]
            yield write
