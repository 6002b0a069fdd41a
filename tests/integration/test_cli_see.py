"""The commands that look, against a real API server and a running operator."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes

import localcluster
from cluster_tools.command_line import CommandLine
from cluster_tools.desk import Desk, retries
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until
from taskq import __version__

pytestmark = pytest.mark.usefixtures("operator")


@pytest.fixture(scope="module")
def zoo(cluster: localcluster.Cluster, client: kubernetes.ApiClient, operator: OperatorProcess) -> Iterator[Desk]:
    """A namespace that no test changes: Tasks that wait, run, succeeded and failed, in two queues."""
    core: Any = kubernetes.CoreV1Api(client)
    desk = Desk(client, core.create_namespace({"metadata": {"generateName": "zoo-"}}).metadata.name, cluster.audit_log)
    desk.queue("shut", state="Paused")
    desk.create("Task", "waits", {"queueName": "shut", "priority": 7, "jobTemplate": _job()}, labels={"team": "blue"})
    desk.task("runs", {"hold": True}, queueName="default")
    desk.task("fine", {"message": "42 rows"})
    desk.task("fails", {"exitCode": 3, "message": "no database"}, retryPolicy=retries(2))
    for name, phase in (("runs", "Running"), ("fine", "Succeeded"), ("fails", "Failed")):
        desk.wait_phase(name, phase)
    yield desk
    core.delete_namespace(desk.namespace)


@pytest.fixture(scope="module")
def look(cluster: localcluster.Cluster, zoo: Desk) -> CommandLine:
    """The command line in the zoo."""
    return CommandLine(cluster.kubeconfig, zoo.namespace)


def _job() -> dict[str, object]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "busybox:1.36"}]}}}}


# --- list ---------------------------------------------------------------------------------------------------------


def test_list_shows_where_every_task_stands(look: CommandLine) -> None:
    """One line a Task, by name; what is not known is <none>."""
    said = look("list")
    assert said.column("NAME") == ["fails", "fine", "runs", "waits"]
    assert said.column("PHASE") == ["Failed", "Succeeded", "Running", "Pending"]
    assert said.column("QUEUE") == ["default", "default", "default", "shut"]
    assert said.column("ATTEMPT") == ["2", "1", "1", "<none>"]
    assert said.column("PRI") == ["0", "0", "0", "7"]
    assert "TYPE" in look("list", "-o", "wide").out
    assert "\x1b" not in said.out  # this is no terminal


FILTERS = [
    (["--phase", "Failed"], ["fails"]),
    (["--phase", "failed,succeeded"], ["fails", "fine"]),
    (["--phase", "unfinished"], ["runs", "waits"]),
    (["--queue", "shut"], ["waits"]),
    (["--queue", "default"], ["fails", "fine", "runs"]),
    (["--queue", "default", "--queue", "shut", "--phase", "active"], ["runs"]),
    (["-l", "team=blue"], ["waits"]),
    (["--text", "DATABASE"], ["fails"]),
    (["--older", "1h"], []),
    (["--newer", "1h", "--phase", "ended"], ["fails", "fine"]),
    (["--type", "report"], []),
    (["--schedule", "nightly"], []),
]


def test_list_filters(look: CommandLine) -> None:
    """By phase, queue, label, text, age and type; all that are given must hold."""
    for filters, names in FILTERS:
        said = look("list", *filters, "-o", "name")
        assert sorted(said.out.split()) == [f"task.taskq.dev/{name}" for name in names], filters


def test_list_finds_a_queue_before_any_operator_looked(taskq: CommandLine, desk: Desk) -> None:
    """A Task that waits has its queue in the spec, or nowhere when it means `default`."""
    desk.queue("default", state="Paused")
    desk.queue("other", state="Paused")
    desk.task("unsaid")
    desk.task("said", queueName="default")
    desk.task("elsewhere", queueName="other")
    assert taskq("list", "--queue", "default", "-o", "name").out.split() == [
        "task.taskq.dev/said",
        "task.taskq.dev/unsaid",
    ]
    desk.create("TaskTemplate", "report", {"queueName": "other", "jobTemplate": _job()})
    desk.task("by-template", templateRef={"name": "report"})
    assert taskq("list", "-q", "other").column("NAME") == ["elsewhere", "by-template"]
    assert taskq("list", "by-template").column("QUEUE") == ["other"]
    assert "by-template" not in taskq("list", "-q", "default").out


def test_list_prints_documents_that_programs_read(look: CommandLine) -> None:
    """JSON, YAML, JSONPath; a single name is a single document."""
    listed = json.loads(look("list", "-o", "json").out)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["fails", "fine", "runs", "waits"]
    assert listed["items"][0]["kind"] == "Task"
    assert "managedFields" not in listed["items"][0]["metadata"]
    assert yaml.safe_load(look("list", "-o", "yaml").out)["items"] == listed["items"]
    assert json.loads(look("list", "fine", "-o", "json").out)["status"]["result"] == "42 rows"
    path = '{range .items[?(@.status.phase=="Failed")]}{.metadata.name}={.status.attempt}{"\\n"}{end}'
    assert look("list", "-o", f"jsonpath={path}").out == "fails=2\n"
    assert json.loads(look("list", "--phase", "Expired", "-o", "json").out)["items"] == []
    assert yaml.safe_load(look("list", "--phase", "Expired", "-o", "yaml").out)["items"] == []


def test_list_sorts_and_stops(look: CommandLine) -> None:
    """Either way round; --limit prints the first of them."""
    assert look("list", "--sort-by", "-priority").column("NAME")[0] == "waits"
    assert look("list", "--sort-by", "attempt").column("NAME")[-1] == "fails"
    assert "leave --sort-by and --limit out" in look("list", "-w", "--limit", "2", code=1).err
    assert len(look("list", "--limit", "2", "--no-headers").out.splitlines()) == 2


def test_list_of_nothing_says_so_on_stderr(taskq: CommandLine) -> None:
    """A pipe gets no data, and a person an answer."""
    said = taskq("list")
    assert (said.out, said.err.startswith("No Tasks found in test-")) == ("", True)


def test_list_watches(taskq: CommandLine, desk: Desk, cluster: localcluster.Cluster, tmp_path: Path) -> None:
    """What is there, then what changes, until somebody stops it."""
    desk.task("first", {"hold": True})
    desk.wait_phase("first", "Running")
    command = [sys.executable, "-m", "taskq.cli", "list", "--watch", "-n", desk.namespace]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(command, stdout=out, env=environment)
    try:
        until(lambda: "first" in (tmp_path / "out").read_text(), "the first row")
        desk.task("second")
        until(lambda: "second" in (tmp_path / "out").read_text(), "the second row")
        until(lambda: "Succeeded" in (tmp_path / "out").read_text(), "its end")
    finally:
        process.send_signal(2)
        assert process.wait(timeout=30) == 130


# --- describe, queues ---------------------------------------------------------------------------------------------


def test_describe_tells_all(look: CommandLine, zoo: Desk) -> None:
    """Attempts with exit codes and messages, a timeline, conditions and Events."""
    until(lambda: zoo.events("fails"), "Events of the failure")
    said = look("describe", "fails").out
    assert "Phase:         Failed (RetriesExhausted)" in said
    assert said.count("Error") >= 2
    assert "no database" in said
    for line in ("attempt 1 started", "attempt 2 ended: Error", "ended: Failed", "RetriesExhausted   "):
        assert line in said, said


def test_describe_says_why_a_task_waits(look: CommandLine, taskq: CommandLine, desk: Desk) -> None:
    """The reason with the field to change, the place in the queue, and what is known of the start."""
    assert "Why it waits:\n  QueuePaused: " in look("describe", "waits").out
    desk.task("held", suspend=True, notBeforeTime="2999-01-01T00:00:00Z")
    assert "  Suspended: " in taskq("describe", "held").out
    desk.queue("narrow", maxConcurrency=1)
    desk.task("long", {"hold": True}, queueName="narrow")
    desk.wait_phase("long", "Running")
    desk.task("next", queueName="narrow", priority=5)
    desk.task("last", queueName="narrow")
    desk.wait("narrow", lambda queue: queue["status"].get("pending") == 2, "two wait", "TaskQueue")
    said = taskq("describe", "last").out
    assert "ConcurrencyLimit: Queue narrow runs 1 of 1 (spec.maxConcurrency): long" in said
    assert "Position 2 in queue narrow, after next (priority 5)" in said
    assert "When it starts can't be said" in said
    assert "How it stands:\n  Started: " in taskq("describe", "long").out


def test_the_operator_may_be_asked_why(look: CommandLine, operator: OperatorProcess) -> None:
    """One that does not answer is said so, and the rest of the page is printed all the same."""
    said = look("describe", "waits", "--api-url", "http://127.0.0.1:1").out
    assert "Why it waits:\n  <unknown> (nobody answers at http://127.0.0.1:1" in said
    assert "Timeline:" in said
    said = look("describe", "waits", "--api-url", f"http://{operator.address}").out  # its metrics' address
    assert "answers 404" in said


def test_queues_show_what_waits_and_runs(look: CommandLine, zoo: Desk) -> None:
    """With limits, states and ages."""
    zoo.wait("shut", lambda queue: queue["status"].get("pending") == 1, "counted", "TaskQueue")
    said = look("queues")
    assert said.column("NAME") == ["shut"]
    assert said.column("STATE") == ["Paused"]
    assert said.column("RUNNING") == ["0/10"]
    assert said.column("PENDING") == ["1"]
    assert look("queues", "shut", "-o", "jsonpath={.spec.state}").out == "Paused"


def test_schedules_show_their_next_runs(taskq: CommandLine, desk: Desk) -> None:
    """In the user's zone and in their own; one that can't be followed does not hide the others."""
    desk.schedule("nightly", schedules=["0 3 * * 1-5"], timeZone="Asia/Kolkata")
    desk.schedule("held", everySeconds=3600, suspend=True)
    desk.schedule("broken", schedules=["0 3 31 2 *"])
    said = taskq("schedules")
    assert said.column("NAME") == ["broken", "held", "nightly"]
    assert said.column("SUSPENDED") == ["false", "true", "false"]
    assert said.column("WHEN")[2] == "at 03:00 on weekdays, Asia/Kolkata"
    rows = taskq("schedules", "nightly", "--next", "3")
    assert len(rows.column("NAME")) == 3
    assert all(there.endswith("03:00:00 IST") for there in rows.column("IN-ITS-ZONE"))
    assert "IST" in taskq("schedules", "nightly", "-o", "wide").out
    assert "is suspended" in taskq("schedules", "held", "--next", "1").err
    assert taskq("schedules", "nightly", "-o", "name").out == "schedule.taskq.dev/nightly\n"


def test_templates_say_what_they_take(taskq: CommandLine, desk: Desk) -> None:
    """And what they run."""
    desk.create("TaskTemplate", "report", {"description": "Makes the report", "jobTemplate": _job()})
    said = taskq("templates", "-o", "wide")
    assert (said.column("NAME"), said.column("IMAGE")) == (["report"], ["busybox:1.36"])
    assert said.column("DESCRIPTION") == ["Makes the report"]


# --- events, stats, top, logs -------------------------------------------------------------------------------------


def test_events_tell_what_happened(look: CommandLine, zoo: Desk) -> None:
    """Of all, or of one Task; warnings only, if asked for."""
    until(lambda: "RetriesExhausted" in look("events").out, "the failure's Event")
    assert set(look("events", "fails").column("OBJECT")) == {"task/fails"}
    assert set(look("events", "--warnings").column("TYPE")) == {"Warning"}
    assert look("events", "--newer", "0s", "waits").err == "No events found.\n"
    assert json.loads(look("events", "-o", "json").out)["kind"] == "List"


def test_stats_sum_up(look: CommandLine, zoo: Desk) -> None:
    """Throughput, failures, waits and run times, by any key."""
    said = look("stats", "--by", "queue", "-o", "wide")
    assert said.column("QUEUE") == ["default"]
    assert (said.column("ENDED"), said.column("FAILED"), said.column("FAILURES")) == (["2"], ["1"], ["50.0%"])
    assert said.column("ATTEMPTS") == ["3"]
    found = json.loads(look("stats", "--by", "phase", "--since", "1h", "-o", "json").out)
    assert [(group["phase"], group["ended"]) for group in found["groups"]] == [("Failed", 1), ("Succeeded", 1)]
    assert found["groups"][0]["runSeconds"]["p50"] >= 0
    assert "No Task has ended in that time" in look("stats", "--since", "2d", "--until", "1d").err
    assert "unknown key" in look("stats", "--by", "colour", code=1).err


def test_top_prints_one_picture_without_a_terminal(look: CommandLine) -> None:
    """What runs comes before what waits."""
    said = look("top")
    assert "namespace zoo-" in said.out.splitlines()[0]
    assert said.out.index("runs") < said.out.index("waits")
    assert "fine" not in said.out


def test_top_lives_on_a_terminal_until_q(zoo: Desk, cluster: localcluster.Cluster) -> None:
    """It takes the terminal's other screen, and gives it back as it was."""
    command = [sys.executable, "-m", "taskq.cli", "top", "-n", zoo.namespace, "--interval", "500ms"]
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "TERM": "xterm", "NO_COLOR": "1"}
    own, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = ""

    def shows(text: str) -> bool:
        nonlocal seen
        if select.select([own], [], [], 0.2)[0]:
            with contextlib.suppress(OSError):  # nobody has the other end any more
                seen += os.read(own, 65_536).decode()
        return text in seen

    until(lambda: shows("waits"), "the first picture")
    os.write(own, b" ")  # hold
    os.write(own, b"q")
    until(lambda: shows("\x1b[?1049l"), "the screen is given back")
    assert process.wait(timeout=30) == 0
    os.close(own)


