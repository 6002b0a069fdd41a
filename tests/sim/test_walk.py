"""The operator under everything that can go wrong, on simulated time: design §3's rules 1 to 4, after every change.

``TASKQ_SIM_SEEDS=1000`` walks more seeds, ``TASKQ_SIM_SEED=7`` just that one, ``TASKQ_SIM_TRACE=100000`` shows more of
its steps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.faults import DEEDS, RATES
from sim.planted import FIRST_SEEDS, MUTANTS

SEEDS = int(os.environ.get("TASKQ_SIM_SEEDS", "60"))
ONE_SEED = os.environ.get("TASKQ_SIM_SEED")
MUTANT_SEEDS = 80
REPO = Path(__file__).resolve().parents[2]

NOT_DRAWN = {"leader frozen", "Job refused (422)", "Job's own deadline", "kubelet ends a pod at its deadline"}
"""Faults that follow from others, and must have occurred as well."""

SEEN = {
    "cap reached",
    "stuck",
    "order looked at",
    "ended Succeeded",
    "ended Failed",
    "ended Cancelled",
    "ended Expired",
    "Task cleaned up after its ttl",
    "started after its dependencies",
    "started alone of its key",
    "started alone of its account",
    "a family's room looked at",
    "cluster's cap reached",
    "ended as Purged",
    "rate looked at",
    "order looked at, with ages",
    "order looked at, with levels",
    "order looked at, Strict",
    "order looked at, with tenants",
    "order looked at, by who started longer ago",
    "order looked at, with some beyond maxPending",
    "a refused head kept its place",
    "siblings compared",
    "rate looked at, with a predecessor's starts",
    "cleaned up by count",
    "a hook's Task made",
    "totals looked at",
    "a tick's Task made alone",
    "a tick accounted for",
}
"""What must have been judged, so that the rules were not kept by having nothing to do."""
OFTEN = 10
"""How often each of them must have been, in as many walks as the suite makes by itself."""


def walk(first: int, last: int, mutant: str = "") -> dict[str, Any]:
    """Walk seeds in another process."""
    environment = os.environ | {
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join((str(REPO / "tests"), str(REPO / "operator"))),
    }
    arguments = [str(first), str(last), *([mutant] if mutant else [])]
    done = subprocess.run(
        [sys.executable, "-m", "sim", *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"the walk itself broke:\n{done.stderr[-4000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.slow
def test_the_rules_hold_on_every_walk() -> None:
    """Every seed keeps every rule, and together they met every fault."""
    if ONE_SEED:
        found = walk(int(ONE_SEED), int(ONE_SEED) + 1)
        assert not found["story"], found["story"]
        return
    found = walk(0, SEEDS)
    assert not found["story"], found["story"]
    print(f"\n{found['walked']} walks\n{_table(found['faults'])}\n{_table(found['tallies'])}")
    never = sorted((set(RATES) | set(DEEDS) | NOT_DRAWN) - set(found["faults"]))
    assert not never, f"faults that never occurred in {SEEDS} seeds: {never}"
    seldom = {name: found["tallies"].get(name, 0) for name in sorted(SEEN)}
    seldom = {name: times for name, times in seldom.items() if times < OFTEN}
    assert not seldom, f"hardly ever judged in {SEEDS} seeds: {seldom}"


def test_a_seed_is_the_same_walk_each_time() -> None:
    """A failure can be looked at again: the seed decides every step."""
    assert walk(3, 5)["fingerprints"] == walk(3, 5)["fingerprints"]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_planted_defect_is_found(mutant: str) -> None:
    """An operator with a defect does not get through the same seeds."""
    first = FIRST_SEEDS.get(mutant, 0)
    found = walk(first, first + MUTANT_SEEDS, mutant)
    assert found["story"], f"{mutant} kept every rule in {MUTANT_SEEDS} seeds"
    print(f"\n{mutant}: {found['story'].splitlines()[0][:300]}")


def _table(counts: dict[str, int]) -> str:
    return "\n".join(f"{number:8}  {name}" for name, number in sorted(counts.items()))
