"""The operator without its framework: informers, board, dispatcher, lease and clean-up, given an API and a clock."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from taskq.clock import Clock
from taskq.cluster.effects import JOBS, PODS, TASKS, Effects, Stores
from taskq.cluster.events import Events
from taskq.cluster.informer import Informer, ObjectId, Source
from taskq.cluster.lease import Lease
from taskq.cluster.retention import Retention
from taskq.cluster.scheduled import decode_schedule, decode_scheduled_task
from taskq.cluster.session import Api
from taskq.cluster.store import Known, Store
from taskq.cluster.webhooks import Webhooks
from taskq.controller.dispatcher import Dispatcher
from taskq.controller.figures import queue_facts
from taskq.controller.hooks import Hooks
from taskq.controller.observer import Observer
from taskq.controller.queues import QueueStatuses
from taskq.controller.schedules import Schedules
from taskq.controller.templates import Templates
from taskq.domain import policy
from taskq.domain.board import Board, Limits
from taskq.domain.decoding import TaskDecoder, decode_job, decode_pod, decode_queue, decode_template
from taskq.domain.model import Job, Key, Pod, Queue, QueueSpec, Task, Template
from taskq.domain.retries import Originals
from taskq.domain.schedules.objects import Schedule
from taskq.observability.metrics import Metrics
from taskq.observability.operator_metrics import DispatcherFacts
from taskq.observability.queue_metrics import QueueFacts
from taskq.resources.common import DEFAULT_QUEUE, LABEL_SCHEDULE, LABEL_TASK
from taskq.settings import Settings

logger = logging.getLogger(__name__)

T = TypeVar("T", bound=Known)

GIVE_UP_SECONDS = 30.0
"""Without a renewal nothing is written after the renew deadline. The process ends only when the lease is another's, or
after so long: an API server that restarts must not cost warm caches. A renewal that succeeds late proves, by the
resourceVersion that it replaces, that nobody held the lease meanwhile."""

LAST_WRITES_SECONDS = 2.0
"""How long a successor may be kept waiting for the queues' last figures."""

PREPARE_EVERY_SECONDS = 0.5
"""How often a standby looks for Tasks that have no place in their queue's order yet."""

STUCK_SECONDS = 60.0
"""A pass is made every few seconds, whatever happens: a minute without one is no load, it is a defect."""


