"""What can be chosen about a cluster that we build, and how it is remembered between calls."""

from __future__ import annotations

import ipaddress
import random
import re
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcluster.errors import ClusterError

# Below the kernel's range for outgoing connections: a restarted server must find its port free.
FIRST_PORT, LAST_PORT = 20_000, 32_000
PORT_ATTEMPTS = 200


@dataclass(frozen=True)
class ControllerManager:
    """How fast the controllers may talk to the API server.

    The stock 20 requests a second (burst 30) cap a whole cluster at about 3 Jobs a second. A local cluster
    is there to find the limits of what runs on it, not of this setting; `stock()` is there to measure what
    users of a cluster that nobody tuned will see.
    """

    qps: int = 1000
    burst: int = 2000
    concurrent_job_syncs: int = 20

    @classmethod
    def stock(cls) -> ControllerManager:
        """What a cluster has when nobody set anything."""
        return cls(qps=20, burst=30, concurrent_job_syncs=5)


@dataclass(frozen=True)
class Network:
    """The private range of a cluster with a node: pods in the lower half, Services in the upper."""

    bridge: str
    range: str

    @property
    def pods(self) -> str:
        """The pods' addresses."""
        return str(next(ipaddress.ip_network(self.range).subnets()))

    @property
    def services(self) -> str:
        """The Services' addresses."""
        return str(list(ipaddress.ip_network(self.range).subnets())[1])

    @property
    def node_address(self) -> str:
        """The bridge's address: the node's own, and the pods' gateway."""
        return str(ipaddress.ip_network(self.pods)[1])

    @property
    def api_service_address(self) -> str:
        """What pods get as KUBERNETES_SERVICE_HOST: always the first address for Services."""
        return str(ipaddress.ip_network(self.services)[1])


@dataclass(frozen=True)
class Settings:
    """One cluster."""

    name: str
    api_port: int
    kubelet_port: int = 0
    network: Network | None = None
    controller_manager: ControllerManager | None = field(default_factory=ControllerManager)

    def as_json(self) -> dict[str, Any]:
        """For the state file."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Settings:
        """From the state file."""
        network, manager = value["network"], value["controller_manager"]
        return cls(
            name=value["name"],
            api_port=value["api_port"],
            kubelet_port=value["kubelet_port"],
            network=Network(**network) if network else None,
            controller_manager=ControllerManager(**manager) if manager else None,
        )


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    for _ in range(PORT_ATTEMPTS):
        port = random.randint(FIRST_PORT, LAST_PORT)  # chance keeps clusters that start together apart
        if port_is_free(port, host):
            return port
    raise ClusterError(f"no free port between {FIRST_PORT} and {LAST_PORT} on {host}")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def checked_name(name: str) -> str:
    """The name is also a folder's and the node's, so it has to be fit for both."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", name) is None:
        raise ClusterError(f"«{name}»: a name is up to 40 small letters, digits and hyphens, no hyphen first or last")
    return name


def state_directory(environment: dict[str, str], name: str) -> Path:
    """Where a cluster lives unless a folder is named."""
    base = environment.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "taskq" / checked_name(name)
