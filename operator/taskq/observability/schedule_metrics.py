"""What is told of Schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from taskq.domain.model import Key
from taskq.domain.schedules.objects import Schedule
from taskq.domain.schedules.spec import Result, Skip, epoch
from taskq.observability.catalogue import Catalogue, Row, bounded, listed
from taskq.observability.roster import Roster

SCHEDULE = ("namespace", "schedule")
TICK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RUNS = (Result.STARTED, *Skip)

Schedules = Callable[[], Sequence[Schedule]]


class _Facts(NamedTuple):
    """How a Schedule stands; times are epoch seconds, None when there is none."""

    key: Key
    next_run: float | None
    last_run: float | None
    last_success: float | None
    failures: int
    suspended: int


class ScheduleMetrics:
    """Call the methods after the write that made it true."""

    def __init__(self, define: Catalogue, *, most: int) -> None:
        """At most so many Schedules get series of their own."""
        self._roster = Roster(most, enter=self._enter, leave=self._leave)
        self._facts: list[_Facts] = []
        self._runs = define.counter(
            "taskq_schedule_runs_total",
            f"Runs of a Schedule: Started, or why they were skipped: {listed(Skip)}.",
            *SCHEDULE,
            "result",
        )
        self._missed = define.counter(
            "taskq_schedule_missed_runs_total",
            "Ticks of a Schedule that were missed or given up, and not made up for.",
            *SCHEDULE,
        )
        self._lag = define.histogram(
            "taskq_schedule_lag_seconds",
            "From the moment of a tick, jitter included, to the creation of its Task.",
            TICK_SECONDS,
        )
        self._define_standing(define)

    def _define_standing(self, define: Catalogue) -> None:
        for name, meaning, of in (
            (
                "taskq_schedule_next_run_timestamp_seconds",
                "When the next Task is created at the latest, in epoch seconds: the next tick plus spec.jitterSeconds.",
                lambda fact: fact.next_run,
            ),
            (
                "taskq_schedule_last_run_timestamp_seconds",
                "The tick that started a Task last, in epoch seconds.",
                lambda fact: fact.last_run,
            ),
            (
                "taskq_schedule_last_success_timestamp_seconds",
                "When a Task of the Schedule last succeeded, in epoch seconds.",
                lambda fact: fact.last_success,
            ),
            (
                "taskq_schedule_consecutive_failures",
                "How many Tasks of the Schedule have failed one after another.",
                lambda fact: fact.failures,
            ),
            (
                "taskq_schedule_suspended",
                "1 while the Schedule is suspended, by its spec or after too many failures, else 0.",
                lambda fact: fact.suspended,
            ),
        ):
            define.asked(name, "gauge", meaning, SCHEDULE, self._rows(of))

    def _rows(self, of: Callable[[_Facts], float | None]) -> Callable[[], Iterable[Row]]:
        return lambda: ((fact.key, value) for fact in self._facts if (value := of(fact)) is not None)

    # --- which Schedules there are -----------------------------------------------------------------------------------

    def add(self, schedule: Key) -> None:
        """A Schedule exists from now on."""
        self._roster.add(schedule)

    def remove(self, schedule: Key) -> None:
        """A Schedule is gone, and its series with it."""
        self._roster.remove(schedule)

    def _enter(self, schedule: Key) -> None:
        """Begin at 0: the first miss would be no increase for Prometheus if its series came with it."""
        self._missed.labels(*schedule)
        self._runs.labels(*schedule, Result.STARTED)

    def _leave(self, schedule: Key) -> None:
        for metric in (self._runs, self._missed):
            metric.remove_by_labels({"namespace": schedule.namespace, "schedule": schedule.name})

    # --- what happens ------------------------------------------------------------------------------------------------

    def ran(self, schedule: Key, result: str, count: int) -> None:
        """Runs of a Schedule were started or skipped."""
        self._runs.labels(*self._roster.labels(schedule), bounded(result, RUNS)).inc(count)

    def missed(self, schedule: Key, count: int) -> None:
        """Ticks were missed, or given up, and are not made up for."""
        self._missed.labels(*self._roster.labels(schedule)).inc(count)

    def lagged(self, seconds: float) -> None:
        """The Task of a tick was created so long after its moment."""
        self._lag.observe(max(0.0, seconds))

    # --- scrapes -----------------------------------------------------------------------------------------------------

    def gather(self, schedules: Iterable[Schedule]) -> None:
        """Take in how all Schedules stand. For ten thousand this takes a while: not for the event loop."""
        rows: dict[Key, _Facts] = {}
        for schedule in schedules:
            key = self._roster.labels(schedule.metadata.key)
            fact = _facts(key, schedule)
            rows[key] = _worst(rows[key], fact) if key in rows else fact
        self._facts = list(rows.values())


def _facts(key: Key, schedule: Schedule) -> _Facts:
    spec, status = schedule.spec, schedule.status
    suspended = spec.suspend or status.suspension is not None
    following = None if suspended else status.next_schedule_time
    return _Facts(
        key,
        None if following is None else epoch(following, 0.0) + spec.jitter_seconds,
        None if status.last_schedule_time is None else epoch(status.last_schedule_time, 0.0),
        None if status.last_successful_time is None else epoch(status.last_successful_time, 0.0),
        status.consecutive_failures,
        int(suspended),
    )


def _worst(one: _Facts, other: _Facts) -> _Facts:
    """Two Schedules as one: the earlier times, the longer row of failures, and how many are suspended."""
    return _Facts(
        one.key,
        _earlier(one.next_run, other.next_run),
        _earlier(one.last_run, other.last_run),
        _earlier(one.last_success, other.last_success),
        max(one.failures, other.failures),
        one.suspended + other.suspended,
    )


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((time for time in (one, other) if time is not None), default=None)
