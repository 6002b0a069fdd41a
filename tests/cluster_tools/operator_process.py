"""The operator as users run it: a process of its own, which tests may kill, freeze and ask."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster_tools.waiting import until

SHORT_LEASES: Mapping[str, object] = {
    "lease_duration_seconds": 4,
    "lease_renew_seconds": 0.5,
    "lease_renew_deadline_seconds": 1.5,
    "create_timeout_seconds": 1,
}
"""For tests that kill leaders: a successor waits four seconds instead of eight."""

PROMPT: Mapping[str, object] = {
    "queue_status_seconds": 0.2,
    "launch_backoff_base_seconds": 0.2,
    "launch_backoff_max_seconds": 1,
    "events_per_second": 200,
}
"""For tests that wait for what the operator does by the clock."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class OperatorProcess:
    """One replica. As a context manager it is started, and killed at the end if it still runs."""

    def __init__(
        self,
        kubeconfig: Path,
        log: Path,
        *,
        program: Sequence[str] = ("-m", "taskq"),
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        """``settings`` by their names in the operator; ``program`` is what Python runs, for mutants of it."""
        self.log = log
        self.address = f"127.0.0.1:{free_port()}"
        self._settings = {"http_address": self.address, **settings}
        self._program = tuple(program)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TASKQ_")},
            "KUBECONFIG": str(kubeconfig),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    def start(self) -> Self:
        """Start it; returns at once."""
        flags = [f"--{name.replace('_', '-')}={_text(value)}" for name, value in self._settings.items()]
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, *self._program, *flags],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        if kind is not None:
            sys.stderr.write(f"--- the operator's log, {self.log}, its last lines:\n{self.tail()}\n")

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; negative for a signal."""
        return None if self._process is None else self._process.poll()

    # --- what tests do to it ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        """SIGKILL, at whatever point it is."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """SIGSTOP: to others it looks dead."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if nothing had been."""
        self._signal(signal.SIGCONT)

    def terminate(self, seconds: float = 30) -> int:
        """SIGTERM, and its exit code."""
        self._signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds: float = 60) -> int:
        """Its exit code, once it ends by itself."""
        assert self._process is not None, "start it first"
        try:
            return self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"the operator did not end within {seconds:.0f} s:\n{self.tail()}") from error

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "start it first"
        self._process.send_signal(number)

    # --- what it says ----------------------------------------------------------------------------------------------

    def output(self) -> str:
        """All that it wrote since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode(errors="replace")

    def tail(self, lines: int = 60) -> str:
        """The end of what it wrote."""
        return "\n".join(self.output().splitlines()[-lines:])

    def wait_for(self, words: str, seconds: float = 60) -> str:
        """The line that says so, as soon as it does; fails at once when the process ends before."""

        def said() -> str | None:
            found = next((line for line in self.output().splitlines() if words in line), None)
            assert found or self.running, f"the operator ended with {self.exit_code} before «{words}»:\n{self.tail()}"
            return found

        return until(said, lambda: f"«{words}» in the operator's log:\n{self.tail()}", seconds=seconds)

    def wait_leading(self, seconds: float = 60) -> Self:
        """Wait until it acts."""
        self.wait_for("leading:", seconds)
        return self

    def get(self, path: str) -> tuple[int, str]:
        """Status and text that its HTTP server answers with; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, series: str) -> float:
        """The value of one series, written as in the exposition (``name{label="value"}``); 0 when it is not there."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
