"""Builders of the facts that decisions read: `make_task("a", priority=5).running(since=3).build()`.

A builder holds the object as the API server would write it, so what a test decides on went through the same decoder as
in life. Spec fields are given under their names in the manifest. Every time is in seconds after :data:`T0`.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any, Generic, Self, TypeVar

import msgspec

from taskq.domain.jobspec import job_key
from taskq.domain.model import Job, Pod, Queue, Task, Template
from taskq.resources.common import (
    API_VERSION,
    LABEL_ATTEMPT,
    LABEL_QUEUE,
    LABEL_TASK,
    STOP_REASON_ANNOTATION,
)

T0 = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC).timestamp()
"""The moment every test starts at, in epoch seconds."""

NAMESPACE = "shop"

Document = dict[str, Any]
T = TypeVar("T")


def at(seconds: float) -> str:
    """RFC 3339 of a moment after T0, to the millisecond when it is none of whole seconds."""
    moment = datetime.fromtimestamp(T0 + seconds, UTC)
    precision = "seconds" if float(seconds).is_integer() else "milliseconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


class Builder(Generic[T]):
    """One object of the API, grown by calls; each call returns a new builder, so a base can be shared."""

    kind: type[T]

    def __init__(self, document: Document) -> None:
        """Hold an object as the API writes it."""
        self.document = document

    def build(self) -> T:
        """The struct that decisions read."""
        return msgspec.json.decode(self.json(), type=self.kind)

    def json(self) -> bytes:
        """The object as the API server would send it."""
        return msgspec.json.encode(self.document)

    def _with(self, *path: str, **values: Any) -> Self:
        document = copy.deepcopy(self.document)
        place = document
        for step in path:
            place = place.setdefault(step, {})
        place.update({name: value for name, value in values.items() if value is not None})
        return type(self)(document)

    def meta(self, **values: Any) -> Self:
        """Set fields of the metadata."""
        return self._with("metadata", **values)

    def version(self, version: int) -> Self:
        """Set the resourceVersion."""
        return self.meta(resourceVersion=str(version))

    def deleting(self, since: float, grace: int | None = None) -> Self:
        """Somebody asked for its deletion; a pod's deletionTimestamp lies one grace period later."""
        return self.meta(deletionTimestamp=at(since + (grace or 0)), deletionGracePeriodSeconds=grace)

    def condition(self, kind: str, status: str = "True", reason: str = "", message: str = "", since: float = 0) -> Self:
        """Set one condition."""
        conditions = [c for c in self.document.get("status", {}).get("conditions", ()) if c["type"] != kind]
        added = {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(since)}
        return self._with("status", conditions=[*conditions, added])


class TaskBuilder(Builder[Task]):
    """A Task."""

    kind = Task

    def build(self) -> Task:
        """The struct, with the raw manifest that a launch reads."""
        task = super().build()
        task.raw = self.json()
        return task

    def spec(self, **values: Any) -> Self:
        """Change the spec, as a user does: the generation moves."""
        changed = self._with("spec", **values)
        return changed.meta(generation=self.document["metadata"]["generation"] + 1)

    def status(self, **values: Any) -> Self:
        """Set fields of the status."""
        return self._with("status", **values)

    def cancelled(self, mode: str = "Graceful", reason: str = "") -> Self:
        """A user cancelled it."""
        return self.spec(cancellation={"mode": mode, "reason": reason})

    def running(self, since: float = 0) -> Self:
        """Its status says that its attempt has started."""
        task = self.build()
        return self.status(
            phase="Running", attempt=task.current_attempt, startTime=at(since), jobName=job_key(task).name
        )

    def failed_once(self, ended: float, due: float, reason: str = "Error", exit_code: int | None = 1) -> Self:
        """One more attempt failed, and the next one is due."""
        task = self.build()
        number = task.current_attempt
        entry = {"number": number, "jobName": job_key(task).name, "reason": reason, "completionTime": at(ended)}
        if exit_code is not None:
            entry["exitCode"] = exit_code
        return self.status(
            phase="Retrying",
            attempt=number,
            failedAttempts=task.status.failed_attempts + 1,
            nextAttemptTime=at(due),
            attempts=[*self.document.get("status", {}).get("attempts", ()), entry][-10:],
        )

    def ended(self, phase: str, when: float = 0) -> Self:
        """Its end stands in its status."""
        return self.status(phase=phase, completionTime=at(when), settled="True")


class QueueBuilder(Builder[Queue]):
    """A TaskQueue."""

    kind = Queue

    def spec(self, **values: Any) -> Self:
        """Change the spec: the generation moves."""
        changed = self._with("spec", **values)
        return changed.meta(generation=self.document["metadata"]["generation"] + 1)

    def annotated(self, written: float | None = None, by: str = "kubectl", **values: str) -> Self:
        """Somebody wrote annotations of `taskq.dev/`, at this second by the API server's clock, if it says so."""
        names = {f"taskq.dev/{name.replace('_', '-')}": value for name, value in values.items()}
        changed = self._with("metadata", "annotations", **names)
        if written is None:
            return changed
        owned = {"f:metadata": {"f:annotations": {f"f:{name}": {} for name in names}}}
        entry = {"manager": by, "operation": "Update", "time": at(written), "fieldsV1": owned}
        others = [e for e in self.document["metadata"].get("managedFields", ()) if e["manager"] != by]
        return changed.meta(managedFields=[*others, entry])


class TemplateBuilder(Builder[Template]):
    """A TaskTemplate."""

    kind = Template

    def build(self) -> Template:
        """The struct, with its document."""
        template = super().build()
        template.raw = self.json()
        return template


