"""The local cluster without a node: what every other integration test stands on.

Each test has a cluster of its own where it breaks one; those that only look share the session's.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import localcluster
from localcluster.processes import Processes, Program, start_time, wait_until
from localcluster.settings import ControllerManager, Settings

CLUSTER = Path(localcluster.__file__).parents[1] / "cluster.py"
PATIENCE_SECONDS = 60.0


def kubectl(cluster: localcluster.Cluster, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", "--kubeconfig", str(cluster.kubeconfig), *arguments],
        input=given, capture_output=True, text=True, check=False,
    )  # fmt: skip


def eventually(condition: Callable[[], bool], what: str) -> None:
    assert wait_until(condition, PATIENCE_SECONDS), f"not within {PATIENCE_SECONDS:.0f} s: {what}"


def audit_events(cluster: localcluster.Cluster) -> list[dict[str, Any]]:
    return [json.loads(line) for line in cluster.audit_log.read_text(encoding="utf-8").splitlines()]


def user(event: Mapping[str, Any]) -> str | None:
    """None for a request that was turned away at the door."""
    name: str | None = event["user"].get("username")
    return name


def job(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, **metadata},
        "spec": {
            "template": {
                "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox:1.36"}]},
            }
        },
    }


def create(cluster: localcluster.Cluster, manifest: Mapping[str, Any], *flags: str) -> subprocess.CompletedProcess[str]:
    return kubectl(cluster, "create", "--filename=-", *flags, given=json.dumps(manifest))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcluster.Cluster]:
    cluster = localcluster.start(nodeless=True, directory=tmp_path_factory.mktemp("shared") / "cluster")
    yield cluster
    cluster.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[localcluster.Cluster]:
    cluster = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    yield cluster
    cluster.stop()


def pids(cluster: localcluster.Cluster) -> dict[str, int | None]:
    return {name: cluster.processes.pid(name) for name in cluster.processes.names()}


def test_serves_the_pinned_kubernetes(shared: localcluster.Cluster) -> None:
    """The version that go.mod names is the version that answers."""
    version = json.loads(kubectl(shared, "version", "--output=json").stdout)
    assert version["serverVersion"]["gitVersion"] == "v1.36.3"
    assert (version["serverVersion"]["major"], version["serverVersion"]["minor"]) == ("1", "36")


def test_second_start_reuses_what_runs(own: localcluster.Cluster) -> None:
    """Starting again gives the same processes at the same address."""
    before = pids(own)
    again = localcluster.start(nodeless=True, directory=own.directory)
    assert pids(again) == before
    assert set(before) == {"etcd", "kube-apiserver", "kube-controller-manager"}
    assert again.server == own.server


@pytest.mark.parametrize("program", ["etcd", "kube-apiserver", "kube-controller-manager"])
def test_killed_program_comes_back_with_its_data(own: localcluster.Cluster, program: str) -> None:
    """Whatever was killed, the next start heals it, and what was stored is still there."""
    assert kubectl(own, "create", "namespace", "kept").returncode == 0
    killed = own.processes.pid(program)
    own.signal(program, signal.SIGKILL)
    eventually(lambda: own.processes.pid(program) is None, f"{program} ended")
    healed = localcluster.start(nodeless=True, directory=own.directory)
    assert healed.processes.pid(program) not in (None, killed)
    eventually(lambda: kubectl(healed, "get", "namespace", "kept").returncode == 0, "the namespace is there")


def test_taken_port_is_given_up(own: localcluster.Cluster) -> None:
    """When another server took the port meanwhile, the cluster moves, and its clients with it."""
    own.stop_apiserver(kill=True)
    with socket.create_server(("127.0.0.1", own.settings.api_port)):
        moved = localcluster.start(nodeless=True, directory=own.directory)
        assert moved.server != own.server
        assert kubectl(moved, "get", "namespaces").returncode == 0
        kubectl(moved, "create", "namespace", "after")
        account = ("get", "serviceaccount", "default", "--namespace=after")
        eventually(lambda: kubectl(moved, *account).returncode == 0, "controllers work at the new address")


def test_restarted_api_server_keeps_its_address(own: localcluster.Cluster) -> None:
    """Clients may keep their kubeconfig over a restart, orderly or not."""
    before = own.processes.pid("kube-apiserver")
    own.restart_apiserver(kill=True)
    assert own.processes.pid("kube-apiserver") != before
    assert kubectl(own, "get", "namespaces").returncode == 0


def test_stop_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    """No process, no file; stopping what is stopped is no error."""
    cluster = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    started = [pid for pid in pids(cluster).values() if pid is not None]
    cluster.stop()
    assert len(started) == 3
    assert [pid for pid in started if start_time(pid) is not None] == []
    assert not cluster.directory.exists()
    cluster.stop()


def test_kept_data_are_there_at_the_next_start(tmp_path: Path) -> None:
    """Stopping with keep_data is a pause."""
    cluster = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    kubectl(cluster, "create", "namespace", "kept")
    cluster.stop(keep_data=True)
    assert pids(cluster) == {}
    cluster = localcluster.start(nodeless=True, directory=tmp_path / "cluster")
    found = kubectl(cluster, "get", "namespace", "kept")
    cluster.stop()
    assert found.returncode == 0


def test_reused_process_id_is_never_signalled(tmp_path: Path) -> None:
    """A record whose process ended, and whose id now belongs to a stranger, leads nowhere."""
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        processes = Processes(tmp_path)
        processes.start(Program("etcd", ["sleep", "600"], {}))
        record = tmp_path / "run" / "etcd.json"
        ours = json.loads(record.read_text(encoding="utf-8"))
        processes.stop("etcd")
        record.write_text(json.dumps({**ours, "pid": stranger.pid, "start_time": 1}), encoding="utf-8")
        assert processes.pid("etcd") is None
        processes.stop("etcd")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    """Stopping deletes the folder, so it must not hold what was there before."""
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(localcluster.ClusterError, match=r"thesis\.tex"):
        localcluster.start(nodeless=True, directory=tmp_path)
    localcluster.Cluster(tmp_path, tmp_path, Settings(name="x", api_port=1)).stop()
    assert (tmp_path / "thesis.tex").exists()


def test_nobody_gets_in_without_a_certificate(shared: localcluster.Cluster) -> None:
    """Anonymous requests are refused, and rights are really checked."""
    authority = shared.directory / "pki" / "ca.crt"
    anonymous = subprocess.run(
        ["kubectl", f"--server={shared.server}", f"--certificate-authority={authority}", "--kubeconfig=/dev/null",
         "get", "--raw", "/version"],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert anonymous.returncode != 0
    account = "--as=system:serviceaccount:default:default"
    assert "forbidden" in kubectl(shared, "get", "secrets", account).stderr.lower()
    assert kubectl(shared, "get", "secrets").returncode == 0


def test_keys_are_private(shared: localcluster.Cluster) -> None:
    """Another user of the machine can neither read a key nor reach etcd."""
    for path in [shared.kubeconfig, *(shared.directory / "pki").glob("*.key")]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    listening = Path("/proc/net/tcp").read_text(encoding="utf-8").splitlines()[1:]
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}
    port = f"{shared.settings.api_port:04X}"
    assert [address for address in addresses if address.endswith(port)] == [f"0100007F:{port}"]


def test_controllers_run_jobs_and_quotas(shared: localcluster.Cluster) -> None:
    """A Job gets its pod, a quota counts, and what the owner leaves behind is collected."""
    kubectl(shared, "create", "namespace", "work")
    kubectl(shared, "create", "quota", "small", "--hard=count/jobs.batch=1", "--namespace=work")
    used = ("get", "quota", "small", "--namespace=work", "--output=jsonpath={.status.used}")
    eventually(lambda: "count/jobs.batch" in kubectl(shared, *used).stdout, "the quota is counted")
    assert create(shared, job("first"), "--namespace=work").returncode == 0
    pods = ("get", "pods", "--namespace=work", "--output=name")
    eventually(lambda: "pod/first-" in kubectl(shared, *pods).stdout, "the Job has a pod")
    eventually(lambda: '"1"' in kubectl(shared, *used).stdout, "the quota is used up")
    assert "exceeded quota" in create(shared, job("second"), "--namespace=work").stderr
    kubectl(shared, "delete", "job", "first", "--namespace=work")
    eventually(lambda: kubectl(shared, *pods).stdout == "", "the pod went with its Job")


def test_audit_log_has_the_whole_answer_to_a_new_job(shared: localcluster.Cluster) -> None:
    """What the operator promises about its Jobs is proved from here: labels, owners, and when each was written."""
    assert create(shared, job("audited", labels={"taskq.dev/queue": "q"})).returncode == 0
    kubectl(shared, "label", "job", "audited", "more=1")
    kubectl(shared, "create", "configmap", "audited", "--from-literal=secret=hidden")
    mine = [event for event in audit_events(shared) if event.get("objectRef", {}).get("name") == "audited"]
    answers = {
        (event["verb"], event["objectRef"]["resource"]): event.get("responseObject", {}).get("metadata", {})
        for event in mine
        if user(event) == "admin"
    }
    assert answers["create", "jobs"]["labels"]["taskq.dev/queue"] == "q"
    assert answers["create", "jobs"]["uid"] == answers["patch", "jobs"]["uid"]
    assert answers["create", "jobs"]["resourceVersion"] != answers["patch", "jobs"]["resourceVersion"]
    assert answers["create", "configmaps"] == {}
    assert "hidden" not in shared.audit_log.read_text(encoding="utf-8")


def test_audit_log_is_free_of_noise(shared: localcluster.Cluster) -> None:
    """Neither heartbeats nor the questions of the start stand between the lines that count."""
    events = audit_events(shared)
    assert events
    assert not [event for event in events if event["requestURI"].startswith(("/readyz", "/livez"))]
    assert not [event for event in events if user(event) == "taskq.dev:local-cluster"]
    assert not [event for event in events if event["stage"] == "RequestReceived"]


def test_clusters_live_side_by_side(shared: localcluster.Cluster, own: localcluster.Cluster) -> None:
    """Two folders are two clusters."""
    kubectl(own, "create", "namespace", "only-here")
    assert own.server != shared.server
    assert kubectl(shared, "get", "namespace", "only-here").returncode != 0


def test_controllers_can_be_left_out_and_slowed_down(tmp_path: Path) -> None:
    """Without controllers nothing acts on objects; switching them on needs no new cluster."""
    directory = tmp_path / "cluster"
    cluster = localcluster.start(nodeless=True, directory=directory, kcm=None)
    try:
        assert set(pids(cluster)) == {"etcd", "kube-apiserver"}
        cluster = localcluster.start(nodeless=True, directory=directory, kcm=ControllerManager.stock())
        record = directory / "run" / "kube-controller-manager.json"
        assert "--kube-api-qps=20" in json.loads(record.read_text(encoding="utf-8"))["argv"]
    finally:
        cluster.stop()


def test_command_line_starts_tells_and_stops(tmp_path: Path) -> None:
    """What the Makefile calls: the state on the exit code, the kubeconfig on standard output."""
    environment = {**os.environ, "TASKQ_CLUSTER": "built"}

    def call(verb: str, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(CLUSTER), verb, "--dir", str(tmp_path / "cluster"), *flags]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert call("status").returncode == 1
    up = call("up", "--no-node")
    try:
        assert up.stdout == f"export KUBECONFIG={tmp_path / 'cluster' / 'kubeconfig'}\n", up.stderr
        assert call("status").returncode == 0
        assert call("kubeconfig").stdout.strip() == str(tmp_path / "cluster" / "kubeconfig")
    finally:
        down = call("down")
    assert down.returncode == 0, down.stderr
    assert call("status").returncode == 1
    assert call("down").returncode == 0
