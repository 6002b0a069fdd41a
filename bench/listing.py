"""`python -m bench.listing`: memory and time of the command line over 1,000 to 100,000 Tasks, on a real API server.

Each command runs as a process of its own, its output thrown away; its peak of resident memory is the kernel's figure.
Half of the Tasks have ended, one in a hundred of those by failing, so that `stats` and filters have something to find.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from bench import load, process
from bench.__main__ import RESULTS, environment, now, say
from bench.rig import Rig, rig
from taskq.cluster.session import Session

NAME = "listing"
SPACE = NAME
SIZES = (1_000, 10_000, 100_000)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("list", "--limit", "1"),
    ("list",),
    ("list", "-o", "json"),
    ("list", "-o", "yaml"),
    ("list", "-o", "name"),
    ("list", "-o", "jsonpath={range .items[*]}{.metadata.name}{'\\n'}{end}"),
    ("list", "--sort-by", "-priority"),
    ("list", "--phase", "failed"),
    ("list", "--text", "nowhere"),
    ("queues",),
    ("stats",),
    ("top", "--once"),
    ("cancel", "--phase", "waiting", "--dry-run=client"),
)
MEASURE = """
import json, resource, subprocess, sys, time
begin = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "seconds": round(time.perf_counter() - begin, 2),
    "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
    "peak_mb": round(used.ru_maxrss * 1024 / 1e6, 1),
    "code": done.returncode,
    "said": done.stderr[-300:],
}))
"""
"""A small process that starts the command: the kernel counts what a large parent had before exec to its child."""


class Row(NamedTuple):
    """One command over so many Tasks."""

    tasks: int
    command: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


def measured(made: Rig, tasks: int, command: Sequence[str]) -> Row:
    """Run it once."""
    where = ["--kubeconfig", str(made.cluster.kubeconfig), "-n", SPACE]
    typed = [sys.executable, "-m", "taskq.cli", *where, *command]
    answer = subprocess.run([sys.executable, "-c", MEASURE, *typed], capture_output=True, text=True, check=True).stdout
    found = json.loads(answer)
    if found["code"]:
        raise RuntimeError(f"{' '.join(command)} ended with {found['code']}: {found['said']}")
    return Row(tasks, " ".join(command), found["seconds"], found["cpu_seconds"], found["peak_mb"])


async def fill(api: Session, first: int, last: int) -> None:
    """Add Tasks, and end every second of them; of those, one in a hundred has failed."""
    await load.create_tasks(api, SPACE, last - first, first=first)
    ended = datetime.now(UTC)

    async def end(number: int) -> None:
        failed = number % 200 == 0
        start = ended - timedelta(seconds=30 + number % 50)
        status = {
            "observedGeneration": 1,
            "phase": "Failed" if failed else "Succeeded",
            "queueName": load.QUEUE,
            "reason": "RetriesExhausted" if failed else "Succeeded",
            "attempt": 1,
            "startTime": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "completionTime": ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        path = f"{load.TASKS}/namespaces/{SPACE}/tasks/task-{number:06d}/status"
        body = load.encode({"status": status})
        (await api.request("PATCH", path, body=body, content_type=load.MERGE_PATCH, timeout=120)).checked()

    await load.in_parallel(range(first + first % 2, last, 2), end, load.LOADERS)


async def run(sizes: Sequence[int]) -> list[Row]:
    """All commands at all sizes, on one cluster that is filled further and further."""
    rows: list[Row] = []
    async with rig(kcm=None, lean=False) as made:
        await load.create_namespace(made.api, SPACE)
        await load.create_queue(made.api, SPACE, cap=1)
        there = 0
        for size in sorted(sizes):
            say(f"{size:,} Tasks of {load.TASK_BYTES} bytes …")
            await fill(made.api, there, size)
            there = size
            for command in COMMANDS:
                row = await asyncio.to_thread(measured, made, size, command)
                rows.append(row)
                say(line(row))
    return rows


def line(row: Row) -> str:
    """One line of the table."""
    return f"{row.tasks:>9,} {row.seconds:>8.2f} s {row.cpu_seconds:>8.2f} s {row.peak_mb:>8.1f} MB  {row.command}"


def main() -> int:
    """Measure, and keep the raw results."""
    parser = argparse.ArgumentParser(prog="python -m bench.listing", description=__doc__)
    parser.add_argument("--tasks", type=int, action="append", metavar="N", help=f"sizes; by default {SIZES}")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR", help="where raw results go")
    options = parser.parse_args()
    before = process.load_average()
    say(f"{'tasks':>9} {'took':>10} {'CPU':>10} {'peak':>11}")
    rows = asyncio.run(run(options.tasks or SIZES))
    about = {"name": NAME, "date": now(), "load_average": [before, process.load_average()]}
    result = environment() | about | {"task_bytes": load.TASK_BYTES, "raw": [row._asdict() for row in rows]}
    (options.results / f"{NAME}.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
