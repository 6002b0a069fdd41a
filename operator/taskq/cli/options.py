"""Flags that commands share, under kubectl's names where it has them."""

from __future__ import annotations

from typing import Any

import click

from taskq.cli import text
from taskq.cli.api import Api, Connection
from taskq.cli.errors import CliError
from taskq.cli.framework import bundle, option
from taskq.cli.output import FORMATS, Format, parse_format
from taskq.clock import SystemClock

CLUSTER = "Cluster"
OUTPUT = "Output"
WRITING = "Changing"


class Duration(click.ParamType[float]):
    """Seconds, given as 30s, 15m, 1h30m or 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As `text.duration` reads it."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return text.duration(value)
        except CliError as error:
            self.fail(str(error), param, ctx)


DURATION = Duration()


def _connection(
    kubeconfig: str,
    context: str,
    namespace: str,
    as_user: str,
    as_groups: tuple[str, ...],
    request_timeout: float,
) -> Connection:
    return Connection(kubeconfig, context, namespace, as_user, as_groups, request_timeout)


CONNECTION_OPTIONS = (
    option("-n", "--namespace", default="", metavar="NAME", section=CLUSTER, help="Namespace to work in."),
    option("--context", default="", metavar="NAME", section=CLUSTER, help="Context of the kubeconfig to use."),
    option("--kubeconfig", default="", metavar="FILE", section=CLUSTER, help="Kubeconfig to use; else KUBECONFIG's."),
    option("--as", "as_user", default="", metavar="USER", section=CLUSTER, help="User to impersonate."),
    option("--as-group", "as_groups", multiple=True, metavar="GROUP", section=CLUSTER, help="Group to impersonate."),
    option(
        "--request-timeout", type=DURATION, default=0, metavar="TIME", section=CLUSTER,
        help="Give a request up after so long; 0 (the default) never does.",
    ),
)  # fmt: skip


def given_connection(**given: Any) -> Connection:
    """What stands before the command's name."""
    return _connection(**given)


def _api(
    kubeconfig: str,
    context: str,
    namespace: str,
    as_user: str,
    as_groups: tuple[str, ...],
    request_timeout: float,
) -> Api:
    """A cluster by the command's flags, and where they say nothing, by those before the command's name."""
    mine = _connection(kubeconfig, context, namespace, as_user, as_groups, request_timeout)
    before = click.get_current_context().find_root().obj
    if isinstance(before, Connection):
        mine = mine.over(before)
    api = Api(mine, SystemClock())
    click.get_current_context().call_on_close(api.close)
    return api


connected = bundle("api", _api, *CONNECTION_OPTIONS)
"""Gives a command `api: Api`."""


def _format(output: str, no_headers: bool) -> Format:
    return parse_format(output, headers=not no_headers)


printed = bundle(
    "form",
    _format,
    option("-o", "--output", default="table", metavar="FORMAT", section=OUTPUT, help=f"One of {', '.join(FORMATS)}."),
    option("--no-headers", is_flag=True, section=OUTPUT, help="Print no header line."),
)
"""Gives a command `form: Format`."""

everywhere = option("-A", "--all-namespaces", is_flag=True, section=CLUSTER, help="Look in all namespaces.")
"""Gives a command `all_namespaces: bool`."""

dry_run = option(
    "--dry-run",
    type=click.Choice(["none", "client", "server"]),
    default="none",
    is_flag=False,
    flag_value="client",
    section=WRITING,
    help="client: only say what would be done; server: let the API server check it, too, without keeping it.",
)
"""Gives a command `dry_run: str`."""

asking = option("-y", "--yes", is_flag=True, section=WRITING, help="Do not ask before several objects are changed.")
"""Gives a command `yes: bool`."""
