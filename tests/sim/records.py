"""What stays of Tasks that have ended, and what follows them: the clean-up, the totals, and the Tasks of hooks."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

from sim.order import moment
from sim.referee import ENDS, Broken
from sim.simapi import Call
from sim.simcluster import Change, Kept, Object, Referee, Server
from sim.simloop import START
from taskq.domain.model import Key

DEFAULT_TTL_SECONDS = 24 * 3600
SHOWN_SECONDS = 5.0
"""Who was shown a Task so long after its creation may have been shown it only when it had decided already."""
HOOKS = {"Succeeded": "onSuccess", "Failed": "onFailure", "Expired": "onFailure"}


class End(NamedTuple):
    """How a Task ended."""

    queue: Key
    phase: str
    time: float


class Follower(NamedTuple):
    """A Task that is to follow the end of another one."""

    parent: str
    hook: str
    template: str


class RecordJudge(Referee):
    """Knows every end, every rule that a queue ever had, and every Task that follows another one."""

    def __init__(self, server: Server, tallies: Counter[str]) -> None:
        """Judge what operators of this cluster keep, delete and create."""
        self._server = server
        self._tallies = tallies
        self._clock_was_set = False
        self._ends: dict[str, End] = {}
        self._rules: dict[Key, list[Object]] = defaultdict(list)
        self._changed: set[Key] = set()
        """Queues that were not there for a while, so that a Task may have ended under other rules."""
        self._followers: dict[str, Follower] = {}
        self._created: Counter[str] = Counter()
        self._gone: set[str] = set()
        """Uids of the Tasks that others deleted before what follows them was done."""
        server.referees.append(self)

    def clock_set(self) -> None:
        """A clock has jumped: what is over by it is not over by the server's."""
        self._clock_was_set = True

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """Judge one change."""
        old, new = change.old, change.new
        if resource == "taskqueues":
            self._queue_changed(change.key, old, new)
        if resource != "tasks":
            return
        if new is None and old:
            self._removed(change.key, old, who)
        elif new and old is None and isinstance(who, Call) and "parent" in new.document["spec"]:
            self._follows(change.key, new, who)
        elif new and new.document["status"]["phase"] in ENDS and new.uid not in self._ends:
            self._ended(change.key, new)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _ended(self, key: Key, task: Kept) -> None:
        spec, status = task.document["spec"], task.document["status"]
        queue = Key(key.namespace, status.get("queueName") or spec.get("queueName", "default"))
        self._ends[task.uid] = End(queue, status["phase"], moment(status["completionTime"]))
        field = HOOKS.get(status["phase"], "")
        for number, wanted in enumerate(spec.get(field, {}).get("tasks", ())):
            hook = f"{field}.tasks[{number}]"
            digest = hashlib.sha256(f"{task.uid}/{hook}".encode()).hexdigest()[:12]
            name = f"{key.name[:50].rstrip('-.')}-{digest}"
            self._followers[name] = Follower(task.uid, hook, wanted["templateRef"]["name"])

    # --- what follows ------------------------------------------------------------------------------------------------

    def _follows(self, key: Key, task: Kept, call: Call) -> None:
        """A hook's Task: wanted by an end that stands, and made once."""
        follower, spec = self._followers.get(key.name), task.document["spec"]
        if follower is None or spec["parent"]["uid"] != follower.parent:
            raise Broken(f"Task {key} follows the end of {spec['parent']['name']}, which did not ask for it")
        if spec["templateRef"]["name"] != follower.template:
            raise Broken(f"Task {key} is made of {spec['templateRef']['name']} and not of {follower.template}")
        parent = next((kept for _, kept in self._server.every("tasks") if kept.uid == follower.parent), None)
        listed = parent.document["status"].get("hooks", ()) if parent else ()
        is_done = any(one["hook"] == follower.hook and one["state"] != "Pending" for one in listed)
        if is_done and not (call.late and self._created[key.name]):  # others deleted it before the first request came
            raise Broken(f"Task {key} is made again, though the hook of its parent is done")
        self._created[key.name] += 1
        self._tallies["a hook's Task made"] += 1

    def finish(self) -> None:
        """When all is over, every hook's Task was made."""
        for name, follower in self._followers.items():
            if not self._created[name] and follower.parent not in self._gone:
                raise Broken(f"Task {name} was never made, the {follower.hook} of {follower.parent}")

    # --- the clean-up ------------------------------------------------------------------------------------------------

    def _removed(self, key: Key, task: Kept, who: Any) -> None:
        status = task.document["status"]
        if not isinstance(who, Call):
            if status.get("settled") != "True":
                self._gone.add(task.uid)
            return
        if status.get("settled") != "True":
            raise Broken(f"rule 2: an operator deleted Task {key}, for which something is left to do")
        for other in self._in_need_of(key, task, who):
            raise Broken(f"Task {key} is cleaned up, and the unfinished Task {other} needs it")
        is_a_schedules = "ownerReferences" in task.document["metadata"]  # it keeps so many by its own limits
        if not self._clock_was_set and not is_a_schedules:
            self._in_time(key, task, self._ends[task.uid])

    def _in_need_of(self, key: Key, task: Kept, call: Call) -> Iterator[Key]:
        """The unfinished Tasks that depend on one or run its Job again, as far as its deleter must have known."""
        for other, kept in self._server.every("tasks", key.namespace):
            document = kept.document
            is_news = moment(document["metadata"]["creationTimestamp"]) + SHOWN_SECONDS > START + call.began
            if is_news or kept.uid not in call.knew or document["status"]["phase"] in ENDS:
                continue
            ended = {one["name"]: one["uid"] for one in document["status"].get("dependencies", ())}
            names = {one["name"] for one in document["spec"].get("dependsOn", ())}
            waits = key.name in names and ended.get(key.name, task.uid) == task.uid
            if waits or document["spec"].get("retryOf", {}).get("name") == key.name:
                yield other

    def _in_time(self, key: Key, task: Kept, end: End) -> None:
        """Its time is over, or so many of its kind ended after it that its queue keeps no more."""
        now, spec = self._server.now(), task.document["spec"]
        by_age = now >= end.time + self._ttl(spec, end.phase)
        field = "maxSucceeded" if end.phase == "Succeeded" else "maxFailed"
        most = [rules.get("retention", {}).get(field) for rules in self._rules[end.queue]]
        later = sum(self._is_later(uid, end) for uid in self._ends if uid != task.uid)
        by_count = any(limit is not None and later >= limit for limit in most)
        if not by_age and not by_count:
            raise Broken(f"Task {key} ended {now - end.time:.0f} s ago, {later} after it, and is cleaned up")
        self._tallies["cleaned up by count"] += by_count and not by_age
        if now < end.time + self._kept_in_any_case(task.document, end):
            raise Broken(f"Task {key} is cleaned up {now - end.time:.0f} s after its end, though it is still needed")

    def _ttl(self, spec: Object, phase: str) -> float:
        field = "afterSuccessSeconds" if phase == "Succeeded" else "afterFailureSeconds"
        return float(spec.get("ttl", {}).get(field, DEFAULT_TTL_SECONDS))

    def _is_later(self, uid: str, end: End) -> bool:
        other = self._ends[uid]
        is_like = (other.phase == "Succeeded") == (end.phase == "Succeeded") and other.queue == end.queue
        return is_like and other.time >= end.time

    def _kept_in_any_case(self, task: Object, end: End) -> float:
        """Seconds for which a window, a rate or its mark as a dead letter keep it; the latter under constant rules."""
        spec, status = task["spec"], task["status"]
        seconds = [spec.get("deduplication", {}).get("windowSeconds", 0) if status.get("attempt") else 0]
        if end.queue not in self._changed and len(self._rules[end.queue]) == 1:
            rules = self._rules[end.queue][0]
            seconds.append(rules.get("rateLimit", {}).get("periodSeconds", 0))
            if status.get("deadLetter") == "True":
                seconds.append(rules.get("retention", {}).get("deadLetterSeconds", 0))
                self._tallies["a dead letter cleaned up"] += 1
        return float(max(seconds))

    # --- queues ------------------------------------------------------------------------------------------------------

    def _queue_changed(self, key: Key, old: Kept | None, new: Kept | None) -> None:
        if new is None:
            self._changed.add(key)
            return
        if old is None and self._server.loop.time() > 0:
            self._changed.add(key)
        spec = new.document["spec"]
        lasting = {name: spec[name] for name in ("retention", "rateLimit") if name in spec}
        if lasting not in self._rules[key]:
            self._rules[key].append(lasting)
        before, after = (kept.document.get("status", {}).get("totals", {}) if kept else {} for kept in (old, new))
        if after != before:
            self._totals(key, before, after)

    def _totals(self, key: Key, before: Object, after: Object) -> None:
        """They never go back, whatever is cleaned up, and count nothing twice."""
        for phase in ENDS:
            field = phase.lower()
            if after.get(field, 0) < before.get(field, 0):
                raise Broken(f"the total {field} of queue {key} went from {before[field]} to {after.get(field, 0)}")
            ended = sum(end.queue == key and end.phase == phase for end in self._ends.values())
            if after.get(field, 0) > ended:
                raise Broken(f"queue {key} says {after[field]} have {field}, and {ended} have")
        self._tallies["totals looked at"] += 1
