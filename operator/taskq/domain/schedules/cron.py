"""Cron expressions: what may be written, and the wall-clock times it names.

Five fields (minute, hour, day of month, month, day of week), or six with the **second first**, as Quartz, Spring and
cronsim read them; croniter alone puts it last. Every field is checked here before croniter sees it, since croniter
expands whatever range it is given. croniter then says which values and which days an expression means; the time of day
is arithmetic on those values, so the ticks of a day are counted without being walked.

A wall-clock time is an int: the seconds from 1970-01-01T00:00:00 on a clock that never changes. No zone is known here.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from croniter import CroniterError, croniter

from taskq.errors import TaskQError
from taskq.resources.common import MAX_EXPRESSION_LENGTH

DAY = 86_400
HOUR = 3_600
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
LAST_DAY = date(9000, 1, 1).toordinal() - EPOCH_ORDINAL
ECHO = 40
"""Characters of the user's own text repeated in a message."""

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
WEEKDAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}


class ScheduleFieldError(TaskQError):
    """A field of a Schedule can't be followed; the message begins with its path."""

    def __init__(self, field: str, fault: str) -> None:
        """Name the field and what is wrong with it."""
        super().__init__(f"{field}: {fault}")
        self.field = field
        self.fault = fault


class Field(NamedTuple):
    """One field of an expression: its name and its values."""

    name: str
    least: int
    most: int
    names: dict[str, int]

    @property
    def size(self) -> int:
        """How many different values there are: Sunday is both 0 and 7."""
        return 7 if self.name == "day of week" else self.most - self.least + 1


SECOND = Field("second", 0, 59, {})
MINUTE = Field("minute", 0, 59, {})
HOURS = Field("hour", 0, 23, {})
DAY_OF_MONTH = Field("day of month", 1, 31, {})
MONTH = Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = Field("day of week", 0, 7, WEEKDAYS)
FIELDS = (SECOND, MINUTE, HOURS, DAY_OF_MONTH, MONTH, DAY_OF_WEEK)

_TOKEN = re.compile(r"(?P<low>\*|[0-9]+|[a-z]+)(?:-(?P<high>[0-9]+|[a-z]+))?(?:/(?P<step>[0-9]+))?", re.ASCII)
_NTH = re.compile(r"(?:[0-7]|[a-z]{3})#[1-5]|l[0-7]", re.ASCII)
_NEAREST = re.compile(r"(?:([0-9]{1,2})w|w([0-9]{1,2}))", re.ASCII)


# --- the time of day ----------------------------------------------------------------------------------------------


