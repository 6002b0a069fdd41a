"""The operator's metrics: what a scrape gets.

Labels are bounded: a namespace with a queue or a Schedule, or one of a few words; never a Task, a pod, a user or a
text. What happens is counted when it happens; how things stand is asked for at each scrape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from taskq.observability.catalogue import Catalogue, Family
from taskq.observability.operator_metrics import Dispatching, Informers, OperatorMetrics
from taskq.observability.queue_metrics import QueueMetrics, Queues
from taskq.observability.schedule_metrics import ScheduleMetrics, Schedules

QUEUES_IN_A_ROW = 25
"""Looked at before other parts of the program get their turn."""


class Metrics:
    """The operator's metrics in one registry of their own, so that every test can have its own."""

    def __init__(self, *, max_queues: int = 500, max_schedules: int = 500) -> None:
        """Define all metrics; `feed` connects those that are asked for at a scrape."""
        # Else each counter and histogram would have a second series, its time of birth.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        define = Catalogue(self.registry)
        self.queues = QueueMetrics(define, most=max_queues)
        self.schedules = ScheduleMetrics(define, most=max_schedules)
        self.operator = OperatorMetrics(define)
        self.families: Sequence[Family] = define.families
        ProcessCollector(registry=self.registry)
        self._ask_queues: Queues = tuple
        self._ask_schedules: Schedules = tuple
        self._ask_informers: Informers = tuple
        self._ask_dispatcher: Dispatching = lambda: None

    def feed(
        self,
        *,
        queues: Queues | None = None,
        schedules: Schedules | None = None,
        informers: Informers | None = None,
        dispatcher: Dispatching | None = None,
    ) -> None:
        """Say whom to ask at a scrape.

        `queues` gives the facts of every queue, and of what waits for queues that do not exist; `schedules` a list
        that nobody changes; `dispatcher` its facts; all of them nothing when this process is not the leader.
        `informers` gives them with the resource that they watch, such as ("tasks", informer).
        """
        self._ask_queues = queues or self._ask_queues
        self._ask_schedules = schedules or self._ask_schedules
        self._ask_informers = informers or self._ask_informers
        self._ask_dispatcher = dispatcher or self._ask_dispatcher

    async def page(self, accept: str = "") -> tuple[bytes, str]:
        """What a scrape gets, and its content type: OpenMetrics for whoever accepts it.

        Facts are gathered here, on the event loop that owns them, some queues at a time: 500 of them take 30 ms. The
        text is made in a thread: that takes half a second for so many, during which the loop must go on.
        """
        queues = []
        for facts in self._ask_queues():
            queues.append(facts)
            if len(queues) % QUEUES_IN_A_ROW == 0:
                await asyncio.sleep(0)
        schedules = self._ask_schedules()
        self.operator.gather(self._ask_informers(), self._ask_dispatcher())
        try:
            encode, content_type = choose_encoder(accept)
        except TypeError:  # a version that is no number
            encode, content_type = choose_encoder("")

        def write() -> bytes:
            self.queues.gather(queues)
            self.schedules.gather(schedules)
            return encode(self.registry)

        return await asyncio.to_thread(write), content_type
