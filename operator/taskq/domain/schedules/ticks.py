"""The ticks of a Schedule, whatever kind it is: the next one, the latest ones, how many there are.

A tick is an int, epoch seconds of its nominal time. Ticks of several expressions are merged; two at the same instant
are one. Nothing here walks over all ticks of an interval: intervals are computed, and calendars are counted a day at a
time with one bit for each second, so that ten thousand missed ticks cost what ten do.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple, Protocol

import msgspec

from taskq.domain.schedules import instants
from taskq.domain.schedules.cron import DAY, Days, Listed, ScheduleFieldError, Walls, parse, quoted
from taskq.domain.schedules.instants import Piece
from taskq.domain.schedules.spec import Dst, ScheduleSpec, epoch
from taskq.resources.common import MAX_DAILY_TIMES, MAX_SCHEDULES

HORIZON_SECONDS = 48 * 366 * DAY
"""How far ahead a tick is looked for: the rarest day, a 29 February on a given weekday, comes within 40 years."""
COUNTED_SECONDS = 3_660 * DAY
"""How far back missed ticks are counted; what lies ten years back is not."""
DISTANT_FUTURE = 32_503_680_000
"""The year 3000, after which the API accepts no time."""

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)


class Source(Protocol):
    """Ticks without beginning or end."""

    def first_in(self, low: int, high: int) -> int | None:
        """The first tick from ``low`` on and before ``high``."""

    def last_in(self, low: int, high: int) -> int | None:
        """The last tick before ``high`` and not before ``low``."""

    def number(self, low: int, high: int) -> int:
        """How many ticks there are from ``low`` on and before ``high``."""


class Every(NamedTuple):
    """Ticks at whole multiples of an interval from an anchor."""

    anchor: int
    seconds: int

    def first_in(self, low: int, high: int) -> int | None:
        """As :class:`Source` says; by arithmetic."""
        found = self.anchor + -(-(low - self.anchor) // self.seconds) * self.seconds
        return found if found < high else None

    def last_in(self, low: int, high: int) -> int | None:
        """As :class:`Source` says; by arithmetic."""
        found = self.anchor + (high - 1 - self.anchor) // self.seconds * self.seconds
        return found if found >= low else None

    def number(self, low: int, high: int) -> int:
        """As :class:`Source` says; by arithmetic."""
        return max(0, (high - 1 - self.anchor) // self.seconds - (low - 1 - self.anchor) // self.seconds)


class Calendar(NamedTuple):
    """Ticks at wall-clock times of a zone."""

    walls: tuple[Walls, ...]
    zone: str
    dst: Dst

    def first_in(self, low: int, high: int) -> int | None:
        """As :class:`Source` says; a piece of the zone's time after the other."""
        for piece in instants.pieces(self.zone, low, high):
            if self._after_gap(piece):
                return piece.start
            found = [wall.first_in(*_shown(piece)) for wall in self._shown_in(piece)]
            first = min((time for time in found if time is not None), default=None)
            if first is not None:
                return first - piece.offset
        return None

    def last_in(self, low: int, high: int) -> int | None:
        """As :class:`Source` says; a piece of the zone's time before the other."""
        for piece in instants.pieces_backwards(self.zone, low, high):
            found = [wall.last_in(*_shown(piece)) for wall in self._shown_in(piece)]
            last = max((time for time in found if time is not None), default=None)
            if last is not None:
                return last - piece.offset
            if self._after_gap(piece):
                return piece.start
        return None

    def number(self, low: int, high: int) -> int:
        """As :class:`Source` says; a day after the other."""
        return sum(self._number(piece) for piece in instants.pieces(self.zone, low, high))

    def _number(self, piece: Piece) -> int:
        walls = self._shown_in(piece)
        low, high = _shown(piece)
        total = _count_shown(walls, low, high)
        if self._after_gap(piece) and not any(wall.first_in(low, low + 1) is not None for wall in walls):
            total += 1
        return total

    def _shown_in(self, piece: Piece) -> tuple[Walls, ...]:
        """What counts in a piece: of times shown before, only what goes by elapsed time, unless ``Twice``."""
        if not piece.repeated or self.dst.overlap == "Twice":
            return self.walls
        return tuple(wall for wall in self.walls if wall.hourly)

    def _after_gap(self, piece: Piece) -> bool:
        """Whether times were jumped over as this piece began, and are made up for at once."""
        if not piece.skipped or self.dst.gap == "Skip":
            return False
        first = piece.start + piece.offset
        return any(not wall.hourly and wall.first_in(first - piece.skipped, first) is not None for wall in self.walls)


