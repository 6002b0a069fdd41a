"""How many Tasks of each queue have ended, whatever became of them since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from taskq.domain.model import Key, Queue
from taskq.domain.queue_facts import Totals


class Tally:
    """Counts the ends that this process writes, on top of what the queue's status said when it began to lead.

    Each sum is made of those two and never of a sum that it wrote itself: a write whose answer got lost, and that is
    made again, counts nothing twice.
    """

    def __init__(self) -> None:
        """Nothing has ended yet."""
        self._ended: dict[Key, Counter[str]] = {}
        self._bases: dict[Key, tuple[str, Counter[str]]] = {}

    def ended(self, queue: Key, phase: str) -> None:
        """A Task has ended: its terminal phase stands."""
        self._ended.setdefault(queue, Counter())[phase] += 1

    def totals(self, queue: Queue, kept: Mapping[str, int]) -> Counter[str]:
        """By phase. ``kept`` counts all finished Tasks of the queue that are there.

        At the start, those are counted at least: a crash may have kept others from writing down their last ends.
        """
        meta = queue.metadata
        uid, base = self._bases.get(meta.key, ("", Counter[str]()))
        if uid != meta.uid:
            if uid:  # made anew under the same name: what ended before was not this queue's
                self._ended.pop(meta.key, None)
            base = _of_status(queue.status.totals) | (Counter(kept) - self._ended.get(meta.key, Counter()))
            self._bases[meta.key] = (meta.uid, base)
        return base + self._ended.get(meta.key, Counter())


def _of_status(totals: Totals | None) -> Counter[str]:
    if totals is None:
        return Counter()
    return Counter(Succeeded=totals.succeeded, Failed=totals.failed, Expired=totals.expired, Cancelled=totals.cancelled)
