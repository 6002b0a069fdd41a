"""Which expressions are taken, what they mean, and which are refused before anything is expanded."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest
from croniter import croniter
from hypothesis import example, given, settings
from hypothesis import strategies as st

from taskq.domain.schedules import cron
from taskq.domain.schedules.cron import DAY, ScheduleFieldError, Walls, parse

MONDAY = datetime(2026, 3, 2)  # noqa: DTZ001 - wall-clock time
FIELD = "spec.schedules[1]"


def wall(moment: datetime) -> int:
    """A naive time as the code counts it."""
    return int(moment.replace(tzinfo=UTC).timestamp())


def times(expression: str, number: int, start: datetime = MONDAY) -> list[str]:
    """The first wall-clock times from a moment on."""
    walls = parse(expression, FIELD)
    low, found = wall(start), []
    while len(found) < number and (first := walls.first_in(low, low + 9000 * DAY)) is not None:
        found.append(datetime.fromtimestamp(first, UTC).strftime("%a %Y-%m-%d %H:%M:%S"))
        low = first + 1
    return found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["Mon 2026-03-02 02:30:00", "Tue 2026-03-03 02:30:00"]),
        ("*/20 9 * * mon", ["Mon 2026-03-02 09:00:00", "Mon 2026-03-02 09:20:00", "Mon 2026-03-02 09:40:00"]),
        ("0 9 * * 1-5", ["Mon 2026-03-02 09:00:00", "Tue 2026-03-03 09:00:00"]),
        ("0 0 * * 0", ["Sun 2026-03-08 00:00:00"]),
        ("0 0 * * 7", ["Sun 2026-03-08 00:00:00"]),
        ("0 0 * * SAT-MON", ["Mon 2026-03-02 00:00:00", "Sat 2026-03-07 00:00:00", "Sun 2026-03-08 00:00:00"]),
        ("0 0 * * 5-7", ["Fri 2026-03-06 00:00:00", "Sat 2026-03-07 00:00:00", "Sun 2026-03-08 00:00:00"]),
        ("0 22-1 * * *", ["Mon 2026-03-02 00:00:00", "Mon 2026-03-02 01:00:00", "Mon 2026-03-02 22:00:00"]),
        ("0 0 1 jan,JUL *", ["Wed 2026-07-01 00:00:00", "Fri 2027-01-01 00:00:00"]),
        ("0 0 29 2 *", ["Tue 2028-02-29 00:00:00", "Sun 2032-02-29 00:00:00"]),
        ("0 0 L * *", ["Tue 2026-03-31 00:00:00", "Thu 2026-04-30 00:00:00"]),
        ("0 0 15,L 2 *", ["Mon 2027-02-15 00:00:00", "Sun 2027-02-28 00:00:00", "Tue 2028-02-15 00:00:00"]),
        ("0 0 * * 2#1", ["Tue 2026-03-03 00:00:00", "Tue 2026-04-07 00:00:00"]),
        ("0 0 * * mon#5", ["Mon 2026-03-30 00:00:00", "Mon 2026-06-29 00:00:00"]),
        ("0 0 * * L5", ["Fri 2026-03-27 00:00:00", "Fri 2026-04-24 00:00:00"]),
        ("0 0 1W * *", ["Mon 2026-03-02 00:00:00", "Wed 2026-04-01 00:00:00"]),
        ("0 0 15w 3 *", ["Mon 2026-03-16 00:00:00"]),
        ("0 0 10 * 3", ["Wed 2026-03-04 00:00:00", "Tue 2026-03-10 00:00:00", "Wed 2026-03-11 00:00:00"]),
        ("0 0 */3 * 0-6", ["Mon 2026-03-02 00:00:00", "Tue 2026-03-03 00:00:00", "Wed 2026-03-04 00:00:00"]),
        ("0 0 1-31 * */3", ["Mon 2026-03-02 00:00:00", "Tue 2026-03-03 00:00:00", "Wed 2026-03-04 00:00:00"]),
        ("0 0 ? * 3", ["Wed 2026-03-04 00:00:00", "Wed 2026-03-11 00:00:00"]),
        ("0 0 */1 * 3", ["Wed 2026-03-04 00:00:00", "Wed 2026-03-11 00:00:00"]),
        ("@weekly", ["Sun 2026-03-08 00:00:00"]),
        ("@Monthly", ["Wed 2026-04-01 00:00:00"]),
        ("@yearly", ["Fri 2027-01-01 00:00:00"]),
        ("  0   0  *\t* * ", ["Mon 2026-03-02 00:00:00"]),
    ],
)
def test_an_expression_means(expression: str, expected: list[str]) -> None:
    """These are its first times."""
    assert times(expression, len(expected)) == expected


def test_the_second_stands_first() -> None:
    """As in Quartz, Spring and cronsim; croniter alone puts it last."""
    assert times("10 20 3 * * *", 1) == ["Mon 2026-03-02 03:20:10"]
    assert times("*/30 * * * * *", 3)[-1] == "Mon 2026-03-02 00:01:00"
    assert times("* * * * * *", 2)[-1] == "Mon 2026-03-02 00:00:01"


@pytest.mark.parametrize("macro", sorted(cron.MACROS))
def test_a_macro_is_what_croniter_has_for_it(macro: str) -> None:
    """The table here and croniter's say the same."""
    assert croniter.expand(macro) == croniter.expand(cron.MACROS[macro])


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 0 0 1 1 * 2026", "7 fields"),
        ("0 0 1-100000000 * *", 'day of month "1-100000000": 100000000 is outside 1 to 31'),
        ("0-" + "9" * 400 + " * * * *", "is outside 0 to 59"),
        ("*/0 * * * *", "a step is from 1 to 60"),
        ("*/90 * * * *", "spec.everySeconds"),
        ("*/" + "9" * 300 + " * * * *", "a step is from 1 to 60"),
        ("60 * * * *", "60 is outside 0 to 59"),
        ("0 24 * * *", "24 is outside 0 to 23"),
        ("0 0 0 * *", "0 is outside 1 to 31"),
        ("0 0 * 13 *", "13 is outside 1 to 12"),
        ("0 0 * 0 *", "0 is outside 1 to 12"),
        ("0 0 * * 8", "8 is outside 0 to 7"),
        ("-1 * * * *", "can't be read"),
        ("1- * * * *", "can't be read"),
        ("1,,2 * * * *", "can't be read"),
        ("1.5 * * * *", "can't be read"),
        ("٣ * * * *", "can't be read"),
        ("0 0 * foo *", "can't be read"),
        ("0 0 * * jan", "can't be read"),
        ("5-5 * * * *", "range of one value"),
        ("0 0 * * 0-sun", "range of one value"),
        ("0 22-3/2 * * *", "takes no step"),
        ("*,5 * * * *", "stands alone"),
        ("*-5 * * * *", "stands alone"),
        ("? * * * *", "? stands alone, for a day field"),
        ("0 0 ?,1 * *", "? stands alone"),
        ("0 0 L/2 * *", "L stands alone"),
        ("0 0 * * 5L", "is L5"),
        ("0 0 * * 1#6", "can't be read"),
        ("0 0 * * foo#1", "can't be read"),
        ("0 0 * * 1#1,3", "does not support mixing"),
        ("0 0 1,15W * *", "stands alone"),
        ("0 0 32W * *", "32 is outside 1 to 31"),
        ("0 0 15 * 1#3", "must be *"),
        ("0 0 15W * 1", "must be *"),
        ("0 0 31 2 *", "can't be met"),
        ("0 0 30 2 *", "can't be met"),
        ("0 0 31 4,6,9,11 *", "can't be met"),
        ("H * * * *", "spec.jitterSeconds"),
        ("H(0-5)/2 * * * *", "spec.jitterSeconds"),
        ("R * * * *", "spec.jitterSeconds"),
        ("@reboot", "@reboot"),
        ("@every 5m", "spec.everySeconds"),
        ("@fortnightly", "no known macro"),
        ("CRON_TZ=Europe/Berlin 0 0 * * *", "spec.timeZone"),
        ("TZ=UTC 0 0 * * *", "spec.timeZone"),
        ("1," * 300 + "1 * * * *", "longer than 512"),
        ("*" * 10_000_000, "longer than 512"),
    ],
)
def test_an_expression_is_refused_with_the_field_and_what_to_do(expression: str, words: str) -> None:
    """The message begins with the field's path, says what is wrong, and stays short whatever was written."""
    with pytest.raises(ScheduleFieldError) as refused:
        parse(expression, FIELD)
    assert str(refused.value).startswith(f"{FIELD}: ")
    assert words in str(refused.value)
    assert len(str(refused.value)) < 400


