"""How fast a queue starts Tasks while more wait than may start: what an estimate is made of.

Only busy times count. One begins with a start that leaves others waiting, and goes on until nobody waits any more; so
neither the first burst into an empty queue nor an idle night is taken for the rate at which room becomes free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from taskq.domain.model import Job, seconds

_KEPT = 20
"""Gaps between starts that are remembered: enough for two rounds of ten slots, few enough to follow a change."""

_TAKEN_SECONDS = 5.0
"""A slot that stays free for longer had nobody waiting for it."""


class Span(NamedTuple):
    """When a Job was created, and when it ended (None: it has not), epoch seconds."""

    started: float
    ended: float | None


def span_of(job: Job) -> Span:
    """When a Job ran."""
    end = job.finished
    time = end.last_transition_time if end else None
    return Span(job.metadata.created, seconds(time) if time else None)


class Pace:
    """The gaps between the starts of one queue in its busy times, in seconds."""

    __slots__ = ("_gaps", "_last", "learned")

    def __init__(self) -> None:
        """Nothing is known."""
        self._gaps: deque[float] = deque(maxlen=_KEPT)
        self._last: float | None = None
        self.learned = False
        """Whether :meth:`learn` was called."""

    def __len__(self) -> int:
        """How many gaps are known."""
        return len(self._gaps)

    def started(self, at: float) -> None:
        """A Task was started."""
        if self._last is not None:
            self._gaps.append(max(0.0, at - self._last))
            self._last = at

    def filled(self, at: float) -> None:
        """The start at this time left others waiting."""
        self._last = at

    def rest(self) -> None:
        """Nobody waits any more, or the queue's rules have changed: the busy time is over."""
        self._last = None

    def seconds_a_start(self, now: float) -> float | None:
        """The mean gap; a present one that is longer than that counts, too. None when nothing is known."""
        if not self._gaps:
            return None
        total = sum(self._gaps)
        present = 0.0 if self._last is None else max(0.0, now - self._last)
        if present > total / len(self._gaps):
            total += present
        return total / len(self._gaps)

    def last_start(self, now: float) -> float:
        """From when the next gap counts."""
        return now if self._last is None else min(now, self._last)

    def learn(self, spans: Iterable[Span], limit: int) -> None:
        """Find the gaps of earlier busy times, which this process has not seen, in what is left of the Jobs."""
        self.learned = True
        running, last, free_since = 0, None, 0.0
        for at, step in sorted(_steps(spans)):
            if step < 0:
                running -= 1
                free_since = at if running == limit - 1 else free_since
                continue
            if last is not None and running < limit and at - free_since > _TAKEN_SECONDS:
                last = None
            if last is not None:
                self._gaps.append(at - last)
            running += 1
            last = at if last is not None or running >= limit else None


def _steps(spans: Iterable[Span]) -> Iterable[tuple[float, int]]:
    for span in spans:
        yield span.started, 1
        if span.ended is not None:
            yield span.ended, -1
