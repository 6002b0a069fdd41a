"""The facts of Jobs with many items: what a Task asks for, and how far its Job has come."""

from __future__ import annotations

from datetime import datetime

from taskq.domain.facts import Facts, Value
from taskq.resources.common import DEFAULT_BATCH_PARALLELISM


class Batch(Value, frozen=True):
    """Many items in one Task: the pods of an Indexed Job."""

    completions: int
    parallelism: int = DEFAULT_BATCH_PARALLELISM
    max_failed_indexes: int | None = None
    retries_per_index: int = 0


class Progress(Facts):
    """How far the latest attempt's Job has come, in items."""

    total: int
    completed: int = 0
    failed: int = 0
    percent: int = 0
    failed_indexes: str = ""
    last_change_time: datetime | None = None