class Product(NamedTuple):
    """Every combination of these hours, minutes and seconds; sorted."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]

    def at_or_after(self, second: int) -> int | None:
        """The first time of day from this second on."""
        hour, rest = divmod(second, HOUR)
        minute, second = divmod(rest, 60)
        if hour in self.hours:
            if minute in self.minutes:
                left = bisect_left(self.seconds, second)
                if left < len(self.seconds):
                    return hour * HOUR + minute * 60 + self.seconds[left]
            later = bisect_left(self.minutes, minute + 1)
            if later < len(self.minutes):
                return hour * HOUR + self.minutes[later] * 60 + self.seconds[0]
        following = bisect_left(self.hours, hour + 1)
        if following == len(self.hours):
            return None
        return self.hours[following] * HOUR + self.minutes[0] * 60 + self.seconds[0]

    def before(self, second: int) -> int | None:
        """The last time of day before this second."""
        hour, rest = divmod(second, HOUR)
        minute, second = divmod(rest, 60)
        if hour in self.hours:
            if minute in self.minutes:
                left = bisect_left(self.seconds, second)
                if left:
                    return hour * HOUR + minute * 60 + self.seconds[left - 1]
            earlier = bisect_left(self.minutes, minute)
            if earlier:
                return hour * HOUR + self.minutes[earlier - 1] * 60 + self.seconds[-1]
        previous = bisect_left(self.hours, hour)
        if not previous:
            return None
        return self.hours[previous - 1] * HOUR + self.minutes[-1] * 60 + self.seconds[-1]

    def mask(self) -> int:
        """A bit for each second of the day."""
        return _mask(self)


@lru_cache(maxsize=64)
def _mask(times: Product) -> int:
    minute = sum(1 << second for second in times.seconds)
    hour = sum(minute << 60 * m for m in times.minutes)
    return sum(hour << HOUR * h for h in times.hours)


class Listed(NamedTuple):
    """These seconds of the day; sorted."""

    seconds: tuple[int, ...]

    def at_or_after(self, second: int) -> int | None:
        """The first time of day from this second on."""
        index = bisect_left(self.seconds, second)
        return self.seconds[index] if index < len(self.seconds) else None

    def before(self, second: int) -> int | None:
        """The last time of day before this second."""
        index = bisect_left(self.seconds, second)
        return self.seconds[index - 1] if index else None

    def mask(self) -> int:
        """A bit for each second of the day."""
        return sum(1 << second for second in self.seconds)


# --- days ---------------------------------------------------------------------------------------------------------


class Days(NamedTuple):
    """Which days: those of the months that the two day fields name. ``day_fields`` is empty when it is every day."""

    months: frozenset[int] = frozenset(range(1, 13))
    day_fields: tuple[str, str] | None = None

    @property
    def every_day(self) -> bool:
        """Whether no day is left out."""
        return self.day_fields is None and len(self.months) == 12

    def has(self, day: int) -> bool:
        """Whether it is this day, counted from 1970-01-01."""
        if self.every_day:
            return True
        when = date.fromordinal(day + EPOCH_ORDINAL)
        return bool(self.of_month(when.year, when.month) >> when.day & 1)

    def of_month(self, year: int, month: int) -> int:
        """The days of a month, a bit for each (bit 1 is the first)."""
        if month not in self.months:
            return 0
        weekday, length = calendar.monthrange(year, month)
        if self.day_fields is None:
            return ((1 << length) - 1) << 1
        return _days_of_month(*self.day_fields, weekday, length)

    def first_in(self, day: int, end: int) -> int | None:
        """The first such day from ``day`` on and before ``end``."""
        if self.every_day:
            return day if day < end else None
        for first, bits in self._months_from(day, end):
            later = bits >> max(day - first + 1, 0) << max(day - first + 1, 0)
            if later:
                found = first + (later & -later).bit_length() - 2
                return found if found < end else None
        return None

    def last_in(self, start: int, day: int) -> int | None:
        """The last such day up to ``day`` and not before ``start``."""
        if self.every_day:
            return day if day >= start else None
        first = _first_of_month(day)
        while True:
            when = date.fromordinal(first + EPOCH_ORDINAL)
            earlier = self.of_month(when.year, when.month) & ((1 << day - first + 2) - 1)
            if earlier:
                found = first + earlier.bit_length() - 2
                return found if found >= start else None
            if first <= start:
                return None
            day = first - 1
            first = _first_of_month(day)

    def _months_from(self, day: int, end: int) -> Iterator[tuple[int, int]]:
        """The first day and the bits of each month that has a day between the two."""
        first = _first_of_month(day)
        while first < min(end, LAST_DAY):
            when = date.fromordinal(first + EPOCH_ORDINAL)
            yield first, self.of_month(when.year, when.month)
            first += calendar.monthrange(when.year, when.month)[1]


def _first_of_month(day: int) -> int:
    return day - date.fromordinal(day + EPOCH_ORDINAL).day + 1


def _kinds_of_month() -> dict[tuple[int, int], tuple[int, int]]:
    """A month for each weekday that it can begin with and each length: 28 years have all there are."""
    return {calendar.monthrange(year, month): (year, month) for year in range(2027, 1999, -1) for month in range(1, 13)}


_MONTHS_BY_KIND = _kinds_of_month()


@lru_cache(maxsize=8192)
def _days_of_month(day_of_month: str, day_of_week: str, weekday: int, length: int) -> int:
    """Walk one month with croniter; all that the day fields can say depends on its first weekday and its length.

    So an expression costs at most 28 such walks, however many years are looked at.
    """
    year, month = _MONTHS_BY_KIND[weekday, length]
    walker = croniter(
        f"0 0 {day_of_month} * {day_of_week}",
        datetime(year, month, 1) - timedelta(seconds=1),  # noqa: DTZ001 - wall-clock time, no zone is known here
        ret_type=datetime,
        max_years_between_matches=1,
    )
    bits = 0
    try:
        while (found := walker.get_next()).month == month:
            bits |= 1 << found.day
    except CroniterError:  # not within a year
        pass
    return bits


# --- both ---------------------------------------------------------------------------------------------------------


class Walls(NamedTuple):
    """A set of wall-clock times: these times of these days.

    ``hourly``: all 24 hours are in it, so it repeats with the hour and goes by elapsed time; a change of clocks neither
    leaves out nor repeats anything that was meant once.
    """

    days: Days
    times: Product | Listed
    hourly: bool = False

    def first_in(self, low: int, high: int) -> int | None:
        """The first wall-clock time from ``low`` on and before ``high``."""
        day = self.days.first_in(low // DAY, -(-high // DAY))
        if day == low // DAY:
            second = self.times.at_or_after(low % DAY)
            if second is not None:
                found = day * DAY + second
                return found if found < high else None
            day = self.days.first_in(day + 1, -(-high // DAY))
        if day is None:
            return None
        first = self.times.at_or_after(0)
        assert first is not None
        return day * DAY + first if day * DAY + first < high else None

    def last_in(self, low: int, high: int) -> int | None:
        """The last wall-clock time before ``high`` and not before ``low``."""
        top = (high - 1) // DAY
        day = self.days.last_in(low // DAY, top)
        if day is not None and day == top:
            second = self.times.before(high - top * DAY)
            if second is not None:
                found = day * DAY + second
                return found if found >= low else None
            day = self.days.last_in(low // DAY, top - 1)
        if day is None:
            return None
        last = self.times.before(DAY)
        assert last is not None
        return day * DAY + last if day * DAY + last >= low else None


# --- reading an expression ----------------------------------------------------------------------------------------


def parse(expression: str, field: str) -> Walls:
    """The wall-clock times of an expression, or a :class:`ScheduleFieldError` that names ``field``."""
    try:
        return _parse(expression)
    except _Fault as fault:
        raise ScheduleFieldError(field, str(fault)) from None


class _Fault(ValueError):  # noqa: N818 - its text is the end of another error's message
    """What is wrong with an expression."""


@lru_cache(maxsize=4096)
def _parse(expression: str) -> Walls:
    fields = split(expression)
    for kind, text in zip(FIELDS, fields, strict=True):
        _check(kind, text)
    second, minute, hour, day_of_month, month, day_of_week = fields
    _check_days(day_of_month, day_of_week)
    try:
        expanded, _ = croniter.expand(f"{minute} {hour} {day_of_month} {month} {day_of_week} {second}")
    except CroniterError as error:
        raise _Fault(f"{quoted(expression)} is refused: {str(error)[:200]}") from None
    hours = _values(expanded[1], HOURS)
    times = Product(hours, _values(expanded[0], MINUTE), _values(expanded[5], SECOND))
    months = frozenset(_values(expanded[3], MONTH))
    every = day_of_month == day_of_week == "*"
    fields_of_days = (_spelt_out(DAY_OF_MONTH, day_of_month), _spelt_out(DAY_OF_WEEK, day_of_week))
    days = Days(months, None if every else fields_of_days)
    if not _can_be_met(days):
        raise _Fault(f"{quoted(expression)} can't be met: none of these months ever has such a day")
    return Walls(days, times, hourly=len(hours) == 24)


def split(expression: str) -> tuple[str, str, str, str, str, str]:
    """The six fields in lower case, second first; ``*`` for all that means every value."""
    text = expression.strip().lower()
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise _Fault(f"is longer than {MAX_EXPRESSION_LENGTH} characters")
    if text.startswith("@"):
        text = _macro(text)
    if text.startswith(("tz=", "cron_tz=")):
        raise _Fault("a zone inside the expression is not supported; set spec.timeZone")
    fields = text.split()
    if len(fields) == 5:
        fields.insert(0, "0")
    if len(fields) != 6:
        raise _Fault(
            f"{quoted(expression)} has {len(fields)} fields; 5 are wanted (minute hour day-of-month month "
            "day-of-week), or 6 with the second first"
        )
    second, minute, hour, day_of_month, month, day_of_week = ("*" if field == "*/1" else field for field in fields)
    day_of_month, day_of_week = ("*" if field == "?" else field for field in (day_of_month, day_of_week))
    return second, minute, hour, day_of_month, month, day_of_week


def _macro(text: str) -> str:
    if text in MACROS:
        return MACROS[text]
    if text.startswith("@every"):
        raise _Fault("@every is not supported; set spec.everySeconds")
    if text == "@reboot":
        raise _Fault("@reboot means nothing in a cluster; create a Task, or annotate with taskq.dev/run-now")
    raise _Fault(f"{quoted(text)} is no known macro; there are {', '.join(MACROS)}")


def quoted(text: str) -> str:
    """The user's text as a message repeats it: short, and on one line."""
    short = text if len(text) <= ECHO else text[: ECHO - 1] + "…"
    return '"' + "".join(char if char.isprintable() else "?" for char in short) + '"'


