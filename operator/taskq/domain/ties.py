"""What ties Tasks together: the parts of a Task that speak of others, as decisions read them."""

from __future__ import annotations

from typing import Literal

from taskq.domain.facts import Value


class Dependency(Value, frozen=True):
    """A Task that another one waits for."""

    name: str
    condition: Literal["Succeeded", "Failed", "Finished"] = "Succeeded"


class DependencyOutcome(Value, frozen=True):
    """How a dependency ended, and which Task of that name it was."""

    name: str
    uid: str = ""
    phase: str = ""


class Deduplication(Value, frozen=True):
    """What work a Task stands for."""

    key: str
    window_seconds: int | None = None
    mode: Literal["Reject", "Replace"] = "Reject"
