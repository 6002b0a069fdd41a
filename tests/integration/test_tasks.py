"""What a Task can say, each field at work on a real API server and Job controller; only the kubelet is a fake."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import localcluster
from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, job_template, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")


def environment(job: dict[str, Any], container: int = 0) -> dict[str, str]:
    """What a container is told."""
    listed = job["spec"]["template"]["spec"]["containers"][container].get("env", [])
    return {variable["name"]: variable.get("value", "") for variable in listed}


def time_of(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


# --- from the queue to the Job ------------------------------------------------------------------------------------


def test_a_task_runs_and_succeeds(desk: Desk) -> None:
    """From nothing but a jobTemplate to an outcome, in a namespace without any TaskQueue."""
    desk.task("hello", {"message": "the answer is 42"})
    task = desk.wait_end("hello")
    status = task["status"]
    assert status["phase"] == "Succeeded"
    assert status["result"] == "the answer is 42"
    assert (status["queueName"], status["attempt"], status["settled"]) == ("default", 1, "True")
    assert status["observedGeneration"] == task["metadata"]["generation"]
    assert [start.attempt for start in audit.starts(desk.audit())] == [1]
    (attempt,) = status["attempts"]
    assert (attempt["number"], attempt["reason"], attempt["exitCode"]) == (1, "Succeeded", 0)
    assert attempt["jobName"] == status["jobName"] == desk.jobs("hello")[0]["metadata"]["name"]
    assert attempt["podName"].startswith(status["jobName"])
    times = [task["metadata"]["creationTimestamp"], status["startTime"], status["completionTime"]]
    assert sorted(times, key=time_of) == times


def test_a_task_waits_in_the_queue_that_it_names(desk: Desk) -> None:
    """And in no other."""
    desk.queue("shut", state="Paused")
    desk.task("waits", queueName="shut")
    desk.task("runs")
    desk.wait_phase("runs", "Succeeded")
    assert desk.get("waits")["status"]["phase"] == "Pending"
    assert desk.jobs("waits") == []
    desk.change("shut", "TaskQueue", state="Open")
    assert desk.wait_phase("waits", "Succeeded")["status"]["queueName"] == "shut"
    assert desk.jobs("waits")[0]["metadata"]["labels"]["taskq.dev/queue"] == "shut"


def test_the_highest_priority_starts_first(desk: Desk) -> None:
    """Equal ones by creation; a change counts while the Task waits."""
    desk.queue("line", state="Paused", maxConcurrency=1)
    for name, priority in {"low": -1, "first": 5, "second": 5, "none": None, "raised": 1}.items():
        desk.task(name, queueName="line", **({} if priority is None else {"priority": priority}))
    desk.change("raised", priority=9)
    desk.change("line", "TaskQueue", state="Open")
    desk.wait_end("low")
    created = sorted(("first", "second"), key=lambda name: (desk.get(name)["metadata"]["creationTimestamp"], name))
    assert desk.started() == ["raised", *created, "none", "low"]
    assert desk.get("raised")["status"]["effectivePriority"] == 9


def test_a_suspended_task_waits_until_it_is_resumed(desk: Desk) -> None:
    """Others pass it by."""
    desk.task("held", suspend=True)
    desk.task("other")
    desk.wait_phase("other", "Succeeded")
    assert desk.jobs("held") == []
    desk.change("held", suspend=False)
    desk.wait_phase("held", "Succeeded")


def test_a_running_attempt_goes_on_when_its_task_is_suspended(desk: Desk, kubelet: FakeKubelet) -> None:
    """But no further one starts."""
    desk.task("paused", {"hold": True}, {}, retryPolicy=retries(2))
    desk.wait_pod("paused")
    desk.change("paused", suspend=True)
    kubelet.finish(desk.namespace, "paused", exit_code=1)
    desk.wait_phase("paused", "Retrying")
    desk.task("other")
    desk.wait_phase("other", "Succeeded")
    assert len(desk.jobs("paused")) == 1
    desk.change("paused", suspend=False)
    assert desk.wait_end("paused")["status"]["attempt"] == 2


def test_a_task_does_not_start_before_its_time(desk: Desk) -> None:
    """However empty the queue is."""
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    desk.task("later", notBeforeTime=due.isoformat())
    desk.task("now")
    desk.wait_phase("now", "Succeeded")
    desk.wait_phase("later", "Succeeded")
    assert desk.started() == ["now", "later"]
    assert time_of(desk.jobs("later")[0]["metadata"]["creationTimestamp"]) >= due


def test_a_task_that_is_not_started_in_time_expires(desk: Desk) -> None:
    """It never had a Job, and says which field ended it."""
    desk.queue("shut", state="Paused")
    desk.task("stale", queueName="shut", startingDeadlineSeconds=1)
    task = desk.wait_end("stale")
    assert task["status"]["phase"] == "Expired"
    failed = conditions(task)["Failed"]
    assert failed["reason"] == "StartingDeadlineExceeded"
    assert "spec.startingDeadlineSeconds" in failed["message"]
    assert "shut" in failed["message"]
    assert desk.started() == []


def test_the_deadline_to_start_says_nothing_about_a_task_that_runs(desk: Desk) -> None:
    """Nor about its retries."""
    desk.task("slow", {"seconds": 2, "exitCode": 1}, {}, startingDeadlineSeconds=1, retryPolicy=retries(2))
    assert desk.wait_end("slow")["status"]["phase"] == "Succeeded"


# --- the Job ------------------------------------------------------------------------------------------------------


def test_the_job_is_what_the_template_says(desk: Desk) -> None:
    """All passes through, but for what makes one attempt one pod."""
    template = job_template()
    template["metadata"] = {"labels": {"team": "blue"}, "annotations": {"why": "nightly"}}
    failing = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    template["spec"] |= {"podFailurePolicy": {"rules": [failing]}, "ttlSecondsAfterFinished": 1, "backoffLimit": 3}
    template["spec"]["template"]["metadata"]["labels"] = {"app": "report"}
    pod = template["spec"]["template"]["spec"]
    pod |= {"priorityClassName": "system-cluster-critical", "nodeSelector": {"disk": "fast"}}
    pod["containers"] = [
        {"name": "main", "image": "busybox:1.36", "env": [{"name": "MODE", "value": "$(TASKQ_TASK_NAME)!"}]},
        {"name": "side", "image": "busybox:1.36", "resources": {"limits": {"memory": "1Gi"}}},
    ]
    made = desk.task("whole", jobTemplate=template, suspend=True)
    desk.change("whole", suspend=False)
    job = desk.wait_job("whole")
    assert job["metadata"]["annotations"]["why"] == "nightly"
    ours = {"taskq.dev/queue": "default", "taskq.dev/task": "whole", "taskq.dev/attempt": "1"}
    assert job["metadata"]["labels"].items() >= (ours | {"team": "blue"}).items()
    (owner,) = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("Task", "whole", made["metadata"]["uid"])
    assert owner["controller"] is True
    assert "blockOwnerDeletion" not in owner
    spec = job["spec"]
    assert spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"] == [42]
    assert (spec["backoffLimit"], spec["suspend"]) == (0, False)
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["template"]["metadata"]["labels"].items() >= (ours | {"app": "report"}).items()
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["template"]["spec"]["nodeSelector"] == {"disk": "fast"}
    assert spec["template"]["spec"]["priorityClassName"] == "system-cluster-critical"
    assert [container["name"] for container in spec["template"]["spec"]["containers"]] == ["main", "side"]
    assert spec["template"]["spec"]["containers"][1]["resources"] == {"limits": {"memory": "1Gi"}}
    assert environment(job)["MODE"] == "$(TASKQ_TASK_NAME)!"


def test_every_container_is_told_of_its_task(desk: Desk) -> None:
    """Init containers as well; the attempt's number is that of the attempt."""
    template = job_template({"exitCode": 1}, {}, initContainers=[{"name": "init", "image": "busybox:1.36"}])
    made = desk.task("told", jobTemplate=template, retryPolicy=retries(3))
    desk.wait_end("told")
    for number, job in enumerate(desk.jobs("told"), 1):
        wanted = {
            "TASKQ_TASK_NAME": "told",
            "TASKQ_TASK_UID": made["metadata"]["uid"],
            "TASKQ_TASK_NAMESPACE": desk.namespace,
            "TASKQ_TASK_QUEUE": "default",
            "TASKQ_TASK_ATTEMPT": str(number),
            "TASKQ_TASK_MAX_ATTEMPTS": "3",
        }
        assert environment(job).items() >= wanted.items()
        (init,) = job["spec"]["template"]["spec"]["initContainers"]
        assert {variable["name"] for variable in init["env"]} >= set(wanted)


