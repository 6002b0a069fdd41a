"""The facts of a TaskQueue's status that are more than a number."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from taskq.domain.facts import Facts, Value


class _FieldsOfMetadata(Facts):
    annotations: dict[str, Any] = msgspec.field(name="f:annotations", default_factory=dict)


class FieldSet(Facts):
    """The annotations among the fields that somebody wrote last."""

    metadata: _FieldsOfMetadata = msgspec.field(name="f:metadata", default_factory=_FieldsOfMetadata)


class ManagedFields(Facts):
    """What somebody wrote last, and when, by the API server's clock."""

    time: datetime | None = None
    fields_v1: FieldSet = msgspec.field(default_factory=FieldSet)

    def has_annotation(self, name: str) -> bool:
        """Whether an annotation is among it."""
        return f"f:{name}" in self.fields_v1.metadata.annotations


class QueueRequest(Value, frozen=True):
    """A request by annotation that was taken up: it concerns Tasks created until then."""

    nonce: str
    time: datetime


class Totals(Value, frozen=True):
    """Tasks that ended, cleaned up or not."""

    succeeded: int = 0
    failed: int = 0
    expired: int = 0
    cancelled: int = 0