def _shown(piece: Piece) -> tuple[int, int]:
    """The wall-clock times that a piece shows: from the first on, and before the second."""
    return piece.start + piece.offset, piece.end + piece.offset


def _count_shown(walls: tuple[Walls, ...], low: int, high: int) -> int:
    """How many wall-clock times from ``low`` on and before ``high`` are in any of the sets.

    Each day is the union of the sets that have the day: their seconds as bits, or'ed. Days that are in the same sets
    have the same union, so it is made once.
    """
    masks = [wall.times.mask() for wall in walls]
    unions: dict[tuple[bool, ...], int] = {}
    sizes: dict[tuple[bool, ...], int] = {}

    def union(day: int) -> tuple[bool, ...]:
        which = tuple(wall.days.has(day) for wall in walls)
        if which not in unions:
            made = 0
            for mask, wanted in zip(masks, which, strict=True):
                made |= mask if wanted else 0
            unions[which], sizes[which] = made, made.bit_count()
        return which

    first, last = low // DAY, (high - 1) // DAY
    if first == last:
        return _bits(unions[union(first)] if walls else 0, low % DAY, high - first * DAY)
    total = _bits(unions[union(first)], low % DAY, DAY) + _bits(unions[union(last)], 0, high - last * DAY)
    if all(wall.days.every_day for wall in walls):
        return total + (last - first - 1) * sizes[union(first)]
    return total + sum(sizes[union(day)] for day in range(first + 1, last))


def _bits(mask: int, low: int, high: int) -> int:
    return (mask >> low & ((1 << high - low) - 1)).bit_count()


class Plan(NamedTuple):
    """The ticks of one Schedule between its first and its last possible one, both included."""

    source: Source
    first: int
    last: int

    def following(self, after: int) -> int | None:
        """The first tick after an instant."""
        low = max(after + 1, self.first)
        return self._first(low, min(low + HORIZON_SECONDS, self.last + 1))

    def latest(self, until: int, after: int) -> int | None:
        """The last tick up to ``until`` and after ``after``."""
        low, high = self._between(after, until)
        return self.source.last_in(low, high) if low < high else None

    def latest_few(self, until: int, after: int, limit: int) -> list[int]:
        """The last so many ticks up to ``until`` and after ``after``, the oldest first."""
        found: list[int] = []
        while len(found) < limit and (tick := self.latest(until, after)) is not None:
            found.append(tick)
            until = tick - 1
        return found[::-1]

    def first_few(self, after: int, until: int, limit: int) -> list[int]:
        """The first so many ticks after ``after`` and up to ``until``."""
        return [tick for _, tick in zip(range(limit), self._walk(after, until), strict=False)]

    def has(self, tick: int) -> bool:
        """Whether this is one of the ticks."""
        return self.latest(tick, tick - 1) is not None

    def how_many(self, after: int, until: int) -> int:
        """How many ticks lie after ``after`` and up to ``until``; what is older than ten years is left out."""
        low, high = self._between(max(after, until - COUNTED_SECONDS), until)
        return self.source.number(low, high) if low < high else 0

    def _walk(self, after: int, until: int) -> Iterator[int]:
        low, high = self._between(after, until)
        while low < high and (tick := self.source.first_in(low, high)) is not None:
            yield tick
            low = tick + 1

    def _first(self, low: int, high: int) -> int | None:
        return self.source.first_in(low, high) if low < high else None

    def _between(self, after: int, until: int) -> tuple[int, int]:
        return max(after + 1, self.first), min(until, self.last) + 1


