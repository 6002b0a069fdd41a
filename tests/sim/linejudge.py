"""Rule 4 of design §3: among what an operator knew to be startable, it starts the first.

What an operator has seen is asked of it, as revisions of objects, and which Jobs it counts; what follows from them is
in :mod:`sim.order`.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

from sim.order import Line, Waiter, due_time, priority, said
from sim.referee import ENDS, FAMILY, QUEUE, Broken
from sim.simapi import Call
from sim.simcluster import Change, Kept, Object, Referee, Server
from taskq.domain.entry import Busy
from taskq.domain.model import Key

FAIR_SHARE, CONCURRENCY = "taskq.dev/fair-share", "taskq.dev/concurrency-key"
"""Annotations of a Job: a label of its Task, and the value."""
JUST_NOW_SECONDS = 2.0
"""A Task whose refusal has only just passed may stand out of the order while a write about it is tried again."""


class Standing(Enum):
    """Whether a Task stands in its queue's order."""

    SURELY = 1
    PERHAPS = 2
    NO = 3


class LineJudge(Referee):
    """Knows every revision of what orders Tasks, and who started what."""

    def __init__(self, server: Server, tallies: Counter[str]) -> None:
        """Judge all that operators of this cluster start."""
        self._tallies = tallies
        self._documents: dict[tuple[str, str], Object] = {}
        """Of Tasks, queues and templates, by uid and revision."""
        self._shares: dict[Key, Waiter] = {}
        """By Job: whose it is, as far as its queue's rules asked for that when it was started."""
        self._tasks: dict[str, Object] = {}
        """By uid, as each was made: its labels stay."""
        self.clock_was_set = False
        self._deleted: set[Key] = set()
        """Queues of which an operator may have forgotten who started last."""
        self._others: dict[Key, list[tuple[float, str, str]]] = defaultdict(list)
        """By queue: when a Job was made, by which process, and for which Task."""
        self._own: weakref.WeakKeyDictionary[Any, dict[Key, list[tuple[float, str]]]] = weakref.WeakKeyDictionary()
        """By operator and queue: when it decided on which start."""
        self._server = server
        server.referees.append(self)

    def clock_set(self) -> None:
        """A clock has jumped: ages, and who started last, follow the clock that was."""
        self.clock_was_set = True

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """Remember what an operator may see, and who made which Job."""
        kept = change.new
        if resource in ("tasks", "taskqueues", "tasktemplates") and kept:
            self._documents[kept.uid, kept.document["metadata"]["resourceVersion"]] = kept.document
        if resource == "tasks" and kept and change.old is None:
            self._tasks[kept.uid] = kept.document
        if resource == "taskqueues" and kept is None:
            self._deleted.add(change.key)
        if resource == "jobs" and kept and change.old is None and isinstance(who, Call):
            self._job_made(change.key, kept, who)

    def _job_made(self, key: Key, job: Kept, call: Call) -> None:
        meta = job.document["metadata"]
        uid = meta["ownerReferences"][0]["uid"]
        noted = meta.get("annotations") or {}
        pairs = [noted[name].partition("=") for name in (FAIR_SHARE, CONCURRENCY) if name in noted]
        self._shares[key] = _with_labels({label: value for label, _, value in pairs})
        made = (self._server.loop.time(), call.who.name, uid)
        self._others[Key(key.namespace, meta["labels"][QUEUE])].append(made)

    # --- what an operator starts -------------------------------------------------------------------------------------

    def launches(self, operator: Any, name: str, launches: Sequence[Any], now: float) -> None:
        """Judge the starts of one plan of the operator of a process, in their order."""
        self._shares |= {launch.job: self._share(operator, launch) for launch in launches}
        if self.clock_was_set and any(self._ages(operator, launch.queue) for launch in launches):
            return
        for number, launch in enumerate(launches):
            view = _View(self, operator, name, launches[number:], now)
            self._judge(view, launch)
            self._own.setdefault(operator, defaultdict(list))[launch.queue].append(
                (self._server.loop.time(), launch.uid)
            )
        if not launches and not self.clock_was_set:
            self._look_at_heads(_View(self, operator, name, (), now))

    def _share(self, operator: Any, launch: Any) -> Waiter:
        rules, labels = self.rules(operator, launch.queue), self._tasks[launch.uid]["metadata"].get("labels") or {}
        asked = {rules.get("fairShareLabelKey"), rules.get("concurrencyLabelKey")}
        return _with_labels({label: value for label, value in labels.items() if label in asked})

    def _ages(self, operator: Any, queue: Key) -> bool:
        return "priorityAging" in self.rules(operator, queue)

    def _judge(self, view: _View, launch: Any) -> None:
        line, chosen = view.line(launch.queue), view.waiter(launch.uid)
        if view.by_itself(chosen, line) is Standing.NO and not self.clock_was_set:
            raise Broken(f"rule 4: Task {chosen.name} was started though it may not start now")
        surely, perhaps = view.others(launch.queue, launch.uid)
        fault = line.fault(chosen, surely, perhaps)
        if fault:
            raise Broken(f"rule 4: Task {chosen.name} of queue {launch.queue} {fault}")
        self._among_siblings(view, launch.queue)
        self._count(line, chosen, surely)

    def _count(self, line: Line, chosen: Waiter, surely: Sequence[Waiter]) -> None:
        rules, rivals = line.rules, len(surely)
        seen = {
            "order looked at": True,
            "order looked at, with ages": rivals and "priorityAging" in rules,
            "order looked at, with levels": rivals and "priorityLevel" in chosen.task["spec"],
            "order looked at, Strict": rivals and line.is_strict,
            "order looked at, with tenants": len({one.value_of(line.tenant_label) for one in (*surely, chosen)}) > 1,
            "order looked at, by who started longer ago": len(line.started) > 1,
            "order looked at, with some beyond maxPending": any(
                line.is_beyond(one, [*surely, chosen]) and line.goes_before(one, chosen) for one in surely
            ),
        }
        self._tallies.update(dict.fromkeys([name for name, is_true in seen.items() if is_true], 1))

    def _look_at_heads(self, view: _View) -> None:
        """Nothing was started: count when that is because of a Task that a quota refused, in a Strict queue."""
        for state in view.operator.board.queues:
            line = view.line(state.key)
            if not line.is_strict or len(state.holding) >= line.rules.get("maxConcurrency", 10):
                continue
            surely, _ = view.others(state.key, "")
            held = [one for one in surely if view.is_refused(one)]
            behind = [one for one in surely if held and line.goes_before(held[0], one) and one not in held]
            self._tallies["a refused head kept its place"] += bool(behind)

    def _among_siblings(self, view: _View, queue: Key) -> None:
        """Between a queue and its child: higher queue priority, then fewest running, then who started longer ago."""
        if queue.name not in FAMILY or not all(view.is_whole(Key(queue.namespace, name)) for name in FAMILY):
            return
        other = next(Key(queue.namespace, name) for name in FAMILY if name != queue.name)
        if not view.could_start(other):
            return
        mine, theirs = ((-view.rules(key).get("priority", 0), len(view.running(key))) for key in (queue, other))
        if theirs < mine:
            raise Broken(f"rule 4: queue {queue} {mine} started a Task before its sibling {other} {theirs}")
        if theirs == mine:
            times = [view.last_start(key) for key in (queue, other)]
            if all(times) and times[1] < times[0]:
                raise Broken(f"rule 4: queue {queue} had a turn at {times[0]} and was before {other}, {times[1]}")
        self._tallies["siblings compared"] += 1

    # --- what is known -----------------------------------------------------------------------------------------------

    def rules(self, operator: Any, queue: Key) -> Object:
        """The spec of a queue as an operator saw it."""
        seen = operator.queues.get(queue)
        return dict(self.document(seen)["spec"]) if seen else {}

    def document(self, seen: Any) -> Object:
        """An object at the revision at which it was seen."""
        return self._documents[seen.metadata.uid, seen.metadata.resource_version]

    def share_of(self, job: Key) -> Waiter:
        """Whose a Job is."""
        return self._shares[job]

    def last_starts(self, operator: Any, name: str, queue: Key) -> list[tuple[float, str]]:
        """When an operator started which Task of a queue; nothing, where it may not know who started last."""
        own = self._own.get(operator, {}).get(queue, [])
        unsure = self.clock_was_set or queue in self._deleted or queue.name == "default"
        return [] if unsure or self.made_by_others(name, queue, own[0][0] if own else 0.0) else own

    def made_by_others(self, name: str, queue: Key, since: float) -> bool:
        """Whether another process has made a Job in a queue since then."""
        return any(time >= since and who != name for time, who, _ in self._others[queue])

    def tenant(self, uid: str, label: str | None) -> str:
        """The value of a label of a Task."""
        return Waiter(self._tasks[uid], {}).value_of(label)


