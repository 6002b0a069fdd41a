"""The commands that change something, against a real API server and a running operator."""

from __future__ import annotations

import re
import time
from pathlib import Path
from unittest import mock

import pytest
import yaml

from cluster_tools.command_line import CommandLine
from cluster_tools.desk import Desk, conditions, job_template
from taskq.clock import SystemClock

pytestmark = pytest.mark.usefixtures("operator")


# --- create, run --------------------------------------------------------------------------------------------------


def test_create_makes_a_task_of_a_command_line(taskq: CommandLine, desk: Desk) -> None:
    """With what the options say, and a name after the image when none is given."""
    said = taskq(
        *("create", "--image", "registry.example.com/team/importer:2", "--name", "import", "-e", "MODE=full"),
        *("--queue", "default", "--priority", "9", "--deadline", "1h", "--hard-timeout", "15m", "--max-attempts", "3"),
        *("--requests", "cpu=10m,memory=8Mi", "--label", "team=blue", "--suspend", "--", "import", "--all"),
    )
    assert said.out == "task.taskq.dev/import created\n"
    task = desk.get("import")
    assert task["metadata"]["labels"] == {"team": "blue"}
    spec = task["spec"]
    assert (spec["queueName"], spec["priority"], spec["suspend"]) == ("default", 9, True)
    assert (spec["startingDeadlineSeconds"], spec["timeouts"]["hardSeconds"]) == (3600, 900)
    assert spec["retryPolicy"]["maxAttempts"] == 3
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["import", "--all"]
    assert container["env"] == [{"name": "MODE", "value": "full"}]
    assert container["resources"] == {"requests": {"cpu": "10m", "memory": "8Mi"}}
    assert taskq("create", "--image", "x.example.com/a/Busy_Box:1").out.startswith("task.taskq.dev/busy-box-")


def test_create_waits_for_the_end(taskq: CommandLine, desk: Desk) -> None:
    """The exit code is the Task's."""
    said = taskq("create", "--image", "busybox:1.36", "--wait")
    assert "Succeeded" in said.err


def test_run_uses_a_template(taskq: CommandLine, desk: Desk) -> None:
    """And ends as the Task does: with the container's exit code when it failed."""
    desk.create("TaskTemplate", "fine", {"jobTemplate": job_template({"message": "done"})})
    desk.create("TaskTemplate", "broken", {"jobTemplate": job_template({"exitCode": 42})})
    assert "Succeeded" in taskq("run", "fine", "--name", "one", "--wait").err
    assert desk.get("one")["spec"]["templateRef"] == {"name": "fine"}
    assert "RetriesExhausted" not in taskq("run", "broken", "--wait", code=42).out
    said = taskq("run", "missing", code=1)
    assert "has no TaskTemplate 'missing'" in said.err


def test_run_gives_up_waiting_in_time(taskq: CommandLine, desk: Desk) -> None:
    """The Task goes on; the exit code is that of `timeout`."""
    desk.create("TaskTemplate", "slow", {"jobTemplate": job_template({"hold": True})})
    said = taskq("run", "slow", "--name", "slow", "--wait", "--timeout", "1s", code=124)
    assert "it goes on" in said.err


def test_run_later(taskq: CommandLine, desk: Desk) -> None:
    """At a time, or after a while; both are spec.notBeforeTime."""
    desk.create("TaskTemplate", "later", {"jobTemplate": job_template()})
    taskq("run", "later", "--name", "at", "--at", "2999-01-01T00:00:00Z")
    taskq("run", "later", "--name", "in", "--in", "2d")
    assert desk.get("at")["spec"]["notBeforeTime"] == "2999-01-01T00:00:00Z"
    assert desk.get("in")["spec"]["notBeforeTime"] < "2999"
    assert "give one of them" in taskq("run", "later", "--at", "14:00", "--in", "1h", code=1).err


