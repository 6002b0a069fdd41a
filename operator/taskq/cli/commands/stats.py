"""`stats`: throughput, waits, run times and failures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import Object, namespace_of
from taskq.cli.options import connected, everywhere, printed
from taskq.cli.output import Column, Format, Table, note, to_yaml
from taskq.cli.selection import FILTERS, GROUPS, Selection, filtered, selected
from taskq.cli.sums import Sum, ended_at, percentile
from taskq.cli.text import age, duration, moment

GROUPINGS: dict[str, Callable[[Object], str]] = {
    "queue": tasks.queue,
    "type": tasks.type_of,
    "schedule": tasks.schedule,
    "phase": tasks.phase,
    "namespace": namespace_of,
}
SHARES = (0.5, 0.95, 0.99)


@click.command(
    "stats",
    cls=Command,
    examples=[
        "stats",
        "stats -A --by queue,type --since 7d",
        "stats --queue reports --since 08:00 --until 18:00 -o json",
    ],
)
@option(
    "--since",
    "begin",
    default="24h",
    metavar="TIME",
    section=FILTERS,
    help="Ended since: 24h (the default), or a time.",
)
@option("--until", "end", default="", metavar="TIME", section=FILTERS, help="Ended before: now by default, or a time.")
@option("--by", default="queue,type", metavar="KEYS", help=f"Group by these, of {', '.join(GROUPINGS)}.")
@filtered
@printed
@everywhere
@connected
def command(
    api: Api,
    form: Format,
    selection: Selection,
    all_namespaces: bool,
    begin: str,
    end: str,
    by: str,
) -> None:
    """Sum up throughput, waits, run times and failures.

    Made from the Tasks that are there: those that were cleaned up are not in it, so for long times ask the metrics.
    FAILED counts Failed and Expired ones, and FAILURES is their share of all but the Cancelled ones. A wait ends with
    the first attempt; a run time is the last attempt's.
    """
    keys = [key.strip() for key in by.split(",") if key.strip()]
    if unknown := [key for key in keys if key not in GROUPINGS]:
        raise CliError(f"--by: unknown key {unknown[0]!r}; it takes {', '.join(GROUPINGS)}")
    now = api.clock.now()
    low, high = _moment(begin, now), _moment(end, now) if end else now
    if low >= high:
        raise CliError(f"--since {begin} is not before --until {end or 'now'}")
    if not selection.phases:
        selection = selection._replace(phases=GROUPS["ended"])
    groups: dict[tuple[str, ...], Sum] = {}
    for task in selected(api, selection, None if all_namespaces else api.namespace, now):
        at = ended_at(task)
        if at is not None and low <= at < high:
            groups.setdefault(tuple(GROUPINGS[key](task) for key in keys), Sum()).add(task, now)
    _print(groups, keys, form, high - low)


def _moment(text: str, now: float) -> float:
    """A time, or so long ago; a time of day is the last such one."""
    try:
        return now - duration(text)
    except CliError:
        found = moment(text, now)
        return found - 86_400 if found > now and ":" in text and "-" not in text else found


def _print(groups: dict[tuple[str, ...], Sum], keys: list[str], form: Format, seconds: float) -> None:
    rows = sorted(groups.items())
    if form.name in {"json", "yaml"}:
        items = [{**dict(zip(keys, group, strict=True)), **_document(found, seconds)} for group, found in rows]
        document = {"seconds": round(seconds), "groups": items}
        sys.stdout.write(json.dumps(document, indent=4) + "\n" if form.name == "json" else to_yaml(document))
        return
    if not form.is_table:
        raise CliError("stats prints table, wide, json or yaml")
    if not rows:
        note("No Task has ended in that time; --since looks further back.")
        return
    table = Table(_columns(keys, seconds), wide=form.name == "wide", headers=form.headers)
    table.print(table.row(row) for row in rows)


def _columns(keys: list[str], seconds: float) -> list[Column]:
    def key(index: int) -> Callable[[tuple[tuple[str, ...], Sum]], str]:
        return lambda row: row[0][index]

    def time(values: str, share: float) -> Callable[[tuple[tuple[str, ...], Sum]], str]:
        def shown(row: tuple[tuple[str, ...], Sum]) -> str:
            found = percentile(getattr(row[1], values), share)
            return "" if found is None else age(found)

        return shown

    def ratio(row: tuple[tuple[str, ...], Sum]) -> str:
        return "" if row[1].failure_ratio is None else f"{row[1].failure_ratio:.1%}"

    return [
        *(Column(name.upper(), key(index)) for index, name in enumerate(keys)),
        Column("ENDED", lambda row: str(row[1].count)),
        Column("PER-HOUR", lambda row: f"{row[1].count * 3600 / seconds:.3g}"),
        Column("SUCCEEDED", lambda row: str(row[1].succeeded), wide=True),
        Column("FAILED", lambda row: str(row[1].failed)),
        Column("CANCELLED", lambda row: str(row[1].ends["Cancelled"]), wide=True),
        Column("ATTEMPTS", lambda row: str(row[1].attempts), wide=True),
        Column("FAILURES", ratio, colour=lambda text: "" if text in {"0.0%", "<none>"} else "red"),
        *(Column(f"WAIT-P{share * 100:g}", time("waits", share), wide=share > 0.95) for share in SHARES),
        *(Column(f"RUN-P{share * 100:g}", time("runs", share), wide=share > 0.95) for share in SHARES),
    ]


def _document(found: Sum, seconds: float) -> dict[str, object]:
    def times(values: str) -> dict[str, float | None]:
        return {f"p{share * 100:g}": percentile(getattr(found, values), share) for share in SHARES}

    return {
        "ended": found.count,
        "perHour": found.count * 3600 / seconds,
        **{phase.lower(): number for phase, number in sorted(found.ends.items())},
        "attempts": found.attempts,
        "failureRatio": found.failure_ratio,
        "waitSeconds": times("waits"),
        "runSeconds": times("runs"),
    }
