"""`python -m bench.startup`: how long the command line takes where only help or completion is asked.

Needs no cluster. Each command is run as a process of its own, as a shell does; the median and the longest time of all
runs are printed, beside those of a Python that does nothing, which is what cannot be saved.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 21
TARGET_MS = 300
PROGRAM = str(Path(sys.executable).parent / "taskq")
COMPLETION = {"_TASKQ_COMPLETE": "bash_complete", "COMP_WORDS": "taskq li", "COMP_CWORD": "1"}
CASES: dict[str, tuple[list[str], dict[str, str]]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], {}),
    "taskq --help": ([PROGRAM, "--help"], {}),
    "taskq list --help": ([PROGRAM, "list", "--help"], {}),
    "taskq schedule --help": ([PROGRAM, "schedule", "--help"], {}),
    "completion of a command": ([PROGRAM], COMPLETION),
    "completion of an option": ([PROGRAM], COMPLETION | {"COMP_WORDS": "taskq list --ph", "COMP_CWORD": "2"}),
}


def milliseconds(command: list[str], environment: dict[str, str]) -> float:
    """One run."""
    begin = time.perf_counter()
    subprocess.run(command, env=os.environ | environment, stdout=subprocess.DEVNULL, check=True)
    return (time.perf_counter() - begin) * 1000


def main() -> int:
    """Print the table; the exit code is 1 when a median is above the target."""
    print(f"{'':<28} {'median':>8} {'longest':>8}   (ms, {RUNS} runs; target: {TARGET_MS})")
    slow = False
    for name, (command, environment) in CASES.items():
        milliseconds(command, environment)  # byte code is written, files are in the cache
        times = [milliseconds(command, environment) for _ in range(RUNS)]
        print(f"{name:<28} {statistics.median(times):>8.0f} {max(times):>8.0f}")
        slow = slow or statistics.median(times) > TARGET_MS
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