def test_a_dry_run_makes_nothing(taskq: CommandLine, desk: Desk) -> None:
    """The client's prints the manifest, ready for a file; the server's has it checked."""
    said = taskq("create", "--image", "busybox:1.36", "--name", "dry", "--dry-run=client", "-o", "yaml", "--", "true")
    assert yaml.safe_load(said.out)["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"] == [
        "true"
    ]
    assert "server dry run" in taskq("create", "--image", "busybox:1.36", "--name", "dry", "--dry-run=server").out
    refused = taskq("create", "--image", "x", "--name", "dry", "--dry-run=server", "--priority", "9999999", code=1)
    assert "spec.priority" in refused.err
    assert desk.find("Task", "dry") is None


# --- cancel -------------------------------------------------------------------------------------------------------


def test_cancel_ends_what_waits_and_what_runs(taskq: CommandLine, desk: Desk) -> None:
    """With a reason, which people find in the conditions."""
    desk.task("runs", {"hold": True})
    desk.wait_phase("runs", "Running")
    assert taskq("cancel", "runs", "--reason", "superseded").out == "task.taskq.dev/runs cancelled\n"
    task = desk.wait_end("runs")
    assert task["status"]["phase"] == "Cancelled"
    assert "superseded" in conditions(task)["Failed"]["message"]
    assert task["spec"]["cancellation"]["mode"] == "Graceful"


@pytest.mark.parametrize(("flag", "mode"), [("--now", "Immediate"), ("--if-pending", "IfPending")])
def test_cancel_knows_three_modes(taskq: CommandLine, desk: Desk, flag: str, mode: str) -> None:
    """--now gives no grace, --if-pending leaves alone what runs."""
    desk.queue("shut", state="Paused")
    desk.task("waits", queueName="shut")
    taskq("cancel", "waits", flag)
    assert desk.wait_end("waits")["spec"]["cancellation"]["mode"] == mode


def test_a_bulk_change_is_about_exactly_what_was_shown(taskq: CommandLine, desk: Desk) -> None:
    """It shows how many, asks, and takes no silence for a yes."""
    desk.queue("shut", state="Paused")
    for name in ("a", "b", "c"):
        desk.create("Task", name, {"queueName": "shut", "jobTemplate": job_template()}, labels={"team": "blue"})
    desk.task("other", queueName="shut")
    said = taskq("cancel", "-l", "team=blue", code=1)
    assert "Cancel 3 Tasks in namespace" in said.err
    assert "add --yes to go on" in said.err
    dry = taskq("cancel", "-l", "team=blue", "--dry-run=client")
    assert dry.out.count("cancelled (dry run)") == 3
    assert taskq("cancel", "-l", "team=blue", "--dry-run=server").out.count("cancelled (server dry run)") == 3
    assert "cancellation" not in desk.get("a")["spec"]
    assert taskq("cancel", "-l", "team=blue", "--yes").out.count("cancelled\n") == 3
    for name in ("a", "b", "c"):
        desk.wait_phase(name, "Cancelled")
    assert "cancellation" not in desk.get("other")["spec"]
    assert "No Tasks to cancel" in taskq("cancel", "-l", "team=blue", "--yes").err


def test_a_bulk_change_without_a_filter_is_refused(taskq: CommandLine) -> None:
    """`cancel` alone must not mean everything."""
    assert "which Tasks?" in taskq("cancel", "--yes", code=1).err


def test_what_has_ended_is_not_cancelled(taskq: CommandLine, desk: Desk) -> None:
    """The API server refuses it, in its own words."""
    desk.task("fine")
    desk.wait_phase("fine", "Succeeded")
    said = taskq("cancel", "fine", code=1)
    assert "task.taskq.dev/fine not cancelled" in said.err
    assert "spec is immutable once the Task has ended" in said.err


# --- parameters ---------------------------------------------------------------------------------------------------


