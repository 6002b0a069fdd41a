"""The Jobs that were asked for and not answered yet, and when all that are known of were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from taskq.domain.entry import queue_of
from taskq.domain.model import Job, Key
from taskq.domain.queues import START_SECONDS


class Launches(dict[Key, Key]):
    """Jobs whose creation is under way, with their queues: they hold their slots until there is an answer."""

    def __init__(self) -> None:
        """None yet."""
        super().__init__()
        self._doubted: set[Key] = set()

    def doubt(self, job: Key) -> None:
        """The API server could not create it in time: it waits between tries, and others do not wait for it."""
        self._doubted.add(job)

    def end(self, job: Key) -> bool:
        """There is an answer; False when there was one before."""
        self._doubted.discard(job)
        return self.pop(job, None) is not None

    @property
    def at_once(self) -> int:
        """How many requests are under way, but for those that come to nothing again and again."""
        return len(self) - len(self._doubted)

    def starts(self, jobs: Iterable[Job], now: float) -> Iterator[tuple[Key, float]]:
        """The queue and the time, in epoch seconds, of every start; one whose Job was not seen yet counts as of now."""
        seen = set()
        for job in jobs:
            seen.add(job.metadata.key)
            if queue := queue_of(job):
                yield queue, job.metadata.created + START_SECONDS
        yield from ((queue, now) for key, queue in self.items() if key not in seen)
