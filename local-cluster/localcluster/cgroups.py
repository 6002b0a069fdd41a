"""One cgroup above all pods of a cluster, in every hierarchy of the machine, old (v1) and new (v2).

It keeps our pods apart from those of another kubelet, and it is how `down` finds every process that a pod left.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from localcluster.processes import wait_until

CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
END_SECONDS = 10.0


def _hierarchies() -> list[tuple[Path, str]]:
    """Mount point and kind of every cgroup hierarchy."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        kind = right.split()[0]
        if kind in ("cgroup", "cgroup2"):
            found.append((Path(left.split()[4]), kind))
    return found


def make(name: str) -> None:
    """Have the cgroup everywhere; the kubelet wants its root to exist."""
    for mount, kind in _hierarchies():
        if kind == "cgroup2":
            available = (mount / "cgroup.controllers").read_text(encoding="utf-8").split()
            _enable(mount, [controller for controller in CONTROLLERS if controller in available])
        group = mount / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # v1: a new group has none, and takes no process
            if kind == "cgroup" and (group / setting).exists():
                (group / setting).write_text((mount / setting).read_text(encoding="utf-8"), encoding="utf-8")


def _enable(mount: Path, controllers: list[str]) -> None:
    wanted = " ".join(f"+{controller}" for controller in controllers)
    if wanted:
        (mount / "cgroup.subtree_control").write_text(wanted, encoding="utf-8")


def kill(name: str) -> None:
    """End every process in the cgroup."""

    def empty() -> bool:
        pids = set(_members(name))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return not pids

    wait_until(empty, END_SECONDS)


def remove(name: str) -> None:
    """Remove the cgroup from every hierarchy, children first."""
    for mount, _ in _hierarchies():
        for folder in sorted(_groups(mount / name), key=lambda path: len(path.parts), reverse=True):
            wait_until(lambda folder=folder: _removed(folder), END_SECONDS)  # type: ignore[misc]


def _removed(folder: Path) -> bool:
    """A group is busy for a moment after its last process ended."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def exists(name: str) -> bool:
    """Whether any hierarchy has it."""
    return any((mount / name).exists() for mount, _ in _hierarchies())


def _groups(top: Path) -> list[Path]:
    return [Path(folder) for folder, _, _ in os.walk(top)]


def _members(name: str) -> Iterator[int]:
    for mount, _ in _hierarchies():
        for folder in _groups(mount / name):
            try:
                yield from map(int, (folder / "cgroup.procs").read_text(encoding="utf-8").split())
            except OSError:
                continue  # the group went away meanwhile
