"""Waiting for what must come true: never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 90.0
"""Far more than anything takes: a busy machine makes a test slow, never red."""

POLL_SECONDS = 0.05


def until(
    probe: Callable[[], T | None],
    what: str | Callable[[], str],
    *,
    seconds: float = PATIENCE_SECONDS,
    every: float = POLL_SECONDS,
) -> T:
    """The first truthy answer of the probe; AssertionError with ``what`` was awaited when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"not within {seconds:.0f} s: {text}; last seen: {answer!r}")
        time.sleep(every)
