"""The order in which the Tasks of a queue start (design §3, rule 4), written down a second time, the long way round.

It reads objects as the API gives them and shares nothing with the operator: no heap, nothing set aside, nothing kept
from one start to the next. Each Task that waits is compared with the one that was started.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

Object = dict[str, Any]
Rank = tuple[float, float, float, str, str]


class Waiter(NamedTuple):
    """A Task, and the TaskTemplate that it names, or nothing."""

    task: Object
    template: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.task["metadata"]["name"])

    @property
    def age(self) -> tuple[float, str, str]:
        """What `maxPending` counts by."""
        meta = self.task["metadata"]
        return moment(meta["creationTimestamp"]), meta["name"], meta["uid"]

    def value_of(self, label: str | None) -> str:
        """Of a label; the same for all that have none."""
        return str((self.task["metadata"].get("labels") or {}).get(label, "")) if label else ""


class Line:
    """One queue at one moment: its rules, and whose Tasks run."""

    def __init__(self, rules: Object, now: float, running: Sequence[Waiter], started: Mapping[str, float]) -> None:
        """`started`: when a Task of a tenant was started last, for the tenants of which that is known."""
        self.rules = rules
        self.now = now
        self.tenant_label, self.account_label = rules.get("fairShareLabelKey"), rules.get("concurrencyLabelKey")
        self.tenants = Counter(task.value_of(self.tenant_label) for task in running)
        self.accounts = Counter(task.value_of(self.account_label) for task in running)
        self.started = started
        self.is_strict = rules.get("queueingStrategy") == "Strict"

    def fault(self, chosen: Waiter, surely: Sequence[Waiter], perhaps: Sequence[Waiter]) -> str:
        """Why the chosen one should not have been started now; empty when nothing speaks against it.

        `surely` stand in the order beside it, `perhaps` may.
        """
        if priority(chosen, self.rules) is None:
            return "has a priority level that its queue does not have"
        if self.is_full(chosen):
            return "has an account of which as many run as may"
        if self.is_beyond(chosen, surely):
            return f"is not among the oldest {self.rules['maxPending']} (maxPending)"
        everyone = [*surely, *perhaps, chosen]
        for other in surely:
            if self.is_beyond(other, everyone) or (self.is_full(other) and not self.is_strict):
                continue
            if self.goes_before(other, chosen):
                return f"was started before {other.name}"
        return ""

    def is_beyond(self, task: Waiter, everyone: Iterable[Waiter]) -> bool:
        """Whether `maxPending` keeps a Task out of the order."""
        most = self.rules.get("maxPending")
        return most is not None and sum(other.age < task.age for other in everyone) >= most

    def is_full(self, task: Waiter) -> bool:
        """Whether as many of its account run as may."""
        account = task.value_of(self.account_label)
        return account != "" and self.accounts[account] >= self.rules.get("maxConcurrencyPerKey", 1)

    def goes_before(self, one: Waiter, other: Waiter) -> bool:
        """Whether one Task starts before another, as long as nothing holds it up."""
        first, second = (task.value_of(self.tenant_label) for task in (one, other))
        if first == second:
            return self.rank(one) < self.rank(other)
        mine, theirs = ((self._band(task), self.tenants[name]) for task, name in ((one, first), (other, second)))
        if mine != theirs:
            return mine < theirs
        if first not in self.started or second not in self.started:
            return False  # who started longer ago is not known for sure
        return (self.started[first], first) < (self.started[second], second)

    def rank(self, task: Waiter) -> Rank:
        """The place of a Task among those of its tenant; smaller starts first."""
        urgency, due = self._urgency(task), due_time(task)
        first = (due, urgency) if self.rules.get("ordering") == "TimeThenPriority" else (urgency, due)
        return (*first, *task.age)

    def _band(self, task: Waiter) -> float:
        """Inside it, tenants take turns."""
        return 0.0 if self.rules.get("ordering") == "TimeThenPriority" else self._urgency(task)

    def _urgency(self, task: Waiter) -> float:
        """The effective priority; smaller is more urgent."""
        gained, aging = 0, self.rules.get("priorityAging")
        if task.task["status"].get("attempts"):
            gained += (said(task, "retryPolicy", self.rules) or {}).get("priorityBoost", 0)
        waited = self.now - due_time(task)
        if aging and waited > 0:
            steps = int(waited // aging["periodSeconds"])
            gained += min(steps * aging.get("increment", 1), aging.get("maxIncrease", steps * aging["increment"]))
        by_itself = priority(task, self.rules) or 0
        return by_itself - gained if self.rules.get("priorityOrder") == "LowestFirst" else -(by_itself + gained)


def said(task: Waiter, field: str, rules: Object) -> Any:
    """What a Task says, else its TaskTemplate, else its queue; None when nobody does."""
    spec, template = task.task["spec"], task.template.get("spec", {})
    return spec.get(field, template.get(field, rules.get("taskDefaults", {}).get(field)))


def priority(task: Waiter, rules: Object) -> int | None:
    """By itself, before it has waited or failed; None when it names a level that its queue does not have."""
    level = task.task["spec"].get("priorityLevel")
    if level is None:
        return int(said(task, "priority", rules) or 0)
    return {one["name"]: int(one["value"]) for one in rules.get("priorityLevels", ())}.get(level)


def due_time(task: Waiter) -> float:
    """From when on it stands in the order."""
    start = task.task["status"].get("nextAttemptTime") or task.task["spec"].get("notBeforeTime")
    created = moment(task.task["metadata"]["creationTimestamp"])
    return max(moment(start), created) if start else created


@cache
def moment(text: str) -> float:
    """Epoch seconds of a time as the API writes it."""
    return datetime.fromisoformat(text).timestamp()
