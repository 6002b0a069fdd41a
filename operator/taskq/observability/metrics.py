"""Every metric of the operator, defined once.

Labels are bounded: a namespace, a queue, or one of a few words; never a Task, a pod, a user or a text.
Queues have series of their own as long as they exist and are not too many; the others share the label
`__other__`. What happens is counted when it happens; how things stand is asked for at each scrape.
"""

from __future__ import annotations

import asyncio
import collections
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from taskq import __version__
from taskq.clock import Clock
from taskq.domain.reasons import Reason
from taskq.domain.schedules.spec import Result, Skip
from taskq.resources.common import TERMINAL_PHASES, AttemptReason

OTHER = "__other__"
"""The label of all queues that have no series of their own. No queue can be called so."""

QUEUE = ("namespace", "queue")
WAIT_SECONDS = (1, 2.5, *(5 * 2**k for k in range(12)))
"""Up to 10,240 s: nearly three hours in the queue."""
RUN_SECONDS = (1, 2.5, *(5 * 2**k for k in range(14)))
"""Up to 40,960 s: eleven hours of work."""
STARTUP_SECONDS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DECISION_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
LAUNCH_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LAG_EVERY_SECONDS = 0.25
TICK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

RUNS = (Result.STARTED, *Skip)
RESULTS = tuple(phase.lower() for phase in TERMINAL_PHASES)
REFUSALS = (Reason.JOB_REFUSED, Reason.QUOTA_EXCEEDED, Reason.FORBIDDEN, Reason.JOB_NAME_TAKEN)


class QueueFacts(NamedTuple):
    """How a queue stands at the moment of a scrape."""

    namespace: str
    queue: str
    pending: int
    held: int
    running: int
    retrying: int
    oldest_pending_seconds: float
    """Age of the pending Task that waits longest, 0 when none is pending."""
    concurrency_limit: int


class Watched(Protocol):
    """What an informer counts of itself."""

    @property
    def events(self) -> Mapping[str, int]:
        """Watch events so far, by type."""

    @property
    def restarts(self) -> Mapping[str, int]:
        """Lists and watches begun again, by reason."""

    @property
    def poisoned(self) -> int:
        """Objects that could not be read."""