def test_logs_say_why_there_are_none(look: CommandLine, zoo: Desk) -> None:
    """Of what waits, and of attempts that there have not been; of pods that are gone, the status keeps something."""
    assert "waits is Pending and has no pod yet" in look("logs", "waits", code=1).err
    assert "no attempt 9" in look("logs", "fails", "--attempt", "9", code=1).err
    assert "no previous one" in look("logs", "fine", "--previous", code=1).err
    assert "give one of them" in look("logs", "fine", "--previous", "--all-attempts", code=1).err


def test_logs_outlive_their_pods_in_the_status(taskq: CommandLine, desk: Desk) -> None:
    """What each attempt said last, with its exit code."""
    desk.task("fails", {"exitCode": 3, "message": "no database"}, {"exitCode": 4}, retryPolicy=retries(2))
    desk.wait_phase("fails", "Failed")
    for pod in desk.pods("fails"):
        desk.core.delete_namespaced_pod(pod["metadata"]["name"], desk.namespace, grace_period_seconds=0)
    until(lambda: not desk.pods("fails"), "the pods are gone")
    said = taskq("logs", "fails", "--all-attempts").out
    assert "attempt 1, ended" in said
    assert "Error, exit code 3: no database" in said
    assert "exit code 4" in taskq("logs", "fails").out
    assert "no database" in taskq("logs", "fails", "--previous").out


