"""What the kernel knows about a process: its CPU time and its memory. Linux only, like the local cluster."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used, all threads, in steps of a tick (mostly 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory now and at its highest, in MB (10^6 bytes)."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(lines[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
    return now, peak


def machine() -> dict[str, str]:
    """The machine as a reader of figures needs to know it; nothing that names it."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {
        "CPUs": f"{os.cpu_count()} ({model})",
        "memory": f"{total / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
    }


def load_average() -> float:
    """Processes that wanted a CPU, averaged over the last minute: above the number of CPUs, figures suffer."""
    return round(os.getloadavg()[0], 2)
