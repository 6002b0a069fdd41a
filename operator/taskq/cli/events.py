"""Events as the API has them, of whichever of its two shapes."""

from __future__ import annotations

from typing import NamedTuple

from taskq.cli.api import Api
from taskq.cli.kinds import EVENT, Object
from taskq.cli.text import parsed


class Event(NamedTuple):
    """One Event; `time` is when it last happened."""

    time: str
    namespace: str
    kind: str
    name: str
    type: str
    reason: str
    message: str
    times: int


def event(obj: Object) -> Event:
    """Read an Event."""
    about = obj["involvedObject"]
    series = obj.get("series") or {}
    time = series.get("lastObservedTime") or obj.get("lastTimestamp") or obj.get("eventTime")
    return Event(
        time=str(time or obj["metadata"]["creationTimestamp"]),
        namespace=str(obj["metadata"]["namespace"]),
        kind=str(about.get("kind", "")),
        name=str(about.get("name", "")),
        type=str(obj.get("type") or "Normal"),
        reason=str(obj.get("reason") or ""),
        message=str(obj.get("message") or ""),
        times=int(series.get("count") or obj.get("count") or 1),
    )


def events_of(api: Api, namespace: str, uid: str) -> list[Event]:
    """The Events of one object, the oldest first."""
    found = [event(obj) for obj in api.list(EVENT, namespace, fields=f"involvedObject.uid={uid}")]
    return in_order(found)


def in_order(found: list[Event]) -> list[Event]:
    """The oldest first; text would sort times with and without fractions wrongly."""
    return sorted(found, key=lambda one: parsed(one.time).timestamp())  # type: ignore[union-attr]