@dataclass(frozen=True, slots=True)
class Family:
    """What the reference page says of one metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


Queues = Callable[[], Iterable[QueueFacts]]
Informers = Callable[[], Iterable[tuple[str, Watched]]]
Row = tuple[tuple[str, ...], float]


class Metrics:
    """The operator's metrics in one registry of their own, so that every test can have its own."""

    def __init__(self, registry: CollectorRegistry | None = None, *, max_queues: int = 500) -> None:
        """Define all metrics; `feed` connects those that are asked for at a scrape."""
        # Else each counter and histogram would have a second series, its time of birth.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self.families: list[Family] = []
        self._max_queues = max_queues
        self._own: set[tuple[str, str]] = set()
        self._crowd: dict[tuple[str, str], None] = {}  # above the limit, in the order they came
        self._ask_queues: Queues = tuple
        self._ask_informers: Informers = tuple
        self._facts: list[QueueFacts] = []
        self._informers: dict[str, _Counts] = {}
        self._standing = _Standing()
        self._define_queues()
        self._define_tasks()
        self._define_schedules()
        self._define_operator()
        self.registry.register(self._standing)
        ProcessCollector(registry=self.registry)

    def _define_queues(self) -> None:
        states = ("pending", "held", "running", "retrying")
        self._asked(
            "taskq_tasks",
            "gauge",
            "Unfinished Tasks by state: pending, held (suspended, or their queue is), running, retrying.",
            (*QUEUE, "state"),
            lambda: (((f.namespace, f.queue, state), getattr(f, state)) for f in self._facts for state in states),
        )
        self._asked(
            "taskq_oldest_pending_task_age_seconds",
            "gauge",
            "Age of the pending Task that waits longest, 0 when none is pending.",
            QUEUE,
            lambda: (((f.namespace, f.queue), max(0.0, f.oldest_pending_seconds)) for f in self._facts),
        )
        self._asked(
            "taskq_queue_concurrency_limit",
            "gauge",
            "How many Tasks of the queue may run at once (spec.maxConcurrency).",
            QUEUE,
            lambda: (((f.namespace, f.queue), f.concurrency_limit) for f in self._facts),
        )

    def _define_tasks(self) -> None:
        self.tasks_started = self._counter("taskq_tasks_started_total", "Tasks whose first Job was created.", *QUEUE)
        self.tasks_finished = self._counter(
            "taskq_tasks_finished_total", f"Tasks that ended, by result: {_list(RESULTS)}.", *QUEUE, "result"
        )
        self.attempts_failed = self._counter(
            "taskq_attempts_failed_total",
            f"Attempts that did not succeed, by reason: {_list(AttemptReason)}.",
            *QUEUE,
            "reason",
        )
        self.task_retries = self._counter("taskq_task_retries_total", "Jobs created after the first.", *QUEUE)
        self.launches_refused = self._counter(
            "taskq_launches_refused_total",
            f"Jobs that the API server refused, by reason: {_list(REFUSALS)}, Other.",
            *QUEUE,
            "reason",
        )
        self.task_wait = self._histogram(
            "taskq_task_wait_duration_seconds",
            "From the moment a Task could start (created, and its notBeforeTime past) to its first Job.",
            WAIT_SECONDS,
            *QUEUE,
        )
        self.task_startup = self._histogram(
            "taskq_task_startup_duration_seconds",
            "From a Job's creation to its first running container: scheduling and image pull.",
            STARTUP_SECONDS,
            *QUEUE,
        )
        self.task_run = self._histogram(
            "taskq_task_run_duration_seconds",
            "From a Task's first start to its end, retries and the waits between them included.",
            RUN_SECONDS,
            *QUEUE,
            "result",
        )

    def _define_schedules(self) -> None:
        self.schedule_runs = self._counter(
            "taskq_schedule_runs_total",
            f"Runs of Schedules: Started, or why they were skipped: {_list(Skip)}.",
            "namespace",
            "result",
        )
        self.schedule_missed_runs = self._counter(
            "taskq_schedule_missed_runs_total",
            "Ticks of Schedules that were missed or given up, and not made up for.",
            "namespace",
        )
        self.schedule_lag = self._histogram(
            "taskq_schedule_lag_seconds",
            "From the moment of a tick, jitter included, to the creation of its Task.",
            TICK_SECONDS,
        )

    def _define_operator(self) -> None:
        self.status_write_conflicts = self._counter(
            "taskq_status_write_conflicts_total", "Status writes that met a newer object and were made anew."
        )
        self.decision_duration = self._histogram(
            "taskq_decision_duration_seconds", "One decision about one queue.", DECISION_SECONDS
        )
        self.completion_to_launch = self._histogram(
            "taskq_completion_to_launch_seconds",
            "From a Job's end being received to the next Job's creation being sent.",
            LAUNCH_SECONDS,
        )
        self.event_loop_lag = self._histogram(
            "taskq_event_loop_lag_seconds",
            f"How late the event loop is, every {LAG_EVERY_SECONDS:g} s. Above 1 s the Lease is in danger.",
            LAG_SECONDS,
        )
        self.kube_api_requests = self._counter(
            "taskq_kube_api_requests_total",
            "Requests to the API server; the code is the HTTP status, or a word when there was no answer.",
            *("verb", "resource", "code"),
        )
        self.kube_api_request_duration = self._histogram(
            "taskq_kube_api_request_duration_seconds",
            "Duration of these requests; of a watch, the time until it began.",
            REQUEST_SECONDS,
            *("verb", "resource"),
        )
        self._asked(
            "taskq_watch_restarts_total",
            "counter",
            "Watches that ended and lists that failed, by reason.",
            ("resource", "reason"),
            lambda: (((kind, why), n) for kind, c in self._informers.items() for why, n in c.restarts.items()),
        )
        self._asked(
            "taskq_watch_events_total",
            "counter",
            "Watch events received, by type.",
            ("resource", "type"),
            lambda: (((kind, what), n) for kind, c in self._informers.items() for what, n in c.events.items()),
        )
        self._asked(
            "taskq_watch_poisoned_objects_total",
            "counter",
            "Objects that could not be read and were passed over, each time counted.",
            ("resource",),
            lambda: (((kind,), c.poisoned) for kind, c in self._informers.items()),
        )
        self.stale_leader_posts = self._counter(
            "taskq_stale_leader_posts_total",
            "Jobs whose creation was in flight while this process lost the Lease: 0 unless it was frozen.",
        )
        self.leader = self._gauge("taskq_leader", "1 while this process is the leader, else 0.")
        self.leader_transitions = self._counter(
            "taskq_leader_transitions_total", "How often this process became the leader."
        )
        built = {"version": __version__, "python": platform.python_version(), "kopf": version("kopf")}
        text = "1, with the versions of the operator and of what it runs on as labels."
        self.families.append(Family("taskq_build_info", "gauge", tuple(built), text))
        Info("taskq_build", text, registry=self.registry).info(built)

    # Definitions: the object for the code, the family for the reference page.

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        self.families.append(Family(name, "counter", labels, meaning))
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        self.families.append(Family(name, "gauge", labels, meaning))
        return Gauge(name, meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: Iterable[float], *labels: str) -> Histogram:
        bounds = tuple(float(bound) for bound in buckets)
        self.families.append(Family(name, "histogram", labels, meaning, bounds))
        return Histogram(name, meaning, labels, buckets=bounds, registry=self.registry)

    def _asked(
        self, name: str, kind: str, meaning: str, labels: tuple[str, ...], rows: Callable[[], Iterable[Row]]
    ) -> None:
        family = Family(name, kind, labels, meaning)
        self.families.append(family)
        self._standing.rows.append((family, rows))

    # Which queues have series of their own.

    def add_queue(self, namespace: str, queue: str) -> None:
        """A queue exists from now on, and gets series of its own if there is room; else when there is."""
        key = (namespace, queue)
        if key not in self._own and len(self._own) < self._max_queues:
            self._own.add(key)
        elif key not in self._own:
            self._crowd[key] = None

    def remove_queue(self, namespace: str, queue: str) -> None:
        """A queue is gone, and its series with it. What still happens to its Tasks counts as `__other__`."""
        key = (namespace, queue)
        self._crowd.pop(key, None)
        if key not in self._own:
            return
        self._own.remove(key)
        for metric in (
            *(self.tasks_started, self.tasks_finished, self.attempts_failed, self.task_retries),
            *(self.launches_refused, self.task_wait, self.task_startup, self.task_run),
        ):
            metric.remove_by_labels({"namespace": namespace, "queue": queue})
        if self._crowd:
            following = next(iter(self._crowd))
            del self._crowd[following]
            self._own.add(following)

    def _labels(self, namespace: str, queue: str) -> tuple[str, str]:
        return (namespace, queue) if (namespace, queue) in self._own else (OTHER, OTHER)

    # What happens to Tasks. Call these after the write that made it true.

    def task_started(self, namespace: str, queue: str, waited_seconds: float) -> None:
        """The first Job of a Task was created, so many seconds after it could have been."""
        labels = self._labels(namespace, queue)
        self.tasks_started.labels(*labels).inc()
        self.task_wait.labels(*labels).observe(max(0.0, waited_seconds))

    def task_retried(self, namespace: str, queue: str) -> None:
        """Another Job of a Task was created."""
        self.task_retries.labels(*self._labels(namespace, queue)).inc()

    def launch_refused(self, namespace: str, queue: str, reason: str) -> None:
        """The API server refused a Job."""
        word = _bounded(reason, REFUSALS)
        self.launches_refused.labels(*self._labels(namespace, queue), word).inc()

    def attempt_running(self, namespace: str, queue: str, startup_seconds: float) -> None:
        """The first container of an attempt runs, so many seconds after its Job was created."""
        self.task_startup.labels(*self._labels(namespace, queue)).observe(max(0.0, startup_seconds))

    def attempt_failed(self, namespace: str, queue: str, reason: str) -> None:
        """An attempt ended without success."""
        word = _bounded(reason, tuple(AttemptReason))
        self.attempts_failed.labels(*self._labels(namespace, queue), word).inc()

    def task_finished(self, namespace: str, queue: str, phase: str, run_seconds: float | None) -> None:
        """A Task reached a terminal phase; `run_seconds` is None when it never started."""
        labels = (*self._labels(namespace, queue), _bounded(phase.lower(), RESULTS))
        self.tasks_finished.labels(*labels).inc()
        if run_seconds is not None:
            self.task_run.labels(*labels).observe(max(0.0, run_seconds))

    def schedule_ran(self, namespace: str, result: str, count: int) -> None:
        """Runs of a Schedule were started or skipped."""
        self.schedule_runs.labels(namespace, _bounded(result, RUNS)).inc(count)

    # What happens to the operator. The other metrics are used as they are: `metrics.leader.set(1)`.

    def api_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request to the API server ended; this is the session's `observe`."""
        self.kube_api_requests.labels(verb, resource, code).inc()
        self.kube_api_request_duration.labels(verb, resource).observe(max(0.0, seconds))

    async def watch_loop(self, clock: Clock) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            before = clock.uptime()
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.event_loop_lag.observe(max(0.0, clock.uptime() - before - LAG_EVERY_SECONDS))

    # Scrapes.

    def feed(self, *, queues: Queues | None = None, informers: Informers | None = None) -> None:
        """Say whom to ask at a scrape.

        `queues` gives the facts of every queue, and of what waits for queues that do not exist; nothing when
        this process is not the leader. `informers` gives them with the resource that they watch, such as
        ("tasks", informer).
        """
        self._ask_queues = queues or self._ask_queues
        self._ask_informers = informers or self._ask_informers

    def gather(self) -> None:
        """Ask how things stand: what the registry gives out is as of the last time."""
        rows: dict[tuple[str, str], QueueFacts] = {}
        for fact in self._ask_queues():
            key = self._labels(fact.namespace, fact.queue)
            rows[key] = _sum(rows[key], fact) if key in rows else fact
        self._facts = [fact._replace(namespace=key[0], queue=key[1]) for key, fact in rows.items()]
        counts: dict[str, _Counts] = collections.defaultdict(_Counts.empty)
        for resource, informer in self._ask_informers():
            counts[resource] = counts[resource].plus(informer)
        self._informers = dict(counts)

    async def page(self, accept: str = "") -> tuple[bytes, str]:
        """What a scrape gets, and its content type: OpenMetrics for whoever accepts it.

        Facts are gathered here, on the event loop that owns them. The text is made in a thread: for 500
        queues that takes half a second, during which the loop must go on.
        """
        self.gather()
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version that is no number
            encode, content_type = choose_encoder("")
        return await asyncio.to_thread(encode, self.registry), content_type


