"""What follows a failed attempt, on a real API server and Job controller."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, retries

pytestmark = pytest.mark.usefixtures("operator")


def waits(desk: Desk, task: str) -> list[float]:
    """Seconds from the end of each failed attempt to the time that the next one was promised for."""
    found = []
    for event in audit.requests(desk.audit(), "patch", "tasks/status"):
        status = event["requestObject"]["status"]
        if event["objectRef"]["name"] == task and status.get("nextAttemptTime"):
            ended = datetime.fromisoformat(status["attempts"][-1]["completionTime"])
            found.append((datetime.fromisoformat(status["nextAttemptTime"]) - ended).total_seconds())
    return found


def promises_kept(desk: Desk, task: str) -> bool:
    """Whether no attempt was created before the time promised for it."""
    promised: dict[int, datetime] = {}
    for event in audit.requests(desk.audit(), "patch", "tasks/status"):
        status = event["requestObject"]["status"]
        if event["objectRef"]["name"] == task and status.get("nextAttemptTime"):
            promised[status["attempt"] + 1] = datetime.fromisoformat(status["nextAttemptTime"])
    for event in audit.requests(desk.audit(), "create", "jobs"):
        labels = event["responseObject"]["metadata"]["labels"]
        due = promised.get(int(labels["taskq.dev/attempt"]))
        if labels["taskq.dev/task"] == task and due and datetime.fromisoformat(event["stageTimestamp"]) < due:
            return False
    return True


def test_a_task_fails_when_its_attempts_are_used_up(desk: Desk) -> None:
    """The last failure is quoted, and the field that ended it is named."""
    desk.task("twice", {"exitCode": 7, "message": "no route"}, retryPolicy=retries(2))
    task = desk.wait_end("twice")
    status = task["status"]
    assert (status["phase"], status["reason"], status["failedAttempts"]) == ("Failed", "RetriesExhausted", 2)
    assert "spec.retryPolicy.maxAttempts" in conditions(task)["Failed"]["message"]
    assert "no route" in conditions(task)["Failed"]["message"]
    assert [(a["number"], a["exitCode"], a["reason"]) for a in status["attempts"]] == [(1, 7, "Error"), (2, 7, "Error")]
    assert len({attempt["jobName"] for attempt in status["attempts"]}) == 2


def test_a_task_is_tried_once_unless_it_says_more(desk: Desk) -> None:
    """Whatever the Job template's backoffLimit says."""
    desk.task("once", {"exitCode": 1})
    assert desk.wait_end("once")["status"]["attempt"] == 1


def test_a_failed_attempt_queues_again(desk: Desk) -> None:
    """Behind a more important Task, in a queue with one slot."""
    desk.queue("single", maxConcurrency=1)
    desk.task("retried", {"seconds": 1, "exitCode": 1}, {}, queueName="single", retryPolicy=retries(2))
    desk.wait_pod("retried")
    desk.task("important", queueName="single", priority=1)
    desk.wait_end("retried")
    assert desk.started() == ["retried", "important", "retried"]


def test_a_failed_task_goes_before_others_when_its_policy_says_so(desk: Desk) -> None:
    """It passes what is more important by less than its boost, once its retry stands in the order."""
    desk.queue("single", maxConcurrency=1)
    boosted = retries(2, priorityBoost=5)
    desk.task("retried", {"seconds": 1, "exitCode": 1}, {}, queueName="single", retryPolicy=boosted)
    desk.wait_pod("retried")
    for name in ("important-a", "important-b", "important-c"):
        desk.task(name, {"seconds": 1}, {}, queueName="single", priority=1)
    desk.wait_end("important-c")
    assert desk.started().count("retried") == 2
    assert desk.started()[-1] == "important-c"
    assert desk.get("retried")["status"]["effectivePriority"] == 5


def test_the_wait_between_attempts_grows(desk: Desk) -> None:
    """By the type of the backoff, up to its limit; nothing starts before its time."""
    for kind in ("Exponential", "Linear", "Fixed"):
        backoff = {"type": kind, "baseSeconds": 1, "maxSeconds": 3, "jitterPercent": 0}
        desk.task(kind.lower(), {"exitCode": 1}, retryPolicy={"maxAttempts": 5, "backoff": backoff})
    wanted = {"exponential": [1, 2, 3, 3], "linear": [1, 2, 3, 3], "fixed": [1, 1, 1, 1]}
    for name, delays in wanted.items():
        desk.wait_end(name)
        assert waits(desk, name) == delays, name
        assert promises_kept(desk, name), name


def test_the_wait_between_attempts_is_spread(desk: Desk) -> None:
    """Never shorter than computed, never longer than the percentage allows, and not the same for all."""
    backoff = {"type": "Fixed", "baseSeconds": 2, "maxSeconds": 2, "jitterPercent": 50}
    names = [f"spread-{number}" for number in range(6)]
    for name in names:
        desk.task(name, {"exitCode": 1}, {}, retryPolicy={"maxAttempts": 2, "backoff": backoff})
    for name in names:
        desk.wait_end(name)
    delays = [waits(desk, name)[0] for name in names]
    assert all(2 <= delay <= 3 for delay in delays), delays
    assert len(set(delays)) > 1


