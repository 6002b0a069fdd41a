"""A model of the Job controller and of a kubelet: pods for Jobs, fates for pods.

Both are driven by what changes and look at the server's present state each time, as the real ones do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim.faults import Dice
from sim.simcluster import Change, Kept, Object, Referee, Refused, Server
from taskq.domain.model import Key

OVER = ("Succeeded", "Failed")


@dataclass
class Fate:
    """What will become of a pod."""

    kind: str
    runs: float
    code: int = 0


def is_true(document: Object, kind: str) -> bool:
    """Whether a condition is True."""
    return any(c["type"] == kind and c["status"] == "True" for c in document.get("status", {}).get("conditions", ()))


class Node(Referee):
    """Job controller and kubelet in one."""

    def __init__(self, server: Server, dice: Dice) -> None:
        """Take care of a server's Jobs and pods."""
        self._server = server
        self._dice = dice
        self._fates: dict[str, Fate] = {}
        self._due: set[str] = set()
        self._deaf: set[str] = set()
        server.referees.append(self)

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """Look at a Job soon after it, or a pod of it, has changed."""
        kept = change.new or change.old
        assert kept is not None
        if resource == "jobs" and change.new:
            self._look_soon(change.key)
        elif resource == "pods":
            job = kept.document["metadata"]["labels"]["batch.kubernetes.io/job-name"]
            self._look_soon(Key(change.key.namespace, job))
            if change.old is None:
                self._accept_soon(change.key, kept)
            elif change.new and _being_deleted(change.new.document):
                if _over(change.new.document):
                    self._later(0.05, 3, self._vanish, change.key, change.new.uid)
                else:
                    self._stop_soon(change.key, change.new, change.old)

    def heal(self) -> None:
        """Every kubelet listens again, and what hangs comes to an end."""
        for key, kept in self._server.every("pods"):
            if _over(kept.document):
                continue
            self._deaf.discard(kept.uid)
            if _being_deleted(kept.document):
                self._later(1, 5, self._stop, key, kept.uid)
            else:
                self._later(1, 20, self._end, key, kept.uid, Fate("ok", 0))

    def _later(self, low: float, high: float, callback: Any, *args: Any) -> None:
        self._server.loop.outside(self._dice.between(low, high), callback, *args)

    # --- the Job controller ----------------------------------------------------------------------------------------

    def _look_soon(self, key: Key) -> None:
        if str(key) not in self._due:
            self._due.add(str(key))
            slow = self._dice.hit("controller slow")
            self._later(0.5, 6, self._look, key) if slow else self._later(0.005, 0.2, self._look, key)

    def _look(self, key: Key) -> None:
        self._due.discard(str(key))
        kept = self._server.get("jobs", key)
        if kept is None or is_true(kept.document, "Complete") or is_true(kept.document, "Failed"):
            return
        if _being_deleted(kept.document):
            return  # the garbage collector ends its pods
        pods = [self._server.find("pods", pod) for pod in self._server.owned(kept.uid, "pods")]
        status = kept.document["status"]
        counted = status.get("counted")  # stands for uncountedTerminatedPods: a pod that was there once
        if not counted and kept.document["spec"].get("suspend"):
            self._suspended(key, kept, [])
        elif not counted:
            self._make_pod(key, kept)
        elif any(pod.document["status"]["phase"] == "Succeeded" for pod in pods):
            self._finish(key, kept, "SuccessCriteriaMet", "Complete", "", pods)
        elif is_true(kept.document, "FailureTarget"):
            self._finish(key, kept, "FailureTarget", "Failed", _target_reason(kept.document), pods)
        elif kept.document["spec"].get("suspend"):
            self._suspended(key, kept, pods)
        elif not pods or any(_over(pod.document) or _being_deleted(pod.document) for pod in pods):
            self._finish(key, kept, "FailureTarget", "Failed", "BackoffLimitExceeded", pods)

    def _make_pod(self, key: Key, job: Kept) -> None:
        template = job.document["spec"]["template"]
        meta = job.document["metadata"]
        labels = {**(template.get("metadata") or {}).get("labels", {}), "batch.kubernetes.io/job-name": key.name}
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": key.name,
            "uid": job.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
        metadata = {"name": f"{key.name}-{job.uid[:5]}", "labels": labels, "ownerReferences": [owner]}
        pod = {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}
        try:
            self._server.create("pods", key.namespace, pod)
        except Refused:  # the pod of a deleted namesake is not gone yet
            self._look_soon(key)
            return
        self._server.set_status("jobs", key, active=1, counted=True, startTime=self._server.stamp())
        deadline = job.document["spec"].get("activeDeadlineSeconds")
        if deadline is not None:
            self._server.loop.outside(deadline, self._deadline, key, meta["uid"])

    def _deadline(self, key: Key, uid: str) -> None:
        kept = self._server.get("jobs", key)
        if kept and kept.uid == uid and not is_true(kept.document, "Complete") and not is_true(kept.document, "Failed"):
            self._dice.count("Job's own deadline")
            self._condition(key, kept, "FailureTarget", "DeadlineExceeded")
            self._end_pods(uid)

    def _suspended(self, key: Key, job: Kept, pods: list[Kept]) -> None:
        self._end_pods(job.uid)
        leaving = [pod for pod in pods if not _over(pod.document)]
        over = [pod for pod in pods if _over(pod.document)]
        if over and not leaving and self._dice.hit("stopped pod counts as failed"):
            return self._finish(key, job, "FailureTarget", "Failed", "BackoffLimitExceeded", pods)
        self._server.set_status("jobs", key, active=0, terminating=len(leaving))
        if not is_true(job.document, "Suspended"):
            self._condition(key, self._server.find("jobs", key), "Suspended", "JobSuspended")
        return None

    def _end_pods(self, uid: str) -> None:
        for pod in self._server.owned(uid, "pods"):
            document = self._server.find("pods", pod).document
            if not _over(document) and not _being_deleted(document):
                self._server.delete("pods", pod)

    def _finish(self, key: Key, job: Kept, target: str, end: str, reason: str, pods: list[Kept]) -> None:
        """Announce the end first, and say it once every pod has ended."""
        living = [pod for pod in pods if not _over(pod.document)]
        if not is_true(job.document, target):
            self._server.set_status("jobs", key, active=0, terminating=len(living))
            self._condition(key, self._server.find("jobs", key), target, reason)
            self._end_pods(job.uid)
            return
        if living:
            return
        done = {"succeeded": 1} if end == "Complete" else {"failed": 1}
        self._server.set_status("jobs", key, active=0, terminating=0, completionTime=self._server.stamp(), **done)
        self._condition(key, self._server.find("jobs", key), end, reason)

    def _condition(self, key: Key, job: Kept, kind: str, reason: str) -> None:
        kept = list(job.document["status"].get("conditions") or ())
        added = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": self._server.stamp()}
        self._server.set_status("jobs", key, conditions=[*kept, added])

    # --- the kubelet -----------------------------------------------------------------------------------------------

    def _accept_soon(self, key: Key, pod: Kept) -> None:
        self._fates[pod.uid] = self._draw(pod.document["spec"])
        self._later(0.05, 1, self._accept, key, pod.uid)

    def _draw(self, spec: Object) -> Fate:
        dice = self._dice
        runs = dice.between(0.2, 4) if dice.chance(0.6) else dice.between(4, 40)
        limited = "activeDeadlineSeconds" in spec
        if dice.hit("pod evicted"):
            return Fate("evicted", runs)
        if dice.hit("pod out of memory"):
            return Fate("oom", runs, 137)
        if dice.hit("image never pulled"):
            return Fate("unpulled", dice.between(20, 60))
        if dice.hit("pod hangs"):
            return Fate("ok", 100_000 if limited else 90)
        return Fate("failed", runs, dice.random.choice((1, 2, 3))) if dice.chance(0.25) else Fate("ok", runs)

    def _living(self, key: Key, uid: str) -> Kept | None:
        pod = self._server.get("pods", key)
        return pod if pod and pod.uid == uid and not _over(pod.document) else None

    def _accept(self, key: Key, uid: str) -> None:
        pod = self._living(key, uid)
        if pod is None or _being_deleted(pod.document):
            return
        fate = self._fates[uid]
        self._server.set_status("pods", key, startTime=self._server.stamp())
        deadline = pod.document["spec"].get("activeDeadlineSeconds")
        if deadline is not None and self._dice.hit("kubelet deaf"):
            self._deaf.add(uid)
        elif deadline is not None:
            self._server.loop.outside(deadline, self._overdue, key, uid)
        if fate.kind == "unpulled":
            state = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
            self._server.set_status("pods", key, containerStatuses=[{"name": "main", "state": state}])
            self._server.loop.outside(fate.runs, self._run, key, uid)
        else:
            self._later(0.05, 1, self._run, key, uid)

    def _run(self, key: Key, uid: str) -> None:
        pod = self._living(key, uid)
        if pod is None or _being_deleted(pod.document):
            return
        fate = self._fates[uid]
        state = {"running": {"startedAt": self._server.stamp()}}
        containers = [{"name": "main", "state": state}]
        self._server.set_status("pods", key, phase="Running", containerStatuses=containers)
        self._server.loop.outside(fate.runs, self._end, key, uid, fate)

    def _overdue(self, key: Key, uid: str) -> None:
        """The pod's activeDeadlineSeconds: SIGTERM, and the end within the grace period."""
        pod = self._living(key, uid)
        if pod and not _being_deleted(pod.document):
            self._dice.count("kubelet ends a pod at its deadline")
            grace = pod.document["spec"].get("terminationGracePeriodSeconds", 30)
            self._later(0.01, min(grace, 10), self._end, key, uid, Fate("deadline", 0, 143))

    def _end(self, key: Key, uid: str, fate: Fate) -> None:
        pod = self._living(key, uid)
        if pod is None or (_being_deleted(pod.document) and fate.kind != "stopped"):
            return
        fields: Object = {"phase": "Succeeded" if fate.kind == "ok" else "Failed"}
        if fate.kind == "evicted":
            condition = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
            fields |= {"reason": "Evicted", "message": "low on memory", "conditions": [condition]}
        if fate.kind == "deadline":
            fields |= {"reason": "DeadlineExceeded"}
        if fate.kind == "stopped" and fate.code == 0:
            fields["phase"] = "Succeeded"
        before = (pod.document["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("running")
        if before or fate.kind != "stopped":
            reason = {"ok": "Completed", "oom": "OOMKilled"}.get(fate.kind, "Error")
            end = {"exitCode": fate.code, "reason": reason, "finishedAt": self._server.stamp(), "message": "said"}
            end |= before or {"startedAt": self._server.stamp()}
            fields["containerStatuses"] = [{"name": "main", "state": {"terminated": end}}]
        self._server.set_status("pods", key, **fields)

    # --- deletion --------------------------------------------------------------------------------------------------

    def _stop_soon(self, key: Key, pod: Kept, old: Kept) -> None:
        """A grace period begins, or was shortened."""
        grace = pod.document["metadata"]["deletionGracePeriodSeconds"]
        before = old.document["metadata"].get("deletionGracePeriodSeconds")
        if grace != before and pod.uid not in self._deaf:
            self._later(0.01, max(0.02, grace), self._stop, key, pod.uid)

    def _stop(self, key: Key, uid: str) -> None:
        pod = self._living(key, uid)
        if pod is None:
            return
        well = "running" in (pod.document["status"].get("containerStatuses") or [{}])[0].get("state", {})
        well = well and self._dice.hit("pod ends well when told to stop")
        self._end(key, uid, Fate("stopped", 0, 0 if well else 143))

    def _vanish(self, key: Key, uid: str) -> None:
        pod = self._server.get("pods", key)
        if pod is None or pod.uid != uid:
            return
        owners = pod.document["metadata"].get("ownerReferences") or ()
        job = next((kept for _, kept in self._server.every("jobs") for o in owners if kept.uid == o["uid"]), None)
        waits = job and not _being_deleted(job.document) and not _decided(job.document)
        if waits:  # the finalizer: its Job has not counted it yet
            self._later(0.1, 1, self._vanish, key, uid)
        else:
            self._server.remove("pods", key)


def _over(document: Object) -> bool:
    return document["status"]["phase"] in OVER


def _being_deleted(document: Object) -> bool:
    return "deletionTimestamp" in document["metadata"]


def _decided(document: Object) -> bool:
    return any(is_true(document, kind) for kind in ("Complete", "Failed")) or (
        is_true(document, "Suspended") and not document["status"].get("terminating")
    )


def _target_reason(document: Object) -> str:
    return next(str(c["reason"]) for c in document["status"]["conditions"] if c["type"] == "FailureTarget")
