"""The same change to several objects: exactly those that were shown, after asking."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import click

from taskq.cli import tasks
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.kinds import TASK, Kind, Object, name_of, namespace_of
from taskq.cli.output import note, say, where
from taskq.cli.selection import Selection, by_names, selected
from taskq.cli.text import plural

AT_ONCE = 8
"""Requests under way: the API server's priority and fairness takes turns, and more of them are no faster."""
SHOWN = 10
"""So many names stand in the question."""


class Found(NamedTuple):
    """As much of a Task as a change of it needs: a hundred thousand of them fit into memory."""

    namespace: str
    name: str
    uid: str
    phase: str

    @property
    def stub(self) -> Object:
        """Enough of the object to address exactly this one."""
        return {"metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid}}


class Wanted(NamedTuple):
    """Which Tasks a bulk command is about, as its options say."""

    names: tuple[str, ...]
    selection: Selection
    all_namespaces: bool
    all_: bool


def find(api: Api, wanted: Wanted, *, meant: Callable[[Object], bool], verb: str) -> list[Found]:
    """The Tasks that were asked for and that `meant` lets pass; a CliError when nothing says which."""
    if wanted.names:
        if wanted.selection.is_given or wanted.all_namespaces or wanted.all_:
            raise CliError("give names or filters, not both")
        return [found_of(task) for task in by_names(api, wanted.names)]
    if not (wanted.selection.is_given or wanted.all_):
        raise CliError(f"which Tasks? Give names, filters such as --queue or -l, or --all; see `{verb} --help`")
    namespace = None if wanted.all_namespaces else api.namespace
    now = api.clock.now()
    return [found_of(task) for task in selected(api, wanted.selection, namespace, now) if meant(task)]


def found_of(task: Object) -> Found:
    """As much of it as is kept."""
    return Found(namespace_of(task), name_of(task), str(task["metadata"]["uid"]), tasks.phase(task))


def confirm(found: Sequence[Found], verb: str, *, yes: bool, dry_run: str, named: bool) -> bool:
    """Show how many, and ask; False when there is nothing to do. What was named one by one is not asked about."""
    if not found:
        note(f"No Tasks to {verb}.")
        return False
    if named or dry_run != "none":
        return True
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(Counter(one.phase for one in found).items()))
    spaces = sorted({one.namespace for one in found})
    place = f"namespace {spaces[0]}" if len(spaces) == 1 else plural(len(spaces), "namespace")
    note(f"{verb.capitalize()} {plural(len(found), 'Task')} in {place} ({phases}):")
    for one in found[:SHOWN]:
        note(f"  {where(one.stub)}")
    if len(found) > SHOWN:
        note(f"  … and {len(found) - SHOWN} more")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CliError("nobody is there to ask; add --yes to go on, or --dry-run to see what would be done")
    if not click.confirm("Go on?", err=True):
        raise CliError("nothing was changed")
    return True


def apply(
    found: Sequence[Found],
    change: Callable[[Object], object],
    done: str,
    *,
    dry_run: str,
    kind: Kind = TASK,
    settled: Callable[[ApiRefused], bool] = lambda error: error.status in {404, 409, 422},
) -> int:
    """Change them all, a few at a time; the exit code. A text that `change` returns is said behind `done`.

    What `settled` recognises is counted as changed by somebody else.
    """
    failed = skipped = 0

    def one(item: Found) -> object:
        try:
            return change(item.stub) if dry_run != "client" else None
        except ApiRefused as error:
            return error

    for item, result in zip(found, _each(one, found), strict=True):
        if not isinstance(result, ApiRefused):
            said = f" {result}" if isinstance(result, str) else ""
            say(kind, item.stub, done + said, dry_run=dry_run)
            continue
        error = result
        failed += 1
        skipped += settled(error)
        note(f"{kind.qualified}/{item.name} not {done}: {error}")
    if len(found) > 1 and failed:
        changed = plural(len(found) - failed, kind.name)
        note(f"{changed} {done}, {failed} not; {skipped} of those changed or went meanwhile")
    return 1 if failed else 0


def _each(one: Callable[[Found], object], found: Sequence[Found]) -> Iterable[object]:
    if len(found) == 1:
        return [one(found[0])]
    return _pooled(one, found)


def _pooled(one: Callable[[Found], object], found: Sequence[Found]) -> Iterable[object]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for begin in range(0, len(found), 100):  # an interrupt stops after what is under way, not after all
            yield from pool.map(one, found[begin : begin + 100])