def test_a_huge_range_never_reaches_croniter(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by its numbers; croniter would make a list of them."""
    monkeypatch.setattr(cron, "croniter", None)
    tracemalloc.start()
    with pytest.raises(ScheduleFieldError):
        parse("0 0 1-99999999 * *", FIELD)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_an_expression_costs_at_most_one_walk_for_each_kind_of_month(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many years are looked at: all that day fields can say depends on first weekday and length."""
    walks = []

    class Counted(croniter):  # type: ignore[misc]
        """Counts the walks."""

        def __init__(self, *given: object, **more: object) -> None:
            walks.append(given)
            super().__init__(*given, **more)

    monkeypatch.setattr(cron, "croniter", Counted)
    cron._days_of_month.cache_clear()
    walls = parse("0 0 * * 1#5", FIELD)
    low = wall(MONDAY)
    assert sum(walls.days.has(day) for day in range(low // DAY, low // DAY + 50 * 365)) > 100
    assert len(walks) <= 28


NAIVE = st.datetimes(datetime(2020, 1, 1), datetime(2032, 12, 31))  # noqa: DTZ001
STEP = st.integers(1, 12)


def field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    """A field of an expression: anything that may be written for these values."""
    value = st.integers(low, high)
    pair = st.tuples(value, value).filter(lambda pair: pair[0] != pair[1])
    ordered = pair.map(sorted)
    token = st.one_of(
        value.map(str),
        pair.map(lambda pair: f"{pair[0]}-{pair[1]}"),
        st.tuples(ordered, STEP.filter(lambda step: step <= high - low)).map(lambda t: f"{t[0][0]}-{t[0][1]}/{t[1]}"),
        st.tuples(value, STEP.filter(lambda step: step <= high - low)).map(lambda t: f"{t[0]}/{t[1]}"),
        STEP.filter(lambda step: step <= high - low).map(lambda step: f"*/{step}"),
        *(st.just(text) for text in more),
    )
    return st.one_of(st.just("*"), st.lists(token, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59), field(0, 59), field(0, 23), field(1, 31, "L"), field(1, 12, "feb", "oct"), field(0, 6, "tue", "7")
).map(" ".join)


def parsed(expression: str) -> Walls | None:
    """The times of an expression that is well-formed; None when it can't be met."""
    try:
        return parse(expression, FIELD)
    except ScheduleFieldError as error:
        if "can't be met" in error.fault:
            return None
        raise


@settings(max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, start=NAIVE)
@example(expression="0 0 0 29 2 *", start=datetime(2096, 3, 1))  # noqa: DTZ001
def test_times_are_those_that_croniter_walks(expression: str, start: datetime) -> None:
    """Days by the month and times by arithmetic give what croniter finds by walking, forwards."""
    walls = parsed(expression)
    if walls is None:
        return
    second, *rest = ("*" if field == "*/1" else field for field in expression.split())
    rest[2], rest[4] = rest[2].replace("*/", "1-31/"), rest[4].replace("*/", "0-6/")
    walker = croniter(" ".join([*rest, second]), start.replace(microsecond=0), ret_type=datetime)
    low = wall(start.replace(microsecond=0)) + 1
    for _ in range(3):
        found = walls.first_in(low, low + 20_000 * DAY)
        assert found == wall(walker.get_next())
        low = found + 1


@settings(max_examples=300, deadline=None)
@given(expression=EXPRESSIONS, start=NAIVE, days=st.integers(0, 900))
def test_backwards_is_forwards_turned_round(expression: str, start: datetime, days: int) -> None:
    """The last time before a moment is the one after which none is found."""
    walls = parsed(expression)
    if walls is None:
        return
    high = wall(start.replace(microsecond=0))
    low = high - days * DAY - 1
    last = walls.last_in(low, high)
    if last is None:
        assert walls.first_in(low, high) is None
    else:
        assert low <= last < high
        assert walls.first_in(last, high) == last
        assert walls.first_in(last + 1, high) is None


@given(text=st.text(max_size=60))
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever is written, it is taken or refused with the field."""
    try:
        parse(text, FIELD)
        field = FIELD
    except ScheduleFieldError as error:
        field = error.field
    assert field == FIELD


@given(fields=st.lists(st.text("0123456789*/-,?LW#hr@monfeb", min_size=1, max_size=9), min_size=5, max_size=6))
def test_nothing_that_looks_like_an_expression_raises_anything_else(fields: list[str]) -> None:
    """Also what is nearly one; and what is taken has a time within the horizon."""
    try:
        walls = parse(" ".join(fields), FIELD)
    except ScheduleFieldError:
        return
    low = wall(MONDAY)
    assert walls.first_in(low, low + 48 * 366 * DAY) is not None
    assert walls.first_in(low, low + timedelta(days=1).seconds) in (None, walls.first_in(low, low + 99 * DAY))
