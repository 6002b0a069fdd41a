"""The commands that change something, against a real API server and a running operator."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cluster_tools.command_line import CommandLine
from cluster_tools.desk import Desk, conditions, job_template

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
