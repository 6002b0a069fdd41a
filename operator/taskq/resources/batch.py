"""What a Task of many items says, and how far it has come."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import Count, Model, Time, forbidden, rule, rules
from taskq.resources.common import (
    DEFAULT_BATCH_PARALLELISM,
    MAX_BATCH_COMPLETIONS,
    MAX_BATCH_PARALLELISM,
    MAX_INDEXES_LENGTH,
    MAX_RETRIES_PER_INDEX,
)

SET_BY_BATCH = {
    "completions": "completions",
    "parallelism": "parallelism",
    "completionMode": "completions",
    "backoffLimitPerIndex": "retriesPerIndex",
    "maxFailedIndexes": "maxFailedIndexes",
}
"""Fields of the Job that a batch sets, with the field of ``batch`` to use instead."""

BATCH_RULES = tuple(
    forbidden(
        f"!has(self.batch) || !(has(self.jobTemplate) && has(self.jobTemplate.spec.{field}))",
        f"{field} must not be set beside batch, which sets it; remove it and use batch.{instead}",
        path=f".jobTemplate.spec.{field}",
    )
    for field, instead in SET_BY_BATCH.items()
)


class Batch(Model):
    """Many items in one Task: every attempt is an Indexed Job with a pod for each item."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.maxFailedIndexes) || self.maxFailedIndexes <= self.completions",
                "maxFailedIndexes must not be greater than completions",
                path=".maxFailedIndexes",
            )
        )
    )

    completions: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_BATCH_COMPLETIONS,
            description="How many items there are. Each pod finds its own, from 0, in JOB_COMPLETION_INDEX.",
        ),
    ]
    parallelism: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_BATCH_PARALLELISM,
            description=(
                f"How many items run at once, {DEFAULT_BATCH_PARALLELISM} by default. All of them together hold one "
                "place of the queue."
            ),
        ),
    ] = DEFAULT_BATCH_PARALLELISM
    max_failed_indexes: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_BATCH_COMPLETIONS,
            description=(
                "When more items than this have failed, the others are stopped and the attempt ends. Without it all "
                "items are tried, whatever becomes of the others."
            ),
        ),
    ] = None
    retries_per_index: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_RETRIES_PER_INDEX,
            description=(
                "How often an item that failed is tried again inside the attempt, 0 by default. A retry of the Task "
                "(retryPolicy) runs all items again."
            ),
        ),
    ] = 0


class Progress(Model):
    """How far the latest attempt's Job has come, in items."""

    total: Annotated[Count, Field(description="Items of the Job.")]
    completed: Annotated[Count, Field(description="Items that succeeded.")]
    failed: Annotated[Count, Field(description="Items that failed for good.")]
    percent: Annotated[int, Field(ge=0, le=100, description="Of all items those that succeeded, rounded down.")]
    failed_indexes: Annotated[
        str | None,
        Field(
            max_length=MAX_INDEXES_LENGTH,
            description="Which items failed, as 1,3-5; ends with … when there are too many to list.",
        ),
    ] = None
    last_change_time: Annotated[
        Time | None, Field(description="When a change of it was last written down; the last of all is.")
    ] = None
