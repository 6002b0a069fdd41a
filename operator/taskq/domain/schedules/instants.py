"""From wall-clock times to instants: what a zone does to its clocks, and what becomes of times they skip or repeat.

A zone's time is cut into pieces in which its offset from UTC stays the same. Between two pieces the clocks either jump
over some wall-clock times (a gap) or show some again (the piece begins with a repeated part). Everything else about
clock changes follows from that, for an hour as for Lord Howe's 30 minutes or the day that Samoa left out:

                        gap: RunAfter       gap: Skip    overlap: Once    overlap: Twice
    fixed times         once, as it ends    never        the first time   both times
    hourly times        never               never        both times       both times

Times are hourly when their hour field holds all 24 hours: those repeat with the hour and go by elapsed time.
An instant is an int: epoch seconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from taskq.domain.schedules.cron import DAY, ScheduleFieldError, quoted
from taskq.resources.common import MAX_ZONE_LENGTH

FIELD = "spec.timeZone"

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)
_NOT_ZONES = ("posix/", "right/", "localtime", "posixrules", "Factory", "Local")
"""What lies beside the zones in a system's database: copies, counts with leap seconds, and this machine's own zone."""


class Piece(NamedTuple):
    """The instants from ``start`` on and before ``end``, in which a zone's clocks are ``offset`` ahead of UTC.

    ``repeated``: the clocks showed all these times before. ``skipped``: how many seconds of wall-clock time they jumped
    over as the piece began.
    """

    start: int
    end: int
    offset: int
    repeated: bool = False
    skipped: int = 0


def zone(name: str) -> str:
    """The name, if there is such a zone, else a :class:`ScheduleFieldError`. The name alone is kept and compared."""
    if len(name) > MAX_ZONE_LENGTH or not _ZONE.fullmatch(name) or name.startswith(_NOT_ZONES) or not _load(name):
        fault = f"{quoted(name)} is no time zone of the IANA database; it wants a name such as Europe/Madrid or Etc/UTC"
        raise ScheduleFieldError(FIELD, fault)
    return name


@lru_cache(maxsize=1024)
def _load(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # unknown, malformed, or a folder of zones
        return None


def pieces(zone_name: str, low: int, high: int) -> Iterator[Piece]:
    """The pieces of the instants from ``low`` on and before ``high``, in order."""
    for year in range(_year(low), _year(high - 1) + 1):
        for piece in _pieces_of_year(zone_name, year):
            if (cut := _cut(piece, low, high)) is not None:
                yield cut


def pieces_backwards(zone_name: str, low: int, high: int) -> Iterator[Piece]:
    """The same pieces, the last one first."""
    for year in range(_year(high - 1), _year(low) - 1, -1):
        for piece in reversed(_pieces_of_year(zone_name, year)):
            if (cut := _cut(piece, low, high)) is not None:
                yield cut


def _cut(piece: Piece, low: int, high: int) -> Piece | None:
    """The part of a piece between the two, if any; a jump belongs to the instant at which it happens."""
    if piece.start >= low and piece.end <= high:
        return piece
    start, end = max(piece.start, low), min(piece.end, high)
    skipped = piece.skipped if start == piece.start else 0
    return Piece(start, end, piece.offset, piece.repeated, skipped) if start < end else None


def _year(instant: int) -> int:
    return datetime.fromtimestamp(instant, UTC).year


def _beginning(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp())


@lru_cache(maxsize=4096)
def _pieces_of_year(zone_name: str, year: int) -> tuple[Piece, ...]:
    """The pieces of a UTC year; a part that began to repeat two days before is still in it."""
    start, end = _beginning(year), _beginning(year + 1)
    made: list[Piece] = []
    changes = _changes(zone_name, start - 2 * DAY, end)
    begins, offset = start - 2 * DAY, _offset(zone_name, start - 2 * DAY)
    skipped = repeats = 0
    for instant in (*changes, end):
        if begins < (again := min(begins + repeats, instant)):
            made.append(Piece(begins, again, offset, repeated=True))
            begins = again
        if begins < instant:
            made.append(Piece(begins, instant, offset, skipped=skipped))
        following = _offset(zone_name, instant)
        skipped, repeats = max(following - offset, 0), max(offset - following, 0)
        begins, offset = instant, following
    return tuple(cut for piece in made if (cut := _cut(piece, start, end)) is not None)


def _changes(zone_name: str, low: int, high: int) -> list[int]:
    """The instants between the two at which the offset changes, found by looking once a day and halving."""
    found = []
    before = _offset(zone_name, low)
    for probe in range(low + DAY, high + DAY, DAY):
        upper = min(probe, high - 1)
        after = _offset(zone_name, upper)
        if after != before:
            found.append(_change(zone_name, max(probe - DAY, low), upper, before))
        before = after
    return found


def _change(zone_name: str, low: int, high: int, before: int) -> int:
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone_name, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone_name: str, instant: int) -> int:
    """Seconds that the zone's clocks are ahead of UTC."""
    loaded = _load(zone_name)
    ahead = datetime.fromtimestamp(instant, loaded).utcoffset() if loaded else None
    return int((ahead or timedelta()).total_seconds())
