"""What is told of queues and of what happens to their Tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from taskq.domain.model import Alerts, Key
from taskq.domain.reasons import Reason
from taskq.domain.waiting import IN_ORDER, NOT_IN_ORDER, NOT_RUNNING
from taskq.observability.catalogue import Catalogue, Row, bounded, listed
from taskq.observability.roster import Roster
from taskq.resources.common import TERMINAL_PHASES, AttemptReason

QUEUE = ("namespace", "queue")
WAIT_SECONDS = (1, 2.5, *(5 * 2**k for k in range(12)))
"""Up to 10,240 s: nearly three hours in the queue."""
RUN_SECONDS = (1, 2.5, *(5 * 2**k for k in range(14)))
"""Up to 40,960 s: eleven hours of work."""
STARTUP_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

RESULTS = tuple(phase.lower() for phase in TERMINAL_PHASES)
UNFINISHED = ("pending", "held", "running", "retrying")
WAITS = (*NOT_IN_ORDER, *IN_ORDER)
REFUSALS = (Reason.JOB_REFUSED, Reason.QUOTA_EXCEEDED, Reason.FORBIDDEN, Reason.JOB_NAME_TAKEN, Reason.JOB_NOT_CREATED)

EXEMPLAR_LENGTH = 124
"""OpenMetrics allows 128 characters for an exemplar's labels, names included: `task` is four."""


NO_ALERTS = Alerts()
THRESHOLDS = (
    ("depth", "queueDepth", lambda alerts: alerts.queue_depth),
    ("stuck_seconds", "stuckSeconds", lambda alerts: alerts.stuck_seconds),
    ("failure_ratio", "failureRatio", lambda alerts: alerts.failure_ratio),
    ("utilization_ratio", "utilization", lambda alerts: alerts.utilization),
    ("average_run_seconds", "averageRunSeconds", lambda alerts: alerts.average_run_seconds),
)


class QueueFacts(NamedTuple):
    """How a queue stands at the moment of a scrape."""

    key: Key
    states: Counter[str]
    """Tasks by state: the unfinished, and the finished ones that are kept."""
    waiting: Counter[str]
    """Tasks without a Job by what they wait for."""
    unstarted: Counter[str]
    """Tasks with a Job whose containers do not run, by reason."""
    oldest_pending_seconds: float
    """Since when the pending Task that waits longest could have started, 0 when there is none."""
    concurrency_limit: int
    pending_limit: int | None = None
    held: bool = False
    alerts: Alerts = NO_ALERTS
    stuck: int = 0
    """Running Tasks that do not get on, by ``alerts.stuckSeconds``."""
    is_stuck: bool = False
    """Whether its status says that it has started nothing for so long."""


Queues = Callable[[], Iterable[QueueFacts]]


