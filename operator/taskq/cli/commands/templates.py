"""`templates`: TaskTemplates with their parameters."""

from __future__ import annotations

import click

from taskq.cli.api import Api
from taskq.cli.columns import template_columns
from taskq.cli.completing import names as existing
from taskq.cli.framework import Command
from taskq.cli.kinds import TEMPLATE
from taskq.cli.listing import list_kind
from taskq.cli.options import connected, everywhere, printed
from taskq.cli.output import Format


@click.command("templates", cls=Command, examples=["templates", "templates -o wide", "templates train-model -o yaml"])
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=existing(TEMPLATE))
@printed
@everywhere
@connected
def command(api: Api, form: Format, names: tuple[str, ...], all_namespaces: bool) -> None:
    """List TaskTemplates with their parameters.

    A parameter with a * has to be given to `run`.
    """
    list_kind(api, TEMPLATE, names, form, template_columns, all_namespaces=all_namespaces)