def test_run_checks_parameters_before_there_is_a_task(taskq: CommandLine, desk: Desk) -> None:
    """By the rules of the operator; what is sensitive is neither taken as text nor shown."""
    parameters = [
        {"name": "region", "type": "Enum", "enum": ["emea", "apac"], "required": True},
        {"name": "rows", "type": "Integer", "default": "10", "maximum": 100},
        {"name": "token", "sensitive": True},
    ]
    desk.create("TaskTemplate", "import", {"parameters": parameters, "jobTemplate": job_template()})
    assert taskq("templates").column("PARAMETERS") == ["region*,rows,token"]
    said = taskq("run", "import", "-p", "rows=1000", "-p", "regon=emea", code=1).err
    assert "missing; it must be one of emea, apac" in said
    assert "did you mean region?" in said
    assert "spec.parameters[rows]: must be a whole number and at most 100" in said
    said = taskq("run", "import", "-p", "region=emea", "-p", "token=hunter2", code=1).err
    assert "--param-from NAME=secret/NAME/KEY" in said
    assert "hunter2" not in said
    assert not desk.list("Task")
    secret = {"metadata": {"name": "keys"}, "stringData": {"token": "hunter2"}}
    desk.core.create_namespaced_secret(desk.namespace, secret)
    taskq("run", "import", "--name", "one", "-p", "region=emea", "--param-from", "token=secret/keys/token", "--wait")
    shown = taskq("describe", "one").out
    assert "Parameters:\n  region = emea\n  token from secret keys/token\n" in shown
    assert "hunter2" not in shown
    assert "write it as secret/NAME/KEY" in taskq("run", "import", "--param-from", "token=keys", code=1).err


def test_run_takes_the_result_of_another_task(taskq: CommandLine, desk: Desk) -> None:
    """And waits for it; --after waits without taking anything."""
    desk.create("TaskTemplate", "sum", {"parameters": [{"name": "rows"}], "jobTemplate": job_template()})
    desk.task("count", {"message": "42"})
    taskq("run", "sum", "--name", "two", "--param-from", "rows=task/count", "--wait")
    assert desk.get("two")["spec"]["dependsOn"][0]["name"] == "count"
    taskq("create", "--image", "x", "--name", "three", "--after", "two", "--wait")
    assert "Waits for:     two" in taskq("describe", "three").out


def test_describe_hides_what_a_template_calls_sensitive(taskq: CommandLine, desk: Desk) -> None:
    """Also where somebody wrote it into the Task, which the operator refuses; and all of it without the template."""
    sensitive = {"parameters": [{"name": "token", "sensitive": True}, {"name": "mode"}], "jobTemplate": job_template()}
    desk.create("TaskTemplate", "import", sensitive)
    given = [{"name": "token", "value": "hunter2"}, {"name": "mode", "value": "full"}]
    desk.task("leaky", templateRef={"name": "import"}, parameters=given)
    assert "  token = ********\n  mode = full\n" in taskq("describe", "leaky").out
    desk.delete("TaskTemplate", "import")
    shown = taskq("describe", "leaky").out
    assert "  token = ********\n  mode = ********\n" in shown


# --- retry, replay ------------------------------------------------------------------------------------------------


def test_retry_runs_the_same_again(taskq: CommandLine, desk: Desk) -> None:
    """As a new Task with the old one's Job, queue, priority and labels."""
    desk.queue("q")
    spec = {"queueName": "q", "priority": 4, "jobTemplate": job_template({"exitCode": 5})}
    desk.create("Task", "fails", spec, labels={"team": "blue"})
    desk.wait_phase("fails", "Failed")
    said = taskq("retry", "fails", "--wait", code=5)
    found = re.fullmatch(r"task.taskq.dev/fails retried as (fails-retry-\w{5})\n", said.out)
    assert found
    again = desk.get(found[1])
    assert again["metadata"]["labels"] == {"team": "blue"}
    assert again["spec"]["retryOf"] == {"name": "fails"}
    assert (again["spec"]["queueName"], again["spec"]["priority"]) == ("q", 4)
    assert "Retry of:      fails" in taskq("describe", found[1]).out
    assert taskq("retry", "--phase", "failed", "--to-queue", "q", "--yes").out.count(" retried as fails-retry-") == 2


