"""What is told of the operator itself: its decisions, its requests, its watches, its lease."""

from __future__ import annotations

import asyncio
import collections
import platform
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from typing import NamedTuple, Protocol

from taskq import __version__
from taskq.clock import Clock
from taskq.observability.catalogue import Catalogue

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DECISION_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
LAUNCH_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)
LAG_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LAG_EVERY_SECONDS = 0.25


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


RESTART_REASONS = ("ended", "expired", "fault", "refused", "not_sent", "broken", "list_expired", "list_failed")
"""As the informers say them; all are there from the start, since the increase of a series that is not there is none."""


class DispatcherFacts(NamedTuple):
    """How the dispatcher of a leader stands at the moment of a scrape."""

    undecided: int
    """Tasks that changed and were not looked at yet."""
    in_flight: int
    """Requests to the API server without an answer yet."""
    idle_seconds: float
    """Since its last pass."""


Informers = Callable[[], Iterable[tuple[str, Watched]]]
Dispatching = Callable[[], DispatcherFacts | None]


class OperatorMetrics:
    """The public ones are used as they are: ``metrics.operator.leader.set(1)``."""

    def __init__(self, define: Catalogue) -> None:
        """Define all."""
        self._informers: dict[str, _Counts] = {}
        self._dispatcher: list[DispatcherFacts] = []
        self._define_dispatcher(define)
        self._define_api(define)
        self._define_watches(define)
        self._define_lease(define)
        built = {"version": __version__, "python": platform.python_version(), "kopf": version("kopf")}
        define.info("taskq_build", "1, with the versions of the operator and of what it runs on as labels.", built)

    def _define_dispatcher(self, define: Catalogue) -> None:
        self.decision_duration = define.histogram(
            "taskq_decision_duration_seconds", "One pass of the dispatcher over what has changed.", DECISION_SECONDS
        )
        self.decision_errors = define.counter(
            "taskq_decision_errors_total", "Tasks that could not be decided on: a defect of TaskQ, told in its log."
        )
        self.completion_to_launch = define.histogram(
            "taskq_completion_to_launch_seconds",
            "From a Job's end being received to the next Job's creation being sent.",
            LAUNCH_SECONDS,
        )
        self.status_write_conflicts = define.counter(
            "taskq_status_write_conflicts_total", "Status writes that met a newer object and were made anew."
        )
        self.event_loop_lag = define.histogram(
            "taskq_event_loop_lag_seconds",
            f"How late the event loop is, every {LAG_EVERY_SECONDS:g} s. Above 1 s the Lease is in danger.",
            LAG_SECONDS,
        )
        for name, meaning, field in (
            ("undecided_tasks", "Tasks that changed and were not decided on yet.", "undecided"),
            ("requests_in_flight", "Jobs, statuses and questions sent, and not answered yet.", "in_flight"),
            ("idle_seconds", "Time since its last pass; there is one every few seconds.", "idle_seconds"),
        ):
            define.asked(f"taskq_dispatcher_{name}", "gauge", f"{meaning} Only the leader has it.", (), self._of(field))

    def _of(self, field: str) -> Callable[[], Iterable[tuple[tuple[str, ...], float]]]:
        return lambda: (((), getattr(facts, field)) for facts in self._dispatcher)

    def _define_api(self, define: Catalogue) -> None:
        self._requests = define.counter(
            "taskq_kube_api_requests_total",
            "Requests to the API server; the code is the HTTP status, or a word when there was no answer.",
            *("verb", "resource", "code"),
        )
        self._request_duration = define.histogram(
            "taskq_kube_api_request_duration_seconds",
            "Duration of these requests; of a watch, the time until it began.",
            REQUEST_SECONDS,
            *("verb", "resource"),
        )

    def _define_watches(self, define: Catalogue) -> None:
        define.asked(
            "taskq_watch_restarts_total",
            "counter",
            "Watches that ended and lists that failed, by reason.",
            ("resource", "reason"),
            lambda: (((kind, why), n) for kind, c in self._informers.items() for why, n in c.restarts.items()),
        )
        define.asked(
            "taskq_watch_events_total",
            "counter",
            "Watch events received, by type.",
            ("resource", "type"),
            lambda: (((kind, what), n) for kind, c in self._informers.items() for what, n in c.events.items()),
        )
        define.asked(
            "taskq_watch_poisoned_objects_total",
            "counter",
            "Objects that could not be read and were passed over, each time counted.",
            ("resource",),
            lambda: (((kind,), c.poisoned) for kind, c in self._informers.items()),
        )

    def _define_lease(self, define: Catalogue) -> None:
        self.leader = define.gauge("taskq_leader", "1 while this process is the leader, else 0.")
        self.leader_transitions = define.counter(
            "taskq_leader_transitions_total", "How often this process became the leader."
        )
        self.stale_leader_posts = define.counter(
            "taskq_stale_leader_posts_total",
            "Jobs whose creation was in flight while this process lost the Lease: 0 unless it was frozen.",
        )

    def api_request(self, verb: str, resource: str, code: str, seconds: float) -> None:
        """A request to the API server ended; this is the session's `observe`."""
        self._requests.labels(verb, resource, code).inc()
        self._request_duration.labels(verb, resource).observe(max(0.0, seconds))

    async def watch_loop(self, clock: Clock) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            before = clock.uptime()
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.event_loop_lag.observe(max(0.0, clock.uptime() - before - LAG_EVERY_SECONDS))

    def gather(self, informers: Iterable[tuple[str, Watched]], dispatcher: DispatcherFacts | None) -> None:
        """Take in what others count of themselves: informers with the resource that they watch."""
        counts: dict[str, _Counts] = collections.defaultdict(_Counts.empty)
        for resource, informer in informers:
            counts[resource] = counts[resource].plus(informer)
        self._informers = dict(counts)
        self._dispatcher = [dispatcher] if dispatcher else []


class _Counts(NamedTuple):
    """What all informers of one resource have counted."""

    events: collections.Counter[str]
    restarts: collections.Counter[str]
    poisoned: int

    @classmethod
    def empty(cls) -> _Counts:
        return cls(collections.Counter(), collections.Counter(dict.fromkeys(RESTART_REASONS, 0)), 0)

    def plus(self, informer: Watched) -> _Counts:
        self.events.update(informer.events)
        self.restarts.update(informer.restarts)
        return self._replace(poisoned=self.poisoned + informer.poisoned)
