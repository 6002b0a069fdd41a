"""Figures, and the page that shows them: a function of the raw results, so that it can be made again from them."""

from __future__ import annotations

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
        return {True: "met", False: "**missed**", None: "–"}[self.met]
