"""What only a real kubelet shows: signals, exit codes, termination messages, evictions, and what a pod is told.

All Tasks start together, so that their waits overlap; each test then does to its own Task what it is about.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client as kubernetes

from cluster_tools.desk import Desk, Json, conditions
from cluster_tools.waiting import until

pytestmark = pytest.mark.slow

MISSING_IMAGE = "registry.invalid/no/such:image"
GRACE_SECONDS = 30
TRAP = "trap 'echo \"{words}\" > /dev/termination-log; exit {code}' TERM\nsleep 600 & wait"
DEAF = "trap '' TERM\nwhile true; do sleep 1; done"
UNTIL_RETRIED = "trap 'exit 1' TERM\n[ $TASKQ_TASK_ATTEMPT -ge 2 ] && exit 0\nsleep 600 & wait"


def job(script: str, *, container: Json | None = None, **pod: Any) -> Json:
    """A Job template whose container runs a script."""
    main = {
        "name": "main",
        "image": "busybox:1.36",
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", script],
        **(container or {}),
    }
    return {"spec": {"template": {"spec": {"containers": [main], **pod}}}}


def retry(attempts: int, **policy: Any) -> Json:
    """A retry policy that does not wait."""
    return {"maxAttempts": attempts, "backoff": {"type": "Fixed", "baseSeconds": 0, "jitterPercent": 0}, **policy}


TASKS: dict[str, Json] = {
    "says": {"jobTemplate": job("echo to the log; env | grep ^TASKQ_TASK_ | sort > /dev/termination-log")},
    "fails-twice": {
        "jobTemplate": job(
            'case $TASKQ_TASK_ATTEMPT in 1) echo "no rows" > /dev/termination-log; exit 7;; 2) exit 9;; esac'
        ),
        "retryPolicy": retry(3),
    },
    "soft": {
        "jobTemplate": job(TRAP.format(words="saved 42 rows", code=0)),
        "timeouts": {"softSeconds": 8, "hardSeconds": 38},
    },
    "hard": {"jobTemplate": job(DEAF), "timeouts": {"softSeconds": 8, "hardSeconds": 10}},
    "no-image": {"jobTemplate": job("true", container={"image": MISSING_IMAGE})},
    "no-image-in-time": {
        "jobTemplate": job("true", container={"image": MISSING_IMAGE}),
        "timeouts": {"pendingSeconds": 15},
    },
    "no-config": {
        "jobTemplate": job(
            'echo "$GREETING" > /dev/termination-log',
            container={"envFrom": [{"configMapRef": {"name": "comes-later"}}]},
        )
    },
    "no-command": {"jobTemplate": job("true", container={"command": ["/no/such/command"]})},
    "no-node": {"jobTemplate": job("true", container={"resources": {"requests": {"cpu": "1000"}}})},
    "graceful": {"jobTemplate": job(TRAP.format(words="stopped at row 7", code=0))},
    "immediate": {"jobTemplate": job(DEAF, terminationGracePeriodSeconds=GRACE_SECONDS)},
    "held": {"jobTemplate": job("true"), "suspend": True},
    "pod-deleted": {"jobTemplate": job(UNTIL_RETRIED), "retryPolicy": retry(2)},
    "evicted": {"jobTemplate": job(UNTIL_RETRIED), "retryPolicy": retry(1)},
    "greedy": {
        "jobTemplate": job(
            "exec dd if=/dev/zero of=/dev/null bs=200M count=1",
            container={"resources": {"limits": {"memory": "32Mi"}}},
        ),
        "retryPolicy": retry(3, rules=[{"reasons": ["OOMKilled"], "action": "Fail"}]),
    },
    "job-deleted": {"jobTemplate": job(UNTIL_RETRIED), "retryPolicy": retry(2)},
}

TELLS = """
{ printf '%s|' "$@"; echo; printf '%s|' "$TASKQ_PARAM_TEXT" "$TASKQ_PARAM_FROM_MAP" "$TASKQ_PARAM_TOP_N"; echo
  echo "$TASKQ_PARAM_PASSWORD" | md5sum; cat /etc/taskq/params.json; echo
  ! touch /etc/taskq/more 2> /dev/null || echo writable
} > /dev/termination-log
"""
NASTY = "$(TASKQ_TASK_UID) $$(X) $(id) `id` \"; id #' \\n --flag ünïcode"


def _parameters(desk: Desk) -> None:
    """A template with every kind of parameter, and a Task that gives values which look like code."""
    meta = {"metadata": {"name": "parameters"}}
    desk.core.create_namespaced_secret(desk.namespace, {**meta, "stringData": {"password": "hunter2"}})
    desk.core.create_namespaced_config_map(desk.namespace, {**meta, "data": {"text": "from the map"}})
    command = ["sh", "-c", TELLS, "sh", "$(params.text)", "--top=$(params.top-n)", "$$(params.text)"]
    schema = [
        {"name": "text", "required": True},
        {"name": "top-n", "type": "Integer", "default": "10"},
        {"name": "from-map"},
        {"name": "password", "sensitive": True},
    ]
    job_template = job("", container={"command": command})
    desk.create("TaskTemplate", "tells", {"queueName": "wide", "parameters": schema, "jobTemplate": job_template})
    given = [
        {"name": "text", "value": NASTY},
        {"name": "from-map", "valueFrom": {"configMapKeyRef": {"name": "parameters", "key": "text"}}},
        {"name": "password", "valueFrom": {"secretKeyRef": {"name": "parameters", "key": "password"}}},
    ]
    desk.task("told", templateRef={"name": "tells"}, parameters=given)


@pytest.fixture(scope="module", autouse=True)
def started(desk: Desk) -> None:
    """All Tasks at once, in a queue with room for them, and two in a queue with room for one."""
    desk.queue("wide", maxConcurrency=100)
    _parameters(desk)
    for name, spec in TASKS.items():
        desk.task(name, **spec, queueName="wide")
    desk.queue("one", maxConcurrency=1)
    slow_to_go = "trap 'sleep 4; exit 0' TERM\nsleep 600 & wait"
    desk.task("goes-slowly", jobTemplate=job(slow_to_go), queueName="one", priority=9)
    desk.wait_job("goes-slowly")
    desk.task("comes-next", jobTemplate=job("true"), queueName="one")


def attempts(task: Json) -> list[Json]:
    """How its attempts ended."""
    found: list[Json] = task["status"]["attempts"]
    return found


def seconds(stamp: str) -> float:
    """A time of the API as epoch seconds."""
    return datetime.fromisoformat(stamp).timestamp()


# --- what ends by itself ------------------------------------------------------------------------------------------


def test_a_container_learns_who_it_is_and_its_message_is_the_result(desk: Desk) -> None:
    """The six variables are there; the termination message comes back whole."""
    task = desk.wait_phase("says", "Succeeded")
    assert task["status"]["result"].splitlines() == [
        "TASKQ_TASK_ATTEMPT=1",
        "TASKQ_TASK_MAX_ATTEMPTS=1",
        "TASKQ_TASK_NAME=says",
        f"TASKQ_TASK_NAMESPACE={desk.namespace}",
        "TASKQ_TASK_QUEUE=wide",
        f"TASKQ_TASK_UID={task['metadata']['uid']}",
    ]
    assert attempts(task)[0]["exitCode"] == 0
    assert set(conditions(task)) == {"Admitted", "Complete", "Finished"}


def test_a_container_gets_its_parameters_as_they_were_given(desk: Desk) -> None:
    """As arguments, environment and file, and nothing of them is run; the Secret is in the environment alone."""
    task = desk.wait_phase("told", "Succeeded")
    arguments, environment, password, file, *rest = task["status"]["result"].splitlines()
    assert arguments == f"{NASTY}|--top=10|$(params.text)|"
    assert environment == f"{NASTY}|from the map|10|"
    assert password.split()[0] == hashlib.md5(b"hunter2\n").hexdigest()
    assert json.loads(file) == {"text": NASTY, "top-n": 10}
    assert rest == []
    assert "hunter2" not in json.dumps([task, desk.jobs("told"), desk.pods("told"), desk.events("told")])


def test_the_log_can_be_read_after_the_end(desk: Desk) -> None:
    """The Job and its pod stay as long as the Task does."""
    task = desk.wait_phase("says", "Succeeded")
    assert desk.core.read_namespaced_pod_log(attempts(task)[0]["podName"], desk.namespace) == "to the log\n"


def test_every_attempt_keeps_its_exit_code_and_words(desk: Desk) -> None:
    """Two failures and a success, each a Job of its own."""
    task = desk.wait_phase("fails-twice", "Succeeded")
    assert [(a["number"], a["reason"], a["exitCode"]) for a in attempts(task)] == [
        (1, "Error", 7),
        (2, "Error", 9),
        (3, "Succeeded", 0),
    ]
    assert [a.get("message") for a in attempts(task)] == ["no rows", "Exit code 9", None]
    assert task["status"]["failedAttempts"] == 2
    assert len(desk.jobs("fails-twice")) == 3


def test_the_soft_limit_gives_time_to_tidy_up(desk: Desk) -> None:
    """The trap runs and its words are kept; it is a timeout also when the container then exits with 0."""
    task = desk.wait_phase("soft", "Failed")
    [attempt] = attempts(task)
    assert (attempt["reason"], attempt["exitCode"]) == ("TimedOut", 0)
    assert attempt["message"].endswith("(timeouts.softSeconds 8, timeouts.hardSeconds 38): saved 42 rows")
    assert task["status"]["reason"] == "RetriesExhausted"
    assert "result" not in task["status"]


def test_the_hard_limit_kills_who_does_not_listen(desk: Desk) -> None:
    """SIGKILL shows as exit code 137."""
    [attempt] = attempts(desk.wait_phase("hard", "Failed"))
    assert (attempt["reason"], attempt["exitCode"]) == ("TimedOut", 137)


def test_an_image_that_is_not_there_is_named(desk: Desk) -> None:
    """A condition names it as long as the pod waits for it, which may be long."""
    waiting = desk.wait_condition("no-image", "Reconciling", reason="ImagePullFailed")
    assert MISSING_IMAGE in conditions(waiting)["Reconciling"]["message"]
    assert waiting["status"]["phase"] == "Running"
    desk.change("no-image", cancellation={})
    desk.wait_phase("no-image", "Cancelled")


def test_an_image_is_waited_for_only_so_long(desk: Desk) -> None:
    """pendingSeconds ends the attempt, which says what was in the way."""
    [attempt] = attempts(desk.wait_phase("no-image-in-time", "Failed"))
    assert attempt["reason"] == "PendingTimeout"
    assert MISSING_IMAGE in attempt["message"]
    assert "exitCode" not in attempt


def test_a_missing_config_map_is_named_and_the_task_goes_on_once_it_is_there(desk: Desk) -> None:
    """The kubelet tries again by itself; so nothing has to be created anew."""
    waiting = desk.wait_condition("no-config", "Reconciling", reason="ContainerConfigError")
    assert "comes-later" in conditions(waiting)["Reconciling"]["message"]
    desk.core.create_namespaced_config_map(
        desk.namespace, {"metadata": {"name": "comes-later"}, "data": {"GREETING": "here I am"}}
    )
    assert desk.wait_phase("no-config", "Succeeded")["status"]["result"] == "here I am\n"


def test_a_command_that_does_not_exist_is_a_start_error(desk: Desk) -> None:
    """And its message names the command."""
    [attempt] = attempts(desk.wait_phase("no-command", "Failed"))
    assert attempt["reason"] == "StartError"
    assert "/no/such/command" in attempt["message"]


def test_a_container_above_its_memory_is_oom_killed(desk: Desk) -> None:
    """A rule by that reason makes it final after one attempt of three."""
    task = desk.wait_phase("greedy", "Failed")
    [attempt] = attempts(task)
    assert attempt["reason"] == "OOMKilled"
    assert "resources.limits.memory" in attempt["message"]
    assert task["status"]["reason"] == "NonRetriable"


# --- cancellation -------------------------------------------------------------------------------------------------


def test_graceful_cancellation_lets_it_tidy_up(desk: Desk) -> None:
    """Its words are kept; that it then exits with 0 makes it no success."""
    desk.wait_pod("graceful")
    desk.change("graceful", cancellation={"reason": "wrong input"})
    task = desk.wait_phase("graceful", "Cancelled")
    assert task["status"]["message"] == "Cancelled by spec.cancellation: wrong input"
    [attempt] = attempts(task)
    assert (attempt["reason"], attempt["exitCode"], attempt["message"]) == ("Cancelled", 0, "stopped at row 7")


def test_immediate_cancellation_cuts_the_grace_period_short(desk: Desk) -> None:
    """A container that does not listen would otherwise have half a minute."""
    desk.wait_pod("immediate")
    asked = datetime.now(UTC).timestamp()
    desk.change("immediate", cancellation={"mode": "Immediate"})
    [attempt] = attempts(desk.wait_phase("immediate", "Cancelled"))
    assert attempt["exitCode"] == 137
    assert seconds(attempt["completionTime"]) - asked < GRACE_SECONDS / 2


def test_if_pending_spares_what_runs(desk: Desk) -> None:
    """A held Task is cancelled at once, a running one goes on to its success."""
    desk.task("if-pending", jobTemplate=job("sleep 5"), queueName="wide")
    desk.wait_pod("if-pending")
    desk.change("if-pending", cancellation={"mode": "IfPending"})
    desk.change("held", cancellation={"mode": "IfPending"})
    assert desk.wait_phase("held", "Cancelled")["status"].get("attempts") is None
    assert not desk.jobs("held")
    assert desk.wait_end("if-pending")["status"]["phase"] == "Succeeded"


def test_a_pod_that_no_node_takes_says_so_and_can_be_cancelled(desk: Desk) -> None:
    """It never ran, so there is nothing to wait for."""
    waiting = desk.wait_condition("no-node", "Reconciling", reason="Unschedulable")
    assert "Insufficient cpu" in conditions(waiting)["Reconciling"]["message"]
    desk.change("no-node", cancellation={})
    assert "exitCode" not in attempts(desk.wait_phase("no-node", "Cancelled"))[0]


# --- what others do to pods and Jobs ------------------------------------------------------------------------------


def test_a_deleted_pod_costs_an_attempt(desk: Desk) -> None:
    """Somebody wanted it gone; the next attempt is a new Job."""
    pod = desk.wait_pod("pod-deleted")
    desk.core.delete_namespaced_pod(pod["metadata"]["name"], desk.namespace)
    task = desk.wait_phase("pod-deleted", "Succeeded")
    assert [a["reason"] for a in attempts(task)] == ["PodDeleted", "Succeeded"]
    assert task["status"]["failedAttempts"] == 1


def test_an_eviction_does_not_count(desk: Desk) -> None:
    """With a single attempt allowed, the Task still runs again and succeeds."""
    pod = desk.wait_pod("evicted")["metadata"]["name"]
    eviction = kubernetes.V1Eviction(metadata=kubernetes.V1ObjectMeta(name=pod, namespace=desk.namespace))
    desk.core.create_namespaced_pod_eviction(pod, desk.namespace, eviction)
    task = desk.wait_phase("evicted", "Succeeded")
    assert [a["reason"] for a in attempts(task)] == ["Evicted", "Succeeded"]
    assert task["status"]["ignoredAttempts"] == 1
    assert not task["status"].get("failedAttempts")


def test_a_deleted_job_ends_its_attempt(desk: Desk) -> None:
    """The next one begins when the pods of the first are gone."""
    first = desk.wait_pod("job-deleted")
    desk.delete("Job", first["metadata"]["labels"]["batch.kubernetes.io/job-name"])
    task = desk.wait_phase("job-deleted", "Succeeded")
    assert [a["reason"] for a in attempts(task)] == ["JobDeleted", "Succeeded"]
    assert attempts(task)[0]["podName"] == first["metadata"]["name"]


def test_a_deleted_task_holds_its_place_until_its_pod_is_gone(desk: Desk) -> None:
    """The next Task of a queue with one place starts after the last container of the deleted one has ended."""
    desk.wait_pod("goes-slowly")
    desk.delete("Task", "goes-slowly")
    desk.wait_gone("Task", "goes-slowly")

    def gone() -> bool:
        next_has_started = bool(desk.jobs("comes-next"))
        alive = [pod for pod in desk.pods("goes-slowly") if pod["status"]["phase"] == "Running"]
        assert not (next_has_started and alive)
        return not alive

    until(gone, "the pod of the deleted Task is gone")
    desk.wait_phase("comes-next", "Succeeded")
