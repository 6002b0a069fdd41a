"""The commands that change something, against a real API server and a running operator."""

from __future__ import annotations

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
