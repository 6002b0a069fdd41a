"""Ages, durations and times as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from taskq.cli.errors import CliError
from taskq.cli.text import age, between, duration, local, moment, one_line, plural, since, stamp, whole_seconds

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()
MINUTE, HOUR, DAY = 60, 3_600, 86_400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (9 * MINUTE + 59, "9m59s"),
        (10 * MINUTE, "10m"),
        (179 * MINUTE, "179m"),
        (3 * HOUR, "3h"),
        (7 * HOUR + 30 * MINUTE, "7h30m"),
        (8 * HOUR + 30 * MINUTE, "8h"),
        (47 * HOUR, "47h"),
        (49 * HOUR, "2d1h"),
        (7 * DAY + 23 * HOUR, "7d23h"),
        (8 * DAY + HOUR, "8d"),
        (729 * DAY, "729d"),
        (800 * DAY, "2y70d"),
        (3_000 * DAY, "8y"),
    ],
)
def test_ages_are_kubectls(seconds, words):
    """Rounded as `kubectl get` rounds its AGE column."""
    assert age(seconds) == words


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("15m", 900), ("1h30m", 5_400), ("2d", 172_800), ("1w", 604_800), ("500ms", 0.5)]
)
def test_durations_are_read(text, seconds):
    """A plain number is seconds."""
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "m5", "1h 30m", "-5m", "5m3"])
def test_what_is_no_duration_is_refused(text):
    """With an example of one that is."""
    with pytest.raises(CliError, match="write it like 30s, 15m"):
        duration(text)


def test_fields_of_the_api_take_whole_seconds():
    """Half a second would be cut without a word."""
    assert whole_seconds("15m") == 900
    with pytest.raises(CliError, match="whole seconds"):
        whole_seconds("1500ms")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-03-01T14:00:00Z", "2026-03-01T14:00:00Z"),
        ("2026-03-01T14:00:00+01:00", "2026-03-01T13:00:00Z"),
        ("2026-03-01 14:00", "2026-03-01T13:00:00Z"),
        ("13:30", "2026-03-01T12:30:00Z"),
        ("13:00", "2026-03-02T12:00:00Z"),
        ("06:15:30", "2026-03-02T05:15:30Z"),
    ],
)
def test_times_are_read_in_the_users_zone(text, wanted):
    """A time of day is the next one."""
    assert stamp(moment(text, NOON, ZoneInfo("Europe/Madrid"))) == wanted


@pytest.mark.parametrize("text", ["tomorrow", "25:00", "2026-13-01"])
def test_what_is_no_time_is_refused(text):
    """With the text itself in the message."""
    with pytest.raises(CliError, match=text):
        moment(text, NOON, UTC)


def test_spans_end_now_while_nothing_has_ended():
    """And are <none> before anything has begun."""
    assert since("2026-03-01T11:00:00Z", NOON) == "60m"
    assert between("2026-03-01T11:59:00Z", None, NOON) == "60s"
    assert between("2026-03-01T11:59:00Z", "2026-03-01T11:59:30Z", NOON) == "30s"
    assert (since(None, NOON), between(None, None, NOON), local(None)) == ("<none>",) * 3
    assert local("2026-03-01T12:00:00Z", ZoneInfo("Europe/Madrid")) == "2026-03-01 13:00:00 CET"


def test_texts_are_cut_to_a_line():
    """Messages of containers have line breaks."""
    assert one_line("a\n  b\tc") == "a b c"
    assert one_line("abcdef", 4) == "abc…"
    assert (plural(1, "Task"), plural(2, "Task")) == ("1 Task", "2 Tasks")