# --- info, doctor -------------------------------------------------------------------------------------------------


def test_info_tells_who_talks_to_whom(look: CommandLine, operator: OperatorProcess) -> None:
    """Client, cluster, user, operator and leader."""
    found = json.loads(look("info", "--operator", f"http://{operator.address}", "-o", "json").out)
    assert found["client"] == found["operator"] == __version__
    assert (found["user"], found["tasks"], found["taskqueues"]) == ("admin", "4", "1")
    assert "in default" in found["leader"]
    assert look("info").out.splitlines()[7].split() == ["operator:", "<unknown>"]


def test_doctor_finds_a_healthy_installation(look: CommandLine, operator: OperatorProcess) -> None:
    """Everything that can be seen is well."""
    said = look("doctor", "--operator", f"http://{operator.address}", "-o", "json")
    states = {one["check"]: one["state"] for one in json.loads(said.out)["findings"]}
    assert {check for check, state in states.items() if state != "ok"} == {"Controller-manager"}
    assert {"CRD tasks", "Leader", "Metrics", "Clock", "API server", "You may read logs"} <= states.keys()


def test_doctor_says_how_to_mend(look: CommandLine) -> None:
    """No leader is a fault; rights that one has not are warnings, with the Role to ask for."""
    said = look("doctor", "--lease-name", "nobodys", code=1)
    assert "fault    Leader: no Lease named nobodys" in said.out
    assert "helm upgrade --install" in said.out
    said = look("doctor", "--as", "nobody@example.com", "-o", "json")
    found = {one["check"]: one for one in json.loads(said.out)["findings"]}
    assert found["You may see Tasks"]["state"] == "warning"
    assert "ask for a Role with list, watch on tasks.taskq.dev" in found["You may see Tasks"]["mend"]
    assert found["Leader"]["state"] == "unknown"


