"""What the person who waits is told. Everything goes to standard error, so that standard output stays an answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]


def say(line: str) -> None:
    """One line at once: a build that takes minutes must not look like a hang."""
    print(line, file=sys.stderr, flush=True)


def say_nothing(line: str) -> None:
    """For tests that start many clusters."""


class Stopwatch:
    """Elapsed time as people read it."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def __str__(self) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        return f"{minutes}:{seconds:02d}"
