"""The Job of one attempt: its name, which is the lock, and its manifest."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from taskq.domain import batch, hooks, policy
from taskq.domain.delivery import deliver
from taskq.domain.model import Job, Key, Lane, QueueSpec, Task, Timeouts
from taskq.domain.parameters import Values
from taskq.resources.common import (
    API_VERSION,
    CONCURRENCY_ANNOTATION,
    DEDUPLICATION_ANNOTATION,
    FAIR_SHARE_ANNOTATION,
    LABEL_ATTEMPT,
    LABEL_QUEUE,
    LABEL_TASK,
)

HARD_ONLY_GRACE_SECONDS = 10
"""With a hard timeout alone, a container is asked to stop this long before it is killed, or at half its time."""

_HASH_LENGTH = 12
_NAME_MAX = 63
"""A Job's name becomes a label of its pods."""

Manifest = dict[str, Any]


class _TemplateHolder(msgspec.Struct):
    """What a Task and a TaskTemplate have in common."""

    job_template: Manifest = msgspec.field(name="jobTemplate", default_factory=dict)


class _Document(msgspec.Struct):
    spec: _TemplateHolder


_decoder = msgspec.json.Decoder(_Document)
_encoder = msgspec.json.Encoder()


def job_key(task: Task) -> Key:
    """Name of the current attempt's Job: a function of the Task's name, uid and attempt, and of nothing else.

    Creating a Job under this name is the lock that makes an attempt unique; the uid keeps a Task that is created anew
    under the same name apart from its predecessor.
    """
    digest = hashlib.sha256(f"{task.metadata.uid}/{task.current_attempt}".encode()).hexdigest()
    prefix = task.metadata.name[: _NAME_MAX - _HASH_LENGTH - 1].replace(".", "-").rstrip("-")
    return Key(task.metadata.namespace, f"{prefix}-{digest[:_HASH_LENGTH]}")


def job_manifest(task: Task, document: bytes, rules: QueueSpec, values: Values | None = None) -> bytes:
    """The Job to create, from the JSON of the Task, or of its TaskTemplate, that holds the ``jobTemplate``.

    ``values`` are those of a TaskTemplate's parameters; a Job that is a Task's own has none.
    Raises :class:`msgspec.DecodeError` when the document has no readable ``spec.jobTemplate``.
    """
    template = _decoder.decode(document).spec.job_template
    labels = {
        LABEL_QUEUE: task.queue.name,
        LABEL_TASK: task.metadata.name,
        LABEL_ATTEMPT: str(task.current_attempt),
    }
    pod = _child(_child(template, "spec"), "template")
    _label(pod, labels)
    _run_once(_child(pod, "spec"), policy.timeouts(task, rules))
    parameters = deliver(pod, values) if values else []
    _tell_containers(pod["spec"], _environment(task, rules) + hooks.environment(task) + parameters)
    spec = template["spec"] | {"backoffLimit": 0, "suspend": False}
    spec.pop("ttlSecondsAfterFinished", None)
    if task.spec.batch:
        spec |= batch.job_fields(task.spec.batch, spec)
    _label(template, labels)
    metadata = template["metadata"]
    _annotate(metadata, task, policy.lane(task, rules))
    metadata |= {
        "name": job_key(task).name,
        "namespace": task.metadata.namespace,
        "ownerReferences": [_owner(task)],
    }
    return _encoder.encode({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})


def kubelet_limits(limits: Timeouts) -> Manifest:
    """The pod's deadline and grace period that make the kubelet keep ``timeouts``.

    At the deadline the kubelet sends SIGTERM, and SIGKILL when the grace period is over.
    """
    soft, hard = limits.soft_seconds, limits.hard_seconds
    if soft is None and hard is None:
        return {}
    if hard is None:
        return {"activeDeadlineSeconds": soft}
    if soft is None:
        soft = hard - max(1, min(HARD_ONLY_GRACE_SECONDS, hard // 2)) or 1
    return {"activeDeadlineSeconds": soft, "terminationGracePeriodSeconds": max(1, hard - soft)}


def _child(parent: Manifest, name: str) -> Manifest:
    child = parent.get(name)
    if not isinstance(child, dict):
        child = parent[name] = {}
    return child


def _label(holder: Manifest, labels: dict[str, str]) -> None:
    metadata = _child(holder, "metadata")
    metadata["labels"] = (metadata.get("labels") or {}) | labels


def _annotate(metadata: Manifest, task: Task, lane: Lane) -> None:
    """Record what the Task shared when it started: its own labels may be changed, or it deleted, while it runs."""
    key = task.spec.deduplication.key if task.spec.deduplication else ""
    record = {FAIR_SHARE_ANNOTATION: lane.fair, CONCURRENCY_ANNOTATION: lane.key, DEDUPLICATION_ANNOTATION: key}
    if any(record.values()):
        metadata["annotations"] = (metadata.get("annotations") or {}) | {k: v for k, v in record.items() if v}


def lane_of(job: Job) -> Lane:
    """What was recorded of a Job's lane."""
    recorded = job.metadata.annotations
    return Lane(recorded.get(FAIR_SHARE_ANNOTATION, ""), recorded.get(CONCURRENCY_ANNOTATION, ""))


def _run_once(pod_spec: Manifest, limits: Timeouts) -> None:
    pod_spec["restartPolicy"] = "Never"
    pod_spec.update(kubelet_limits(limits))


def _environment(task: Task, rules: QueueSpec) -> list[Manifest]:
    facts = {
        "NAME": task.metadata.name,
        "UID": task.metadata.uid,
        "NAMESPACE": task.metadata.namespace,
        "QUEUE": task.queue.name,
        "ATTEMPT": task.current_attempt,
        "MAX_ATTEMPTS": policy.retry_policy(task, rules).max_attempts,
    }
    return [{"name": f"TASKQ_TASK_{name}", "value": str(value)} for name, value in facts.items()]


def _tell_containers(pod_spec: Manifest, environment: list[Manifest]) -> None:
    """Give every container the Task's facts; first, so that the user's own variables may refer to them."""
    for kind in ("initContainers", "containers"):
        for container in pod_spec.get(kind) or ():
            own = container.get("env") or []
            named = {variable.get("name") for variable in own}
            container["env"] = [v for v in environment if v["name"] not in named] + own


def _owner(task: Task) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "name": task.metadata.name,
        "uid": task.metadata.uid,
        "controller": True,
    }