def _settled_attempt(status: Object) -> int:
    """The number of the last attempt whose end stands in a status, 0 before the first."""
    attempts = status.get("attempts")
    return int(attempts[-1]["number"]) if attempts else 0


def _with_labels(labels: dict[str, str]) -> Waiter:
    return Waiter({"metadata": {"labels": labels}}, {})


class _View:
    """What one operator knew at one moment, before the starts that are still to come in its plan."""

    def __init__(self, judge: LineJudge, operator: Any, name: str, to_come: Sequence[Any], now: float) -> None:
        self.judge, self.operator, self.board, self.now = judge, operator, operator.board, now
        self._name = name
        self._jobs_to_come = {launch.job for launch in to_come}
        self._to_come = {launch.uid for launch in to_come}

    def rules(self, queue: Key) -> Object:
        return self.judge.rules(self.operator, queue)

    def is_whole(self, queue: Key) -> bool:
        """Whether a queue is there, and open."""
        return self.operator.queues.get(queue) is not None and self.rules(queue).get("state", "Open") == "Open"

    def running(self, queue: Key) -> list[Key]:
        state = self.board.queues.find(queue)
        return [job for job in state.holding if job not in self._jobs_to_come] if state else []

    def line(self, queue: Key) -> Line:
        rules = self.rules(queue)
        state = self.board.queues.find(queue)
        # Of a Job that was gone before the operator began, it can't know more than that its pods are there.
        known = [job for job in self.running(queue) if job not in self.board._ghosts or any(state.holding[job])]
        label = rules.get("fairShareLabelKey")
        starts = self.judge.last_starts(self.operator, self._name, queue)
        started = {self.judge.tenant(uid, label): time for time, uid in starts} if label else {}
        return Line(rules, self.now, [self.judge.share_of(job) for job in known], started)

    def last_start(self, queue: Key) -> float | None:
        starts = self.judge.last_starts(self.operator, self._name, queue)
        return starts[-1][0] if starts else None

    def waiter(self, uid: str) -> Waiter:
        task = self.judge.document(self.board.entries[uid].own)
        name = task["spec"].get("templateRef", {}).get("name")
        found = self.operator.templates.get(Key(task["metadata"]["namespace"], name)) if name else None
        return Waiter(task, self.judge.document(found) if found else {})

    def others(self, queue: Key, but: str) -> tuple[list[Waiter], list[Waiter]]:
        """Who stands in a queue's order for sure, and who may, besides one Task."""
        line, found = self.line(queue), defaultdict[Standing, list[Waiter]](list)
        for uid, entry in self._members(queue):
            if uid != but:
                waiter = self.waiter(uid)
                found[self._standing(entry, waiter, line)].append(waiter)
        return found[Standing.SURELY], found[Standing.PERHAPS]

    def _members(self, queue: Key) -> Iterator[tuple[str, Any]]:
        return ((uid, entry) for uid, entry in self.board.entries.items() if entry.task.queue == queue)

    def _standing(self, entry: Any, waiter: Waiter, line: Line) -> Standing:
        standing = self.by_itself(waiter, line)
        if waiter.age[-1] in self._to_come or standing is Standing.NO:
            return standing
        if Busy.LAUNCH in entry.busy or self._has_job(entry, waiter):
            return Standing.NO
        if entry.busy:
            return Standing.PERHAPS
        if line.is_strict and self.is_refused(waiter):
            return standing
        since_refusal = self.now - entry.refusal.until if entry.refusal else JUST_NOW_SECONDS
        if since_refusal < JUST_NOW_SECONDS:
            return Standing.NO if since_refusal < 0 else Standing.PERHAPS
        return standing

    def _has_job(self, entry: Any, waiter: Waiter) -> bool:
        """Whether its next attempt has a Job, or had one that has just gone."""
        attempt = _settled_attempt(waiter.task["status"]) + 1
        digest = hashlib.sha256(f"{waiter.age[-1]}/{attempt}".encode()).hexdigest()[:12]
        job = Key(waiter.task["metadata"]["namespace"], f"{waiter.name}-{digest}")
        return job in self.board._jobs or job in self.board._ghosts or entry.gone_job == job

    def is_refused(self, waiter: Waiter) -> bool:
        """Whether the API server has refused its Job for lack of quota, and is not asked again yet."""
        refusal = self.board.entries[waiter.age[-1]].refusal
        return bool(refusal) and refusal.reason == "QuotaExceeded" and refusal.until > self.now

    def by_itself(self, waiter: Waiter, line: Line) -> Standing:
        """What the objects alone say of a Task's place."""
        spec, status, meta = waiter.task["spec"], waiter.task["status"], waiter.task["metadata"]
        started = status.get("attempt", 0) > _settled_attempt(status)
        gone = status["phase"] in ENDS or "deletionTimestamp" in meta or "cancellation" in spec
        if gone or started or spec.get("suspend") or due_time(waiter) > self.now:
            return Standing.NO
        if priority(waiter, line.rules) is None or ("templateRef" in spec and not waiter.template):
            return Standing.NO
        limit = said(waiter, "startingDeadlineSeconds", line.rules)
        if limit is not None and not status.get("attempts") and self.now >= due_time(waiter) + limit:
            return Standing.NO
        if self._is_told_to_end(waiter):
            return Standing.NO
        unsure = "deduplication" in spec or "dependsOn" in spec or "totalSeconds" in spec.get("timeouts", {})
        unsure = unsure or (limit is not None and self.judge.clock_was_set)  # it may have expired by the clock that was
        return Standing.PERHAPS if unsure else self._by_its_queue(waiter, line)

    def _is_told_to_end(self, waiter: Waiter) -> bool:
        """Whether its queue was purged after it was made."""
        seen = self.operator.queues.get(self.board.entries[waiter.age[-1]].task.queue)
        status = self.judge.document(seen).get("status", {}) if seen else {}
        asked = [status.get(field, {}).get("time", "") for field in ("purge", "cancelAll")]
        return any(waiter.task["metadata"]["creationTimestamp"] <= until for until in asked)

    def _by_its_queue(self, waiter: Waiter, line: Line) -> Standing:
        states = {line.rules.get("state", "Open")}
        if "parent" in line.rules:
            states.add(self.rules(Key(waiter.task["metadata"]["namespace"], FAMILY[0])).get("state", "Open"))
        if states <= {"Open", "Draining"}:
            return Standing.SURELY if states == {"Open"} else Standing.PERHAPS
        return Standing.NO

    def could_start(self, queue: Key) -> bool:
        """Whether a queue surely has room and a Task for it."""
        rules, line = self.rules(queue), self.line(queue)
        if len(self.running(queue)) >= rules.get("maxConcurrency", 10) or "rateLimit" in rules:
            return False
        surely, perhaps = self.others(queue, "")
        waiting = [one for one in surely if not line.is_beyond(one, [*surely, *perhaps])]
        if line.is_strict and (perhaps or any(self.is_refused(one) or line.is_full(one) for one in surely)):
            return False
        return any(not line.is_full(one) for one in waiting)