class QueueMetrics:
    """Call the methods after the write that made it true."""

    def __init__(self, define: Catalogue, *, most: int) -> None:
        """At most so many queues get series of their own."""
        self._roster = Roster(most, enter=self._enter, leave=self._leave)
        self._facts: list[QueueFacts] = []
        self._define_counts(define)
        self._define_times(define)
        self._define_standing(define)
        self._define_alerts(define)

    def _define_counts(self, define: Catalogue) -> None:
        self._started = define.counter("taskq_tasks_started_total", "Tasks whose first Job was created.", *QUEUE)
        self._finished = define.counter(
            "taskq_tasks_finished_total", f"Tasks that ended, by result: {listed(RESULTS)}.", *QUEUE, "result"
        )
        self._failed = define.counter(
            "taskq_attempts_failed_total",
            f"Attempts that did not succeed, by reason: {listed(AttemptReason)}.",
            *QUEUE,
            "reason",
        )
        self._retries = define.counter("taskq_task_retries_total", "Jobs created after the first.", *QUEUE)
        self._refused = define.counter(
            "taskq_launches_refused_total",
            f"Jobs that the API server refused, by reason: {listed(REFUSALS)}, Other.",
            *QUEUE,
            "reason",
        )
        self._hooks = define.counter(
            "taskq_hooks_total",
            "What followed the end of Tasks (onSuccess, onFailure), by kind (Task, Webhook) and state: Done, or Failed "
            "when it was refused for good or tried too often.",
            *QUEUE,
            *("kind", "state"),
        )

    def _define_times(self, define: Catalogue) -> None:
        self._wait = define.histogram(
            "taskq_task_wait_duration_seconds",
            "From when a Task could start (created, due, not suspended, its dependencies ended) to its first Job.",
            WAIT_SECONDS,
            *QUEUE,
        )
        self._startup = define.histogram(
            "taskq_task_startup_duration_seconds",
            "From a Job's creation to its first running container: scheduling and image pull.",
            STARTUP_SECONDS,
            *QUEUE,
        )
        self._run = define.histogram(
            "taskq_task_run_duration_seconds",
            "From a Task's first start to its end, retries and the waits between them included.",
            RUN_SECONDS,
            *QUEUE,
            "result",
        )

    def _define_standing(self, define: Catalogue) -> None:
        define.asked(
            "taskq_tasks",
            "gauge",
            "Tasks by state: pending, held (suspended by their own spec), running, retrying; and the finished ones "
            f"that are kept: {listed(RESULTS)}.",
            (*QUEUE, "state"),
            self._states,
        )
        define.asked(
            "taskq_waiting_tasks",
            "gauge",
            f"Tasks without a Job (pending, held, retrying) by what they wait for: {listed(WAITS)}, Other.",
            (*QUEUE, "reason"),
            lambda: (((*fact.key, reason), count) for fact in self._facts for reason, count in fact.waiting.items()),
        )
        define.asked(
            "taskq_unstarted_tasks",
            "gauge",
            f"Running Tasks whose Job exists and whose containers do not run, by reason: {listed(NOT_RUNNING)}, Other.",
            (*QUEUE, "reason"),
            lambda: (((*fact.key, reason), count) for fact in self._facts for reason, count in fact.unstarted.items()),
        )
        define.asked(
            "taskq_oldest_pending_task_age_seconds",
            "gauge",
            "For how long the pending Task that waits longest could have started, 0 when none is pending and due.",
            QUEUE,
            lambda: ((fact.key, max(0.0, fact.oldest_pending_seconds)) for fact in self._facts),
        )
        define.asked(
            "taskq_queue_concurrency_limit",
            "gauge",
            "How many Tasks of the queue may run at once (spec.maxConcurrency).",
            QUEUE,
            lambda: ((fact.key, fact.concurrency_limit) for fact in self._facts),
        )
        define.asked(
            "taskq_queue_pending_limit",
            "gauge",
            "How many Tasks may stand in the order (spec.maxPending); not there when the queue has no such limit.",
            QUEUE,
            lambda: ((fact.key, fact.pending_limit) for fact in self._facts if fact.pending_limit is not None),
        )
        define.asked(
            "taskq_queue_held",
            "gauge",
            "1 while the queue starts nothing by its own or its parent's spec.state (Paused, Closed, DryRun), else 0.",
            QUEUE,
            lambda: ((fact.key, fact.held) for fact in self._facts),
        )

    def _define_alerts(self, define: Catalogue) -> None:
        define.asked(
            "taskq_tasks_stuck",
            "gauge",
            "Running Tasks that do not get on (condition Stuck); not there without spec.alerts.stuckSeconds.",
            QUEUE,
            lambda: ((fact.key, fact.stuck) for fact in self._facts if fact.alerts.stuck_seconds is not None),
        )
        define.asked(
            "taskq_queue_stuck",
            "gauge",
            "1 while Tasks wait and none has run or started for long (condition Stuck), else 0; "
            "not there without spec.alerts.stuckSeconds.",
            QUEUE,
            lambda: ((fact.key, fact.is_stuck) for fact in self._facts if fact.alerts.stuck_seconds is not None),
        )
        for name, field, threshold in THRESHOLDS:
            define.asked(
                f"taskq_queue_alert_{name}",
                "gauge",
                f"The queue's own threshold, spec.alerts.{field}; not there when it sets none.",
                QUEUE,
                self._thresholds(threshold),
            )

    def _thresholds(self, of: Callable[[Alerts], float | None]) -> Callable[[], Iterator[Row]]:
        return lambda: ((fact.key, value) for fact in self._facts if (value := of(fact.alerts)) is not None)

    def _states(self) -> Iterator[Row]:
        for fact in self._facts:
            for state in (*UNFINISHED, *RESULTS):
                yield (*fact.key, state), fact.states[state]

    # --- which queues there are ------------------------------------------------------------------------------------

    def add(self, queue: Key) -> None:
        """A queue exists from now on."""
        self._roster.add(queue)

    def remove(self, queue: Key) -> None:
        """A queue is gone, and its series with it."""
        self._roster.remove(queue)

    def _enter(self, queue: Key) -> None:
        """Begin at 0: the first of a series that appears with 1 is no increase for Prometheus."""
        self._started.labels(*queue)
        self._retries.labels(*queue)
        for result in RESULTS:
            self._finished.labels(*queue, result)

    def _leave(self, queue: Key) -> None:
        for metric in (
            *(self._started, self._finished, self._failed, self._retries),
            *(self._refused, self._hooks, self._wait, self._startup, self._run),
        ):
            metric.remove_by_labels({"namespace": queue.namespace, "queue": queue.name})

    # --- what happens to Tasks ---------------------------------------------------------------------------------------

    def task_started(self, queue: Key, waited_seconds: float, task: str) -> None:
        """The first Job of a Task was created, so many seconds after it could have been."""
        labels = self._roster.labels(queue)
        self._started.labels(*labels).inc()
        self._wait.labels(*labels).observe(max(0.0, waited_seconds), _exemplar(queue, task))

    def task_retried(self, queue: Key) -> None:
        """Another Job of a Task was created."""
        self._retries.labels(*self._roster.labels(queue)).inc()

    def launch_refused(self, queue: Key, reason: str) -> None:
        """The API server refused a Job."""
        self._refused.labels(*self._roster.labels(queue), bounded(reason, REFUSALS)).inc()

    def hook_ran(self, queue: Key, kind: str, state: str) -> None:
        """A hook of a Task is Done, or has Failed for good."""
        self._hooks.labels(*self._roster.labels(queue), kind, state).inc()

    def attempt_running(self, queue: Key, startup_seconds: float, task: str) -> None:
        """The first container of an attempt runs, so many seconds after its Job was created."""
        labels = self._roster.labels(queue)
        self._startup.labels(*labels).observe(max(0.0, startup_seconds), _exemplar(queue, task))

    def attempt_failed(self, queue: Key, reason: str) -> None:
        """An attempt ended without success."""
        self._failed.labels(*self._roster.labels(queue), bounded(reason, tuple(AttemptReason))).inc()

    def task_finished(self, queue: Key, phase: str, run_seconds: float | None, task: str) -> None:
        """A Task reached a terminal phase; `run_seconds` is None when it never started."""
        labels = (*self._roster.labels(queue), bounded(phase.lower(), RESULTS))
        self._finished.labels(*labels).inc()
        if run_seconds is not None:
            self._run.labels(*labels).observe(max(0.0, run_seconds), _exemplar(queue, task))

    # --- scrapes -----------------------------------------------------------------------------------------------------

    def gather(self, facts: Iterable[QueueFacts]) -> None:
        """Take in how all queues stand; those without series of their own are added up."""
        rows: dict[Key, QueueFacts] = {}
        for fact in facts:
            key = self._roster.labels(fact.key)
            waiting, unstarted = _bounded(fact.waiting, WAITS), _bounded(fact.unstarted, NOT_RUNNING)
            named = fact._replace(key=key, waiting=waiting, unstarted=unstarted)
            rows[key] = _sum(rows[key], named) if key in rows else named
        self._facts = list(rows.values())


def _exemplar(queue: Key, task: str) -> dict[str, str]:
    """The Task, by namespace and name, for whoever wants to see one of those in a bucket; its name is never cut."""
    return {"task": f"{queue.namespace}/{task}"[-EXEMPLAR_LENGTH:]}


def _bounded(counts: Counter[str], known: tuple[str, ...]) -> Counter[str]:
    found: Counter[str] = Counter()
    for reason, count in counts.items():
        found[bounded(reason, known)] += count
    return found


def _sum(one: QueueFacts, other: QueueFacts) -> QueueFacts:
    """Two queues as one: counts and limits added, the older age; held only when both are; no threshold fits both."""
    limits = [limit for limit in (one.pending_limit, other.pending_limit) if limit is not None]
    return QueueFacts(
        one.key,
        one.states + other.states,
        one.waiting + other.waiting,
        one.unstarted + other.unstarted,
        max(one.oldest_pending_seconds, other.oldest_pending_seconds),
        one.concurrency_limit + other.concurrency_limit,
        sum(limits) if limits else None,
        one.held and other.held,
    )
