"""Sums over many Tasks: one pass, a few bytes a Task."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from taskq.cli import tasks
from taskq.cli.kinds import Object
from taskq.cli.text import parsed
from taskq.resources.common import Phase


class Sum:
    """What became of a group of Tasks, and how long they took."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.ends: dict[str, int] = dict.fromkeys(tasks.ENDED, 0)
        self.waits = array("f")
        self.runs = array("f")
        self.attempts = 0

    def add(self, task: Object, now: float) -> None:
        """Count a Task that has ended."""
        self.ends[tasks.phase(task)] += 1
        self.attempts += int(task.get("status", {}).get("attempt") or 0)
        ran = tasks.ran_seconds(task, now)
        if ran is not None:
            self.runs.append(ran)
            waited = tasks.waited_seconds(task, now)
            self.waits.append(waited or 0.0)

    @property
    def count(self) -> int:
        """Tasks that ended, however."""
        return sum(self.ends.values())

    @property
    def succeeded(self) -> int:
        """Tasks that Succeeded."""
        return self.ends[Phase.SUCCEEDED]

    @property
    def failed(self) -> int:
        """Tasks that Failed or Expired: what somebody wanted and did not get. Cancelled ones were not wanted."""
        return self.ends[Phase.FAILED] + self.ends[Phase.EXPIRED]

    @property
    def failure_ratio(self) -> float | None:
        """Of those that Succeeded, Failed or Expired; None without any."""
        judged = self.succeeded + self.failed
        return self.failed / judged if judged else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that this share of the values does not exceed (nearest rank); None of none."""
    if not values:
        return None
    return float(sorted(values)[max(0, math.ceil(share * len(values)) - 1)])


def ended_at(task: Object) -> float | None:
    """When it ended, as epoch seconds."""
    moment = parsed(task.get("status", {}).get("completionTime"))
    return None if moment is None else moment.timestamp()
