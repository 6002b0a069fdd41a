"""Times, ages and durations as people write and read them; ages as kubectl prints them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from taskq.cli.errors import CliError

NONE = "<none>"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
LONGEST_SECONDS = 36_525 * 86_400
"""A hundred years: what is added to a moment or taken from it is still a date."""
FIRST_YEAR, LAST_YEAR = 1970, 9998
"""So that a moment is a date in every time zone."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])", re.ASCII)
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)


def age(seconds: float) -> str:
    """A time span in at most two units, exactly as kubectl's AGE column rounds it."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    minutes, hours, days = whole // 60, whole // 3_600, whole // 86_400
    if whole < 120:
        return f"{max(whole, 0)}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2_920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(big: int, unit: str, small: int, smaller: str) -> str:
    return f"{big}{unit}{small}{smaller}" if small else f"{big}{unit}"


def duration(text: str) -> float:
    """Seconds of `15m`, `1h30m`, `2d`, or of a plain number of seconds; CliError for anything else."""
    parts = [(text, "s")] if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) not in {text, f"{text}s"}:
        raise CliError(f"{text!r} is no duration; write it like 30s, 15m, 1h30m or 2d")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds > LONGEST_SECONDS:
        raise CliError(f"{one_line(text, 30)!r} is more than a hundred years")
    return seconds


def whole_seconds(text: str) -> int:
    """A duration for a field of the API, which takes whole seconds."""
    seconds = duration(text)
    if seconds != int(seconds):
        raise CliError(f"{text!r}: the API takes whole seconds")
    return int(seconds)


def parsed(time: str | None) -> datetime | None:
    """A time as the API writes it."""
    return datetime.fromisoformat(time) if time else None


def since(time: str | None, now: float) -> str:
    """How long ago the API's time was, as an age; `<none>` without one."""
    moment = parsed(time)
    return NONE if moment is None else age(now - moment.timestamp())


def between(start: str | None, end: str | None, now: float) -> str:
    """From one of the API's times to the other, or until now when there is no end yet."""
    begin, done = parsed(start), parsed(end)
    if begin is None:
        return NONE
    return age((done.timestamp() if done else now) - begin.timestamp())


def local(time: str | datetime | None, zone: tzinfo | None = None) -> str:
    """A moment in the user's zone (or the one given): `2026-03-01 14:00:00 CET`."""
    moment = parsed(time) if isinstance(time, str) else time
    return NONE if moment is None else f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def stamp(moment: float) -> str:
    """Epoch seconds as the API writes a time."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str, now: float, zone: tzinfo | None = None) -> float:
    """Epoch seconds of a time that a user gives: RFC 3339, `2026-03-01 14:00` or `14:00`, the next such time.

    Without an offset it is the user's own zone (or the one given).
    """
    here = datetime.fromtimestamp(now, UTC).astimezone(zone)
    if clock := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in clock.groups())
        try:
            wall = here.replace(tzinfo=None, hour=hour, minute=minute, second=second, microsecond=0)
        except ValueError as error:
            raise CliError(f"{text!r} is no time of day: {error}") from error
        if wall <= here.replace(tzinfo=None):
            wall += timedelta(days=1)
        return _placed(wall, zone).timestamp()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        hint = "write it like 2026-03-01T14:00:00Z, '2026-03-01 14:00' or 14:00"
        raise CliError(f"{text!r} is no time; {hint}") from error
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise CliError(f"{text!r} is no time to work with: years go from {FIRST_YEAR} to {LAST_YEAR}")
    return (found if found.tzinfo else _placed(found, zone)).timestamp()


def _placed(wall: datetime, zone: tzinfo | None) -> datetime:
    """A wall-clock time in a zone, or in the user's own."""
    return wall.replace(tzinfo=zone) if zone else wall.astimezone()


def plural(number: int, noun: str) -> str:
    """`1 Task`, `2 Tasks`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str, limit: int = 0) -> str:
    """A text without line breaks, cut to so many characters if a limit is given."""
    flat = " ".join(text.split())
    return flat if not limit or len(flat) <= limit else flat[: limit - 1] + "…"