def _check(kind: Field, text: str) -> None:
    """Refuse a field that is wrong, or that croniter would read otherwise than it looks."""
    tokens = text.split(",")
    for token in tokens:
        if kind is DAY_OF_WEEK and _NTH.fullmatch(token):
            _weekday_of_nth(token)
            continue
        if kind is DAY_OF_MONTH and (nearest := _NEAREST.fullmatch(token)):
            if len(tokens) > 1:
                raise _Fault(f"{kind.name} {quoted(text)}: W stands alone, not in a list")
            _value(kind, nearest[1] or nearest[2], token)
            continue
        _check_token(kind, token, alone=len(tokens) == 1)


def _weekday_of_nth(token: str) -> None:
    if "#" in token:
        _value(DAY_OF_WEEK, token.split("#")[0], token)


def _check_token(kind: Field, token: str, *, alone: bool) -> None:
    where = f"{kind.name} {quoted(token)}"
    found = _TOKEN.fullmatch(token)
    if not found:
        raise _Fault(f"{where} can't be read{_hint(kind, token)}")
    low, high, step = found["low"], found["high"], found["step"]
    if low == "*" and (high or (not step and not alone)):
        raise _Fault(f"{where}: * stands alone")
    if low == "l" and (high or step):
        raise _Fault(f"{where}: L stands alone")
    first = kind.least if low == "*" else _value(kind, low, token)
    last = _value(kind, high, token) if high else kind.most
    if high and first % kind.size == last % kind.size and (first, last) != (0, 7):
        raise _Fault(f"{where} is a range of one value; write {quoted(low)}, or * for all")
    if step:
        size = int(step) if len(step) < 6 else 10**6
        if not 1 <= size <= kind.size:
            raise _Fault(f"{where}: a step is from 1 to {kind.size}; for longer intervals set spec.everySeconds")
        if high and first > last:
            raise _Fault(f"{where}: a range that wraps around takes no step; list the values")


