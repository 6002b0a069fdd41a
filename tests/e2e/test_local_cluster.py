"""The local cluster with a real node: what only a kubelet does, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import localcluster
from localcluster import cgroups
from localcluster.choice import Kind, choose
from localcluster.images import ImageConfig, write_image
from localcluster.node import HOST_FOLDERS, mounts_below
from localcluster.processes import start_time, wait_until

PATIENCE_SECONDS = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a node needs root"),
    pytest.mark.skipif(
        choose(os.environ, nodeless=False) is not Kind.BUILT, reason="kind or your own cluster is used here"
    ),
]


def kubectl(cluster: localcluster.Cluster, *arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_pod(cluster: localcluster.Cluster, name: str, script: str, **spec: Any) -> None:
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script]}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": [container], **spec},
    }
    kubectl(cluster, "create", "--filename=-", given=json.dumps(manifest))


def pod_status(cluster: localcluster.Cluster, name: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(kubectl(cluster, "get", "pod", name, "--output=json"))["status"]
    return status


def wait_for_phase(cluster: localcluster.Cluster, name: str, phase: str) -> dict[str, Any]:
    in_time = wait_until(lambda: bool(pod_status(cluster, name)["phase"] == phase), PATIENCE_SECONDS)
    assert in_time, pod_status(cluster, name)
    return pod_status(cluster, name)


@pytest.fixture(scope="module")
def cluster() -> Iterator[localcluster.Cluster]:
    """The folder is a short one: the kubelet's sockets have no room for pytest's long names."""
    directory = Path("/run/taskq-e2e") / str(os.getpid())
    started = localcluster.start(directory=directory)
    yield started
    started.stop()
    shutil.rmtree(directory.parent)


def test_real_pod_runs_and_its_log_can_be_read(cluster: localcluster.Cluster) -> None:
    """The API server reaches the kubelet, which has the log."""
    run_pod(cluster, "greets", "echo hello from a real pod")
    wait_for_phase(cluster, "greets", "Succeeded")
    assert kubectl(cluster, "logs", "greets") == "hello from a real pod\n"


def test_command_can_be_run_in_a_pod(cluster: localcluster.Cluster) -> None:
    """kubectl exec goes through API server, kubelet and containerd."""
    run_pod(cluster, "stays", "sleep 600", terminationGracePeriodSeconds=0)
    wait_for_phase(cluster, "stays", "Running")
    assert kubectl(cluster, "exec", "stays", "--", "sh", "-c", "echo inside; hostname") == "inside\nstays\n"
    kubectl(cluster, "delete", "pod", "stays")


def test_termination_message_and_exit_code_come_back(cluster: localcluster.Cluster) -> None:
    """A Task's result travels this way."""
    run_pod(cluster, "reports", "printf '{\"rows\": 3}' > /dev/termination-log; exit 7")
    status = wait_for_phase(cluster, "reports", "Failed")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (7, '{"rows": 3}')


def test_active_deadline_of_a_pod_is_a_soft_timeout(cluster: localcluster.Cluster) -> None:
    """SIGTERM arrives, a trap has the grace period to say a last word, and the pod ends DeadlineExceeded."""
    script = 'trap "echo cleaned up > /dev/termination-log; exit 3" TERM; sleep 600 & wait'
    run_pod(cluster, "late", script, activeDeadlineSeconds=2, terminationGracePeriodSeconds=30)
    status = wait_for_phase(cluster, "late", "Failed")
    assert status["reason"] == "DeadlineExceeded"
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["message"]) == (3, "cleaned up\n")


def test_pod_reaches_the_api_server(cluster: localcluster.Cluster) -> None:
    """An operator that runs in the cluster finds the API server where Kubernetes tells every pod."""
    run_pod(cluster, "knocks", "nc -w 10 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo open")
    wait_for_phase(cluster, "knocks", "Succeeded")
    assert kubectl(cluster, "logs", "knocks") == "open\n"


def test_pods_that_come_and_go_do_not_change_the_bridges_address(cluster: localcluster.Cluster) -> None:
    """Else those that stay would talk to nobody until they ask again who has the API server's address."""
    network = cluster.settings.network
    assert network is not None
    address = Path(f"/sys/class/net/{network.bridge}/address")
    before = address.read_text(encoding="utf-8")
    for name in ("comes", "comes-too"):
        run_pod(cluster, name, "true")
        wait_for_phase(cluster, name, "Succeeded")
        assert address.read_text(encoding="utf-8") == before
        kubectl(cluster, "delete", "pod", name)
    assert address.read_text(encoding="utf-8") == before


