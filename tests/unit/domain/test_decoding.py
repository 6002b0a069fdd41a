"""What is kept of a Task in memory."""

from __future__ import annotations

from typing import Any

import msgspec

from builders import make_job, make_pod, make_task
from taskq.domain.decoding import TaskDecoder, decode_pod
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import QueueSpec

POD = {"template": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}}


def manifest(**spec: Any) -> bytes:
    """A Task as the API server shows it, with the bookkeeping that others do in it."""
    metadata = {
        "name": "one",
        "namespace": "reports",
        "uid": "u-1",
        "resourceVersion": "7",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "managedFields": [{"manager": "somebody", "fieldsV1": {"f:spec": {}}}],
    }
    return msgspec.json.encode({"metadata": metadata, "spec": {"queueName": "nightly"} | spec})


def test_only_the_job_template_is_kept_of_a_manifest() -> None:
    """The rest is in the struct already, or nobody reads it; the Job is the same as from the whole."""
    raw = manifest(jobTemplate={"spec": POD})
    task = TaskDecoder(8192)(raw)
    assert task.raw == msgspec.json.encode({"spec": {"jobTemplate": {"spec": POD}}})
    assert job_manifest(task, task.raw, QueueSpec()) == job_manifest(task, raw, QueueSpec())


def test_nothing_is_kept_of_a_large_one() -> None:
    """It is read again at launch."""
    assert TaskDecoder(100)(manifest(jobTemplate={"spec": POD})).raw == b""


def test_tasks_that_leave_all_to_a_template_share_what_is_kept_of_them() -> None:
    """A launch has nothing to read of them; of others it reads the parameters."""
    decode = TaskDecoder(8192)
    one, other = (decode(manifest(templateRef={"name": "report"})) for _ in range(2))
    assert one.raw is other.raw
    given = [{"name": "day", "value": "Monday"}]
    assert decode(manifest(templateRef={"name": "report"}, parameters=given)).raw == msgspec.json.encode(
        {"spec": {"parameters": given}}
    )


def test_tasks_share_the_names_that_they_have_in_common() -> None:
    """Namespace, queue and phase: three strings less for each."""
    decode = TaskDecoder(8192)
    one, other = decode(manifest()), decode(manifest())
    assert one.metadata.namespace is other.metadata.namespace
    assert one.spec.queue_name is other.spec.queue_name
    assert one.status.phase is other.status.phase


def test_pods_share_what_they_have_in_common_and_keep_what_is_read() -> None:
    """Ten thousand of them may belong to one batch."""
    job = make_job(make_task().build()).build()
    pods = [make_pod(job, name).condition("DisruptionTarget", "True", "EvictionByEvictionAPI") for name in ("a", "b")]
    one, other = [decode_pod(pod.condition("Ready").json()) for pod in pods]
    assert one.metadata.labels == {"batch.kubernetes.io/job-name": job.metadata.name, "taskq.dev/queue": "default"}
    assert one.metadata.controller_uid == job.metadata.uid
    assert one.metadata.owner_references is other.metadata.owner_references
    assert [condition.type for condition in one.status.conditions] == ["DisruptionTarget"]


def test_an_item_that_is_done_shares_its_status_with_the_others() -> None:
    """Which of its words is anybody's? A pod that is no item keeps them: they are the Task's result."""
    pod = make_pod(make_job(make_task().build()).build()).succeeded(5, "42")
    labels = pod.document["metadata"]["labels"] | {"batch.kubernetes.io/job-completion-index": "7"}
    one, other = decode_pod(pod.meta(labels=labels).json()), decode_pod(pod.meta(labels=labels).json())
    assert (one.index, one.status.phase) == (7, "Succeeded")
    assert one.status is other.status
    assert decode_pod(pod.json()).status.container_statuses
