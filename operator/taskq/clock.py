"""The only reader of clocks: everything else is told the time, so that tests and the simulation own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks: one that agrees with the world's dates, one that durations can be measured by."""

    def now(self) -> float:
        """Wall time, in seconds since the epoch: it may step both ways, so never measure by it."""

    def uptime(self) -> float:
        """Seconds since an arbitrary moment: never steps back, and counts the time of a suspended machine."""


class SystemClock:
    """The clocks of this machine."""

    def now(self) -> float:
        """Wall time, in seconds since the epoch."""
        return time.time()

    if hasattr(time, "CLOCK_BOOTTIME"):

        def uptime(self) -> float:
            """Seconds since boot; CLOCK_MONOTONIC would stand still while a laptop or a VM is suspended."""
            return time.clock_gettime(time.CLOCK_BOOTTIME)

    else:  # macOS: there CLOCK_MONOTONIC counts the time asleep

        def uptime(self) -> float:
            """Seconds since boot, those asleep included."""
            return time.clock_gettime(time.CLOCK_MONOTONIC)
