"""What every command does alike: pipes, interrupts, and clusters that are not as they should be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import localcluster
from cluster_tools.command_line import CommandLine
from cluster_tools.desk import Desk, job_template
from cluster_tools.waiting import until
from taskq.cli.catalog import CATALOG

PROGRAM = [sys.executable, "-m", "taskq.cli"]
OFFLINE = {"lint", "init", "convert", "explain", "completion"}


def environment(cluster: localcluster.Cluster) -> dict[str, str]:
    """Of a user's shell."""
    return {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}


def config_with(cluster: localcluster.Cluster, folder: Path, user: dict[str, Any]) -> Path:
    """A kubeconfig for the same cluster, with other credentials."""
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = user
    (folder / "config").write_text(yaml.safe_dump(document))
    return folder / "config"


def test_every_command_is_tried_on_a_real_api_server() -> None:
    """By a test of this ring, or it needs none."""
    tried = "".join(file.read_text() for file in Path(__file__).parent.glob("test_cli_*.py"))
    assert not [name for name in CATALOG if name not in OFFLINE and f'("{name}"' not in tried]


# --- pipes and interrupts -----------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_error(cluster: localcluster.Cluster, desk: Desk) -> None:
    """`| head` has what it wants; nobody wants to read of a broken pipe."""
    desk.create("Task", "one", {"jobTemplate": job_template()})
    line = f"{' '.join(PROGRAM)} list -n {desk.namespace} -o json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], env=environment(cluster), capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("141\n", "")


@pytest.mark.parametrize("command", [["list", "--watch"], ["wait", "one"], ["logs", "-f", "one"]])
def test_an_interrupt_ends_it_at_once(
    cluster: localcluster.Cluster, desk: Desk, tmp_path: Path, command: list[str]
) -> None:
    """With the code that shells show for it, and without a traceback."""
    desk.create("Task", "one", {"suspend": True, "jobTemplate": job_template()})
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            [*PROGRAM, *command, "-n", desk.namespace], env=environment(cluster), stdout=output, stderr=output
        )

    def watches() -> bool:
        """Its watch is in the audit log as soon as the API server has answered it."""
        return f"/namespaces/{desk.namespace}/tasks?watch=true" in cluster.audit_log.read_text()

    until(watches, "it watches")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    said = (tmp_path / "out").read_text()
    assert "Traceback" not in said
    assert command[0] == "list" or not said.strip()


def test_nobody_is_asked_where_nobody_is(taskq: CommandLine, desk: Desk) -> None:
    """Into a pipe, silence and even a `y` are no consent; --yes is."""
    desk.create("Task", "one", {"suspend": True, "jobTemplate": job_template()})
    for verb in ("cancel", "delete", "suspend", "resume"):
        if verb == "suspend":
            desk.patch("Task", "one", {"spec": {"suspend": False}})
        if verb == "resume":
            desk.patch("Task", "one", {"spec": {"suspend": True}})
        said = taskq(verb, "--all", code=1, stdin="y\n")
        assert said.err.splitlines()[-1].startswith("error: nobody is there to ask; add --yes")
    assert "cancellation" not in desk.get("one")["spec"]


# --- clusters that are not as they should be ----------------------------------------------------------------------


def test_credentials_that_are_not_valid_any_more(cluster: localcluster.Cluster, tmp_path: Path) -> None:
    """The API server's 401, and what to do."""
    said = CommandLine(config_with(cluster, tmp_path, {"token": "expired"}), "default")("list", code=1)
    assert said.err.startswith("Error from server (Unauthorized): the API server does not know who you are")
    assert "log in again" in said.err
    assert said.err.count("\n") == 1


def test_a_login_program_that_fails(cluster: localcluster.Cluster, tmp_path: Path) -> None:
    """One line, whatever the client logs about it."""
    plug_in = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-login", "interactiveMode": "Never"}
    said = CommandLine(config_with(cluster, tmp_path, {"exec": plug_in}), "default")("queues", code=1)
    assert "no-such-login" in said.err
    assert said.err.count("\n") == 1


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcluster.Cluster]:
    """An API server on which nobody has installed TaskQ."""
    started = localcluster.start(nodeless=True, directory=tmp_path_factory.mktemp("bare") / "cluster", kcm=None)
    yield started
    started.stop()


def test_a_cluster_without_taskq_is_told_from_one_without_tasks(bare: localcluster.Cluster) -> None:
    """Every command says so in one line; the doctor knows the way out."""
    typed = CommandLine(bare.kubeconfig, "default")
    for command in ("list", "queues", "schedules", "templates", "stats", "top", "wait one", "pause q", "run t"):
        said = typed(*command.split(), code=1)
        assert "this cluster has no TaskQ: its CRDs are not installed" in said.err, command
        assert said.err.count("\n") == 1
    said = typed("doctor", "-o", "json", code=1)
    found = {one["check"]: one for one in json.loads(said.out)["findings"]}
    assert found["CRD tasks"]["state"] == "fault"
    assert "helm" in found["CRD tasks"]["mend"]


# --- secrets, and names that are mistyped -------------------------------------------------------------------------


def test_no_format_prints_what_a_template_calls_sensitive(taskq: CommandLine, desk: Desk) -> None:
    """Also not where `kubectl apply` keeps the manifest once more; what is not sensitive is data."""
    parameters = [{"name": "token", "sensitive": True}, {"name": "mode"}]
    desk.create("TaskTemplate", "import", {"parameters": parameters, "jobTemplate": job_template()})
    given = [{"name": "token", "value": "hunter2"}, {"name": "mode", "value": "full"}]
    spec = {"suspend": True, "templateRef": {"name": "import"}, "parameters": given}
    desk.create("Task", "leaky", spec)
    applied = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(spec)}}}
    desk.patch("Task", "leaky", applied)
    desk.create("Schedule", "leaky", {"suspend": True, "schedules": ["0 1 * * *"], "taskTemplate": {"spec": spec}})
    for form in ("wide", "json", "yaml", "jsonpath={.items[*]}"):
        for command in (["list"], ["schedules"], ["list", "leaky"]):
            assert "hunter2" not in taskq(*command, "-o", form).out, (command, form)
    assert "hunter2" not in taskq("describe", "leaky").out
    found = json.loads(taskq("list", "leaky", "-o", "json").out)["spec"]["parameters"]
    assert [one["value"] for one in found] == ["********", "full"]


def test_a_queue_that_is_not_there_is_not_an_empty_one(taskq: CommandLine, desk: Desk) -> None:
    """A mistyped name is an error, not an answer."""
    for verb in ("purge", "pause", "drain", "close", "open"):
        said = taskq(verb, "reprots", code=1)
        assert "has no TaskQueue 'reprots'" in said.err
    assert "not found" in taskq("queues", "reprots", code=1).err
