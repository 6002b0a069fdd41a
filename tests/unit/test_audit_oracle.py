"""The oracle of the kill loop, on crafted logs: it must see what it is for, and accuse nobody wrongly."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster_tools import audit

CAPS = {("ns", "fast"): 1}
Event = dict[str, Any]


def line(verb: str, resource: str, name: str, moment: int, *, code: int = 200, **more: Any) -> Event:
    """A request that came in at ``moment`` and was answered right after."""
    kind, _, sub = resource.partition("/")
    return {
        "verb": verb,
        "stage": "ResponseComplete",
        "objectRef": {"resource": kind, "subresource": sub, "namespace": "ns", "name": name},
        "responseStatus": {"code": code},
        "userAgent": "anybody",
        "requestReceivedTimestamp": f"2030-01-01T00:00:00.{moment * 10:06}Z",
        "stageTimestamp": f"2030-01-01T00:00:00.{moment * 10 + 5:06}Z",
        **more,
    }


def posted(task: str, moment: int, *, attempt: int = 1, job: str = "", uid: str = "", code: int = 201) -> Event:
    """A Job of a Task was created."""
    name = job or f"{task}-job{attempt}"
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": f"job-uid-{name}-{moment}",
        "resourceVersion": str(moment),
        "labels": {"taskq.dev/attempt": str(attempt), "taskq.dev/queue": "fast"},
        "ownerReferences": [{"kind": "Task", "name": task, "uid": uid or f"uid-{task}"}],
    }
    answer = {"responseObject": {"metadata": meta}} if code == 201 else {}
    return line("create", "jobs", name, moment, code=code, **answer)


def job_said(name: str, moment: int, **status: Any) -> Event:
    """The Job controller wrote a status."""
    meta = {"name": name, "namespace": "ns", "resourceVersion": str(moment), "uid": f"job-uid-{name}"}
    return line("update", "jobs/status", name, moment, responseObject={"metadata": meta, "status": status})


def seen_by_controller(start: Event, moment: int) -> Event:
    """The Job controller wrote the status of a Job whose creation it saw, whatever its creator was told."""
    job = {"metadata": start["responseObject"]["metadata"] | {"resourceVersion": str(moment)}, "status": {"active": 1}}
    name = start["objectRef"]["name"]
    return line("update", "jobs/status", name, moment, responseObject=job, userAgent="kube-controller-manager/v1")


def over(name: str, moment: int, kind: str = "Complete") -> Event:
    return job_said(name, moment, conditions=[{"type": kind, "status": "True"}])


def ended(task: str, moment: int, phase: str = "Succeeded", code: int = 200) -> Event:
    body = {"metadata": {"uid": f"uid-{task}"}, "status": {"phase": phase}}
    return line("patch", "tasks/status", task, moment, code=code, requestObject=body)


def judge(*events: Event, tasks: str = "a b", **options: Any) -> list[str]:
    named = {f"uid-{name}": name for name in tasks.split()}
    return audit.verdict(events, caps=CAPS, tasks=named, **options)


GOOD = (
    posted("a", 10),
    over("a-job1", 20, "Failed"),
    posted("a", 30, attempt=2),
    over("a-job2", 40),
    ended("a", 41),
    posted("b", 50),
    over("b-job1", 60),
    ended("b", 61),
)


def test_an_orderly_run_is_acquitted():
    """A retry included."""
    assert judge(*GOOD) == []


def test_an_attempt_started_twice_is_seen():
    """Also under another name of the Job."""
    assert "ns/a: attempt 1 started 2 times" in judge(*GOOD, posted("a", 70, job="a-random"))


def test_an_answer_that_a_job_exists_is_no_start():
    """409 is how the lock works."""
    assert judge(*GOOD, posted("a", 70, code=409)) == []


def test_a_job_whose_creator_was_killed_before_the_answer_is_a_start():
    """As soon as the Job controller has seen it; a second one for the attempt is one too many."""
    killed = line("create", "jobs", "b-job1", 50, code=504)
    job = posted("b", 50)
    assert judge(*GOOD[:5], killed, *GOOD[6:]) == []  # nothing came of it, and nobody says that b was started
    orderly = (*GOOD[:5], killed, seen_by_controller(job, 51), *GOOD[6:])
    assert judge(*orderly) == []
    assert judge(*orderly, posted("b", 70, job="b-random")) == ["ns/b: attempt 1 started 2 times"]


def test_the_status_of_a_job_is_no_second_start():
    """Its creation was answered."""
    assert judge(*GOOD, seen_by_controller(GOOD[5], 52)) == []


def test_an_attempt_left_out_is_seen():
    """The second without the first."""
    assert "ns/a: attempt 1 was never started" in judge(*GOOD[2:])


def test_a_task_without_an_end_is_seen():
    """Its last write was refused."""
    assert judge(*GOOD[:-1], ended("b", 61, code=409)) == ["b: never ended"]


def test_an_unanswered_end_counts_when_the_task_shows_it():
    """Or when the Task is gone, as after its time to live."""
    log = (*GOOD[:-1], ended("b", 61, code=504))
    assert judge(*log) == ["b: never ended"]
    assert judge(*log, phases={"uid-b": "Running"}) == ["b: never ended"]
    assert judge(*log, phases={"uid-b": "Failed"}) == []
    assert judge(*log, phases={}) == []
    assert judge(*GOOD[:-1], phases={}) == ["b: never ended"]


def test_a_task_that_ended_twice_is_seen():
    """Whatever the second end was."""
    assert judge(*GOOD, ended("b", 80, "Failed")) == ["b: ended 2 times"]


def test_a_task_that_its_user_deleted_need_not_end():
    """But when it did end, it did so once."""
    assert judge(*GOOD[:-1], deleted=["uid-b"]) == []
    assert judge(*GOOD, ended("b", 80), deleted=["uid-b"]) == ["b: ended 2 times"]


def test_a_full_queue_that_starts_another_is_seen():
    """b came while a ran."""
    events = (posted("a", 10), posted("b", 15), over("a-job1", 20), over("b-job1", 25), ended("a", 30), ended("b", 31))
    assert [text for text in judge(*events) if "queue ns/fast (at most 1) had 2 Jobs" in text]


def test_writes_are_ordered_by_their_versions_and_not_by_their_lines():
    """The line of a's end came late."""
    events = (posted("a", 10), posted("b", 25), over("a-job1", 20), over("b-job1", 35), ended("a", 40), ended("b", 41))
    assert judge(*events) == []


