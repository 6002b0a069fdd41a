"""The options of commands that change several objects, as values; and changes of the kinds that come by the handful."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from taskq.cli.api import Api
from taskq.cli.bulk import Wanted
from taskq.cli.completing import names as existing
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import Kind, Object, name_of
from taskq.cli.options import asking, connected, dry_run, everywhere
from taskq.cli.output import note, say
from taskq.cli.selection import FILTERS, Selection, filtered, named

F = TypeVar("F", bound=Callable[..., Any])

MANAGERS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "meta.helm.sh/release-name": "Helm",
}
"""Labels and annotations by which GitOps tools mark what they own."""

_every = option("--all", "all_", is_flag=True, section=FILTERS, help="All that the command can be about.")


def _wanted(names: tuple[str, ...], selection: Selection, all_namespaces: bool, all_: bool) -> Wanted:
    return Wanted(names, selection, all_namespaces, all_)


wanted_options = bundle("wanted", _wanted, named, filtered, _every, everywhere)
"""Gives a command `wanted: Wanted`."""


def bulk_options(function: F) -> F:
    """Gives a command `api: Api`, `wanted: Wanted`, `yes: bool` and `dry_run: str`."""
    return wanted_options(asking(dry_run(connected(function))))


def some_names(kind: Kind) -> Callable[[F], F]:
    """Gives a command `names: tuple[str, ...]`, at least one, of a kind."""
    return click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=existing(kind))


def change_each(
    api: Api,
    kind: Kind,
    names: Iterable[str],
    body: Callable[[Object], Object],
    done: str,
    *,
    dry_run: str,
) -> int:
    """Patch objects that are named one by one; the exit code. All are looked for before one is changed."""
    found = [the_named(api, kind, name) for name in names]
    failed = False
    for obj in found:
        try:
            if dry_run != "client":
                api.patch(kind, obj, body(obj), dry_run=dry_run == "server")
        except ApiRefused as error:
            failed = True
            note(f"{kind.qualified}/{name_of(obj)} not {done}: {error}")
            continue
        say(kind, obj, done, dry_run=dry_run)
        if manager := manager_of(obj):
            note(f"{name_of(obj)} is kept by {manager}: its next sync may undo this; change it there, too")
    return 1 if failed else 0


def the_named(api: Api, kind: Kind, name: str) -> Object:
    """The object; a CliError that says where to look when there is none."""
    found = api.find(kind, api.namespace, name.rpartition("/")[2])
    if found is None:
        hint = f"`kubectl -n {api.namespace} get {kind.plural}.{kind.group}` lists them, -n looks elsewhere"
        raise CliError(f"namespace {api.namespace} has no {kind.name} {name!r}; {hint}")
    return found


def manager_of(obj: Object) -> str:
    """The GitOps tool that keeps an object as it stands in Git; empty for none."""
    marks = (obj["metadata"].get("labels") or {}) | (obj["metadata"].get("annotations") or {})
    return next((tool for mark, tool in MANAGERS.items() if mark in marks), "")
