"""The table: updated in place on a terminal, one line a change anywhere else."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NamedTuple, TextIO

from taskqdemo.kube import Json

ENDS = ("Succeeded", "Failed", "Cancelled", "Expired")
HEAD = ("TASK", "QUEUE", "PRI", "PHASE", "ATTEMPTS", "WAITED", "RAN", "WHY")
COLOURS = {"Succeeded": 32, "Failed": 31, "Cancelled": 33, "Expired": 33, "Running": 36, "Retrying": 35}
LEAST_WHY = 24
WHY_LINES = 3
FILE_WIDTH = 118


class Row(NamedTuple):
    """One Task as people see it."""

    name: str
    queue: str
    priority: str
    phase: str
    attempts: str
    waited: str
    ran: str
    why: str

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.phase in ENDS


def row(task: Json) -> Row:
    """What there is to tell about a Task."""
    spec, status = task["spec"], task.get("status", {})
    phase = status.get("phase", "Pending")
    queued = status.get("queuedTime") or task["metadata"]["creationTimestamp"]
    started, ended = status.get("startTime"), status.get("completionTime")
    attempts = status.get("attempts") or []
    ran = _between(started, ended) if any("startTime" in attempt for attempt in attempts) else ""
    return Row(
        name=task["metadata"]["name"],
        queue=spec.get("queueName", "default"),
        priority=str(status.get("effectivePriority", spec.get("priority", ""))),
        phase=phase,
        attempts=str(status.get("attempt", "")),
        waited=_between(queued, started or ended),
        ran=ran if phase in ENDS else "",
        why=_why(status),
    )


def _why(status: Json) -> str:
    """What the last attempt had to say, else what the status says."""
    if status.get("reason") in ("Succeeded", "Started", None):
        return ""
    attempts = status.get("attempts")
    if not attempts:
        return _one_line(status.get("message", ""))
    return ": ".join(part for part in (attempts[-1]["reason"], _one_line(attempts[-1].get("message", ""))) if part)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _between(start: str | None, end: str | None) -> str:
    if not start or not end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return f"{max(0, seconds):.0f} s"


def table(rows: list[Row], width: int, *, whole: bool = False, colour: bool = False) -> list[str]:
    """The rows under their heads. The last column is cut at the width, or with `whole` goes on below."""
    cells = [HEAD, *(tuple(row) for row in rows)]
    sizes = [max(len(line[column]) for line in cells) for column in range(len(HEAD) - 1)]
    indent = sum(sizes) + 2 * len(sizes)
    room = max(width - indent, LEAST_WHY)
    lines = []
    for line in cells:
        why = textwrap.wrap(_cut(line[-1], WHY_LINES * room), room) if whole else [_cut(line[-1], room)]
        start = "".join(cell.ljust(size) + "  " for cell, size in zip(line, sizes, strict=False))
        text = (start + "".join(why[:1])).rstrip()
        lines.append(_painted(text, line[3]) if colour else text)
        lines += [" " * indent + part for part in why[1:]]
    return lines


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _painted(text: str, phase: str) -> str:
    number = COLOURS.get(phase)
    return text.replace(phase, f"\x1b[{number}m{phase}\x1b[0m", 1) if number else text


class Display:
    """Shows the rows of every moment on a stream."""

    def __init__(self, stream: TextIO, environment: Mapping[str, str] | None = None) -> None:
        given = os.environ if environment is None else environment
        self._stream = stream
        self._live = stream.isatty() and given.get("TERM") != "dumb"
        self._colour = self._live and "NO_COLOR" not in given
        self._height = 0
        self._seen: dict[str, Row] = {}
        self.show: Callable[[list[Row], str], None] = self._redraw if self._live else self._append

    @property
    def width(self) -> int:
        """Columns."""
        return shutil.get_terminal_size().columns if self._live else FILE_WIDTH

    def final(self, rows: list[Row]) -> None:
        """The table as it stays, with nothing cut."""
        before = self._back() if self._live else "\n"
        self._stream.write(before + "\n".join(table(rows, self.width, whole=True, colour=self._colour)) + "\n")
        self._stream.flush()

    def _back(self) -> str:
        """To where the last table began, and nothing below."""
        return f"\x1b[{self._height}A\r\x1b[J" if self._height else ""

    def _redraw(self, rows: list[Row], note: str) -> None:
        room = shutil.get_terminal_size().lines - 2
        if len(rows) >= room:  # what has scrolled out of sight can't be redrawn: the ended ones are the least news
            rows = [row for row in rows if not row.ended][: room - 1]
        lines = [*table(rows, self.width, colour=self._colour), note]
        self._stream.write(self._back() + "".join(f"{line}\n" for line in lines))
        self._stream.flush()
        self._height = len(lines)

    def _append(self, rows: list[Row], note: str) -> None:
        for row in rows:
            before = self._seen.get(row.name)
            self._seen[row.name] = row
            known = (before.phase, before.attempts) if before else ("Pending", "")
            if (row.phase, row.attempts) == known:
                continue
            attempt = f" (attempt {row.attempts})" if row.attempts not in ("", "0") else ""
            why = f": {row.why}" if row.why else ""
            self._stream.write(_cut(f"{note:>6}  {row.name:<17} {row.phase}{attempt}{why}", FILE_WIDTH) + "\n")
        self._stream.flush()
