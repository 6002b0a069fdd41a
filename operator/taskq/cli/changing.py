"""The options of commands that change several Tasks, as one value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from taskq.cli.bulk import Wanted
from taskq.cli.framework import bundle, option
from taskq.cli.options import asking, connected, dry_run, everywhere
from taskq.cli.selection import FILTERS, Selection, filtered, named

F = TypeVar("F", bound=Callable[..., Any])

_every = option("--all", "all_", is_flag=True, section=FILTERS, help="All that the command can be about.")


def _wanted(names: tuple[str, ...], selection: Selection, all_namespaces: bool, all_: bool) -> Wanted:
    return Wanted(names, selection, all_namespaces, all_)


def bulk_options(function: F) -> F:
    """Gives a command `api: Api`, `wanted: Wanted`, `yes: bool` and `dry_run: str`."""
    wanted = bundle("wanted", _wanted, named, filtered, _every, everywhere)
    return wanted(asking(dry_run(connected(function))))