class JobBuilder(Builder[Job]):
    """The Job of an attempt."""

    kind = Job

    def active(self, pods: int = 1) -> Self:
        """So many pods of it run."""
        return self._with("status", active=pods)

    def complete(self, when: float) -> Self:
        """It succeeded and nothing of it runs."""
        return self._with("status", active=0, succeeded=1).condition("Complete", since=when)

    def failed(self, when: float, reason: str = "BackoffLimitExceeded", message: str = "") -> Self:
        """It failed and nothing of it runs."""
        return self._with("status", active=0, failed=1).condition("Failed", "True", reason, message, when)

    def stopping(self, reason: str) -> Self:
        """TaskQ has suspended it."""
        annotated = self._with("metadata", "annotations", **{STOP_REASON_ANNOTATION: reason})
        return annotated._with("spec", suspend=True)

    def stopped(self, reason: str, when: float) -> Self:
        """TaskQ has suspended it and its controller has done so."""
        return self.stopping(reason)._with("status", active=0).condition("Suspended", since=when)


class PodBuilder(Builder[Pod]):
    """A pod of an attempt's Job."""

    kind = Pod

    def _container(self, state: Document, **status: Any) -> Self:
        return self._with("status", containerStatuses=[{"name": "main", "state": state}], **status)

    def waiting(self, reason: str, message: str = "") -> Self:
        """Its container can't start yet."""
        return self._container({"waiting": {"reason": reason, "message": message}}, phase="Pending")

    def running(self, since: float = 0) -> Self:
        """Its container runs."""
        started = {"startedAt": at(since)}
        return self._container({"running": started}, phase="Running", startTime=at(since))

    def succeeded(self, when: float, message: str = "", since: float = 0) -> Self:
        """Its container ended with 0."""
        return self._ended(0, when, "Completed", message, since)._with("status", phase="Succeeded")

    def failed(self, exit_code: int, when: float, reason: str = "Error", message: str = "", since: float = 0) -> Self:
        """Its container ended with another code."""
        return self._ended(exit_code, when, reason, message, since)._with("status", phase="Failed")

    def killed(self, reason: str, message: str = "") -> Self:
        """The kubelet or a controller ended the pod and says why on the pod itself."""
        return self._with("status", phase="Failed", reason=reason, message=message)

    def _ended(self, exit_code: int, when: float, reason: str, message: str, since: float) -> Self:
        end = {
            "exitCode": exit_code,
            "reason": reason,
            "message": message,
            "startedAt": at(since),
            "finishedAt": at(when),
        }
        return self._container({"terminated": end}, startTime=at(since))


JOB_TEMPLATE: Document = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}}


def _metadata(name: str, uid: str, created: float) -> Document:
    return {
        "name": name,
        "namespace": NAMESPACE,
        "uid": uid,
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": at(created),
    }


def make_task(name: str = "task", *, uid: str = "", created: float = 0, **spec: Any) -> TaskBuilder:
    """A Task as a user has just created it, `created` seconds after T0."""
    if "templateRef" not in spec:
        spec.setdefault("jobTemplate", copy.deepcopy(JOB_TEMPLATE))
    return TaskBuilder(
        {
            "apiVersion": API_VERSION,
            "kind": "Task",
            "metadata": _metadata(name, uid or f"uid-of-{name}", created),
            "spec": spec,
            "status": {"observedGeneration": -1, "phase": "Pending"},
        }
    )


def make_queue(name: str = "default", **spec: Any) -> QueueBuilder:
    """A TaskQueue."""
    return QueueBuilder(
        {
            "apiVersion": API_VERSION,
            "kind": "TaskQueue",
            "metadata": _metadata(name, f"uid-of-queue-{name}", 0),
            "spec": spec,
        }
    )


def make_template(name: str = "template", job_template: Document | None = None, **spec: Any) -> TemplateBuilder:
    """A TaskTemplate."""
    return TemplateBuilder(
        {
            "apiVersion": API_VERSION,
            "kind": "TaskTemplate",
            "metadata": _metadata(name, f"uid-of-template-{name}", 0),
            "spec": {"jobTemplate": job_template or copy.deepcopy(JOB_TEMPLATE), **spec},
        }
    )


def make_job(task: Task, *, created: float = 0, uid: str = "", owner: str | None = None) -> JobBuilder:
    """The Job of the Task's current attempt, just created; `owner` is another Task's uid, or empty for nobody's."""
    key = job_key(task)
    controller = task.metadata.uid if owner is None else owner
    metadata = _metadata(key.name, uid or f"uid-of-{key.name}", created)
    metadata["labels"] = {
        LABEL_QUEUE: task.queue.name,
        LABEL_TASK: task.metadata.name,
        LABEL_ATTEMPT: str(task.current_attempt),
    }
    if controller:
        metadata["ownerReferences"] = [
            {
                "apiVersion": API_VERSION,
                "kind": "Task",
                "name": task.metadata.name,
                "uid": controller,
                "controller": True,
            }
        ]
    return JobBuilder({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {}, "status": {}})


def make_pod(job: Job, suffix: str = "a", *, created: float = 0) -> PodBuilder:
    """A pod of the Job, not yet scheduled."""
    meta = job.metadata
    metadata = _metadata(f"{meta.name}-{suffix}", f"uid-of-{meta.name}-{suffix}", created)
    metadata["labels"] = {
        "batch.kubernetes.io/job-name": meta.name,
        LABEL_QUEUE: meta.labels.get(LABEL_QUEUE, "default"),
    }
    metadata["ownerReferences"] = [
        {"apiVersion": "batch/v1", "kind": "Job", "name": meta.name, "uid": meta.uid, "controller": True}
    ]
    return PodBuilder({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Pending"}})
