"""The ring with real pods: a cluster of its own with a kubelet, and in it what `make demo` makes.

Nobody else's cluster is touched: the cluster is built here, in a new folder, whatever KUBECONFIG says. The
operator is the one that the demo starts and leaves running, so that it is tried as users meet it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from kubernetes import client as kubernetes
from kubernetes import config

import localcluster
from cluster_tools.desk import Desk
from cluster_tools.waiting import until

REPO = Path(__file__).resolve().parents[2]
DEMO_SECONDS = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The local cluster's own tests come first, on a machine without another node; then what the demo runs beside."""
    order = {"test_local_cluster": 0, "test_demo": 2, "test_docs": 3}
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    rest = [item for item in items if item.path.parent != Path(__file__).parent]
    items[:] = rest + sorted(here, key=lambda item: order.get(item.path.stem, 1))


class Shell(NamedTuple):
    """Commands as a user types them at the top of the repository."""

    environment: dict[str, str]

    def start(self, command: str, output: Path) -> subprocess.Popen[bytes]:
        """Begin a command; what it says goes to a file."""
        with output.open("wb") as stream:
            return subprocess.Popen(
                ["bash", "-c", command],
                cwd=REPO,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def __call__(self, command: str, *, code: int = 0) -> str:
        """Run a command to its end, which must be as expected; what it said."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=REPO,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, f"{command}\nexit code {done.returncode}\n{said}"
        return said


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """The folder of everything; its name is short, because the kubelet's sockets have no room for long ones."""
    if os.geteuid() != 0:
        pytest.skip("a node needs root")
    folder = Path(tempfile.mkdtemp(prefix="taskq-e2e-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(home: Path) -> Iterator[localcluster.Cluster]:
    """Where `make demo` would put it, if its state were in our folder."""
    started = localcluster.start(directory=home / "taskq" / "taskq")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def shell(home: Path, cluster: localcluster.Cluster) -> Shell:
    """A user's shell that knows of this cluster only."""
    own = ("KUBECONFIG", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKQ_") and name not in own}
    return Shell(
        {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",  # kubectl finds its plug-in there
            "XDG_STATE_HOME": str(home),
            "TASKQ_CLUSTER": "built",
            "KUBECONFIG": str(cluster.kubeconfig),
            "NO_COLOR": "1",
        }
    )


class Demo(NamedTuple):
    """`make demo` under way."""

    process: subprocess.Popen[bytes]
    file: Path

    def output(self) -> str:
        """What it has said so far."""
        return self.file.read_text(encoding="utf-8")

    def wait(self) -> str:
        """All that it said, once it has ended well."""
        code = self.process.wait(timeout=DEMO_SECONDS)
        assert code == 0, self.output()
        return self.output()


@pytest.fixture(scope="session")
def demo(home: Path, shell: Shell) -> Iterator[Demo]:
    """Begin `make demo`; the operator that it starts is there until the session ends."""
    process = shell.start("make demo", home / "demo.txt")
    running = Demo(process, home / "demo.txt")
    until(lambda: "the operator runs" in running.output() or process.poll() is not None, running.output)
    assert process.poll() is None, running.output()
    yield running
    if process.poll() is None:
        process.terminate()
        process.wait()
    shell(".venv/bin/python demo/demo.py --stop")


@pytest.fixture(scope="session")
def client(cluster: localcluster.Cluster) -> Iterator[kubernetes.ApiClient]:
    """The official client, as a cluster administrator."""
    with config.new_client_from_config(config_file=str(cluster.kubeconfig)) as api_client:  # type: ignore[no-untyped-call]
        yield api_client
        api_client.rest_client.pool_manager.clear()


@pytest.fixture(scope="module")
def desk(demo: Demo, client: kubernetes.ApiClient, cluster: localcluster.Cluster) -> Iterator[Desk]:
    """A namespace for a module, in a cluster with an operator."""
    core = kubernetes.CoreV1Api(client)
    name = core.create_namespace({"metadata": {"generateName": "e2e-"}}).metadata.name
    yield Desk(client, name, cluster.audit_log)
    core.delete_namespace(name)
