"""The operator's own bounds on what is decided and asked for at once."""

from __future__ import annotations

from typing import NamedTuple

DECISIONS_PER_PASS = 500
"""A pass over more would keep the event loop from renewing its lease and reading its watches."""

PREPARED_AT_ONCE = 100
"""A standby is in no hurry."""


class Limits(NamedTuple):
    """The operator's own settings that decisions depend on; durations in seconds."""

    launches: int = 16
    writes: int = 8
    running_after: float = 2.0
    refusal_base: float = 2.0
    refusal_max: float = 60.0
    implicit_default_queue: bool = True
    cluster_limit: int | None = None
    """Jobs running at once in all namespaces; None for no limit."""