@pytest.mark.parametrize("kind", ["FailureTarget", "SuccessCriteriaMet"])
def test_an_announced_end_frees_nothing(kind):
    """Pods of it still terminate."""
    events = (posted("a", 10), over("a-job1", 20, kind), posted("b", 25), ended("a", 40), ended("b", 41))
    assert len(judge(*events)) == 1


def test_a_suspended_job_frees_its_slot_when_its_pods_have_gone():
    """Not when it is told to stop, and not while a pod terminates."""
    suspended = [{"type": "Suspended", "status": "True"}]
    stops = job_said("a-job1", 20, conditions=suspended, terminating=1)
    still = job_said("a-job1", 30, conditions=suspended)
    rest = (ended("a", 40, "Cancelled"), ended("b", 41))
    assert len(judge(posted("a", 10), stops, posted("b", 25), still, *rest)) == 1
    assert judge(posted("a", 10), stops, still, posted("b", 35), *rest) == []


def test_a_deleted_job_holds_its_slot_while_the_kubelet_has_its_pod():
    """And frees it at once when there was none."""
    deleted = line("delete", "jobs", "a-job1", 20)
    bound = line("create", "pods/binding", "a-job1-x7z", 12, code=201, userAgent="fake-kubelet")
    gone = line("delete", "pods", "a-job1-x7z", 33, userAgent="fake-kubelet")
    clock = over("other", 32)
    rest = (ended("a", 40, "Failed"), ended("b", 41))
    assert judge(posted("a", 10), deleted, posted("b", 25), *rest) == []
    assert len(judge(posted("a", 10), bound, deleted, posted("b", 25), gone, clock, *rest)) == 1
    assert judge(posted("a", 10), bound, deleted, gone, clock, posted("b", 35), *rest) == []


def test_a_job_of_an_unknown_task_is_seen():
    """The run's own Tasks are all that there should be."""
    assert judge(*GOOD, posted("c", 90)) == ["ns/c: not a Task of this run"]


def test_a_log_is_read_up_to_its_last_whole_line(tmp_path):
    """Somebody writes it meanwhile."""
    file = tmp_path / "audit.log"
    file.write_text(json.dumps(GOOD[0]) + "\n" + json.dumps(GOOD[1] | {"objectRef": {"namespace": "x"}}) + '\n{"verb')
    assert len(audit.read(file)) == 2
    assert audit.read(file, ["ns"]) == [GOOD[0]]