def test_a_retry_keeps_what_the_template_said(taskq: CommandLine, desk: Desk) -> None:
    """Queue, priority, limits and retries: a Task with retryOf has no template to take them from."""
    desk.queue("q")
    policy = {"maxAttempts": 1, "backoff": {"type": "Fixed", "baseSeconds": 1}}
    said = {"queueName": "q", "priority": 7, "timeouts": {"hardSeconds": 60}, "retryPolicy": policy}
    desk.create("TaskTemplate", "fails", said | {"jobTemplate": job_template({"exitCode": 1})})
    desk.task("old", templateRef={"name": "fails"})
    desk.wait_phase("old", "Failed")
    found = re.search(r"old-retry-\w{5}", taskq("retry", "old", "--dry-run=server").out)
    assert found
    (made,) = re.findall(r"old-retry-\w{5}", taskq("retry", "old").out)
    spec = desk.get(made)["spec"]
    assert (spec["queueName"], spec["priority"], spec["timeouts"]) == ("q", 7, {"hardSeconds": 60})
    assert spec["retryPolicy"]["backoff"]["type"] == "Fixed"


def test_who_waits_is_told_of_a_fault(taskq: CommandLine, desk: Desk) -> None:
    """A Task that somebody has to mend would be waited for in silence."""
    said = taskq("create", "--image", "x", "--queue", "nope", "--wait", "--timeout", "5s", code=124)
    assert "waits until somebody mends it: spec.queueName: this namespace has no TaskQueue named nope" in said.err


def test_only_what_has_ended_is_retried(taskq: CommandLine, desk: Desk) -> None:
    """And with a filter, only what did not succeed."""
    desk.task("runs", {"hold": True})
    desk.task("fine")
    desk.wait_phase("runs", "Running")
    desk.wait_phase("fine", "Succeeded")
    assert "only what has ended is run again" in taskq("retry", "runs", code=1).err
    assert "No Tasks to retry" in taskq("retry", "--all").err
    assert "retried as fine-retry-" in taskq("retry", "fine").out
    assert "are for one Task" in taskq("retry", "--all", "--wait", code=1).err


def test_replay_is_for_dead_letters(taskq: CommandLine, desk: Desk) -> None:
    """One whose replay succeeds is a dead letter no longer."""
    desk.queue("q", retention={"deadLetterSeconds": 3600})
    desk.create(
        "TaskTemplate", "import", {"parameters": [{"name": "code"}], "jobTemplate": job_template({"exitCode": 1})}
    )
    desk.task("dead", templateRef={"name": "import"}, queueName="q")
    desk.wait("dead", lambda task: task["status"].get("deadLetter") == "True", "a dead letter")
    assert taskq("list", "--dead", "-o", "name").out == "task.taskq.dev/dead\n"
    assert "which dead letters?" in taskq("replay", code=1).err
    assert "Replay 1 Task in namespace" in taskq("replay", "--queue", "q", code=1).err
    desk.patch("TaskTemplate", "import", {"spec": {"jobTemplate": job_template({})}})
    said = taskq("replay", "--all", "--yes", "-p", "code=0")
    assert "task.taskq.dev/dead replayed as dead-retry-" in said.out
    desk.wait("dead", lambda task: task["status"].get("retriedBy"), "told of its replay")
    assert taskq("list", "--dead").out == ""


# --- suspend, prioritize, delete, wait ------------------------------------------------------------------------------


def test_suspend_holds_tasks_and_resume_lets_them_go_on(taskq: CommandLine, desk: Desk) -> None:
    """By name or by filter; what is so already is left alone."""
    desk.queue("shut", state="Paused")
    for name in ("a", "b"):
        desk.task(name, queueName="shut")
    assert taskq("suspend", "a").out == "task.taskq.dev/a suspended\n"
    assert desk.get("a")["spec"]["suspend"] is True
    assert taskq("suspend", "--queue", "shut", "--yes").out == "task.taskq.dev/b suspended\n"
    assert taskq("resume", "--all", "--yes").out.count("resumed") == 2
    assert "No Tasks to resume" in taskq("resume", "--all").err


def test_prioritize_changes_numbers_and_levels(taskq: CommandLine, desk: Desk) -> None:
    """One replaces the other: a Task may have only one of them."""
    desk.queue("shut", state="Paused", priorityLevels=[{"name": "urgent", "value": 100}])
    desk.task("a", queueName="shut", priority=1)
    taskq("prioritize", "a", "--to", "urgent")
    assert "priority" not in desk.get("a")["spec"]
    assert desk.get("a")["spec"]["priorityLevel"] == "urgent"
    assert taskq("prioritize", "--queue", "shut", "--to", "-5", "--yes").out == "task.taskq.dev/a prioritized\n"
    assert desk.get("a")["spec"]["priority"] == -5


