"""The verdict on an operator, from the API server's audit log: attempts unique, no Task lost, no cap exceeded.

The log holds every request of everybody, whoever was killed meanwhile. Requests that overlap may stand in it in either
order; where an answer carries a resourceVersion, which grows with every write, that is the moment used. A deletion has
none, so it counts from the earliest moment that it can have happened: the oracle accuses only when it is certain.

A write whose client was killed before the answer is in the log as 504, whether it took effect or not. Of a Job the next
lines tell: the Job controller writes the status of every Job there is. Of a Task's end the object itself tells.

Pure functions over the parsed lines. Job status writes and Job creations must be logged with their answers, and status
patches of Tasks with their requests, as ``local-cluster`` does.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cluster_tools.kubelet import USER_AGENT as KUBELET

Event = dict[str, Any]
QueueName = tuple[str, str]
"""Namespace and name."""

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled", "Expired"})


class Start(NamedTuple):
    """One Job that came to be for an attempt of a Task."""

    moment: int
    namespace: str
    task: str
    uid: str
    attempt: int
    queue: str
    job: str


class End(NamedTuple):
    """A Task's end, as it was written into its status."""

    namespace: str
    task: str
    uid: str
    phase: str


def read(path: Path, namespaces: Iterable[str] = ()) -> list[Event]:
    """The lines of a log, of these namespaces or of all; a last line that is not whole is left out."""
    wanted = set(namespaces)
    lines = path.read_bytes().split(b"\n")[:-1]
    events: list[Event] = [json.loads(line) for line in lines if line]
    return [event for event in events if not wanted or event.get("objectRef", {}).get("namespace") in wanted]


def requests(
    events: Iterable[Event], verb: str, resource: str, *, agent: str = "", codes: range = range(200, 300)
) -> list[Event]:
    """Those of one kind that succeeded, or had these codes; ``resource`` may name a subresource: ``tasks/status``."""
    kind, _, sub = resource.partition("/")
    return [
        event
        for event in events
        if event["verb"] == verb
        and event.get("objectRef", {}).get("resource") == kind
        and event["objectRef"].get("subresource", "") == sub
        and event["stage"] == "ResponseComplete"
        and event["responseStatus"].get("code", 0) in codes
        and agent in event.get("userAgent", "")
    ]


def starts(events: Iterable[Event]) -> list[Start]:
    """Every Job that came to be for a Task, by moment; the same name after a deletion is another Job."""
    log = list(events)
    created = requests(log, "create", "jobs")
    shown = requests(log, "update", "jobs/status", agent="kube-controller-manager")
    found: dict[str, Start] = {}
    for event in (*created, *shown):
        meta = event["responseObject"]["metadata"]
        owner = next((o for o in meta.get("ownerReferences", ()) if o["kind"] == "Task"), None)
        if owner is None or meta["uid"] in found or "resourceVersion" not in meta:  # a dry run stores nothing
            continue
        labels = meta["labels"]
        found[meta["uid"]] = Start(
            moment=int(meta["resourceVersion"]),
            namespace=meta["namespace"],
            task=owner["name"],
            uid=owner["uid"],
            attempt=int(labels["taskq.dev/attempt"]),
            queue=labels["taskq.dev/queue"],
            job=meta["name"],
        )
    return sorted(found.values())


def ends(events: Iterable[Event], *, codes: range = range(200, 300)) -> list[End]:
    """Every write that gave a Task a terminal phase; the API server refuses a change of it afterwards."""
    found = []
    for event in requests(events, "patch", "tasks/status", codes=codes):
        body = event.get("requestObject", {})  # an API server that has just started may refuse before it reads
        phase = body.get("status", {}).get("phase", "")
        if phase in TERMINAL:
            ref = event["objectRef"]
            found.append(End(ref["namespace"], ref["name"], body["metadata"]["uid"], phase))
    return found


# --- what must never happen ---------------------------------------------------------------------------------------


def repeated_attempts(started: Iterable[Start]) -> list[str]:
    """Attempts that were started more than once, and numbers that were left out."""
    jobs: dict[str, Counter[int]] = defaultdict(Counter)
    names = {}
    for start in started:
        jobs[start.uid][start.attempt] += 1
        names[start.uid] = f"{start.namespace}/{start.task}"
    complaints = []
    for uid, attempts in jobs.items():
        complaints += [f"{names[uid]}: attempt {n} started {k} times" for n, k in attempts.items() if k > 1]
        missing = set(range(1, max(attempts) + 1)) - set(attempts)
        complaints += [f"{names[uid]}: attempt {n} was never started" for n in sorted(missing)]
    return complaints


def lost_tasks(
    events: Iterable[Event],
    tasks: Mapping[str, str],
    *,
    deleted: Iterable[str] = (),
    phases: Mapping[str, str] | None = None,
) -> list[str]:
    """Tasks, given as uid and name, that did not end exactly once; those that a user deleted need not end.

    ``phases`` are, by uid, those of the Tasks that are still there: they tell whether an unanswered write took effect.
    """
    log = list(events)
    counts = Counter(end.uid for end in ends(log))
    unanswered = {end.uid for end in ends(log, codes=range(500, 600))}
    spared = set(deleted)
    complaints = []
    for uid, name in tasks.items():
        took_effect = uid in unanswered and phases is not None and phases.get(uid, "Succeeded") in TERMINAL
        if counts[uid] > 1:
            complaints.append(f"{name}: ended {counts[uid]} times")
        elif not (counts[uid] or took_effect or uid in spared):
            complaints.append(f"{name}: never ended")
    return complaints