class Operator:
    """One replica: it keeps its caches warm from the start, and acts while it holds the lease."""

    def __init__(
        self, api: Api, settings: Settings, clock: Clock, metrics: Metrics, *, jitter: Callable[[], float]
    ) -> None:
        """Wire everything; nothing is requested before :meth:`run`. ``jitter`` returns [0, 1)."""
        self._api = api
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._jitter = jitter
        self.lease = self._make_lease()
        self.board = Board(_limits(settings))
        self.queues: Store[Queue] = Store(self._on_queue)
        self.templates: Store[Template] = Store(self._on_template)
        self.stores = Stores(tasks=Store(self._on_task), jobs=Store(self._on_job), pods=Store(self._on_pod))
        self._decode_task = TaskDecoder(settings.raw_limit_bytes)
        self._retention = self._make_retention()
        self._originals = Originals(self._retention.retries_of)
        self._events = Events(api, clock, per_second=settings.events_per_second)
        self._observer = Observer(metrics, self._events, clock, self._on_end)
        self._hooks = self._make_hooks()
        self._scheduling = Schedules(
            api,
            clock,
            self.stores.tasks,
            self._observer,
            may_write=self._may_write,
            is_needed=self._is_needed,
            create_timeout=settings.create_timeout_seconds,
            request_timeout=settings.request_timeout_seconds,
        )
        self.informers = list(self._make_informers())
        self.effects = Effects(
            api,
            self.board,
            self.stores,
            clock=clock,
            decode_task=self._decode_task,
            may_write=self._may_write,
            observer=self._observer,
            create_timeout=settings.create_timeout_seconds,
            request_timeout=settings.request_timeout_seconds,
        )
        self.dispatcher = Dispatcher(
            self.board,
            self.effects,
            clock,
            may_act=self._may_write,
            measure=metrics.operator.decision_duration.observe,
            on_defect=metrics.operator.decision_errors.inc,
        )
        self._statuses = QueueStatuses(
            api,
            self.board,
            self.queues,
            self._retention,
            self._observer,
            clock,
            may_write=self._may_write,
            every_seconds=settings.queue_status_seconds,
        )
        self._trying = Templates(api, self.templates, clock, may_write=self._may_write)
        self._leading = False
        self._lists_are_fresh = False
        self._feed(metrics)

    # --- life ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch, stand by, lead; returns when the lease is lost or given back, raises what nobody foresaw."""
        # A lease that is free is taken before the first lists: these then show all that a predecessor wrote.
        elected = not self._settings.leader_election or await self.lease.take()
        self._lists_are_fresh = elected
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(informer.run()) for _, informer in self.informers]
            watches.append(group.create_task(self._metrics.operator.watch_loop(self._clock)))
            if not elected:  # a standby with warm caches goes before one that has just begun
                await self._while_synced()
                watches.append(group.create_task(self._prepare()))
            if self._settings.leader_election:
                await self.lease.run(self._lead)
            else:
                await self._lead()
            for watch in watches:
                watch.cancel()

    async def stop(self) -> None:
        """Begin nothing new, let what is under way end, and give the lease back."""
        was_leading = self._leading
        self.dispatcher.stopping = self.effects.stopping = True
        self.dispatcher.wake()
        try:
            async with asyncio.timeout(self._settings.shutdown_grace_seconds):
                while self.dispatcher.in_flight:  # noqa: ASYNC110 - a handful of rounds at the end of a life
                    await asyncio.sleep(0.05)
        except TimeoutError:
            logger.warning("%d requests without an answer; the next leader finds out", self.dispatcher.in_flight)
            return  # the lease expires by itself, after the last of them can have had an effect
        if was_leading:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WRITES_SECONDS):
                    await self._statuses.write_all()  # what has ended since the last time is counted
        await self.lease.release()

    async def _while_synced(self) -> None:
        for resource, informer in self.informers:
            await informer.wait_synced()
            logger.debug("%s are known", resource)
        gc.freeze()  # what the first lists brought lives long: no need to walk it in every collection

    async def _prepare(self) -> None:
        """While another leads, keep the order that the first plan would have to make: a successor starts sooner."""
        while not self._leading:
            more = self.board.prepare(self._clock.now())
            await asyncio.sleep(0 if more else PREPARE_EVERY_SECONDS)

    async def _lead(self) -> None:
        """Act. Caches older than the term may lack what a predecessor wrote: everything is listed again first."""
        await self._while_synced()
        if not self._lists_are_fresh:
            await asyncio.gather(*(informer.refresh(lean=True) for _, informer in self.informers))
        self._leading = True
        self._metrics.operator.leader.set(1)
        self._metrics.operator.leader_transitions.inc()
        logger.info("leading: %d Tasks, %d Jobs known", len(self.stores.tasks), len(self.stores.jobs))
        try:
            async with asyncio.TaskGroup() as group:
                parts = (self._retention, self._statuses, self._events, self._scheduling, self._trying, self._hooks)
                helpers = [group.create_task(part.run()) for part in parts]
                helpers.append(group.create_task(self._spare_collector()))
                await self.dispatcher.run()
                for helper in helpers:
                    helper.cancel()
        finally:
            self._leading = False
            self._metrics.operator.leader.set(0)

    async def _spare_collector(self) -> None:
        """Once the first order stands, it lives long, too: a collection would keep a freed slot waiting for it."""
        while self.board.undecided:  # noqa: ASYNC110 - a handful of rounds at the beginning of a term
            await asyncio.sleep(0.5)
        gc.freeze()

    def standing(self) -> str | None:
        """Why this replica does not know in which order Tasks start; None when it does."""
        if self._leading:
            return None
        leader = self.lease.holder
        if not leader or leader == self._settings.identity:
            return "No replica leads at the moment; ask again in a few seconds"
        return f"This replica stands by and keeps no order of Tasks; ask the leader, {leader}"

    def _may_write(self) -> bool:
        return not self._settings.leader_election or self.lease.may_write()

    # --- what is not well ------------------------------------------------------------------------------------------

    def unsynced(self) -> str | None:
        """Which kinds are not known yet, for the readiness probe."""
        missing = [resource for resource, informer in self.informers if not informer.synced]
        return f"not listed yet: {', '.join(missing)} (are the CRDs and the RBAC rules installed?)" if missing else None

    def stuck(self) -> str | None:
        """What only a restart can mend, for the liveness probe."""
        if self._leading and self.dispatcher.idle_for > STUCK_SECONDS:
            return f"the dispatcher has made no pass for {self.dispatcher.idle_for:.0f} s"
        return None

    # --- wiring ----------------------------------------------------------------------------------------------------

    def _make_lease(self) -> Lease:
        settings = self._settings
        return Lease(
            self._api,
            namespace=settings.lease_namespace,
            name=settings.lease_name,
            identity=settings.identity,
            clock=self._clock,
            jitter=self._jitter,
            duration_seconds=settings.lease_duration_seconds,
            renew_every_seconds=settings.lease_renew_seconds,
            renew_deadline_seconds=settings.lease_renew_deadline_seconds,
            give_up_seconds=GIVE_UP_SECONDS,
        )

    def _make_retention(self) -> Retention:
        return Retention(
            self._api,
            self._clock,
            rules_of=self._rules_of,
            is_needed=self._is_needed,
            keys=self.board.deduplication,
            may_write=self._may_write,
            namespaces=self._settings.namespaces,
            scan_seconds=self._settings.retention_scan_seconds,
            chunk_size=self._settings.list_chunk_size,
        )

    def _make_hooks(self) -> Hooks:
        return Hooks(
            self._api,
            self._clock,
            self.stores.tasks,
            Webhooks(self._settings.webhooks_file, self._clock),
            self._observer,
            decode_task=self._decode_task,
            merged=self.board.merged,
            on_settled=self._retention.add,
            may_write=self._may_write,
            backoff_seconds=self._settings.hook_backoff_seconds,
            create_timeout=self._settings.create_timeout_seconds,
        )

    def _make_informers(self) -> Iterator[tuple[str, Informer[Any]]]:
        ours = LABEL_TASK
        for namespace in self._settings.namespaces or (None,):
            tasks = Source(TASKS, "tasks", namespace, field_selector="status.settled!=True")
            yield "tasks", self._inform(tasks, self._decode_task, self.stores.tasks)
            yield "jobs", self._inform(Source(JOBS, "jobs", namespace, ours), decode_job, self.stores.jobs)
            yield "pods", self._inform(Source(PODS, "pods", namespace, ours), decode_pod, self.stores.pods)
            yield "taskqueues", self._inform(Source(TASKS, "taskqueues", namespace), decode_queue, self.queues)
            templates = Source(TASKS, "tasktemplates", namespace)
            yield "tasktemplates", self._inform(templates, decode_template, self.templates)
            schedules, scheduled = self._scheduling.schedules, Source(TASKS, "tasks", namespace, LABEL_SCHEDULE)
            yield "scheduled tasks", self._inform(scheduled, decode_scheduled_task, self._scheduling.tasks)
            yield "schedules", self._inform(Source(TASKS, "schedules", namespace), decode_schedule, schedules)

    def _inform(self, source: Source, decode: Callable[[bytes], T], store: Store[T]) -> Informer[T]:
        settings = self._settings
        return Informer(
            self._api,
            source,
            decode,
            store,
            clock=self._clock,
            jitter=self._jitter,
            on_poison=_complain(source.plural),
            chunk_size=settings.list_chunk_size,
            resync_seconds=settings.resync_seconds,
            request_timeout_seconds=settings.request_timeout_seconds,
        )

    def _on_task(self, old: Task | None, new: Task | None) -> None:
        self.board.on_task(old, new)
        queue = self.board.merged(new).queue if new else None
        if queue and queue.name == DEFAULT_QUEUE:  # it may have no object of its own that would tell the metrics
            self._metrics.queues.add(queue)
        self._originals.on_task(old, new)
        if new:
            self._hooks.on_task(new)
        self.dispatcher.wake()

    def _is_needed(self, key: Key, uid: str) -> bool:
        return self.board.dependencies.is_needed(key, uid) or self._originals.is_needed(key)

    def _on_end(self, task: Task) -> None:
        self._statuses.ended(task)
        if task.status.settled:
            self._retention.add(task)

    def _on_job(self, old: Job | None, new: Job | None) -> None:
        if new and new.finished and old and not old.finished:
            state = self.board.queue_of(new)
            if state and len(state.order):
                self._observer.slot_freed(state.key)
        self.board.on_job(old, new)
        self.dispatcher.wake()

    def _on_pod(self, old: Pod | None, new: Pod | None) -> None:
        self.board.on_pod(old, new)
        self.dispatcher.wake()

    def _on_queue(self, old: Queue | None, new: Queue | None) -> None:
        queue = new or old
        if queue:
            known = self._metrics.queues.add if new else self._metrics.queues.remove
            known(queue.metadata.key)
        self.board.on_queue(old, new)
        self.dispatcher.wake()

    def _on_template(self, old: Template | None, new: Template | None) -> None:
        self.board.on_template(old, new)
        self.dispatcher.wake()
        self._trying.wake()

    def _rules_of(self, key: Key) -> QueueSpec:
        return policy.spec_of(self.queues.get(key))

    # --- what a scrape asks ------------------------------------------------------------------------------------------

    def _feed(self, metrics: Metrics) -> None:
        metrics.feed(
            queues=self._queue_facts,
            schedules=self._known_schedules,
            informers=lambda: self.informers,
            dispatcher=self._dispatcher_facts,
        )

    def _queue_facts(self) -> Iterator[QueueFacts]:
        if self._leading:
            yield from queue_facts(self.board, self._retention.counts, self._clock.now())

    def _known_schedules(self) -> Sequence[Schedule]:
        return list(self._scheduling.schedules) if self._leading else ()

    def _dispatcher_facts(self) -> DispatcherFacts | None:
        if not self._leading:
            return None
        return DispatcherFacts(self.board.undecided, self.dispatcher.in_flight, self.dispatcher.idle_for)


def _limits(settings: Settings) -> Limits:
    return Limits(
        launches=settings.launchers,
        writes=settings.status_writers,
        running_after=settings.running_after_seconds,
        refusal_base=settings.launch_backoff_base_seconds,
        refusal_max=settings.launch_backoff_max_seconds,
        implicit_default_queue=settings.implicit_default_queue,
        cluster_limit=settings.cluster_max_concurrency or None,
    )


def _complain(plural: str) -> Callable[[ObjectId, Exception], None]:
    def complain(found: ObjectId, error: Exception) -> None:
        logger.error("%s %s/%s can't be read and is passed over: %s", plural, found.namespace, found.name, error)

    return complain
