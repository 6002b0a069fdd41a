"""`top`: queues and Tasks, live."""

from __future__ import annotations

import os
import select
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from itertools import islice
from typing import Any

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.columns import queue_columns
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import QUEUE, Object, name_of, namespace_of
from taskq.cli.options import DURATION, connected, everywhere
from taskq.cli.output import Column, Table, coloured, phase_colour
from taskq.cli.queueof import queue_of
from taskq.cli.selection import Selection, filtered, selected
from taskq.cli.text import age, one_line
from taskq.resources.common import Phase

MOST_TASKS = 500
"""Tasks that are read for a frame: more than a screen holds, however many there are."""
LEAST_SECONDS = 0.5
HIDE, SHOW = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
QUIT = b"qQ\x04"
HOME, REST_OF_LINE, REST = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command("top", cls=Command, examples=["top", "top -A --interval 5s", "top --queue reports", "top --once"])
@option("--interval", type=DURATION, default="2s", metavar="TIME", help="Time between two looks.")
@option("--once", is_flag=True, help="Print one picture and end, as when there is no terminal.")
@filtered
@everywhere
@connected
def command(api: Api, selection: Selection, all_namespaces: bool, interval: float, once: bool) -> None:
    """Watch queues and Tasks live.

    Queues with their counts; below them the Tasks that run, those between two attempts, and the oldest that wait.
    Keys: q ends it, space holds the picture, any other key looks at once.
    """
    if interval < LEAST_SECONDS:
        raise CliError(f"--interval: at least {LEAST_SECONDS} s, to be kind to the API server")
    namespace = None if all_namespaces else api.namespace

    def picture() -> list[str]:
        return _picture(api, selection, namespace)

    if once or not (sys.stdout.isatty() and sys.stdin.isatty()):
        sys.stdout.write("\n".join(picture()) + "\n")
        return
    with _whole_screen():
        _live(picture, interval)


def _picture(api: Api, selection: Selection, namespace: str | None) -> list[str]:
    now = api.clock.now()
    queues = [queue for queue in api.list(QUEUE, namespace) if _is_meant(queue, selection)]
    shown: list[Object] = []
    for phase in (Phase.RUNNING, Phase.RETRYING, Phase.PENDING):
        if not selection.phases or phase in selection.phases:
            some = selected(api, selection._replace(phases=(phase,)), namespace, now)
            found = list(islice(some, MOST_TASKS - len(shown)))
            shown += sorted(found, key=_order(now))
    place = f"namespace {namespace}" if namespace else "all namespaces"
    title = f"{api.context_name} · {place} · {_counts(queues)}"
    return [
        coloured(title, "bold"),
        "",
        *_table(queue_columns(now, namespaced=namespace is None), queues),
        "",
        *_table(_task_columns(now, queue_of(api), namespaced=namespace is None), shown),
    ]


def _is_meant(queue: Object, selection: Selection) -> bool:
    return not selection.queues or name_of(queue) in selection.queues


def _order(now: float) -> Callable[[Object], float]:
    """The longest runs and the longest waits first."""

    def key(task: Object) -> float:
        seconds = (
            tasks.ran_seconds(task, now) if tasks.phase(task) == Phase.RUNNING else tasks.waited_seconds(task, now)
        )
        return -(seconds or 0.0)

    return key


def _counts(queues: Sequence[Object]) -> str:
    def total(name: str) -> int:
        return sum(int(queue.get("status", {}).get(name) or 0) for queue in queues)

    return f"{total('pending')} pending, {total('running')} running, {total('retrying')} retrying"


def _task_columns(now: float, queue: Callable[[Object], str], *, namespaced: bool) -> tuple[Column, ...]:
    def seconds(value: float | None) -> str:
        return "" if value is None else age(value)

    return (
        *((Column("NAMESPACE", namespace_of),) if namespaced else ()),
        Column("TASK", name_of),
        Column("QUEUE", queue),
        Column("PRI", tasks.priority),
        Column("PHASE", tasks.phase, colour=phase_colour),
        Column("ATTEMPT", lambda task: str(task.get("status", {}).get("attempt") or "")),
        Column("WAITED", lambda task: seconds(tasks.waited_seconds(task, now))),
        Column("RAN", lambda task: seconds(tasks.ran_seconds(task, now))),
        Column("WHY", lambda task: one_line(tasks.reason(task))),
    )


def _table(columns: Sequence[Column], things: Sequence[Any]) -> list[str]:
    out = StringIO()
    table = Table(columns, stream=out, colours=sys.stdout)
    table.print(table.row(thing) for thing in things)
    return out.getvalue().splitlines() or ["(none)"]


@contextmanager
def _whole_screen() -> Iterator[None]:
    """The terminal's other screen, and keys without Enter; as it was, afterwards."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    sys.stdout.write(HIDE)
    try:
        yield
    finally:
        sys.stdout.write(SHOW)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _live(picture: Callable[[], list[str]], interval: float) -> None:
    """Draw, wait for a key or the interval, and again."""
    held = False
    while True:
        if not held:
            _draw(picture())
        ready, _, _ = select.select([sys.stdin], [], [], None if held else interval)
        if ready:
            keys = os.read(sys.stdin.fileno(), 64)  # all that were typed: a buffered reader would keep some back
            if not keys or any(key in QUIT for key in keys):
                return
            held = b" " in keys and not held


def _draw(lines: Sequence[str]) -> None:
    """As much as the screen holds; lines are overwritten in place, which does not flicker."""
    width, height = shutil.get_terminal_size()
    shown = [cut(line, width) + REST_OF_LINE for line in lines[: height - 1]]
    sys.stdout.write(HOME + "\r\n".join(shown) + "\r\n" + REST)
    sys.stdout.flush()


def cut(line: str, width: int) -> str:
    """A line cut to so many characters; codes of colours take no room."""
    out, room, index = [], width, 0
    while index < len(line):
        if line[index] == "\x1b":
            end = line.index("m", index) + 1
            out.append(line[index:end])
            index = end
            continue
        if room > 0:
            out.append(line[index])
            room -= 1
        index += 1
    return "".join(out)
