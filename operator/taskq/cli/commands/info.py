"""`info`: this program, the cluster and its operator."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

import click

from taskq import __version__
from taskq.cli.api import Api
from taskq.cli.errors import CliError
from taskq.cli.framework import Command
from taskq.cli.install import Operator, reached
from taskq.cli.kinds import OURS, Kind
from taskq.cli.options import connected, printed
from taskq.cli.output import Format, to_yaml
from taskq.cli.text import age
from taskq.resources.common import API_VERSION

UNKNOWN = "<unknown>"
WIDTH = 18


@click.command("info", cls=Command, examples=["info", "info -o json"])
@reached
@printed
@connected
def command(api: Api, form: Format, reach: Callable[[Api], Operator]) -> None:
    """Tell about this program, the cluster and its operator.

    What you may not see is <unknown>; `doctor` says why.
    """
    found = {
        "client": __version__,
        "api": API_VERSION,
        "context": api.context_name,
        "server": api.host,
        "kubernetes": str(api.request("GET", "/version").get("gitVersion", "")),
        "user": _or_unknown(lambda: _user(api)),
        "namespace": api.namespace,
        **_operator(reach(api), api.clock.now()),
        **{kind.plural: _or_unknown(partial(_count, api, kind)) for kind in OURS},
    }
    if form.is_table:
        sys.stdout.write("".join(f"{name + ':':<{WIDTH}} {value}\n" for name, value in found.items()))
    elif form.name in {"json", "yaml"}:
        sys.stdout.write(json.dumps(found, indent=4) + "\n" if form.name == "json" else to_yaml(found))
    else:
        raise CliError("info prints table, json or yaml")


def _or_unknown(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except CliError:
        return UNKNOWN


def _user(api: Api) -> str:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    said = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return str(said["status"]["userInfo"]["username"])


def _operator(operator: Operator, now: float) -> dict[str, str]:
    def leader() -> str:
        leaders = operator.leaders()
        said = [f"{one.holder or '(nobody)'} in {one.namespace}, {age(now - one.renewed)} ago" for one in leaders]
        return "; ".join(said) or "(none)"

    def version() -> str:
        builds = [labels for name, labels, _ in operator.metrics() if name == "taskq_build_info"]
        return builds[0]["version"] if builds else UNKNOWN

    return {"operator": _or_unknown(version), "leader": _or_unknown(leader)}


def _count(api: Api, kind: Kind) -> str:
    """How many there are in the namespace, from one page of a list."""
    page = next(iter(api.pages(kind, api.namespace)))
    return str(len(page.items) + page.remaining)
