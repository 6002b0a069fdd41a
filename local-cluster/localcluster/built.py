"""A cluster of our own programs, in one folder: `start()` for tests, `Cluster` for what they do with it.

cluster = start(nodeless=True, directory=tmp_path / "cluster")
... cluster.kubeconfig, cluster.audit_log ...
cluster.stop()
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from signal import Signals

from localcluster.build import ensure_built
from localcluster.controlplane import ControlPlane
from localcluster.errors import ClusterError
from localcluster.files import locked, read_json, write_json
from localcluster.network import choose_network
from localcluster.node import Node
from localcluster.processes import Processes
from localcluster.progress import Say, Stopwatch, say_nothing
from localcluster.runtime import Runtime
from localcluster.settings import ControllerManager, Settings, checked_name, free_port, port_is_free, state_directory

DEFAULT_NAME = "taskq"
STATE_FILE = "cluster.json"
PORT_TRIES = 3
API_CLIENTS = ("kube-controller-manager", "kube-scheduler", "kubelet", "relay")


@dataclass(frozen=True)
class Cluster:
    """A running cluster. Everything about it lies in `directory`."""

    directory: Path
    programs: Path
    settings: Settings

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.directory / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """JSON lines, one for each request worth knowing, written before the request is answered."""
        return self.directory / "audit.log"

    @property
    def server(self) -> str:
        """The API server's address."""
        return self.control_plane.server

    @property
    def processes(self) -> Processes:
        """The programs that make up the cluster."""
        return Processes(self.directory)

    def is_ready(self) -> bool:
        """Whether the API server answers that it is."""
        return self.control_plane.is_ready()

    def stop(self, *, keep_data: bool = False) -> None:
        """Stop everything that belongs to the cluster, and delete its data unless they are to be kept."""
        stop(self.directory, keep_data=keep_data)

    def import_image(self, archive: Path) -> None:
        """Make an image archive known to the node."""
        Runtime(self.directory, self.processes).import_image(archive)

    def restart_apiserver(self, *, kill: bool = False) -> None:
        """End the API server, orderly or at once, and start it again at the same address."""
        self.stop_apiserver(kill=kill)
        self.start_apiserver()

    def stop_apiserver(self, *, kill: bool = False) -> None:
        """Leave clients without an API server; what it stored stays."""
        self.processes.stop("kube-apiserver", grace_seconds=0 if kill else 30)

    def start_apiserver(self) -> None:
        """Bring it back; returns when it answers."""
        self.control_plane.start_apiserver()

    def signal(self, program: str, number: Signals) -> None:
        """Freeze, wake or kill one of the programs, such as `kube-controller-manager`."""
        self.processes.signal(program, number)

    @property
    def control_plane(self) -> ControlPlane:
        """Its etcd, API server and controllers."""
        return ControlPlane(self.directory, self.programs, self.settings, self.processes)


_RAISED = ControllerManager()


def start(
    *,
    nodeless: bool = False,
    directory: Path | None = None,
    name: str = DEFAULT_NAME,
    kcm: ControllerManager | None = _RAISED,
    say: Say = say_nothing,
) -> Cluster:
    """Start the cluster of this folder, or heal and return the one that is there. Without `kcm` no controller runs."""
    folder = (directory or state_directory(dict(os.environ), name)).absolute()
    programs = ensure_built(say)
    watch = Stopwatch()
    with _folder(folder, say):
        settings = _settled(folder, name, nodeless=nodeless, kcm=kcm)
        running = bool(Processes(folder).names())
        node = None if nodeless else Node(folder, programs, settings, Processes(folder))
        if node is not None:
            node.check(say)
            _remember(folder, programs, settings)  # first, so that `down` after a crash knows what to undo
            node.prepare()
        settings = _start_at_free_port(folder, programs, settings)
        if node is not None:
            cluster = Cluster(folder, programs, settings)
            Node(folder, programs, settings, cluster.processes).start(cluster.control_plane, say)
    say(f"cluster «{settings.name}» {'was there' if running else 'started'} after {watch}")
    return Cluster(folder, programs, settings)


def find(directory: Path) -> Cluster | None:
    """The cluster of this folder, if one was made and not stopped."""
    state = read_json(directory / STATE_FILE)
    if "settings" not in state:
        return None
    return Cluster(directory, Path(state["programs"]), Settings.from_json(state["settings"]))


def stop(directory: Path, *, keep_data: bool = False) -> bool:
    """Stop everything of the cluster in this folder; whether there was one. Safe to call again, also after a crash."""
    if not directory.is_dir() or not (directory / STATE_FILE).exists():
        return False
    with _folder(directory, say_nothing):
        processes = Processes(directory)
        cluster = find(directory)
        if cluster is not None and cluster.settings.network is not None:
            Node(directory, cluster.programs, cluster.settings, processes).stop()
        for name in _stopping_order(processes.names()):
            processes.stop(name, grace_seconds=30 if keep_data else 0)
        if not keep_data:
            shutil.rmtree(directory)
    return True


@contextmanager
def _folder(directory: Path, say: Say) -> Iterator[None]:
    """One starter or stopper at a time. A folder with foreign things is refused: stopping deletes it."""
    if directory.is_dir() and not (directory / STATE_FILE).exists():
        foreign = [entry.name for entry in directory.iterdir() if entry.name not in ("lock", "run", "logs")]
        if foreign:
            raise ClusterError(
                f"{directory} holds other things ({', '.join(sorted(foreign)[:5])}); name an empty folder"
            )
    with locked(directory / "lock", on_wait=lambda: say(f"another process works on {directory}; waiting for it")):
        yield


def _settled(directory: Path, name: str, *, nodeless: bool, kcm: ControllerManager | None) -> Settings:
    """What was settled when the cluster was made, so that its address stays; else new choices."""
    known = find(directory)
    if known is None:
        network = None if nodeless else choose_network(directory)
        return Settings(
            name=checked_name(name),
            api_port=free_port(),
            kubelet_port=free_port(),
            network=network,
            controller_manager=kcm,
        )
    settings = known.settings
    if (settings.network is None) != nodeless:
        raise ClusterError(
            f"the cluster in {directory} was made {'with' if nodeless else 'without'} a node; stop it first"
        )
    if settings.controller_manager != kcm:
        known.processes.stop("kube-controller-manager")
        settings = replace(settings, controller_manager=kcm)
    return settings


def _start_at_free_port(directory: Path, programs: Path, settings: Settings) -> Settings:
    """Others may take the port between our choice and the API server's start, so choose again a few times."""
    processes = Processes(directory)
    for remaining in reversed(range(PORT_TRIES)):
        if processes.pid("kube-apiserver") is None and not port_is_free(settings.api_port):
            settings = replace(settings, api_port=free_port())
            for client in API_CLIENTS:  # they know the old address
                processes.stop(client)
        _remember(directory, programs, settings)
        try:
            ControlPlane(directory, programs, settings, processes).start()
        except ClusterError:
            if not remaining or processes.pid("kube-apiserver") is not None:
                raise
            continue
        break
    return settings


def _remember(directory: Path, programs: Path, settings: Settings) -> None:
    write_json(directory / STATE_FILE, {"programs": str(programs), "settings": settings.as_json()})


def _stopping_order(names: list[str]) -> list[str]:
    """Clients before servers, so that nothing logs errors about what was stopped on purpose."""
    last = ["kube-apiserver", "etcd"]
    return [name for name in names if name not in last] + [name for name in last if name in names]