def compile_plan(spec: ScheduleSpec, created: float, *, whole_past: bool = False) -> Plan:
    """The ticks of a spec, or a :class:`ScheduleFieldError`.

    They begin ``startDelaySeconds`` after ``startTime``, or after the creation where there is none, and never before
    the creation, unless the ``whole_past`` is asked for, as a backfill does. The instant of creation itself is no tick,
    so «every 10 minutes» begins after ten minutes; that of ``startTime`` is one.
    """
    base = epoch(spec.start_time, created)
    anchor = math.ceil(base) + spec.start_delay_seconds
    first = anchor if spec.start_time or spec.start_delay_seconds else anchor + 1
    first = max(first, math.ceil(created))
    if whole_past:
        first = anchor if spec.start_time else 0
    last = math.floor(epoch(spec.end_time, DISTANT_FUTURE))
    return Plan(_source(spec, anchor), first, last)


def _source(spec: ScheduleSpec, anchor: int) -> Source:
    given = [name for name, value in _kinds(spec) if value]
    if len(given) != 1:
        raise ScheduleFieldError("spec", "exactly one of schedules, everySeconds and dailyTimes must be set")
    zone = instants.zone(spec.time_zone)
    if spec.every_seconds is not None:
        if spec.every_seconds < 1:
            raise ScheduleFieldError("spec.everySeconds", "must be at least 1")
        return Every(anchor, spec.every_seconds)
    walls = _cron(spec.schedules) if spec.schedules else (_daily(spec.daily_times),)
    return Calendar(walls, zone, spec.dst)


def _kinds(spec: ScheduleSpec) -> tuple[tuple[str, object], ...]:
    return (
        ("schedules", spec.schedules),
        ("everySeconds", spec.every_seconds is not None),
        ("dailyTimes", spec.daily_times),
    )


def _cron(schedules: tuple[str, ...]) -> tuple[Walls, ...]:
    if len(schedules) > MAX_SCHEDULES:
        raise ScheduleFieldError("spec.schedules", f"{len(schedules)} are given; at most {MAX_SCHEDULES} are allowed")
    return tuple(parse(expression, f"spec.schedules[{index}]") for index, expression in enumerate(schedules))


def _daily(times: tuple[str, ...]) -> Walls:
    if len(times) > MAX_DAILY_TIMES:
        raise ScheduleFieldError("spec.dailyTimes", f"{len(times)} are given; at most {MAX_DAILY_TIMES} are allowed")
    return Walls(Days(), Listed(tuple(sorted({time_of_day(time, index) for index, time in enumerate(times)}))))


def time_of_day(text: str, index: int = 0) -> int:
    """The second of the day of HH:MM:SS (or HH:MM)."""
    found = _TIME_OF_DAY.fullmatch(text)
    if not found:
        fault = f"{quoted(text)} is no time of day; it wants HH:MM:SS, from 00:00:00 to 23:59:59"
        raise ScheduleFieldError(f"spec.dailyTimes[{index}]", fault)
    hour, minute, second = (int(part or 0) for part in found.groups())
    return hour * 3600 + minute * 60 + second


@lru_cache(maxsize=4096)
def schedule_hash(spec: ScheduleSpec) -> str:
    """A short hash of the fields that say when: an edit of any other field moves no tick."""
    timing = (
        spec.schedules,
        spec.every_seconds,
        spec.daily_times,
        spec.time_zone,
        spec.dst,
        spec.start_time,
        spec.end_time,
        spec.start_delay_seconds,
    )
    return hashlib.sha256(msgspec.json.encode(timing)).hexdigest()[:16]


def fire_time(plan: Plan, tick: int, jitter_seconds: int, uid: str) -> float:
    """When a tick's Task is created: its nominal time, or up to ``jitter_seconds`` later, but before the next tick.

    Where in between is a hash of the Schedule's uid and the tick: every leader computes the same.
    """
    if not jitter_seconds:
        return float(tick)
    following = plan.following(tick)
    room = jitter_seconds if following is None else min(jitter_seconds, following - tick)
    fraction = int.from_bytes(hashlib.sha256(f"{uid}/{tick}".encode()).digest()[:6]) / 2**48
    return tick + fraction * room
