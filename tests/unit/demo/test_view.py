"""What the demo shows: rows from Tasks, a table that fits, lines where there is no terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from taskqdemo.view import Display, Row, row, table

CREATED = "2026-01-01T00:00:00Z"


def task(name: str = "a", **status: Any) -> dict[str, Any]:
    """A Task as the API server shows it."""
    return {"metadata": {"name": name, "creationTimestamp": CREATED}, "spec": {"queueName": "q"}, "status": status}


def attempt(**facts: Any) -> dict[str, Any]:
    """One that ended."""
    return {"number": 1, "reason": "Error", "startTime": "2026-01-01T00:00:02Z", **facts}


def made(name: str = "a", phase: str = "Running", attempts: str = "1", why: str = "") -> Row:
    """A row."""
    return Row(name, "q", "0", phase, attempts, "", "", why)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_a_new_task_waits() -> None:
    """Before the operator has written anything."""
    assert row(task(phase="Pending")) == Row("a", "q", "", "Pending", "", "", "", "")


def test_a_failed_task_tells_how_long_it_took_and_why() -> None:
    """The wait until its first start, the time from there to its end, and what the last attempt said."""
    failed = task(
        phase="Failed",
        reason="RetriesExhausted",
        attempt=2,
        effectivePriority=5,
        queuedTime=CREATED,
        startTime="2026-01-01T00:00:02Z",
        completionTime="2026-01-01T00:00:09Z",
        attempts=[attempt(), attempt(message="no\nrows")],
    )
    assert row(failed) == Row("a", "q", "5", "Failed", "2", "2 s", "7 s", "Error: no rows")


def test_a_task_that_never_started_only_waited() -> None:
    """Until it expired; and the status says why, as there is no attempt to ask."""
    expired = task(phase="Expired", reason="Late", message="Too late", completionTime="2026-01-01T00:00:03Z")
    assert row(expired)[3:] == ("Expired", "", "3 s", "", "Too late")


def test_an_attempt_without_a_container_ran_no_time() -> None:
    """Its Job was started, nothing else."""
    never = task(
        phase="Failed",
        reason="RetriesExhausted",
        startTime=CREATED,
        completionTime="2026-01-01T00:00:09Z",
        attempts=[{"number": 1, "reason": "PendingTimeout"}],
    )
    assert row(never).ran == ""


@pytest.mark.parametrize("whole", [False, True])
def test_the_table_fits(whole: bool) -> None:
    """The last column is cut, or goes on below; never beyond the width."""
    lines = table([made(why="word " * 40), made("much-longer-name")], 90, whole=whole)
    assert all(len(line) <= 90 for line in lines)
    assert (len(lines) > 3) is whole


def test_a_file_gets_a_line_a_change() -> None:
    """And none for what was said before, nor for Tasks that only wait."""
    stream = io.StringIO()
    display = Display(stream, {})
    display.show([made(phase="Pending", attempts="")], "0 s")
    display.show([made()], "1 s")
    display.show([made()], "2 s")
    display.show([made(phase="Failed", why="Error: no rows")], "3 s")
    assert [" ".join(line.split()) for line in stream.getvalue().splitlines()] == [
        "1 s a Running (attempt 1)",
        "3 s a Failed (attempt 1): Error: no rows",
    ]


def test_a_terminal_gets_the_table_in_place() -> None:
    """The second one goes back over the first; colours only where they are wanted."""
    stream = Terminal()
    display = Display(stream, {"NO_COLOR": "1"})
    display.show([made()], "0 s")
    display.show([made(phase="Succeeded")], "1 s")
    display.final([made(phase="Succeeded")])
    first, second, last = stream.getvalue().split("\x1b[3A\r\x1b[J")
    assert "Running" in first
    assert "Succeeded" in second
    assert "1 s" not in last
    assert "\x1b[32m" not in stream.getvalue()
    coloured = Terminal()
    Display(coloured, {}).show([made(phase="Succeeded")], "")
    assert "\x1b[32mSucceeded\x1b[0m" in coloured.getvalue()
