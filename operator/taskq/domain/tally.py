"""How many Tasks of each queue have ended, whatever became of them since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

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
        self._counted: set[str] = set()
        """The uids of Tasks that a base counts and whose end is still to be told."""

    def ended(self, queue: Key, phase: str, uid: str) -> None:
        """A Task has ended: its terminal phase stands."""
        if uid in self._counted:
            self._counted.remove(uid)
            return
        self._ended.setdefault(queue, Counter())[phase] += 1

    def totals(self, queue: Queue, kept: Mapping[str, int], untold: Iterable[str] = ()) -> Counter[str]:
        """By phase. ``kept`` counts all finished Tasks of the queue that are there.

        ``untold`` are the uids of those among them whose end this process has not been told: when a list showed it
        before the answer to the write came, or somebody else wrote it.
        At the start, those are counted at least: a crash may have kept others from writing down their last ends.
        """
        meta = queue.metadata
        uid, base = self._bases.get(meta.key, ("", Counter[str]()))
        if uid != meta.uid:
            if uid:  # made anew under the same name: what ended before was not this queue's
                self._ended.pop(meta.key, None)
            base = _of_status(queue.status.totals) | (Counter(kept) - self._ended.get(meta.key, Counter()))
            self._bases[meta.key] = (meta.uid, base)
            self._counted.update(untold)
        return base + self._ended.get(meta.key, Counter())


def _of_status(totals: Totals | None) -> Counter[str]:
    if totals is None:
        return Counter()
    return Counter(Succeeded=totals.succeeded, Failed=totals.failed, Expired=totals.expired, Cancelled=totals.cancelled)