def queue_of(start: Start) -> QueueName:
    """The queue that a Job counts for."""
    return start.namespace, start.queue


def overruns(
    events: Iterable[Event],
    caps: Mapping[QueueName, int],
    group: Callable[[Start], QueueName | None] = queue_of,
) -> list[str]:
    """Starts that found their queue full, or whatever else ``group`` says that is bounded; None is not."""
    log = list(events)
    changes: list[tuple[float, int, Start]] = []  # at the same moment a slot is freed before one is taken
    freed = _freed(log)
    for start in starts(log):
        changes.append((start.moment, 1, start))
        if (start.namespace, start.job) in freed:
            changes.append((max(freed[start.namespace, start.job], start.moment + 0.5), 0, start))
    running: dict[QueueName, set[str]] = defaultdict(set)
    complaints = []
    for moment, kind, start in sorted(changes, key=lambda change: change[:2]):
        queue = group(start)
        if queue is None:
            continue
        if kind == 0:
            running[queue].discard(start.job)
            continue
        running[queue].add(start.job)
        if queue in caps and len(running[queue]) > caps[queue]:
            many = len(running[queue])
            complaints.append(
                f"queue {'/'.join(queue)} (at most {caps[queue]}) had {many} Jobs at {moment} with {start.job}"
            )
    return complaints


def verdict(
    events: Iterable[Event],
    *,
    caps: Mapping[QueueName, int],
    tasks: Mapping[str, str],
    deleted: Iterable[str] = (),
    phases: Mapping[str, str] | None = None,
) -> list[str]:
    """All complaints; an empty list is an acquittal."""
    log = list(events)
    strangers = {start.uid: start for start in starts(log) if start.uid not in tasks}
    return [
        *repeated_attempts(starts(log)),
        *lost_tasks(log, tasks, deleted=deleted, phases=phases),
        *overruns(log, caps),
        *(f"{start.namespace}/{start.task}: not a Task of this run" for start in strangers.values()),
    ]


# --- when a slot is free ------------------------------------------------------------------------------------------


def _freed(events: list[Event]) -> dict[tuple[str, str], int]:
    """By Job, the moment from which nothing of it runs any more: Complete, Failed, stopped and still, or deleted."""
    moments: dict[tuple[str, str], int] = {}
    for event in requests(events, "update", "jobs/status") + requests(events, "patch", "jobs/status"):
        job = event["responseObject"]
        if _still(job):
            key = (job["metadata"]["namespace"], job["metadata"]["name"])
            moment = int(job["metadata"]["resourceVersion"])
            moments[key] = min(moment, moments.get(key, moment))
    for key, moment in _deletions(events).items():
        moments[key] = min(moment, moments.get(key, moment))
    return moments


def _still(job: Event) -> bool:
    status = job.get("status", {})
    true = {condition["type"] for condition in status.get("conditions", ()) if condition["status"] == "True"}
    return bool(true & {"Complete", "Failed"}) or (
        "Suspended" in true and not status.get("active") and not status.get("terminating")
    )


def _deletions(events: list[Event]) -> dict[tuple[str, str], int]:
    """By deleted Job, the earliest moment at which it and those of its pods that the kubelet had taken were gone."""
    clock = _Clock(events)
    pods: dict[str, set[str]] = defaultdict(set)
    for event in requests(events, "create", "pods/binding", agent=KUBELET):
        ref = event["objectRef"]
        pods[f"{ref['namespace']}/{ref['name'].rpartition('-')[0]}"].add(ref["name"])
    removed = {
        (event["objectRef"]["namespace"], event["objectRef"]["name"]): clock.before(event)
        for event in requests(events, "delete", "pods", agent=KUBELET)
    }
    moments = {}
    for event in requests(events, "delete", "jobs"):
        ref = event["objectRef"]
        if "name" not in ref:
            continue
        known = pods[f"{ref['namespace']}/{ref['name']}"]
        last = [removed[ref["namespace"], pod] for pod in known if (ref["namespace"], pod) in removed]
        key = (ref["namespace"], ref["name"])
        moments[key] = max([moments.get(key, 0), clock.before(event), *last])
    return moments


class _Clock:
    """Turns the time of a request into a moment: the newest write that was certainly over when it arrived."""

    def __init__(self, events: list[Event]) -> None:
        known = []
        for event in events:
            version = (event.get("responseObject") or {}).get("metadata", {}).get("resourceVersion")
            if version and version.isdigit():
                known.append((event["stageTimestamp"], int(version)))
        self._times: list[str] = []
        self._moments: list[int] = []
        newest = 0
        for time, moment in sorted(known):
            newest = max(newest, moment)
            self._times.append(time)
            self._moments.append(newest)

    def before(self, event: Event) -> int:
        place = bisect_left(self._times, event["requestReceivedTimestamp"])
        return self._moments[place - 1] if place else 0