def _bounded(word: str, known: Iterable[str]) -> str:
    return word if word in known else "Other"


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _sum(one: QueueFacts, other: QueueFacts) -> QueueFacts:
    """Two queues as one: counts and limits added, the older age."""
    return QueueFacts(
        one.namespace,
        one.queue,
        one.pending + other.pending,
        one.held + other.held,
        one.running + other.running,
        one.retrying + other.retrying,
        max(one.oldest_pending_seconds, other.oldest_pending_seconds),
        one.concurrency_limit + other.concurrency_limit,
    )


class _Counts(NamedTuple):
    """What all informers of one resource have counted."""

    events: collections.Counter[str]
    restarts: collections.Counter[str]
    poisoned: int

    @classmethod
    def empty(cls) -> _Counts:
        return cls(collections.Counter(), collections.Counter(), 0)

    def plus(self, informer: Watched) -> _Counts:
        return _Counts(
            self.events + collections.Counter(informer.events),
            self.restarts + collections.Counter(informer.restarts),
            self.poisoned + informer.poisoned,
        )


class _Standing(Collector):
    """The metrics that say how things stand, as rows that were gathered for the scrape."""

    def __init__(self) -> None:
        self.rows: list[tuple[Family, Callable[[], Iterable[Row]]]] = []

    def collect(self) -> Iterator[Metric]:
        """The families, for the registry; called in the thread that writes the page."""
        for family, rows in self.rows:
            kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = kind(family.name, family.meaning, labels=family.labels)
            for labels, value in rows():
                metric.add_metric(labels, value)
            yield metric


