"""Figures, and the page that shows them: a function of the raw results, so that it can be made again from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Raw = dict[str, Any]
"""What one measurement found, as JSON."""


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    target: str
    measured: str
    met: bool | None = None
    """None: there is no target to meet."""
    note: str = ""
    """What a reader must know to believe it; for a miss, why."""

    @property
    def verdict(self) -> str:
        """The last word."""
        return {True: "met", False: "**missed**", None: ""}[self.met]


INTRODUCTION = """\
# Figures

Made by `make bench` (`python -m bench`) from the raw results in `bench/results/`; not edited by hand.

A control plane of its own (etcd and kube-apiserver on 127.0.0.1, no node, no scheduler) is started for each group of
measurements; where the table speaks of the Job controller, kube-controller-manager runs too, with raised request
limits, and a stand-in for the kubelet ends the pods. Everything shares the machine's CPUs: API server, etcd, operator
and the measuring process. So ratios, which compare two runs right after each other, say more than absolute figures,
and a busy machine makes both worse: the load average is in the second table. The operator runs with its default
settings, in a virtual environment that has what its image has. Times are from the API server's audit log, CPU time and
memory from the kernel. MB are 10⁶ bytes; medians, with the lowest and highest in the notes.
"""


def page(figures: Iterable[Figure], results: Iterable[Raw]) -> str:
    """The page, in Markdown."""
    lines = [INTRODUCTION, *_table(figures), "", "## Where and when", "", *_runs(list(results))]
    return "\n".join(lines) + "\n"


def _table(figures: Iterable[Figure]) -> list[str]:
    rows = ["| figure | target | measured | | notes |", "|---|---|---|---|---|"]
    rows += [f"| {f.name} | {f.target} | {f.measured} | {f.verdict} | {f.note} |" for f in figures]
    return rows


def _runs(results: list[Raw]) -> list[str]:
    rows = ["| measurement | when | commit | size | load average before, after |", "|---|---|---|---|---|"]
    for result in results:
        before, after = result["load_average"]
        facts = (f"`{result['name']}`", result["date"], f"`{result['commit']}`", result["size"], f"{before}, {after}")
        rows.append(f"| {' | '.join(facts)} |")
    machines = dict.fromkeys(_words(result["machine"]) for result in results)
    versions = dict.fromkeys(_words(result["versions"]) for result in results)
    return [
        *rows,
        "",
        *(f"Machine: {words}." for words in machines),
        "",
        *(f"Versions: {words}." for words in versions),
    ]


def _words(facts: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())
