"""What a node needs from the system. Missing packages are installed where that is possible, else named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.progress import Say
from localcluster.shell import run

# Command → the Debian package that has it.
TOOLS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "mount": "mount",
    "umount": "mount",
}
CNI_PLUGINS = ("bridge", "host-local", "loopback")
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
POLICY = Path("/usr/sbin/policy-rc.d")


def ensure_node_tools(say: Say) -> None:
    """Have everything that runs pods, or say how to get it."""
    if os.geteuid() != 0:
        raise ClusterError(
            "a node that runs pods needs root (mounts, network, cgroups): run it as root, `sudo -E make cluster`,"
            " or start without a node: `cluster.py up --no-node`"
        )
    missing = missing_packages()
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(
            f"missing: {', '.join(missing)} (names as in Debian). Install them with your package manager"
        )
    say(f"installing packages: apt-get install {' '.join(missing)}")
    install(missing)
    still = missing_packages()
    if still:
        raise ClusterError(f"still missing after the installation: apt-get install {' '.join(still)}")


def missing_packages() -> list[str]:
    """The packages, by Debian's names, whose commands are not there."""
    missing = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if cni_folder() is None:
        missing.add(CNI_PACKAGE)
    return sorted(missing)


def cni_folder() -> Path | None:
    """Where the system keeps the CNI plug-ins."""
    for folder in map(Path, CNI_FOLDERS):
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


def install(packages: list[str]) -> None:
    """Install without starting any service: our containerd is a process of its own, beside whatever runs here."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with services_stay_stopped():
        run(["apt-get", "update", "-qq"], environment)
        run(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages], environment)


@contextmanager
def services_stay_stopped() -> Iterator[None]:
    """Debian's packages ask this program whether they may start their service. An existing answer is respected."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
