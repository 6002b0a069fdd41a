"""A real node: bridge, containerd, kubelet and scheduler, and the way back to a machine without them."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path

from localcluster import cgroups, network
from localcluster.controlplane import READY_SECONDS, ControlPlane
from localcluster.errors import ClusterError
from localcluster.files import read_json, write_json, write_whole
from localcluster.prerequisites import cni_folder, ensure_node_tools
from localcluster.processes import Processes, Program
from localcluster.progress import Say
from localcluster.runtime import Runtime
from localcluster.settings import Network, Settings
from localcluster.shell import run

# Sockets of the kubelet and the shims lie deep below the folder, and a socket's address has room for 107 bytes.
LONGEST_DIRECTORY = 60

# Folders outside ours that kubelet, shims and CNI plug-ins insist on. Those that were not there before are
# removed again, if nobody else has put anything there meanwhile.
HOST_FOLDERS = ("/var/lib/kubelet", "/var/log/containers", "/run/containerd", "/var/lib/cni")
KUBELET_SOCKET = Path("/var/lib/kubelet/device-plugins/kubelet.sock")
HOST_FOLDERS_FILE = "host-folders.json"
POD_LOG_LINKS = Path("/var/log/containers")


class Node:
    """The node of the cluster in one folder."""

    def __init__(self, directory: Path, programs: Path, settings: Settings, processes: Processes) -> None:
        if settings.network is None:
            raise ClusterError(f"the cluster in {directory} has no node")
        self._directory = directory
        self._programs = programs
        self._settings = settings
        self._network: Network = settings.network
        self._processes = processes
        self.runtime = Runtime(directory, processes)

    @property
    def _cgroup(self) -> str:
        return self._network.bridge  # a name of this cluster's own, too

    def check(self, say: Say) -> None:
        """Whether this machine can have the node; missing packages are installed, nothing else is changed yet."""
        if len(str(self._directory)) > LONGEST_DIRECTORY:
            raise ClusterError(f"{self._directory} is longer than {LONGEST_DIRECTORY} characters; use --dir")
        ensure_node_tools(say)
        self._neighbours()

    def prepare(self) -> None:
        """What has to be there before the API server: addresses."""
        neighbours = self._neighbours()
        if not (self._directory / HOST_FOLDERS_FILE).exists():
            # The last cluster that stops cleans up, so each has to know what the first one found.
            inherited = {folder for neighbour in neighbours for folder in _made_host_folders(neighbour)}
            made = [folder for folder in HOST_FOLDERS if folder in inherited or not Path(folder).exists()]
            write_json(self._directory / HOST_FOLDERS_FILE, {"made": made})
        network.make_bridge(self._network)

    def start(self, control_plane: ControlPlane, say: Say) -> None:
        """Start what does not run, and wait until pods can be scheduled."""
        plugins = cni_folder()
        assert plugins is not None  # prepare() saw to it
        write_whole(
            self._directory / "cni/net.d/10-taskq.conflist",
            network.cni_config(self._network, self._directory),
        )
        self._processes.start(self._relay())
        self.runtime.start(plugins)
        self.runtime.import_basics(self._programs, say)
        cgroups.make(self._cgroup)
        write_whole(self._directory / "kubelet.json", json.dumps(self._kubelet_config(), indent=2))
        self._processes.start(self._kubelet())
        self._processes.start(self._scheduler())
        self._processes.wait_until_ready("kubelet", lambda: self._is_ready(control_plane), READY_SECONDS)

    def stop(self) -> None:
        """Undo everything. Each step does nothing when there is nothing to undo, so a crash half-way is no harm."""
        self._processes.stop("kubelet", grace_seconds=0)
        cgroups.kill(self._cgroup)
        self._processes.stop("containerd", grace_seconds=0)
        self.runtime.kill_shims()
        cgroups.kill(self._cgroup)
        unmount_below(self._directory)
        cgroups.remove(self._cgroup)
        network.remove_bridge(self._network)
        self._remove_log_links()
        self._remove_host_folders()

    def _is_ready(self, control_plane: ControlPlane) -> bool:
        status, node = control_plane.get(f"/api/v1/nodes/{self._settings.name}")
        if status != http.client.OK:
            return False
        conditions = node.get("status", {}).get("conditions", [])
        return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)

    def _relay(self) -> Program:
        return self._program(
            "relay",
            f"-listen={self._network.api_service_address}:443",
            f"-to=127.0.0.1:{self._settings.api_port}",
        )

    def _scheduler(self) -> Program:
        return self._program(
            "kube-scheduler", "--kubeconfig=scheduler.kubeconfig", "--leader-elect=false", "--secure-port=0"
        )

    def _kubelet(self) -> Program:
        return self._program(
            "kubelet",
            "--config=kubelet.json",
            "--kubeconfig=kubelet.kubeconfig",
            f"--root-dir={self._directory / 'kubelet'}",
            f"--hostname-override={self._settings.name}",
            f"--node-ip={self._network.node_address}",
        )

    def _kubelet_config(self) -> dict[str, object]:
        here = self._directory
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self._network.node_address,
            "port": self._settings.kubelet_port,
            "healthzPort": 0,
            "tlsCertFile": str(here / "pki/kubelet-server.crt"),
            "tlsPrivateKeyFile": str(here / "pki/kubelet-server.key"),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(here / "pki/ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": f"unix://{self.runtime.socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self._cgroup}",
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "resolvConf": "",
            "makeIPTablesUtilChains": False,
            "podLogsDir": str(here / "pod-logs"),
            "volumePluginDir": str(here / "volume-plugins"),
            # Images come from no registry, so one that is collected would be lost; and a developer's full disk
            # is no reason to evict his pods.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": dict.fromkeys(("imagefs.available", "nodefs.available", "nodefs.inodesFree"), "0%"),
        }

    def _program(self, name: str, *arguments: str) -> Program:
        return Program(name=name, argv=[str(self._programs / name), *arguments], environment={})

    def _remove_log_links(self) -> None:
        for link in POD_LOG_LINKS.glob("*.log"):
            if link.is_symlink() and link.readlink().is_relative_to(self._directory):
                link.unlink(missing_ok=True)

    def _remove_host_folders(self) -> None:
        if self._neighbours(refuse_foreign=False):
            return
        made = [folder for folder in HOST_FOLDERS if folder in _made_host_folders(self._directory)]
        if str(KUBELET_SOCKET).startswith(tuple(made)):
            KUBELET_SOCKET.unlink(missing_ok=True)
        for top in made:
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    pass  # not empty: somebody else's

    def _neighbours(self, *, refuse_foreign: bool = True) -> list[Path]:
        """The folders of our other clusters with a running kubelet on this machine.

        They get along. A kubelet that is not ours is left alone: both would use /var/lib/kubelet as their own.
        """
        found = []
        own = self._processes.pid("kubelet")
        for pid, words in _processes_called("kubelet"):
            roots = [word.removeprefix("--root-dir=") for word in words if word.startswith("--root-dir=")]
            directory = Path(roots[-1]).parent if roots else Path("/")
            if pid == own:
                continue
            if (directory / HOST_FOLDERS_FILE).exists():
                found.append(directory)
            elif refuse_foreign:
                raise ClusterError(
                    f"another kubelet runs on this machine (process {pid}): stop its cluster first, or start without"
                    " a node: `cluster.py up --no-node`"
                )
        return found


def _processes_called(name: str) -> Iterator[tuple[int, list[str]]]:
    """Processes by their program's name, with their command lines."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text(encoding="utf-8").strip() == name:
                words = (process / "cmdline").read_text(encoding="utf-8", errors="replace").split("\0")
                if any(words):  # a zombie has none
                    yield int(process.name), words
        except OSError:
            continue  # it ended


def _made_host_folders(directory: Path) -> list[str]:
    return list(read_json(directory / HOST_FOLDERS_FILE).get("made", []))


def mounts_below(directory: Path) -> list[Path]:
    """Mount points below a folder, deepest first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        point = Path(line.split()[4].encode().decode("unicode_escape"))
        if point != directory and point.is_relative_to(directory):
            found.append(point)
    return list(reversed(found))


def unmount_below(directory: Path) -> None:
    """Lazily, since a process that is just ending may still hold one."""
    for point in mounts_below(directory):
        run(["umount", "--lazy", point])