# --- habits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["lst"], "unknown command 'lst', did you mean 'list'?"),
        (["list", "--phase", "Done"], "unknown phase 'Done'"),
        (["list", "-o", "xml"], "unknown output format 'xml'"),
        (["list", "nobody"], 'Error from server (NotFound): tasks.taskq.dev "nobody" not found'),
        (["list", "--older", "soon"], "'soon' is no duration; write it like 30s, 15m, 1h30m or 2d"),
        (["list", "--context", "moon"], "the kubeconfig has no context 'moon'; it has"),
        (["describe"], "missing argument"),
    ],
)
def test_an_error_is_one_line_with_the_next_step(taskq: CommandLine, args: list[str], words: str) -> None:
    """On stderr, with exit code 1, as kubectl's."""
    said = taskq(*args, code=1)
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert words in said.err


def test_one_can_act_as_somebody_else(look: CommandLine) -> None:
    """The API server decides what they may see; the answer says how to look further."""
    said = look("list", "--as", "nobody@example.com", code=1)
    assert "nobody@example.com" in said.err
    assert "kubectl auth can-i --list" in said.err
    assert look("list", "--as", "admin", "--as-group", "system:masters").column("NAME")
    assert look("--as", "nobody@example.com", "list", code=1).err == said.err
    assert "--as-group needs --as" in look("list", "--as-group", "system:masters", code=1).err


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path, cluster: localcluster.Cluster) -> None:
    """With the context that led there."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    said = CommandLine(tmp_path / "config", "default")("list", code=1)
    assert "https://127.0.0.1:1" in said.err
    assert "does not answer" in said.err
    assert "no kubeconfig at" in CommandLine(tmp_path / "none", "default")("list", code=1).err


def test_the_namespace_is_the_contexts_unless_given(
    look: CommandLine, zoo: Desk, cluster: localcluster.Cluster, tmp_path: Path
) -> None:
    """As with kubectl; -A looks everywhere."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["contexts"][0]["context"]["namespace"] = zoo.namespace
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config")}
    command = [sys.executable, "-m", "taskq.cli", "list", "-o", "name"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[0] == "task.taskq.dev/fails"
    assert zoo.namespace in look("list", "-A", "--text", "waits").column("NAMESPACE")
