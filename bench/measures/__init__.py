"""One module for each measurement: `measure` does it and returns raw results, `summarise` makes figures of them."""

from __future__ import annotations

from types import ModuleType

from bench.measures import (
    cold_start,
    controllers,
    failover,
    growth,
    launch_rate,
    memory,
    reaction,
    schedules,
    steady_state,
)

ALL: tuple[ModuleType, ...] = (
    launch_rate,
    steady_state,
    memory,
    reaction,
    cold_start,
    failover,
    schedules,
    growth,
    controllers,
)
"""In the order of the table; those that share a cluster are neighbours, memory first: nothing has ended in it then."""
