"""The processes of one cluster: started apart from their starter, found again by later calls, never mistaken.

A process is known by its id and the kernel's start time of it. The id alone would not do: after a crash or a reboot
it may belong to anybody.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals

from localcluster.errors import ClusterError
from localcluster.files import read_json, write_json

POLL_SECONDS = 0.02
LAST_LINES = 15

# Children are kept so that their exit is collected: an uncollected one stays in the process table.
_children: dict[int, subprocess.Popen[bytes]] = {}


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def start_time(pid: int) -> int | None:
    """The kernel's start time of a living process in clock ticks since boot, None when it is gone or a zombie.

    A killed process looks like a zombie while its other threads still hold its files and ports: it lives so long.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in front may hold spaces and brackets
    state, threads, started = fields[0], int(fields[17]), int(fields[19])
    return None if state in "ZX" and threads <= 1 else started


@dataclass(frozen=True)
class Program:
    """A program to be kept running."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]


class Processes:
    """Starts, finds and stops the processes of the cluster in one folder."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records = directory / "run"
        self._logs = directory / "logs"

    def log(self, name: str) -> Path:
        """Where a program's output goes."""
        return self._logs / f"{name}.log"

    def names(self) -> list[str]:
        """Every program that was started and not stopped, dead ones included."""
        return sorted(path.stem for path in self._records.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """The living process of that name."""
        record = read_json(self._records / f"{name}.json")
        pid = record.get("pid")
        if not isinstance(pid, int):
            return None
        child = _children.get(pid)
        if child is not None and child.poll() is not None:
            _children.pop(pid, None)
        return pid if start_time(pid) == record.get("start_time") else None

    def start(self, program: Program) -> None:
        """Start it unless it lives. It works in the cluster's folder and outlives the caller."""
        if self.pid(program.name) is not None:
            return
        self._logs.mkdir(parents=True, exist_ok=True)
        with self.log(program.name).open("ab") as log:
            child = subprocess.Popen(
                program.argv,
                cwd=self._directory,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        _children[child.pid] = child
        write_json(
            self._records / f"{program.name}.json",
            {"pid": child.pid, "start_time": start_time(child.pid), "argv": list(program.argv)},
        )

    def stop(self, name: str, grace_seconds: float = 10.0) -> None:
        """SIGTERM, then SIGKILL after the grace; 0 kills at once. A process that is not ours is never signalled."""
        if grace_seconds > 0 and self._send(name, Signals.SIGTERM):
            wait_until(lambda: self.pid(name) is None, grace_seconds)
        if self._send(name, Signals.SIGKILL) and not wait_until(lambda: self.pid(name) is None, 10.0):
            raise ClusterError(f"{name} (process {self.pid(name)}) does not end, even when killed")
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def signal(self, name: str, number: Signals) -> None:
        """For tests: freeze, wake or kill one program."""
        if not self._send(name, number):
            raise ClusterError(f"{name} is not running")

    def _send(self, name: str, number: Signals) -> bool:
        """Whether there was somebody to signal. The descriptor pins the process between the check and the signal."""
        pid = self.pid(name)
        if pid is None:
            return False
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            if self.pid(name) != pid:
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def wait_until_ready(self, name: str, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for the condition; a program that died meanwhile is told at once, with its last words."""
        ended = False

        def ready_or_ended() -> bool:
            nonlocal ended
            ended = self.pid(name) is None
            return ended or ready()

        in_time = wait_until(ready_or_ended, seconds)
        if ended or not in_time:
            what = "ended by itself" if ended else f"was not ready after {seconds:.0f} s"
            raise ClusterError(f"{name} {what}; the end of {self.log(name)}:\n{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        try:
            lines = self.log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return "(nothing)"
        return "\n".join(f"  {line[:300]}" for line in lines[-LAST_LINES:])
