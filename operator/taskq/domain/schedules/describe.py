"""The times of a Schedule in plain words: «at 03:00 on weekdays, Europe/Madrid».

Made from the values that an expression really has, not from its text, so that it shows what will happen; `*/2` of the
hours reads as the hours it is. Any input gives a text of bounded length; one that can't be read gives an empty one, and
the condition says why.
"""

from __future__ import annotations

import calendar
from functools import lru_cache

from taskq.domain.schedules import cron
from taskq.domain.schedules.cron import ScheduleFieldError
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.domain.schedules.ticks import time_of_day

MAX_LENGTH = 512
MOST_TIMES = 6
"""So many times of day are listed one by one."""

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
ORDINALS = ("first", "second", "third", "fourth", "fifth")
UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@lru_cache(maxsize=4096)
def describe(spec: ScheduleSpec) -> str:
    """The times of a Schedule in plain words, or an empty text when they can't be read."""
    try:
        text = _describe(spec)
    except ScheduleFieldError:
        return ""
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1] + "…"


def _describe(spec: ScheduleSpec) -> str:
    if spec.every_seconds is not None:
        since = "startTime" if spec.start_time else "the creation"
        delay = f"{_amount(spec.start_delay_seconds)} after " if spec.start_delay_seconds else ""
        every = _amount(spec.every_seconds).removeprefix("1 ")
        return f"every {every}, counted from {delay}{since}"
    if spec.daily_times:
        times = sorted({time_of_day(time, index) for index, time in enumerate(spec.daily_times)})
        return f"every day at {_list([_clock(time) for time in times])}, {spec.time_zone}"
    texts = [_expression(text, f"spec.schedules[{index}]") for index, text in enumerate(spec.schedules)]
    return f"{'; '.join(dict.fromkeys(texts))}, {spec.time_zone}" if texts else ""


def _amount(seconds: int) -> str:
    """A time in the largest unit that fits: «90 minutes»."""
    size, unit = next((unit for unit in UNITS if seconds % unit[0] == 0), UNITS[-1])
    number = seconds // size
    return f"1 {unit}" if number == 1 else f"{number} {unit}s"


def _expression(text: str, field: str) -> str:
    walls = cron.parse(text, field)
    assert isinstance(walls.times, cron.Product)
    _, _, _, day_of_month, _, day_of_week = cron.split(text)
    times = _times(walls.times)
    days = _days(day_of_month, day_of_week, sorted(walls.days.months))
    if not days and _are_listed(walls.times):
        return f"{times} every day"
    return f"{times} {days}".rstrip()


# --- times of day -------------------------------------------------------------------------------------------------


def _times(times: cron.Product) -> str:
    hours, minutes, seconds = times
    if _are_listed(times):
        return f"at {_list([_clock(h * 3600 + m * 60 + s) for h in hours for m in minutes for s in seconds])}"
    if seconds != (0,):
        text = _part(seconds, 60, "second")
        if len(minutes) < 60:
            text += f" of {_numbers(minutes, 'minute')}"
        elif text.startswith("at"):
            text += " of every minute"
    elif minutes != (0,):
        text = _part(minutes, 60, "minute")
    elif step := _step(hours, 24):
        return "every hour" if step == 1 else f"every {step} hours"
    else:
        text = "on the hour"
    if len(hours) < 24:
        return f"{text} of {_numbers(hours, 'hour')}"
    whole = len(minutes) == 60 or (seconds == (0,) and text.startswith("every"))
    return text if whole else f"{text} of every hour"


def _are_listed(times: cron.Product) -> bool:
    return len(times.hours) * len(times.minutes) * len(times.seconds) <= MOST_TIMES


def _part(values: tuple[int, ...], size: int, unit: str) -> str:
    """The finest field: «every 5 minutes», «at seconds 1-9»."""
    step = _step(values, size)
    if step == 1:
        return f"every {unit}"
    return f"every {step} {unit}s" if step else f"at {_numbers(values, unit)}"


def _numbers(values: tuple[int, ...], unit: str) -> str:
    return f"{unit if len(values) == 1 else unit + 's'} {_ranges(values)}"


def _step(values: tuple[int, ...], size: int) -> int:
    """The step of values that begin at 0 and go round evenly, else 0."""
    count = len(values)
    even = count > 1 and size % count == 0 and values == tuple(range(0, size, size // count))
    return size // count if even else 0


def _clock(second: int) -> str:
    hour, rest = divmod(second, 3600)
    minute, second = divmod(rest, 60)
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


# --- days ---------------------------------------------------------------------------------------------------------


def _days(day_of_month: str, day_of_week: str, months: list[int]) -> str:
    ways = []
    if day_of_month != "*":
        ways.append(_days_of_month(day_of_month))
    if day_of_week != "*":
        ways.append(_days_of_week(day_of_week))
    text = " or ".join(ways)
    if len(months) == 12:
        return text
    return f"{text} in {_list([calendar.month_name[month] for month in months])}".strip()


def _days_of_month(text: str) -> str:
    if "w" in text:
        return f"on the weekday nearest to day {text.strip('w')} of the month"
    tokens = text.split(",")
    last = ["on the last day of the month"] if "l" in tokens else []
    numbers = ",".join(part for part in tokens if part != "l")
    if numbers:
        last.insert(0, f"on {_numbers(cron.values_of(f'0 0 {numbers} * *', 3), 'day')} of the month")
    return " and ".join(last)


def _days_of_week(text: str) -> str:
    if "#" in text or text.startswith("l"):
        return f"on {_list([_nth(token) for token in text.split(',')])} of the month"
    values = cron.values_of(f"0 0 * * {text}", 5)
    if values == (1, 2, 3, 4, 5):
        return "on weekdays"
    if values == (0, 6):
        return "at weekends"
    if len(values) == 7:
        return "on any day of the week"
    return f"on {_list([DAYS[value] + 's' for value in values])}"


def _nth(token: str) -> str:
    if token.startswith("l"):
        return f"the last {DAYS[int(token[1:]) % 7]}"
    day, _, number = token.partition("#")
    weekday = int(day) % 7 if day.isdecimal() else cron.WEEKDAYS[day]
    return f"the {ORDINALS[int(number) - 1]} {DAYS[weekday]}"


# --- lists --------------------------------------------------------------------------------------------------------


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _ranges(values: tuple[int, ...]) -> str:
    """Numbers with runs drawn together: «1-5, 9 and 30»."""
    rows: list[list[int]] = []
    for value in values:
        if rows and rows[-1][-1] == value - 1:
            rows[-1].append(value)
        else:
            rows.append([value])
    words = []
    for row in rows:
        words += [f"{row[0]}-{row[-1]}"] if len(row) > 2 else [str(value) for value in row]
    return _list(words)