def test_image_of_a_folder_runs(cluster: localcluster.Cluster, tmp_path: Path) -> None:
    """No registry and no engine are needed to try an image."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(cluster.programs / "pause", root / "only-file")
    write_image(tmp_path / "image.tar", ["taskq.dev/mine:1"], root, ImageConfig(entrypoint=["/only-file"]))
    cluster.import_image(tmp_path / "image.tar")
    kubectl(cluster, "run", "mine", "--image=taskq.dev/mine:1", "--restart=Never")
    wait_for_phase(cluster, "mine", "Running")
    kubectl(cluster, "delete", "pod", "mine", "--now")


def test_killed_kubelet_and_runtime_come_back(cluster: localcluster.Cluster) -> None:
    """A pod outlives both, and new ones start after the next `up`."""
    run_pod(cluster, "survives", "sleep 600", terminationGracePeriodSeconds=0)
    wait_for_phase(cluster, "survives", "Running")
    killed = {name: cluster.processes.pid(name) for name in ("kubelet", "containerd", "relay", "kube-scheduler")}
    for name in killed:
        cluster.signal(name, signal.SIGKILL)
    assert wait_until(lambda: not any(map(cluster.processes.pid, killed)), PATIENCE_SECONDS)
    healed = localcluster.start(directory=cluster.directory)
    assert all(healed.processes.pid(name) not in (None, pid) for name, pid in killed.items())
    run_pod(healed, "follows", "echo new")
    wait_for_phase(healed, "follows", "Succeeded")
    assert pod_status(healed, "survives")["containerStatuses"][0]["restartCount"] == 0
    kubectl(healed, "delete", "pod", "survives")


def test_two_nodes_live_side_by_side(cluster: localcluster.Cluster) -> None:
    """Stopping one leaves the other whole."""
    second = localcluster.start(directory=cluster.directory.parent / "second")
    try:
        assert second.settings.network != cluster.settings.network
        run_pod(second, "there", "echo there")
        wait_for_phase(second, "there", "Succeeded")
    finally:
        second.stop()
    run_pod(cluster, "here", "echo here")
    wait_for_phase(cluster, "here", "Succeeded")


def test_foreign_kubelet_is_left_alone(cluster: localcluster.Cluster, tmp_path: Path) -> None:
    """A machine that is a node already does not become a second one; the message says what to do."""
    shutil.copy("/bin/sleep", tmp_path / "kubelet")
    foreign = subprocess.Popen([tmp_path / "kubelet", "600"])
    refused = cluster.directory.parent / "refused"
    try:
        with pytest.raises(localcluster.ClusterError, match="--no-node"):
            localcluster.start(directory=refused)
    finally:
        foreign.kill()
        foreign.wait()
    assert not (refused / "run").exists()
    shutil.rmtree(refused)


def test_stop_leaves_nothing(cluster: localcluster.Cluster) -> None:
    """Last, with pods still running: no process, mount, bridge, cgroup or folder of theirs is left."""
    run_pod(cluster, "left-over", "sleep 600")
    wait_for_phase(cluster, "left-over", "Running")
    network = cluster.settings.network
    assert network is not None
    made = json.loads((cluster.directory / "host-folders.json").read_text(encoding="utf-8"))["made"]
    started = processes_of(cluster.directory, network.bridge)
    assert mounts_below(cluster.directory)
    assert cgroups.exists(network.bridge)
    assert (Path("/sys/class/net") / network.bridge).exists()
    cluster.stop()
    assert [pid for pid in started if start_time(pid) is not None] == []
    assert mounts_below(cluster.directory) == []
    assert not cgroups.exists(network.bridge)
    assert not (Path("/sys/class/net") / network.bridge).exists()
    assert not cluster.directory.exists()
    if not kubelets():  # of other clusters, which still use these
        assert [folder for folder in HOST_FOLDERS if folder in made and Path(folder).exists()] == []


def kubelets() -> list[Path]:
    """Every kubelet of the machine."""
    return [comm for comm in Path("/proc").glob("[0-9]*/comm") if comm.read_text(encoding="utf-8") == "kubelet\n"]


def processes_of(directory: Path, cgroup: str) -> list[int]:
    """Everything that works in the folder or has it on its command line: programs, shims and the pods' processes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "cgroup").read_bytes()
            works = (process / "cwd").readlink().is_relative_to(directory)
        except OSError:
            continue  # it ended
        if works or str(directory).encode() in told or cgroup.encode() in told:
            found.append(int(process.name))
    assert len(found) > 7, "the programs, and at least one shim and pod"
    return [pid for pid in found if pid != os.getpid()]