def test_a_deadline_of_the_template_passes_through(desk: Desk) -> None:
    """Of the pod and of the Job; both end the attempt as TimedOut."""
    desk.task("pod", jobTemplate=job_template({"hold": True}, activeDeadlineSeconds=1, terminationGracePeriodSeconds=7))
    template = job_template({"hold": True})
    template["spec"]["activeDeadlineSeconds"] = 1
    desk.task("job", jobTemplate=template)
    pod_spec = desk.wait_job("pod")["spec"]["template"]["spec"]
    assert (pod_spec["activeDeadlineSeconds"], pod_spec["terminationGracePeriodSeconds"]) == (1, 7)
    assert desk.wait_job("job")["spec"]["activeDeadlineSeconds"] == 1
    for name in ("pod", "job"):
        task = desk.wait_end(name)
        assert task["status"]["phase"] == "Failed"
        assert task["status"]["attempts"][0]["reason"] == "TimedOut", name


def test_timeouts_become_the_pods_deadline_and_grace(desk: Desk) -> None:
    """The kubelet keeps them; a container that ends with 0 after the soft limit has not succeeded."""
    desk.task("soft", {"hold": True, "stopCode": 0}, timeouts={"softSeconds": 1, "hardSeconds": 6})
    desk.task("hard", {}, timeouts={"hardSeconds": 40})
    pod = desk.wait_job("soft")["spec"]["template"]["spec"]
    assert (pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"]) == (1, 5)
    pod = desk.wait_job("hard")["spec"]["template"]["spec"]
    assert (pod["activeDeadlineSeconds"], pod["terminationGracePeriodSeconds"]) == (30, 10)
    task = desk.wait_end("soft")
    assert task["status"]["phase"] == "Failed"
    assert task["status"]["attempts"][0]["reason"] == "TimedOut"
    assert "timeouts.softSeconds" in task["status"]["attempts"][0]["message"]
    assert desk.wait_end("hard")["status"]["phase"] == "Succeeded"


def test_a_pod_that_never_starts_ends_as_pending_timeout(desk: Desk) -> None:
    """Before that the Task says why it does not start."""
    broken = {"waiting": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/x:1"'}
    desk.task("broken", broken, timeouts={"pendingSeconds": 5})
    task = desk.wait(
        "broken", lambda task: conditions(task).get("Reconciling", {}).get("reason") == "ImagePullFailed", "says why"
    )
    assert "spec.jobTemplate" in conditions(task)["Reconciling"]["message"]
    assert "nowhere/x:1" in conditions(task)["Reconciling"]["message"]
    task = desk.wait_end("broken")
    assert task["status"]["phase"] == "Failed"
    attempt = task["status"]["attempts"][0]
    assert attempt["reason"] == "PendingTimeout"
    assert "timeouts.pendingSeconds" in attempt["message"]
    assert "nowhere/x:1" in attempt["message"]


# --- what is written ----------------------------------------------------------------------------------------------


def test_the_result_is_the_termination_message(desk: Desk) -> None:
    """Of the attempt that succeeded; a failed one's is kept as its message."""
    desk.task("told", {"exitCode": 1, "message": "disk full"}, {"message": "ü" * 3000}, retryPolicy=retries(2))
    status = desk.wait_end("told")["status"]
    assert status["phase"] == "Succeeded"
    assert status["attempts"][0]["message"] == "disk full"
    assert status["result"] == "ü" * 2048  # 4096 bytes


def test_only_the_latest_ten_attempts_are_kept(desk: Desk) -> None:
    """The counts know of all."""
    desk.task("stubborn", {"exitCode": 1}, retryPolicy=retries(12))
    status = desk.wait_end("stubborn")["status"]
    assert [attempt["number"] for attempt in status["attempts"]] == list(range(3, 13))
    assert (status["attempt"], status["failedAttempts"]) == (12, 12)
    assert [start.attempt for start in audit.starts(desk.audit())] == list(range(1, 13))


def test_conditions_speak_both_dialects(desk: Desk, kubelet: FakeKubelet) -> None:
    """kstatus reads Reconciling and Stalled; kubectl reads Complete, Failed and Finished."""
    desk.task("long", {"hold": True})
    task = desk.wait_phase("long", "Running")
    held = {kind: condition["status"] for kind, condition in conditions(task).items()}
    assert held == {"Admitted": "True", "Reconciling": "True"}
    kubelet.finish(desk.namespace, "long")
    held = {kind: condition["status"] for kind, condition in conditions(desk.wait_end("long")).items()}
    assert held == {"Admitted": "True", "Complete": "True", "Finished": "True"}
    desk.task("bad", {"exitCode": 1})
    task = desk.wait_end("bad")
    held = {kind: condition["status"] for kind, condition in conditions(task).items()}
    assert held == {"Admitted": "True", "Failed": "True", "Finished": "True", "Stalled": "True"}
    for condition in conditions(task).values():
        assert condition["observedGeneration"] == task["metadata"]["generation"]


@pytest.mark.parametrize(
    ("condition", "step"),
    [("Complete", {}), ("Failed", {"exitCode": 1}), ("Finished", {}), ("Finished", {"exitCode": 1})],
)
def test_kubectl_wait_works(desk: Desk, cluster: localcluster.Cluster, condition: str, step: dict[str, Any]) -> None:
    """As for a Job."""
    desk.task("awaited", step)
    command = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "--namespace", desk.namespace, "wait"]
    subprocess.run(
        [*command, f"--for=condition={condition}", "--timeout=60s", "tasks.taskq.dev/awaited"],
        check=True,
        capture_output=True,
    )


def test_what_went_wrong_is_told_in_events(desk: Desk) -> None:
    """A plain success is not worth one."""
    desk.task("fine")
    desk.task("wrong", {"exitCode": 9, "message": "no such table"}, retryPolicy=retries(2))
    desk.wait_end("fine")
    desk.wait_end("wrong")

    def told() -> dict[str, dict[str, Any]] | None:
        found = {event["reason"]: event for event in desk.events("wrong")}
        return found if len(found) == 2 else None

    events = until(told, "two Events")
    assert set(events) == {"AttemptFailed", "RetriesExhausted"}
    assert {event["type"] for event in events.values()} == {"Warning"}
    assert all("no such table" in event["message"] for event in events.values())
    assert desk.events("fine") == []


# --- cancelled, deleted, made anew --------------------------------------------------------------------------------


def test_a_waiting_task_is_cancelled(desk: Desk) -> None:
    """In every mode; the reason is kept."""
    desk.queue("shut", state="Paused")
    for mode in ("IfPending", "Graceful", "Immediate"):
        desk.task(mode.lower(), queueName="shut")
        desk.change(mode.lower(), cancellation={"mode": mode, "reason": "not needed"})
        task = desk.wait_end(mode.lower())
        assert task["status"]["phase"] == "Cancelled"
        assert "not needed" in conditions(task)["Finished"]["message"]
    assert desk.started() == []


def test_the_mode_decides_how_far_a_cancellation_goes(desk: Desk, kubelet: FakeKubelet) -> None:
    """IfPending lets a running attempt go on, Graceful gives it its grace period, Immediate does not."""
    stubborn = {"hold": True, "stopSeconds": 60}
    patient = {"hold": True, "stopSeconds": 1, "stopCode": 3}
    for name, step in {"spared": {"hold": True}, "asked": patient, "killed": stubborn}.items():
        desk.task(name, jobTemplate=job_template(step, terminationGracePeriodSeconds=120))
        desk.wait_pod(name)
    for name, mode in {"spared": "IfPending", "asked": "Graceful", "killed": "Immediate"}.items():
        desk.change(name, cancellation={"mode": mode})
    for name, code in {"asked": 3, "killed": 137}.items():
        status = desk.wait_end(name)["status"]
        assert status["phase"] == "Cancelled"
        assert (status["attempts"][0]["reason"], status["attempts"][0].get("exitCode")) == ("Cancelled", code)
    kubelet.finish(desk.namespace, "spared")
    assert desk.wait_end("spared")["status"]["phase"] == "Succeeded"
    assert len(desk.started()) == 3


def test_a_cancelled_task_is_not_tried_again(desk: Desk) -> None:
    """While it waits for its next attempt."""
    slow = {"maxAttempts": 5, "backoff": {"type": "Fixed", "baseSeconds": 600}}
    desk.task("hopeless", {"exitCode": 1}, retryPolicy=slow)
    desk.wait_phase("hopeless", "Retrying")
    desk.change("hopeless", cancellation={})
    status = desk.wait_end("hopeless")["status"]
    assert status["phase"] == "Cancelled"
    assert [attempt["exitCode"] for attempt in status["attempts"]] == [1]


def test_a_deleted_task_frees_its_slot_when_its_pods_have_ended(desk: Desk) -> None:
    """Not when it is deleted."""
    desk.queue("single", maxConcurrency=1)
    desk.task("first", {"hold": True, "stopSeconds": 3}, queueName="single")
    desk.wait_pod("first")
    desk.task("second", queueName="single")
    desk.delete("Task", "first")
    desk.wait_gone("Task", "first")
    desk.wait_end("second")
    events = desk.audit()
    assert audit.overruns(events, {(desk.namespace, "single"): 1}) == []
    pod = audit.requests(events, "delete", "pods", agent="fake-kubelet")[0]["objectRef"]["name"]
    told = audit.requests(events, "patch", "pods/status", agent="fake-kubelet")
    ended = [event for event in told if event["objectRef"]["name"] == pod][-1]["requestReceivedTimestamp"]
    second = next(
        event
        for event in audit.requests(events, "create", "jobs")
        if event["responseObject"]["metadata"]["labels"]["taskq.dev/task"] == "second"
    )
    assert second["stageTimestamp"] > ended


def test_a_task_made_anew_under_the_same_name_is_another_one(desk: Desk) -> None:
    """It gets a Job of its own while its predecessor's still ends."""
    first = desk.task("again", {"hold": True, "stopSeconds": 2})
    desk.wait_pod("again")
    desk.delete("Task", "again")
    desk.wait_gone("Task", "again")
    second = desk.task("again", {"message": "second"})
    status = desk.wait_end("again")["status"]
    assert (status["phase"], status["result"], status["attempt"]) == ("Succeeded", "second", 1)
    uids = [start.uid for start in audit.starts(desk.audit())]
    assert uids == [first["metadata"]["uid"], second["metadata"]["uid"]]
