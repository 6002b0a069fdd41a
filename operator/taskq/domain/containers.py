"""The facts of containers, as a pod's status has them."""

from __future__ import annotations

from datetime import datetime

import msgspec

from taskq.domain.facts import Facts


class Waiting(Facts):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Running(Facts):
    """Since when a container runs."""

    started_at: datetime | None = None


class Terminated(Facts):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Facts):
    """Exactly one of the three is set."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Facts):
    """One container of a pod."""

    name: str = ""
    state: ContainerState = msgspec.field(default_factory=ContainerState)