REFERENCE_HEAD = """\
# Metrics

<!-- Made by `python -m taskq.observability.metrics --docs FILE`; do not edit. -->

The operator answers at `/metrics` of [`--http-address`](settings.md), as OpenMetrics to whoever accepts it
and as Prometheus text to others. Beside the metrics below there are the usual `process_…` ones (CPU, memory,
file descriptors).

Labels are bounded: never a Task, a pod, a user or an error's text. A queue has series of its own as long as
it exists, up to [`--metrics-max-queues`](settings.md). Queues above that, and Tasks whose queue does not
exist, are counted together under `namespace="__other__"`, `queue="__other__"`. How queues stand
(`taskq_tasks`, ages, limits) only the leader says; counters are each process's own: sum them over replicas.
"""


def _part(family: Family) -> str:
    """The part of the reference page that a metric stands in."""
    if "queue" in family.labels:
        return "queue"
    return "schedule" if family.name.startswith("taskq_schedule_") else "operator"


def reference() -> str:
    """The reference page, docs/reference/metrics.md."""
    lines = [REFERENCE_HEAD]
    families = Metrics().families
    for title, wanted in (("Queues and Tasks", "queue"), ("Schedules", "schedule"), ("The operator", "operator")):
        lines += [f"## {title}", "", "| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
        for family in families:
            if _part(family) == wanted:
                labels = ", ".join(f"`{label}`" for label in family.labels)
                bounds = f" Buckets: {', '.join(f'{b:g}' for b in family.buckets)}." if family.buckets else ""
                lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.meaning}{bounds} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--docs":
        sys.exit("usage: python -m taskq.observability.metrics --docs FILE")
    Path(sys.argv[2]).write_text(reference(), encoding="utf-8")
