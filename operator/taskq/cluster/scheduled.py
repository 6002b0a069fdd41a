"""What is known of Schedules and of the Tasks that they own."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from taskq.domain.schedules.objects import Schedule, ScheduledTask
from taskq.domain.schedules.runs import TaskFact

_schedule = msgspec.json.Decoder(Schedule)
decode_scheduled_task = msgspec.json.Decoder(ScheduledTask).decode


def decode_schedule(raw: bytes) -> Schedule:
    """A Schedule with its document."""
    schedule = _schedule.decode(raw)
    schedule.raw = bytes(raw)
    return schedule


class TasksByOwner:
    """The Tasks of each Schedule; as many as unfinished ones and the history limits allow."""

    def __init__(self) -> None:
        """Know none."""
        self._owned: dict[str, dict[str, TaskFact]] = {}

    def of(self, owner: str) -> Iterator[TaskFact]:
        """The Tasks of one Schedule, by its uid."""
        return iter(self._owned.get(owner, {}).values())

    def change(self, old: ScheduledTask | None, new: ScheduledTask | None) -> None:
        """A Task came, changed or went."""
        if old and (new is None or new.owner != old.owner):
            owned = self._owned.get(old.owner, {})
            owned.pop(old.metadata.name, None)
            if not owned:
                self._owned.pop(old.owner, None)
        if new and new.owner:
            self._owned.setdefault(new.owner, {})[new.metadata.name] = new.fact
