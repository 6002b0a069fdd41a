"""`explain`: the fields of our kinds, without a cluster."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from taskq.cli.framework import Command, option


def _completed(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The fields one step further."""
    from taskq.cli.errors import CliError
    from taskq.cli.fields import find, names_in
    from taskq.cli.kinds import OURS

    above, dot, begun = incomplete.rpartition(".")
    try:
        names = names_in(find(above)) if dot else [kind.name.lower() for kind in OURS]
    except CliError:
        return []
    return [CompletionItem(f"{above}{dot}{name}") for name in names if name.startswith(begun)]


@click.command(
    "explain",
    cls=Command,
    examples=["explain task.spec.retryPolicy", "explain schedule.spec --recursive", "explain tq"],
)
@click.argument("field", metavar="KIND[.FIELD]...", shell_complete=_completed)
@option("--recursive", is_flag=True, help="Show the names and types of all fields below, too.")
def command(field: str, recursive: bool) -> None:
    """Explain a field: its type, limits, default and rules.

    Without a cluster, and with more than `kubectl explain` tells: what is allowed, and what is assumed.
    """
    from taskq.cli.fields import find, tell

    for line in tell(find(field), recursive=recursive):
        click.echo(line)
