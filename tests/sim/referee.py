"""The rules that never break (design §3), checked after every change of the simulated cluster.

The referee sees the server's truth and no operator's memory. Rule 4 has a judge of its own: :mod:`sim.linejudge`.
"""

from __future__ import annotations

import re
import weakref
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec

from sim.faults import Dice
from sim.simapi import Call
from sim.simcluster import Change, Kept, Object, Referee, Server
from sim.simnode import OVER, is_true
from taskq.domain.model import Key
from taskq.resources.task import TaskStatus

ENDS = ("Succeeded", "Failed", "Cancelled", "Expired")
AFTER_THE_END = {"hooks", "settled", "deadLetter", "retriedBy", "result"}
"""The fields of a status that may still change."""
JOB_NAME = "batch.kubernetes.io/job-name"
QUEUE, ATTEMPT = "taskq.dev/queue", "taskq.dev/attempt"
FAMILY = ("fast", "night")
"""A queue and its child."""


class Broken(AssertionError):  # noqa: N818 - a verdict
    """A rule was broken."""


class Judge(Referee):
    """Knows every Job ever made, and every cap ever set."""

    def __init__(self, server: Server, dice: Dice, *, slack: float, cluster_cap: int | None) -> None:
        """`slack`: seconds within which every operator learns of a change of a queue."""
        self._server = server
        self._dice = dice
        self._slack = slack
        self._cluster_cap = cluster_cap
        self._requests: dict[tuple[Key, str], tuple[float, str]] = {}
        """By queue and field of its status: since when it says until when its Tasks are to end."""
        self._clock_set_at: float | None = None
        self._planned: weakref.WeakKeyDictionary[Any, dict[Key, float]] = weakref.WeakKeyDictionary()
        """By operator, when it decided to create a Job."""
        self._ever_asked: dict[Key, set[str]] = defaultdict(set)
        self._asked_at: dict[tuple[Key, str], str] = {}
        """When a value of an annotation was first seen on a queue."""
        self.tallies: Counter[str] = Counter()
        self.made: dict[tuple[str, int], list[str]] = defaultdict(list)
        """Uids of the Jobs created for each Task uid and attempt, deleted ones included."""
        self.ended: dict[str, str] = {}
        self._jobs: dict[str, tuple[str, int]] = {}
        self._pods: dict[str, dict[str, Object]] = defaultdict(dict)
        self._caps: dict[Key, list[tuple[float, int]]] = defaultdict(list)
        self._there_since: dict[Key, float] = {}
        self._beyond: set[str] = set()
        """Uids of Jobs that a thawed leader had in flight."""
        server.referees.append(self)

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """Judge one change."""
        if resource == "jobs" and change.old is None and isinstance(who, Call):
            self._job_made(change.key, change.new, who)
        elif resource == "jobs" and change.new is None and isinstance(who, Call):
            raise Broken(f"rule 2: an operator deleted Job {change.key}")
        elif resource == "pods":
            self._pod_changed(change)
        elif resource == "taskqueues":
            self._queue_changed(change)
        elif resource == "tasks":
            self._task_changed(change, who)

    # --- Jobs ------------------------------------------------------------------------------------------------------

    def _job_made(self, key: Key, job: Kept | None, call: Call) -> None:
        assert job is not None
        meta = job.document["metadata"]
        uid = meta["ownerReferences"][0]["uid"]
        attempt = (uid, int(meta["labels"][ATTEMPT]))
        self._one_job(key, job, attempt, call)
        if not call.thawed:
            self._dependencies(key, attempt)
            self._alone(key, job, "taskq.dev/deduplication-key", "deduplication key", "started alone of its key")
            self._alone(key, job, "taskq.dev/concurrency-key", "concurrency key", "started alone of its account")
        self.made[attempt].append(job.uid)
        self._jobs[job.uid] = attempt
        if call.thawed:
            self.tallies["created by a thawed leader"] += 1
            self._beyond.add(job.uid)
        self._cap(Key(key.namespace, meta["labels"][QUEUE]), call)
        if not call.thawed and meta["labels"][QUEUE] in FAMILY:
            self._room_of_the_family(key)
        if not call.thawed:
            self._room_of_the_cluster()
            self._not_asked_to_end(key, uid)

    def _one_job(self, key: Key, job: Kept, attempt: tuple[str, int], call: Call) -> None:
        """Rule 1."""
        uid, number = attempt
        earlier = self.made[attempt]
        task = next((kept for _, kept in self._server.every("tasks") if kept.uid == uid), None)
        status = task.document["status"] if task else {}
        if call.thawed:  # its request is older than what others have done since
            self.tallies["second Job by a thawed leader"] += bool(earlier)
            return
        if status.get("phase") in ENDS:
            raise Broken(f"rule 1: Job {key} made for a Task that has ended as {status['phase']}")
        settled = max((entry["number"] for entry in status.get("attempts") or ()), default=0)
        if task and number != settled + 1:
            raise Broken(f"rule 1: Job {key} is attempt {number} after attempt {settled}")
        if not earlier:
            return
        if any(kept.uid in earlier for _, kept in self._server.every("jobs")):
            raise Broken(f"rule 1: {key} is a second Job for attempt {number}, the first still exists")
        if status.get("attempt", 0) >= number:
            raise Broken(f"rule 1: {key} is a second Job for attempt {number}, which stands in the status")
        if set(earlier) & call.knew:
            raise Broken(f"rule 1: {key} is a second Job for attempt {number}, by one who had seen the first")
        self.tallies["Job deleted unseen, made again (the documented exception)"] += 1

    def _dependencies(self, key: Key, attempt: tuple[str, int]) -> None:
        """A Task starts when its status says of all its dependencies how they ended, which is the truth."""
        task = next((kept for _, kept in self._server.every("tasks") if kept.uid == attempt[0]), None)
        wanted = task.document["spec"].get("dependsOn", ()) if task else ()
        if task is None or not wanted or attempt[1] > 1:
            return
        found = {one["name"]: one for one in task.document["status"].get("dependencies", ())}
        for one in wanted:
            outcome = found.get(one["name"])
            if outcome is None:
                raise Broken(f"Job {key} made before the end of {one['name']}, on which its Task depends")
            if self.ended.get(outcome["uid"]) != outcome["phase"]:
                raise Broken(f"the Task of Job {key} takes {one['name']} to have ended as {outcome['phase']}")
            bad = one["condition"] != "Finished" and (one["condition"] == "Succeeded") != (
                outcome["phase"] == "Succeeded"
            )
            if bad and task.document["spec"].get("onDependencyFailure") != "Run":
                raise Broken(f"Job {key} made although {one['name']} ended as {outcome['phase']}")
        self.tallies["started after its dependencies"] += 1

    def _alone(self, key: Key, made: Kept, annotation: str, word: str, tally: str) -> None:
        """Of the Jobs of one queue with the same value of an annotation, one lives."""
        group = _group(made, annotation)
        if group is None:
            return
        for other, kept in self._server.every("jobs", key.namespace):
            spared = kept.uid == made.uid or kept.uid in self._beyond
            if not spared and _group(kept, annotation) == group and self.lives(kept):
                raise Broken(f"Job {key} made while {other}, which has the same {word}, lives")
        self.tallies[tally] += 1

    def _room_of_the_family(self, job: Key) -> None:
        """A child and its parent keep the parent's cap together, as long as the child has an object that is known."""
        parent, child = (Key(job.namespace, name) for name in FAMILY)
        if self._server.loop.time() - self._there_since.get(child, self._server.loop.time()) <= self._slack:
            return
        holding = {uid for queue in (parent, child) for uid, _ in self._holding(queue)} - self._beyond
        if len(holding) > self._allowed(parent):
            raise Broken(f"rule 3: {parent} and {child} have {len(holding)} Jobs, the cap is {self._allowed(parent)}")
        self.tallies["a family's room looked at"] += 1

    def _room_of_the_cluster(self) -> None:
        """All queues keep the cluster-wide cap together: it is a setting, so there is no moment to learn of it."""
        if self._cluster_cap is None:
            return
        holding = {uid for uid, _ in self._holding(None)} - self._beyond
        if len(holding) > self._cluster_cap:
            raise Broken(f"rule 3: {len(holding)} Jobs in the whole cluster, its cap is {self._cluster_cap}")
        self.tallies["cluster's cap reached"] += len(holding) == self._cluster_cap

    def _not_asked_to_end(self, key: Key, uid: str) -> None:
        """What a request on the queue told to end is not started once every operator knows of it."""
        task = next(((name, kept) for name, kept in self._server.every("tasks") if kept.uid == uid), None)
        if task is None or "templateRef" in task[1].document["spec"]:
            return
        queue = Key(task[0].namespace, task[1].document["spec"].get("queueName", "default"))
        for field in ("purge", "cancelAll"):
            since, until = self._requests.get((queue, field), (0.0, ""))
            created = task[1].document["metadata"]["creationTimestamp"]
            if until and created <= until and self._server.loop.time() - since > self._slack:
                raise Broken(f"Job {key} made although {field} told the Tasks made until {until} to end")

    def clock_set(self) -> None:
        """An operator's clock has jumped: what it derives from times is not what the server's times say."""
        self._clock_set_at = self._server.loop.time()

    def starts(self, operator: Any, launches: list[Any], *, clock_is_right: bool) -> None:
        """No operator decides on more starts of a period than `rateLimit` allows, its predecessors' included."""
        time = self._server.loop.time()
        planned = self._planned.setdefault(operator, {})
        for launch in launches:
            planned[launch.job] = time
            limit = operator._rules_of(launch.queue).rate_limit
            if limit is None or not clock_is_right:
                continue
            since = time - limit.period_seconds + 0.001  # an epoch time has digits for microseconds, no more
            if self._clock_set_at is not None and self._clock_set_at > since - 2:  # it may know of fewer starts
                continue
            mine = {job for job, at in planned.items() if at > since and self._is_of(job, launch)}
            first = datetime.fromtimestamp(self._server.now() - limit.period_seconds, UTC)
            others = {
                job
                for job, kept in self._server.every("jobs", launch.queue.namespace)
                if job not in planned
                and kept.document["metadata"].get("labels", {}).get(QUEUE) == launch.queue.name
                and kept.uid not in self._beyond
                and datetime.fromisoformat(kept.document["metadata"]["creationTimestamp"]) > first
            }
            if len(mine | others) > limit.max_starts:
                raise Broken(f"{launch.job} is start {len(mine | others)} of {limit.max_starts} in a period")
            self.tallies["rate looked at"] += 1
            self.tallies["rate looked at, with a predecessor's starts"] += bool(others)

    def _is_of(self, job: Key, launch: Any) -> bool:
        kept = self._server.get("jobs", job)
        if kept is None:
            return job == launch.job
        return kept.document["metadata"].get("labels", {}).get(QUEUE) == launch.queue.name

    def _cap(self, queue: Key, call: Call) -> None:
        """Rule 3."""
        holding = self._holding(queue)
        allowed = self._allowed(queue) + len(self._beyond & {uid for uid, _ in holding})
        if len(holding) > allowed:
            names = ", ".join(name for _, name in holding)
            raise Broken(f"rule 3: queue {queue} has {len(holding)} Jobs, its cap is {allowed}: {names}")
        self.tallies["cap reached"] += len(holding) == allowed

    def _holding(self, queue: Key | None) -> list[tuple[str, str]]:
        """Uid and name of the Jobs of a queue, or of all, that run or may still run, deleted ones included."""
        found: dict[str, str] = {}
        wanted = [queue.name] if queue else list({key.name for key in self._caps} | {"default"})
        for key, kept in self._server.every("jobs", queue.namespace if queue else None):
            if kept.document["metadata"].get("labels", {}).get(QUEUE) in wanted and self.lives(kept):
                found[kept.uid] = key.name
        for uid, pods in self._pods.items():
            if any(pod["metadata"]["labels"].get(QUEUE) in wanted for pod in pods.values()):
                found.setdefault(uid, f"{uid} (deleted)")
        return sorted(found.items())

    def lives(self, job: Kept) -> bool:
        """Whether something of a Job runs, terminates or is still to come."""
        if self._pods.get(job.uid):
            return True
        document = job.document
        if is_true(document, "Complete") or is_true(document, "Failed"):
            return False
        status = document["status"]
        still = is_true(document, "Suspended") and not status.get("active") and not status.get("terminating")
        return not (still and document["spec"].get("suspend"))

    def _pod_changed(self, change: Change) -> None:
        kept = change.new or change.old
        assert kept is not None
        before = change.old or kept
        job = next((o["uid"] for o in before.document["metadata"].get("ownerReferences") or ()), None)
        if job is None:  # an orphan: it keeps the Job that it was counted for
            job = next((uid for uid, pods in self._pods.items() if kept.uid in pods), kept.uid)
        pods = self._pods[job]
        if change.new is None or change.new.document["status"]["phase"] in OVER:
            pods.pop(kept.uid, None)
            if not pods:
                del self._pods[job]
        else:
            pods[kept.uid] = kept.document

    # --- queues ----------------------------------------------------------------------------------------------------

    def _queue_changed(self, change: Change) -> None:
        spec = change.new.document.get("spec", {}) if change.new else None
        if spec is None:
            cap = 10 if change.key.name == "default" else 0
        else:
            cap = spec.get("maxConcurrency", 10) if spec.get("state", "Open") in ("Open", "Draining") else 0
        if change.new is None:
            self._there_since.pop(change.key, None)
        else:
            self._there_since.setdefault(change.key, self._server.loop.time())
        self._note_requests(change)
        caps = self._caps[change.key]
        if not caps or caps[-1][1] != cap:
            caps.append((self._server.loop.time(), cap))

    def _note_requests(self, change: Change) -> None:
        status = change.new.document.get("status", {}) if change.new else {}
        for nonce in change.new.document["metadata"].get("annotations", {}).values() if change.new else ():
            self._asked_at.setdefault((change.key, nonce), self._server.stamp())
        for field in ("purge", "cancelAll"):
            until = status.get(field, {}).get("time", "")
            if until != self._requests.get((change.key, field), (0.0, ""))[1]:
                asked_at = self._asked_at.get((change.key, status.get(field, {}).get("nonce", "")), "")
                if until and not asked_at <= until < self._server.stamp():
                    raise Broken(f"{field} of {change.key}, asked for at {asked_at}, is told of and counts to {until}")
                self._requests[change.key, field] = (self._server.loop.time(), until)
                self._ever_asked[change.key].add(until)

    def _allowed(self, queue: Key) -> int:
        """The largest cap that an operator may believe in."""
        caps = self._caps.get(queue)
        if not caps:
            return 10 if queue.name == "default" else 0
        oldest = self._server.loop.time() - self._slack
        current = [cap for index, (_, cap) in enumerate(caps) if index + 1 == len(caps) or caps[index + 1][0] > oldest]
        if caps[0][0] > oldest:  # before it was there, or before it was seen
            current.append(10 if queue.name == "default" else 0)
        return max(current)

    # --- Tasks -----------------------------------------------------------------------------------------------------

    def _task_changed(self, change: Change, who: Any) -> None:
        if change.new is None:
            if isinstance(who, Call):
                self.tallies["Task cleaned up after its ttl"] += 1
                if change.old and change.old.document["status"]["phase"] not in ENDS:
                    raise Broken(f"rule 2: an operator deleted the unfinished Task {change.key}")
            return
        if change.old is None or change.old.document["status"] == change.new.document["status"]:
            return
        old, new = change.old.document["status"], change.new.document["status"]
        self._valid(change.key, new)
        self._forward(change.key, old, new)
        self._settled(change.key, change.new, old, new, who)

    def _valid(self, key: Key, status: Object) -> None:
        try:
            TaskStatus.model_validate_json(msgspec.json.encode(status))
        except ValueError as error:
            raise Broken(f"Task {key} has a status that the schema refuses: {error}") from error
        hooks = status.get("hooks", ())
        is_done = status["phase"] in ENDS and all(hook["state"] != "Pending" for hook in hooks)
        if (status.get("settled") == "True") != is_done:
            raise Broken(f"Task {key} is {status['phase']} and settled is {status.get('settled')}")
        if is_true({"status": status}, "Stuck"):
            self.tallies["stuck"] += 1
            if status["phase"] != "Running":
                raise Broken(f"Task {key} is {status['phase']} and stuck")

    def _forward(self, key: Key, old: Object, new: Object) -> None:
        """Rule 2: one end, and no way back."""
        if old["phase"] in ENDS:
            changed = {field for field in (*old, *new) if old.get(field) != new.get(field)}
            if not changed <= AFTER_THE_END:
                raise Broken(f"rule 2: Task {key} had ended as {old['phase']} and {sorted(changed)} of it changed")
            return
        for field in ("attempt", "failedAttempts", "ignoredAttempts"):
            if new.get(field, 0) < old.get(field, 0):
                raise Broken(f"rule 2: {field} of Task {key} went back from {old[field]} to {new.get(field)}")
        numbers = [[entry["number"] for entry in status.get("attempts") or ()] for status in (old, new)]
        before, after = ((found[-1] if found else 0) for found in numbers)
        if after not in (before, before + 1):
            raise Broken(f"rule 2: the last attempt of Task {key} went from {before} to {after}")
        steps = {"Pending": 0, "Retrying": 0, "Running": 1}
        if before == after and steps.get(new["phase"], 2) < steps[old["phase"]]:
            raise Broken(f"rule 2: Task {key} went back from {old['phase']} to {new['phase']}")
        if new["phase"] == "Pending" and after:
            raise Broken(f"rule 2: Task {key} is Pending after {after} attempts")

    def _settled(self, key: Key, task: Kept, old: Object, new: Object, who: Any) -> None:
        """An outcome is written when nothing of the attempt runs any more, and it is the truth."""
        entries = new.get("attempts") or []
        fresh = [entry for entry in entries if entry not in (old.get("attempts") or ())]
        for entry in fresh:
            attempt = (task.uid, entry["number"])
            if not self.made[attempt]:
                raise Broken(f"rule 2: Task {key} has an outcome of attempt {entry['number']}, which had no Job")
            self._nothing_runs(key, attempt)
            self._truth(key, entry, attempt)
        if new["phase"] not in ENDS or old["phase"] in ENDS:
            return
        self.ended[task.uid] = new["phase"]
        self.tallies[f"ended {new['phase']}"] += 1
        if new["reason"] in ("Duplicate", "Replaced"):
            self.tallies[f"ended as {new['reason']}"] += 1
        if new["reason"] == "Purged":
            self._was_purged(key, task)
        for attempt in [found for found in self.made if found[0] == task.uid]:
            self._nothing_runs(key, attempt)
        if new["phase"] == "Expired" and self._existing(task.uid):
            raise Broken(f"rule 2: Task {key} is Expired and has a Job")

    def _was_purged(self, key: Key, task: Kept) -> None:
        """Only what was there when its queue was purged."""
        created = task.document["metadata"]["creationTimestamp"]
        asked = [
            until for queue, found in self._ever_asked.items() if queue.namespace == key.namespace for until in found
        ]
        if not any(created <= until for until in asked):
            raise Broken(f"Task {key} was purged, made at {created}, after every purge")
        self.tallies["ended as Purged"] += 1

    def _existing(self, uid: str) -> list[Kept]:
        return [kept for _, kept in self._server.every("jobs") if self._jobs.get(kept.uid, ("", 0))[0] == uid]

    def _nothing_runs(self, key: Key, attempt: tuple[str, int]) -> None:
        for uid in self.made[attempt]:
            if uid in self._beyond:
                continue
            if self._pods.get(uid):
                raise Broken(f"rule 2: attempt {attempt[1]} of Task {key} is written down while a pod of it lives")
            job = next((kept for _, kept in self._server.every("jobs") if kept.uid == uid), None)
            if job and self.lives(job):
                raise Broken(f"rule 2: attempt {attempt[1]} of Task {key} is written down while its Job lives")

    def _truth(self, key: Key, entry: Object, attempt: tuple[str, int]) -> None:
        job = next((kept for kept in self._existing(attempt[0]) if kept.uid == self.made[attempt][-1]), None)
        if job is None:
            return
        complete = is_true(job.document, "Complete")
        stopped = "taskq.dev/stop-reason" in job.document["metadata"].get("annotations", {})
        if entry["reason"] == "Succeeded" and not complete:
            raise Broken(f"rule 2: attempt {attempt[1]} of Task {key} is said to have succeeded, its Job did not")
        if complete and not stopped and entry["reason"] != "Succeeded":
            raise Broken(f"rule 2: attempt {attempt[1]} of Task {key} succeeded and is {entry['reason']} in its status")
        if entry["reason"] == "JobDeleted" and "deletionTimestamp" not in job.document["metadata"]:
            raise Broken(f"rule 2: attempt {attempt[1]} of Task {key} is said to be deleted, and its Job is there")


def _group(job: Kept, annotation: str) -> tuple[str, str] | None:
    meta = job.document["metadata"]
    key = (meta.get("annotations") or {}).get(annotation)
    return (meta["labels"][QUEUE], key) if key else None


def plain(text: str) -> str:
    """A trace line without uids, to compare two walks by."""
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "…", text)
