"""The board: every unfinished Task, its Job and pods, and each queue's order, kept so that a pass touches what changed.

It is fed with objects, asked with :meth:`Board.plan`, and told how the effects went. It does no I/O and reads no clock,
so a simulation can drive it through any history. What it holds beside the objects is derived from them, or is about
requests under way; after a restart the same objects lead to the same plan.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import inf

from taskq.domain import cancelling, lifecycle
from taskq.domain.actions import Action, FetchJob, FetchPods, FetchTask, Launch, Plan, WriteStatus
from taskq.domain.admission import Fault
from taskq.domain.bounds import DECISIONS_PER_PASS, PREPARED_AT_ONCE
from taskq.domain.bounds import Limits as Limits
from taskq.domain.deduplication import Deduplication, group_of, recorded_group
from taskq.domain.dependencies import Dependencies
from taskq.domain.entry import BUSY_WITH, Busy, Entry, Ghost, Ghosts, Holder, job_of, queue_of, state_of
from taskq.domain.jobspec import job_key, lane_of
from taskq.domain.launches import Launches
from taskq.domain.lifecycle import Decision, Stage, View, quiescent
from taskq.domain.model import NO_LANE, Job, Key, Lane, Pod, Queue, Task, Template
from taskq.domain.pace import Span, span_of
from taskq.domain.pods import Pods
from taskq.domain.queue_state import QueueState
from taskq.domain.queues import Queues
from taskq.domain.reasons import Reason
from taskq.domain.registry import Registry
from taskq.domain.write_queue import WriteQueue
from taskq.resources.common import DEFAULT_QUEUE, LABEL_QUEUE, LABEL_TASK

_WRITE_RETRY_SECONDS = 1.0
_DEFECT_SECONDS = 60.0


class Board:
    """See the module."""

    def __init__(self, limits: Limits) -> None:
        """Start empty."""
        self.limits = limits
        self.entries: dict[str, Entry] = {}
        self.queues = Queues(cluster_limit=limits.cluster_limit)
        self.templates = Registry()
        self.dependencies = Dependencies()
        self.deduplication = Deduplication(self._has_started, self._look_again)
        self._jobs: dict[Key, Job] = {}
        self._pods = Pods()
        self._ghosts = Ghosts()
        self._dirty: dict[str, None] = {}
        self._writes = WriteQueue()
        self._asks: deque[Action] = deque()
        self._asked_for = Launches()
        self._timers: list[tuple[float, str]] = []
        self._writing: set[str] = set()
        self._pressing = False
        self._defects: list[tuple[Key, Exception]] = []

    # --- what the watches and the answers show ---------------------------------------------------------------------

    def on_task(self, old: Task | None, new: Task | None) -> None:
        """A Task appeared, changed or left; a Task made anew under the same name is another one."""
        self._look_again(sorted(self.dependencies.on_task(old, new)))
        if old and (new is None or new.metadata.uid != old.metadata.uid):
            self._forget(old)
        if new is None:
            return
        entry = self.entries.get(new.metadata.uid)
        if entry is None:
            entry = self.entries[new.metadata.uid] = Entry(new)
            self.queues.of(new.queue).members.add(new.metadata.uid)
            self.templates.add(new)
            self._pressing = True
        elif entry.own.metadata.generation != new.metadata.generation:
            entry.pardon()
            self._pressing = True
        entry.own = new
        self._resolve(entry)
        self._dirty[new.metadata.uid] = None

    def on_job(self, old: Job | None, new: Job | None) -> None:
        """A Job of ours appeared, changed or was deleted."""
        job = new or old
        if job is None:
            return
        key = job.metadata.key
        self.queues.job_moved(queue_of(old) if old else None, queue := queue_of(new) if new else None)
        self._pressing = self._pressing or new is None or new.finished is not None
        if new is None:
            self._jobs.pop(key, None)
            if self._is_missed(job):
                self._haunt(key, Ghost(queue_of(job), job.metadata.controller_uid, job.metadata.uid, told_gone=True))
        else:
            self._jobs[key] = new
            self._ghosts.pop(key, None)
            if old is None:
                self.deduplication.started(new.metadata.controller_uid)
                if queue and key not in self._asked_for:
                    self.queues.note_start(queue, new.metadata.created)
        self._recount_slot(key)
        self._dirty[job.metadata.controller_uid] = None

    def on_pod(self, old: Pod | None, new: Pod | None) -> None:
        """A pod of one of our Jobs appeared, changed or was deleted."""
        pod = new or old
        if pod is None:
            return
        key = job_of(pod)
        if new is None:
            self._pods.discard(key, pod.metadata.uid)
            self._remember(key, pod)
        else:
            self._pods.put(key, new)
        job = self._jobs.get(key)
        if job is None and key not in self._ghosts and new and new.alive:
            queue = Key(pod.metadata.namespace, pod.metadata.labels.get(LABEL_QUEUE, DEFAULT_QUEUE))
            self._haunt(key, Ghost(queue, "", pod.metadata.controller_uid, told_gone=False))
        self._recount_slot(key)
        if job:
            self._dirty[job.metadata.controller_uid] = None

    def on_queue(self, old: Queue | None, new: Queue | None) -> None:
        """A TaskQueue appeared, changed or was deleted: its Tasks are looked at again."""
        self._look_again(self.queues.changed(old, new))

    def on_template(self, old: Template | None, new: Template | None) -> None:
        """A TaskTemplate appeared, changed or was deleted: the Tasks that name it are looked at again."""
        users = self.templates.changed(old, new)
        for uid in users:
            self.entries[uid].pardon()
        self._look_again(users)

    # --- the plan --------------------------------------------------------------------------------------------------

    @property
    def is_pressed(self) -> bool:
        """Whether the next pass may start or end something; else it can wait a little for more of the same."""
        may_launch = self.queues.is_hungry and self._asked_for.at_once < self.limits.launches
        return self._pressing or may_launch or (self._room_to_write > 0 and self._writes.has_urgent)

    def plan(self, now: float) -> Plan:
        """Decide on what changed or is due, then start what there is room for."""
        self._pressing = False
        self._ring(now)
        self.queues.ring(now)
        for uid in list(islice(self._dirty, DECISIONS_PER_PASS)):
            del self._dirty[uid]
            self._decide(uid, now)
        if self.queues.newly_limited:
            self.queues.recall(self._asked_for.starts(self._jobs.values(), now))
        if not self._dirty:
            self._dirty.clear()  # an emptied dict keeps the holes of all that it held, and each look walks over them
        # Launches first: a freed slot should not wait for the request that writes down why it is free. An order is
        # complete only when every Task that changed stands in it.
        actions: list[Action] = [] if self._dirty else list(self._admit(now))
        actions += (*self._asks, *self.dependencies.take_fetches(now), *self.deduplication.take_fetches())
        self._asks.clear()
        actions += self._start_writes(self._writes.take_urgent(self._room_to_write))
        peace = not self._dirty and self._asked_for.at_once < self.limits.launches
        actions += self._start_writes(self._writes.take_minor(self._room_to_write, now, peace=peace))
        defects, self._defects = self._defects, []
        return Plan(actions, now if self._dirty else self._next_wake(), defects)

    def _ring(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            time, uid = heapq.heappop(self._timers)
            entry = self.entries.get(uid)
            if entry and entry.wake_at == time:
                entry.wake_at = None
                self._dirty[uid] = None
        self._asks.extend(self._ghosts.ask(now))

    def _decide(self, uid: str, now: float) -> None:
        entry = self.entries.get(uid)
        if entry is None or Busy.WRITE in entry.busy:
            return
        state = self._resolve(entry)
        try:
            decision = lifecycle.decide(self._view(entry, state), now)
        except Exception as error:  # noqa: BLE001 - one object that nobody foresaw must not stop all others
            self._defects.append((entry.task.metadata.key, error))
            decision = Decision(Stage.WAITING, wake_at=now + _DEFECT_SECONDS, waits_for=Reason.UNKNOWN)
        self._place(entry, state, decision, now)
        self._writes.decided(uid, next((a for a in decision.actions if isinstance(a, WriteStatus)), None), now)
        for action in decision.actions:
            if isinstance(action, WriteStatus):
                continue
            if (busy := BUSY_WITH[type(action)]) not in entry.busy:
                entry.busy |= busy
                self._asks.append(action)
        if decision.wake_at is not None and decision.wake_at != entry.wake_at:
            heapq.heappush(self._timers, (decision.wake_at, uid))
        entry.wake_at = decision.wake_at

    def _view(self, entry: Entry, state: QueueState) -> View:
        task = entry.task
        key = job_key(task)
        job = self._jobs.get(key)
        if job and job.metadata.controller_uid != task.metadata.uid:
            job = None  # somebody else's; the API server will say so when ours is asked for
        parent = self.queues.parent_of(state)
        implicit = self.limits.implicit_default_queue and task.queue.name == DEFAULT_QUEUE
        return View(
            task=task,
            queue=state.queue,
            queue_exists=state.queue is not None or implicit,
            parent=parent.queue if parent else None,
            template_fault=entry.template_fault,
            rival=None if job else self.deduplication.rival(task),
            dependencies=None if job else self.dependencies.standing(task),
            job=job,
            job_gone=entry.gone_job == key,
            job_leaving=key in self._ghosts,
            pods=self._pods.all_of(key) if job and job.finished else self._pods.of(key),
            pods_fetched=job is not None and entry.pods_fetched_for == job.metadata.uid,
            last_pod=entry.last_pod if entry.last_pod and job_of(entry.last_pod) == key else None,
            launching=Busy.LAUNCH in entry.busy and job is None,
            refusal=entry.refusal,
            running_after=self.limits.running_after,
        )

    def _place(self, entry: Entry, state: QueueState, decision: Decision, now: float) -> None:
        task = entry.task
        uid = task.metadata.uid
        entry.stage = decision.stage
        if decision.place:
            state.ready(decision.place)
            self.queues.feed(state)
        else:
            state.withdraw(uid)
        after = state_of(task, decision.stage)
        state.count(entry.state, after)
        state.explain(entry.waits_for, decision.waits_for)
        entry.state = after
        entry.waits(decision.waits_for, now)
        since = entry.could_start_since
        state.waits(uid, since if after == "pending" and since <= now else None)
        (state.stuck.add if decision.stuck else state.stuck.discard)(uid)

    def _admit(self, now: float) -> Iterator[Action]:
        """Start what there is room for, as far as requests may be under way."""
        while self._asked_for.at_once < self.limits.launches:
            picked = self.queues.pick(now)
            if picked is None:
                return
            state, uid = picked
            yield self._launch(self.entries[uid], state, now)

    def _launch(self, entry: Entry, state: QueueState, now: float) -> Launch:
        task = entry.task
        job = job_key(task)
        self.queues.started(state, task.metadata.uid, job, now)
        self._asked_for[job] = state.key
        self.deduplication.occupy(group_of(task), job, task.metadata.uid)
        entry.busy |= Busy.LAUNCH
        self._writes.drop(task.metadata.uid)
        since = entry.could_start_since
        self._place(entry, state, Decision(Stage.LAUNCHING), now)
        return Launch(task.metadata.key, task.metadata.uid, task.current_attempt, job, state.key, since)

    @property
    def _room_to_write(self) -> int:
        return self.limits.writes - len(self._writing)

    def _start_writes(self, writes: Iterator[WriteStatus]) -> Iterator[Action]:
        for write in writes:
            self.entries[write.uid].busy |= Busy.WRITE
            self._writing.add(write.uid)
            yield write

    def _next_wake(self) -> float | None:
        times = [self._timers[0][0]] if self._timers else []
        others = (self._ghosts.poll_at, self.queues.next_wake(), self.dependencies.next_wake())
        times += [time for time in others if time is not None]
        return min(times, default=None)

    # --- how the effects went --------------------------------------------------------------------------------------

    def still_wanted(self, launch: Launch) -> bool:
        """Whether a Job whose creation got no answer should be asked for again."""
        entry = self.entries.get(launch.uid)
        if entry is None or entry.task.is_terminal or entry.task.metadata.deletion_timestamp:
            return False
        if launch.job in self._ghosts or entry.gone_job == launch.job:  # it was made, seen, and deleted meanwhile
            return False
        if entry.task.spec.suspend or cancelling.of_waiting(entry.task, self.queues.of(entry.task.queue).queue):
            return False
        return entry.task.current_attempt == launch.attempt

    def launched(self, launch: Launch) -> None:
        """The Job exists; the caller has fed it to :meth:`on_job`."""
        if not self._asked_for.end(launch.job):
            return
        entry = self._done(launch.uid, Busy.LAUNCH)
        if entry:
            entry.pardon()
        self._recount_slot(launch.job, launch.queue)

    def not_launched(self, launch: Launch, refusal: tuple[str, str] | None, now: float) -> None:
        """The Job does not exist and won't: its slot is free; with a refusal, the Task waits before the next try."""
        if not self._asked_for.end(launch.job):
            return
        entry = self._done(launch.uid, Busy.LAUNCH)
        if entry and refusal:
            entry.back_off(refusal, now, self.limits)
        self._recount_slot(launch.job, launch.queue)

    def doubted(self, launch: Launch, why: Fault, now: float) -> float:
        """The Job could not be created in time and may still come: it keeps its slot. Returns when to ask again."""
        self._asked_for.doubt(launch.job)
        self._look_again([launch.uid])
        entry = self.entries.get(launch.uid)
        return entry.back_off(why, now, self.limits) if entry else now

    def is_doubted(self, launch: Launch) -> bool:
        """Whether a launch still waits; an edit of its Task or template ends that."""
        entry = self.entries.get(launch.uid)
        return bool(entry and entry.refusal)

    def written(self, write: WriteStatus, now: float, *, failed: bool) -> None:
        """A status write is over; the caller has fed the Task as it is now to :meth:`on_task`, or it failed."""
        self._writing.discard(write.uid)
        entry = self._done(write.uid, Busy.WRITE)
        if entry and failed:
            del self._dirty[write.uid]
            entry.wake_at = now + _WRITE_RETRY_SECONDS
            heapq.heappush(self._timers, (entry.wake_at, write.uid))

    def asked(self, action: Action, now: float, *, failed: bool) -> None:
        """A stop, kill or fetch is over; what it showed has been fed."""
        self._pressing = True
        if isinstance(action, FetchTask):
            self.dependencies.asked(action, now)
            self.deduplication.asked(action)
            return
        uid = getattr(action, "task_uid", "")
        entry = self._done(uid, BUSY_WITH[type(action)])
        if isinstance(action, FetchPods) and not failed:
            if entry:
                entry.pods_fetched_for = action.job_uid
            ghost = self._ghosts.get(action.job)
            if ghost:
                ghost.confirmed = True
                self._recount_slot(action.job)
        if entry and failed:
            del self._dirty[uid]
            entry.wake_at = now + _WRITE_RETRY_SECONDS
            heapq.heappush(self._timers, (entry.wake_at, uid))

    def ended(self, task: Task) -> None:
        """The end of a Task stands; the watch may have told of its leaving before."""
        self.deduplication.end(task)
        self._look_again(sorted(self.dependencies.end(task)))

    def task_found(self, action: FetchTask, task: Task | None) -> None:
        """A Task that others ask for has ended, or is not there."""
        self.deduplication.found(action, task)
        self._look_again(sorted(self.dependencies.found(action, task)))

    def job_missing(self, action: FetchJob) -> None:
        """The API server has no such Job, though its Task's status says that it was started."""
        entry = self.entries.get(action.task_uid)
        if entry and action.job not in self._jobs and action.job not in self._ghosts:
            self._haunt(action.job, Ghost(entry.task.queue, action.task_uid, "", told_gone=True))

    @property
    def undecided(self) -> int:
        """How many Tasks have changed since they were decided on."""
        return len(self._dirty)

    def merged(self, task: Task) -> Task:
        """A Task with what its template gives it, as it was decided on."""
        entry = self.entries.get(task.metadata.uid)
        return entry.task if entry else task

    def queue_of(self, job: Job) -> QueueState | None:
        """The queue that a Job belongs to."""
        return self.queues.find(key) if (key := queue_of(job)) else None

    # --- what is asked of it ---------------------------------------------------------------------------------------

    def view(self, uid: str) -> View | None:
        """All that a decision about this Task reads; None when it is not known."""
        entry = self.entries.get(uid)
        return self._view(entry, self.queues.of(entry.task.queue)) if entry else None

    def unsettled(self, state: QueueState) -> int:
        """How many Tasks of a queue have changed, or come, and have not found their new place in it yet."""
        changed = (self.entries.get(uid) for uid in self._dirty if uid in state.members)
        return sum(entry is not None and entry.stage in (Stage.WAITING, Stage.READY) for entry in changed)

    def prepare(self, now: float) -> bool:
        """Give some Tasks that wait their places, ahead of the first plan; returns whether more are left.

        For a standby: nothing of it is carried out, and a plan decides again on what has changed since, or is due.
        """
        waiting = (u for u in self._dirty if u not in self.entries or not self._has_started(self.entries[u].task))
        found = list(islice(waiting, PREPARED_AT_ONCE))
        for uid in found:
            del self._dirty[uid]
            self._decide(uid, now)
        return len(found) == PREPARED_AT_ONCE

    def observe(self, now: float) -> None:
        """Decide on all that changed and start nothing: for who only asks."""
        while self._dirty:
            self._decide(self._dirty.popitem()[0], now)

    def holders(self, state: QueueState) -> list[Holder]:
        """Who holds the slots of a queue, the longest first."""
        found = (self._holder(state.key, job, lane) for job, lane in state.holding.items())
        return sorted(found, key=lambda holder: holder.since)

    def _holder(self, queue: Key, key: Key, lane: Lane) -> Holder:
        job, ghost = self._jobs.get(key), self._ghosts.get(key)
        if job:
            return Holder(queue, key, lane, job.metadata.created, job.metadata.labels.get(LABEL_TASK, ""))
        entry = self.entries.get(ghost.task_uid) if ghost else None
        return Holder(queue, key, lane, 0.0 if ghost else inf, entry.task.metadata.name if entry else "")

    def spans(self, queue: Key) -> Iterator[Span]:
        """When the known Jobs of a queue ran."""
        return (span_of(job) for job in self._jobs.values() if queue_of(job) == queue)

    def pods_of(self, job: Key) -> tuple[Pod, ...]:
        """The known pods of a Job."""
        return self._pods.all_of(job)

    # --- bookkeeping -----------------------------------------------------------------------------------------------

    def _done(self, uid: str, busy: Busy) -> Entry | None:
        entry = self.entries.get(uid)
        if entry:
            entry.busy &= ~busy
            self._dirty[uid] = None
        return entry

    def _look_again(self, uids: Iterable[str]) -> None:
        before = len(self._dirty)
        self._dirty.update(dict.fromkeys(uids))
        self._pressing = self._pressing or len(self._dirty) > before

    def _has_started(self, task: Task) -> bool:
        """Whether a Task has, or ever had, a Job, or has asked for one."""
        key, uid = job_key(task), task.metadata.uid
        entry, job = self.entries.get(uid), self._jobs.get(key)
        asked = entry is not None and (Busy.LAUNCH in entry.busy or entry.gone_job == key)
        is_there = key in self._ghosts or (job is not None and job.metadata.controller_uid == uid)
        return asked or is_there or bool(task.status.attempt or task.status.attempts)

    def _forget(self, task: Task) -> None:
        uid = task.metadata.uid
        entry = self.entries.pop(uid, None)
        if entry is None:
            return
        self._leave_queue(entry)
        self._writes.drop(uid)
        self.templates.discard(task)
        self.deduplication.forget(uid)

    def _leave_queue(self, entry: Entry) -> None:
        state = self.queues.of(entry.task.queue)
        state.leave(entry.task.metadata.uid, entry.state, entry.waits_for)
        entry.state = entry.waits_for = ""
        self.queues.forget_idle(state)

    def _resolve(self, entry: Entry) -> QueueState:
        """Merge a Task with its template, which may move it to another queue; returns the queue it is in then."""
        if entry.own.spec.template_ref is None:
            entry.task = entry.own
            self.deduplication.show(entry.task)
            return self.queues.of(entry.own.queue)
        task, fault = self.templates.resolve(entry.own, self._started_in(entry.own))
        if task.queue != entry.task.queue:
            self._leave_queue(entry)
            self.queues.of(task.queue).members.add(task.metadata.uid)
        entry.task, entry.template_fault = task, fault
        self.deduplication.show(entry.task)
        return self.queues.of(task.queue)

    def _started_in(self, task: Task) -> str | None:
        """The queue in which the attempt's Job was asked for or is: it stays there, whatever its template says now."""
        if task.spec.queue_name:
            return None
        key = job_key(task)
        job = self._jobs.get(key)
        queue = queue_of(job) if job and job.metadata.controller_uid == task.metadata.uid else self._asked_for.get(key)
        return queue.name if queue else None

    def _is_missed(self, job: Job) -> bool:
        """Whether the deletion of a Job matters: something of it may still run, or its end is not written down yet."""
        if not quiescent(job, self._pods.of(job.metadata.key)):
            return True
        entry = self.entries.get(job.metadata.controller_uid)
        return entry is not None and not entry.task.is_terminal and job_key(entry.task) == job.metadata.key

    def _remember(self, key: Key, pod: Pod) -> None:
        """Keep the last of a pod that is gone, for the outcome of its Task's attempt."""
        job, ghost = self._jobs.get(key), self._ghosts.get(key)
        entry = self.entries.get(job.metadata.controller_uid if job else ghost.task_uid if ghost else "")
        if entry:
            entry.last_pod = pod

    def _haunt(self, key: Key, ghost: Ghost) -> None:
        self._ghosts[key] = ghost
        if ghost.queue:
            self.queues.take(ghost.queue, key, NO_LANE, 0.0)

    def _recount_slot(self, key: Key, asker: Key | None = None) -> None:
        """Take or free the slot of a Job, after anything about it or its pods has changed.

        ``asker`` is the queue that asked for it, in case that nothing is left of it to tell.
        """
        if key in self._asked_for:
            return
        job, ghost = self._jobs.get(key), self._ghosts.get(key)
        if job:
            queue, occupied = queue_of(job), not quiescent(job, self._pods.of(key))
        elif ghost:
            queue = ghost.queue
            occupied = not ghost.confirmed or self._pods.any_alive(key)
            if not occupied:
                self._lay_to_rest(key, ghost)
        else:
            queue, occupied = asker, False
        if not occupied:
            self.deduplication.vacate(key)
        elif job:
            self.deduplication.occupy(recorded_group(job), key, job.metadata.controller_uid)
        if queue is None:
            return
        if not occupied:
            self.queues.free(queue, key)
        elif job:
            self.queues.take(queue, key, lane_of(job), job.metadata.created)

    def _lay_to_rest(self, key: Key, ghost: Ghost) -> None:
        del self._ghosts[key]
        entry = self.entries.get(ghost.task_uid)
        if entry and ghost.told_gone:
            entry.gone_job = key
            self._dirty[ghost.task_uid] = None
        elif not ghost.told_gone:  # pods were all that was seen of it: their Task has waited for them without a word
            waiting = (uid for uid, entry in self.entries.items() if job_key(entry.task) == key)
            self._dirty.update(dict.fromkeys(waiting))
