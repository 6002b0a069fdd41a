"""The cluster's own bridge: the node's address, the pods' gateway, and where pods find the API server."""

from __future__ import annotations

import hashlib
import ipaddress
import json
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.settings import Network
from localcluster.shell import run, succeeds

# Ranges of 10/8 that are rarely taken; the first that overlaps no route of the machine is used.
CANDIDATES = [f"10.{second}.0.0/16" for second in range(200, 250)]
ROUTES = Path("/proc/net/route")
CNI_RESULTS = Path("/var/lib/cni/results")


def choose_network(directory: Path) -> Network:
    """A bridge name of this folder's own (the kernel allows 15 characters), and a free range."""
    bridge = "taskq" + hashlib.sha256(str(directory).encode()).hexdigest()[:8]
    taken = _routed_ranges()
    for candidate in map(ipaddress.IPv4Network, CANDIDATES):
        if not any(candidate.overlaps(other) for other in taken):
            return Network(bridge=bridge, range=str(candidate))
    raise ClusterError(f"all of {CANDIDATES[0]} to {CANDIDATES[-1]} overlap routes of this machine")


def _routed_ranges() -> list[ipaddress.IPv4Network]:
    ranges = []
    for line in ROUTES.read_text(encoding="utf-8").splitlines()[1:]:
        fields = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        if mask:  # the default route overlaps everything and says nothing
            ranges.append(ipaddress.IPv4Network((address, mask.bit_count())))
    return ranges


def make_bridge(network: Network) -> None:
    """Have the bridge with both addresses, whatever is left of it."""
    if not succeeds(["ip", "link", "show", "dev", network.bridge]):
        run(["ip", "link", "add", network.bridge, "type", "bridge"])
    run(["ip", "link", "set", network.bridge, "address", _own_address(network.bridge)])
    prefix = network.pods.partition("/")[2]
    for address in (f"{network.node_address}/{prefix}", f"{network.api_service_address}/32"):
        run(["ip", "address", "replace", address, "dev", network.bridge])
    run(["ip", "link", "set", network.bridge, "up"])


def _own_address(bridge: str) -> str:
    """A hardware address for it to keep. Without one it takes the lowest of the pods' that are there: it would change
    as they come and go, and the others would send to nobody until their neighbour caches notice, half a minute later.
    """
    digest = hashlib.sha256(bridge.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))  # 0x02: locally administered


def remove_bridge(network: Network) -> None:
    """The pods' ends of the cables have gone with their namespaces."""
    if succeeds(["ip", "link", "show", "dev", network.bridge]):
        run(["ip", "link", "delete", network.bridge])
    for result in CNI_RESULTS.glob(f"{network.bridge}-*"):
        sandbox = result.name.split("-")[1]  # the same pod has a record for its loopback device, too
        for record in CNI_RESULTS.glob(f"*-{sandbox}-*"):
            record.unlink(missing_ok=True)


def cni_config(network: Network, directory: Path) -> str:
    """Addresses are kept in the cluster's folder.

    The bridge is a gateway already, so the plug-in need not make it one, which would turn on forwarding for the
    whole machine. Pods reach each other, this machine and the API server; nothing of theirs leaves the machine.
    """
    return json.dumps(
        {
            "cniVersion": "0.4.0",
            "name": network.bridge,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": network.bridge,
                    "isGateway": False,
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(directory / "cni" / "addresses"),
                        "ranges": [[{"subnet": network.pods, "gateway": network.node_address}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        },
        indent=2,
    )
