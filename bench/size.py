"""How much is measured: enough to trust, enough to see that the bench still works, or all that the design asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The numbers of a run; every count and every repetition is bounded here."""

    name: str
    lean: bool
    """Run the operator in a virtual environment of its own, as its image has it."""
    launch_tasks: int
    launch_rounds: int
    launch_rounds_with_kcm: int
    policy_rounds: int
    """Of launches and of the steady state, with every policy of a queue on."""
    steady_tasks: int
    steady_rounds: int
    paced_tasks: int
    pending: int
    pending_large: int
    """Tasks of 100 KB."""
    pending_most: int
    """Served by a stand-in, for memory alone."""
    settle_seconds: float
    """Between two looks at the memory that must agree."""
    completions: int
    cold_starts: int
    failovers: int
    stock_jobs: int
    schedules: int
    schedules_due: int
    schedule_rounds: int
    growth_pending: tuple[int, ...]
    growth_rounds: int


STANDARD = Size(
    name="standard",
    lean=True,
    launch_tasks=1000,
    launch_rounds=5,
    launch_rounds_with_kcm=3,
    policy_rounds=2,
    steady_tasks=300,
    steady_rounds=3,
    paced_tasks=120,
    pending=10_000,
    pending_large=1000,
    pending_most=100_000,
    settle_seconds=8.0,
    completions=1000,
    cold_starts=5,
    failovers=3,
    stock_jobs=60,
    schedules=10_000,
    schedules_due=1000,
    schedule_rounds=3,
    growth_pending=(1_000, 10_000, 100_000),
    growth_rounds=2000,
)

FULL = Size(**{**STANDARD.__dict__, "name": "full", "pending_large": 10_000})

QUICK = Size(
    name="quick",
    lean=False,
    launch_tasks=30,
    launch_rounds=1,
    launch_rounds_with_kcm=1,
    policy_rounds=1,
    steady_tasks=12,
    steady_rounds=1,
    paced_tasks=6,
    pending=400,
    pending_large=5,
    pending_most=800,
    settle_seconds=1.0,
    completions=20,
    cold_starts=1,
    failovers=1,
    stock_jobs=6,
    schedules=30,
    schedules_due=10,
    schedule_rounds=1,
    growth_pending=(200, 400, 800),
    growth_rounds=50,
)
