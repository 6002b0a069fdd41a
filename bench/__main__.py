"""`python -m bench`: measure, keep the raw results, write the page."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from bench import process, report
from bench.context import Bench
from bench.measures import ALL
from bench.report import Raw
from bench.rig import REPO, cluster_versions, operator_python
from bench.size import FULL, QUICK, STANDARD, Size

RESULTS = REPO / "bench" / "results"
PAGE = REPO / "docs" / "reference" / "figures.md"
LONGEST_SECONDS = 2 * 3600.0
PACKAGES = ("aiohttp", "kopf", "msgspec", "pydantic")


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the figures that TaskQ promises.")
    names = [module.NAME for module in ALL]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small numbers, to see that it works; writes no page")
    size.add_argument("--full", action="store_true", help="also 10,000 Tasks of 100 KB: an hour or more")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where raw results go (default: bench/results)")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="the page to write (default: docs/reference/figures.md)"
    )
    parser.add_argument("--render", action="store_true", help="only write the page, from the results that are there")
    return parser.parse_args(argv)


def size_of(options: argparse.Namespace) -> Size:
    """The numbers asked for."""
    if options.quick:
        return QUICK
    return FULL if options.full else STANDARD


async def run(modules: Sequence[ModuleType], size: Size, results: Path) -> list[str]:
    """Measure one after the other; returns the names of those that failed."""
    about = environment() | {"versions": await cluster_versions(operator_python(lean=size.lean), PACKAGES)}
    failed = []
    async with Bench(size) as bench:
        for module in modules:
            say(f"{module.NAME} …")
            before = process.load_average()
            try:
                async with asyncio.timeout(LONGEST_SECONDS):
                    raw = await module.measure(bench)
            except Exception:
                traceback.print_exc()
                failed.append(module.NAME)
                continue
            result = about | {
                "name": module.NAME,
                "size": size.name,
                "date": now(),
                "load_average": [before, process.load_average()],
                "raw": raw,
            }
            (results / f"{module.NAME}.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
            for figure in module.summarise(raw):
                say(f"    {figure.name}: {figure.measured} (target: {figure.target}) {figure.verdict}")
    return failed


def environment() -> Raw:
    """What a reader must know about where this ran."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=REPO, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "operator", "crds", "bench")
    changed = "\n".join(line for line in changed.splitlines() if "bench/results/" not in line)
    commit = git("rev-parse", "--short=10", "HEAD") or "unknown"
    return {"commit": commit + ("+changes" if changed else ""), "machine": process.machine()}


def now() -> str:
    """The time in UTC, to the minute."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def say(words: str) -> None:
    """Tell whoever waits."""
    print(words, flush=True)


def page(results: Path) -> str:
    """The page, from the raw results that are there."""
    files = [(module, results / f"{module.NAME}.json") for module in ALL]
    found = [(module, json.loads(file.read_text())) for module, file in files if file.exists()]
    figures = [figure for module, result in found for figure in module.summarise(result["raw"])]
    return report.page(figures, [result for _, result in found])


def main() -> int:
    """Exit code 0 only if everything that was asked for was measured; a missed target is no failure."""
    options = arguments(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that was started is stopped
    with tempfile.TemporaryDirectory(prefix="taskq-bench-results-") as scratch:
        results = options.results or (Path(scratch) if options.quick else RESULTS)
        results.mkdir(parents=True, exist_ok=True)
        failed: list[str] = []
        if not options.render:
            modules = [module for module in ALL if not options.only or module.NAME in options.only]
            failed = asyncio.run(run(modules, size_of(options), results))
        target = options.page or (None if options.quick else PAGE)
        if target:
            target.write_text(page(results), encoding="utf-8")
            say(f"wrote {target}")
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    assert version("taskq-operator")  # run it with the interpreter of the project's virtual environment
    sys.exit(main())