def test_delete_removes_what_it_showed(taskq: CommandLine, desk: Desk) -> None:
    """With its Jobs; another Task of the same name is not meant."""
    desk.task("old")
    desk.task("new", {"hold": True})
    desk.wait_phase("old", "Succeeded")
    assert (
        taskq("delete", "--phase", "ended", "--dry-run=server").out == "task.taskq.dev/old deleted (server dry run)\n"
    )
    assert taskq("delete", "--phase", "ended", "--yes").out == "task.taskq.dev/old deleted\n"
    desk.wait_gone("Task", "old")
    assert desk.find("Task", "new")
    taskq("delete", "new")
    desk.wait_gone("Task", "new")


def test_wait_is_for_a_goal(taskq: CommandLine, desk: Desk) -> None:
    """0 when it is reached; 1 at once when it can't be any more, and when the time is over."""
    desk.task("fine", {"seconds": 0.3})
    desk.task("fails", {"exitCode": 1})
    assert taskq("wait", "fine").out == "task.taskq.dev/fine condition met\n"
    assert taskq("wait", "fails").code == 0
    said = taskq("wait", "fine", "fails", "--for", "succeeded", code=1)
    assert said.out == "task.taskq.dev/fine condition met\n"
    assert "fails Failed: Attempt 1 ended as Error" in said.err
    assert taskq("wait", "fails", "--for", "condition=Stalled").code == 0
    desk.task("holds", {"hold": True})
    assert taskq("wait", "holds", "--for", "running").code == 0
    assert "not there within 1 s" in taskq("wait", "--phase", "running", "--timeout", "1s", code=1).err
    assert "unknown goal" in taskq("wait", "holds", "--for", "nothing", code=1).err


# --- queues -------------------------------------------------------------------------------------------------------


def test_queues_are_paused_drained_closed_and_opened(taskq: CommandLine, desk: Desk) -> None:
    """With words that say what became of them; GitOps tools that own them are named."""
    desk.create("TaskQueue", "q", {}, labels={"kustomize.toolkit.fluxcd.io/name": "apps"})
    for verb, done, state in (
        ("pause", "paused", "Paused"),
        ("drain", "draining", "Draining"),
        ("close", "closed", "Closed"),
        ("open", "opened", "Open"),
    ):
        said = taskq(verb, "q")
        assert said.out == f"taskqueue.taskq.dev/q {done}\n"
        assert desk.get("q", "TaskQueue")["spec"]["state"] == state
        assert "kept by Flux" in said.err
    assert taskq("pause", "q", "--dry-run=server").out == "taskqueue.taskq.dev/q paused (server dry run)\n"
    assert desk.get("q", "TaskQueue")["spec"]["state"] == "Open"
    assert "has no TaskQueue 'nope'" in taskq("pause", "q", "nope", code=1).err
    assert desk.get("q", "TaskQueue")["spec"]["state"] == "Open"


def test_drain_waits_until_nothing_is_left(taskq: CommandLine, desk: Desk) -> None:
    """Or says how much is left."""
    desk.queue("q", maxConcurrency=1)
    desk.task("a", {"seconds": 0.5}, queueName="q")
    desk.task("b", {"seconds": 0.5}, queueName="q")
    taskq("drain", "q", "--wait", "--timeout", "60s")
    assert {desk.get(name)["status"]["phase"] for name in ("a", "b")} == {"Succeeded"}
    desk.change("q", "TaskQueue", state="Open")
    desk.task("long", {"hold": True}, queueName="q")
    desk.wait_phase("long", "Running")
    assert "1 Task unfinished; it goes on" in taskq("drain", "q", "--wait", "--timeout", "1s", code=1).err