def _value(kind: Field, text: str, token: str) -> int:
    if text.isdecimal():
        number = int(text) if len(text) < 6 else 10**6
        if not kind.least <= number <= kind.most:
            raise _Fault(f"{kind.name} {quoted(token)}: {text[:ECHO]} is outside {kind.least} to {kind.most}")
        return number
    if text == "l" and kind is DAY_OF_MONTH:
        return 31
    if text in kind.names:
        return kind.names[text]
    raise _Fault(f"{kind.name} {quoted(token)} can't be read{_hint(kind, text)}")


def _hint(kind: Field, token: str) -> str:
    if re.match(r"[hr](\(|/|$)", token):
        return "; H and R are not supported: spec.jitterSeconds spreads Schedules, the same way for ever"
    if kind is DAY_OF_WEEK and re.fullmatch(r"[0-7]l", token):
        return f"; the last such weekday of a month is {token[::-1].upper()}"
    if "?" in token:
        return "; ? stands alone, for a day field"
    return ""


def _check_days(day_of_month: str, day_of_week: str) -> None:
    """Two day fields mean either of them; with ``#``, ``L5`` or ``W`` croniter and others differ on what."""
    special = "w" in day_of_month or any(_NTH.fullmatch(token) for token in day_of_week.split(","))
    if special and "*" not in (day_of_month, day_of_week):
        raise _Fault("with #, W, or L before a weekday, one of day of month and day of week must be *")


def values_of(expression: str, position: int) -> tuple[int, ...]:
    """The values of one field, by its position in :data:`FIELDS`, of an expression that :func:`parse` takes."""
    second, minute, hour, day_of_month, month, day_of_week = split(expression)
    expanded, _ = croniter.expand(f"{minute} {hour} {day_of_month} {month} {day_of_week} {second}")
    return _values(expanded[position - 1], FIELDS[position])


def _spelt_out(kind: Field, text: str) -> str:
    """A day field with the ``*`` of its steps as a range.

    Where one day field has a ``*/3``, croniter takes another that lists all its values for a ``*``, and «either of
    them» would turn into «only the first».
    """
    whole = f"{kind.least}-{kind.least + kind.size - 1}"
    return text if text == "*" else ",".join(part.replace("*", whole) for part in text.split(","))


def _values(expanded: list[int | str], kind: Field) -> tuple[int, ...]:
    if "*" in expanded:
        return tuple(range(kind.least, kind.least + kind.size))
    return tuple(sorted(int(value) for value in expanded))


def _can_be_met(days: Days) -> bool:
    """Whether any month of any year has such a day: all kinds of month are asked, each once."""
    lengths = {calendar.monthrange(year, month)[1] for month in days.months for year in (2000, 2001)}
    return days.day_fields is None or any(
        _days_of_month(*days.day_fields, weekday, length) for length in sorted(lengths) for weekday in range(7)
    )