def test_the_first_rule_that_matches_decides(desk: Desk) -> None:
    """Retry although a later rule says Fail."""
    rules: list[dict[str, Any]] = [
        {"exitCodes": [3, 4], "action": "Retry"},
        {"reasons": ["Error"], "action": "Fail"},
    ]
    desk.task("ruled", {"exitCode": 4}, {"exitCode": 5}, {}, retryPolicy=retries(9, rules=rules))
    task = desk.wait_end("ruled")
    assert [attempt["exitCode"] for attempt in task["status"]["attempts"]] == [4, 5]
    assert task["status"]["reason"] == "NonRetriable"


def test_a_rule_by_exit_code_ends_the_task(desk: Desk) -> None:
    """With attempts left."""
    policy = retries(5, rules=[{"exitCodes": [64], "action": "Fail"}])
    desk.task("wrong", {"exitCode": 64, "message": "usage: x"}, retryPolicy=policy)
    task = desk.wait_end("wrong")
    assert (task["status"]["attempt"], task["status"]["reason"]) == (1, "NonRetriable")
    assert "spec.retryPolicy.rules" in conditions(task)["Failed"]["message"]


def test_a_rule_by_reason_ignores_the_attempt(desk: Desk) -> None:
    """It does not count against maxAttempts."""
    policy = retries(1, rules=[{"reasons": ["OOMKilled"], "action": "Ignore"}])
    desk.task("oom", {"reason": "OOMKilled"}, {"reason": "OOMKilled"}, {}, retryPolicy=policy)
    status = desk.wait_end("oom")["status"]
    assert (status["phase"], status["attempt"]) == ("Succeeded", 3)
    assert (status.get("failedAttempts", 0), status["ignoredAttempts"]) == (0, 2)
    assert [attempt["reason"] for attempt in status["attempts"]] == ["OOMKilled", "OOMKilled", "Succeeded"]


def test_an_eviction_is_not_the_tasks_fault(desk: Desk) -> None:
    """Unless a rule says so."""
    desk.task("evicted", {"evict": True}, {})
    desk.task("strict", {"evict": True}, retryPolicy=retries(3, rules=[{"reasons": ["Evicted"], "action": "Fail"}]))
    status = desk.wait_end("evicted")["status"]
    assert (status["phase"], status["ignoredAttempts"], status["attempts"][0]["reason"]) == ("Succeeded", 1, "Evicted")
    assert desk.wait_end("strict")["status"]["reason"] == "NonRetriable"


def test_a_policy_of_the_task_replaces_the_queues_as_a_whole(desk: Desk) -> None:
    """Its rules do not linger."""
    rules = [{"exitCodes": [1], "action": "Fail"}]
    desk.queue("strict", taskDefaults={"retryPolicy": retries(4, rules=rules)})
    desk.task("queues", {"exitCode": 1}, queueName="strict")
    desk.task("own", {"exitCode": 1}, queueName="strict", retryPolicy=retries(2))
    assert desk.wait_end("queues")["status"]["reason"] == "NonRetriable"
    status = desk.wait_end("own")["status"]
    assert (status["reason"], status["attempt"]) == ("RetriesExhausted", 2)


def test_the_template_may_be_mended_between_attempts(desk: Desk) -> None:
    """A change of jobTemplate takes effect with the next attempt."""
    backoff = {"type": "Fixed", "baseSeconds": 3, "jitterPercent": 0}
    desk.task("mended", {"exitCode": 1}, {"exitCode": 1}, retryPolicy={"maxAttempts": 2, "backoff": backoff})
    desk.wait_phase("mended", "Retrying")
    annotations = {"fake.taskq.dev/run": '{"message": "mended"}'}
    desk.change("mended", jobTemplate={"spec": {"template": {"metadata": {"annotations": annotations}}}})
    assert desk.wait_end("mended")["status"].get("result") == "mended"


def test_all_attempts_together_keep_the_total(desk: Desk) -> None:
    """The attempt that runs is stopped, and there is no further one."""
    desk.task("long", {"exitCode": 1}, {"hold": True}, retryPolicy=retries(5), timeouts={"totalSeconds": 6})
    task = desk.wait_end("long")
    assert (task["status"]["phase"], task["status"]["reason"]) == ("Failed", "TotalTimeoutExceeded")
    assert [attempt["reason"] for attempt in task["status"]["attempts"]] == ["Error", "TimedOut"]
    assert "timeouts.totalSeconds (6)" in task["status"]["message"]


def test_a_program_says_when_to_come_back_and_when_not_to(desk: Desk) -> None:
    """Its termination message overrides the policy."""
    desk.task("later", {"exitCode": 1, "message": '{"taskq": {"retryAfterSeconds": 3600}}'}, retryPolicy=retries(5))
    desk.task("never", {"exitCode": 1, "message": '{"taskq": {"retry": false}}'}, retryPolicy=retries(5))
    assert desk.wait_end("never")["status"]["reason"] == "NonRetriable"
    later = desk.wait_phase("later", "Retrying")["status"]
    ended = datetime.fromisoformat(later["attempts"][0]["completionTime"])
    assert (datetime.fromisoformat(later["nextAttemptTime"]) - ended).total_seconds() == 3600