def test_purge_empties_a_queue(taskq: CommandLine, desk: Desk) -> None:
    """What waits, or with --running all of it; other queues are left alone."""
    desk.queue("q", maxConcurrency=1)
    desk.queue("other", state="Paused")
    desk.task("runs", {"hold": True}, queueName="q", priority=9)
    desk.wait_phase("runs", "Running")
    desk.task("waits", queueName="q")
    desk.task("elsewhere", queueName="other")
    assert "Cancel 1 Task in namespace" in taskq("purge", "q", code=1).err
    assert taskq("purge", "q", "--yes").out == "taskqueue.taskq.dev/q purged\n"
    assert desk.wait_end("waits")["status"]["reason"] == "Purged"
    assert desk.get("runs")["status"]["phase"] == "Running"
    taskq("purge", "q", "--running", "--yes")
    desk.wait_phase("runs", "Cancelled")
    assert desk.get("elsewhere")["status"]["phase"] == "Pending"


def test_a_purge_does_not_go_by_the_users_clock(taskq: CommandLine, desk: Desk) -> None:
    """A laptop an hour behind asks for as much as any other: all that was there."""
    desk.queue("q", state="Paused")
    desk.task("waits", queueName="q")
    with mock.patch.object(SystemClock, "now", return_value=time.time() - 3600):
        taskq("purge", "q", "--yes")
    assert desk.wait_end("waits")["status"]["reason"] == "Purged"


# --- schedules ----------------------------------------------------------------------------------------------------


def test_a_schedule_runs_now(taskq: CommandLine, desk: Desk) -> None:
    """Also a suspended one; with --wait the exit code is the Task's."""
    desk.schedule("nightly", {"exitCode": 7}, schedules=["0 3 * * *"], suspend=True)
    said = taskq("schedule", "run-now", "nightly", "--wait", code=7)
    assert said.out == "schedule.taskq.dev/nightly run now\n"
    (task,) = desk.tasks_of("nightly")
    assert f"{task['metadata']['name']} Failed" in said.err


def test_a_schedule_is_suspended_and_resumed(taskq: CommandLine, desk: Desk) -> None:
    """In its spec."""
    desk.schedule("nightly", schedules=["0 3 * * *"])
    taskq("schedule", "suspend", "nightly")
    assert desk.get("nightly", "Schedule")["spec"]["suspend"] is True
    taskq("schedule", "resume", "nightly")
    assert desk.get("nightly", "Schedule")["spec"]["suspend"] is False


def test_a_schedule_is_backfilled(taskq: CommandLine, desk: Desk) -> None:
    """It says how many ticks there are, and asks."""
    desk.schedule("nightly", schedules=["0 3 * * *"])
    interval = ("--from", "2026-01-01T00:00:00Z", "--to", "2026-01-03T00:00:00Z")
    asked = taskq("schedule", "backfill", "nightly", *interval, code=1)
    assert "Backfill 2 ticks of nightly" in asked.err
    taskq("schedule", "backfill", "nightly", *interval, "--yes")
    desk.wait("nightly", lambda it: len(it["status"].get("runs", ())) == 2, "two runs", "Schedule")
    assert {task["metadata"]["name"] for task in desk.tasks_of("nightly")} == {
        "nightly-1767236400",
        "nightly-1767322800",
    }
    assert "both in the past" in taskq("schedule", "backfill", "nightly", "--from", "2999-01-01T00:00:00Z", code=1).err


def test_a_preview_needs_no_cluster(taskq: CommandLine) -> None:
    """It shows changes of clocks as the operator will see them."""
    said = CommandLine(Path("nowhere"), "none")(
        *("schedule", "preview", "30 2 * * *", "--zone", "Europe/Madrid", "--from", "2027-03-26T12:00:00Z"),
        *("--count", "3"),
    )
    assert said.column("UTC") == ["2027-03-27T01:30:00Z", "2027-03-28T01:00:00Z", "2027-03-29T00:30:00Z"]
    assert said.err == "at 02:30 every day, Europe/Madrid\n"
    refused = taskq("schedule", "preview", "61 * * * *", code=1)
    assert "spec.schedules[0]" in refused.err
    assert "no time zone" in taskq("schedule", "preview", "@daily", "--zone", "Mars/Base", code=1).err
