"""`run`: a Task from a TaskTemplate."""

from __future__ import annotations

import sys

import click

from taskq.cli.api import Api
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import TEMPLATE, Object
from taskq.cli.newtask import Patience, Wish, manifest, pairs, patient, submit, wished
from taskq.cli.options import connected, dry_run, printed
from taskq.cli.output import Format

SOURCES = {"secret": "secretKeyRef", "configmap": "configMapKeyRef", "task": "taskResult"}


@click.command(
    "run",
    cls=Command,
    examples=[
        "run train-model -p dataset=mnist -p epochs=10 --queue gpu --priority 50",
        "run report --at 18:30",
        "run report --in 15m --wait --timeout 2h",
        "run import -p url=https://example.com/data.csv --param-from token=secret/importer/token --follow",
    ],
)
@click.argument("template")
@option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; again for more.")
@option(
    "--param-from",
    "sources",
    multiple=True,
    metavar="NAME=SOURCE",
    help="A parameter from secret/NAME/KEY, configmap/NAME/KEY, or task/NAME (its result).",
)
@wished
@patient
@dry_run
@printed
@connected
def command(
    api: Api,
    form: Format,
    template: str,
    params: tuple[str, ...],
    sources: tuple[str, ...],
    wish: Wish,
    patience: Patience,
    dry_run: str,
) -> int:
    """Create a Task from a TaskTemplate, with parameters.

    With --wait or --follow the exit code is the Task's: 0 when it succeeded, the container's own when it failed, 1 when
    it was cancelled or expired.
    """
    parameters = [{"name": name, "value": value} for name, value in pairs(params, "--param").items()]
    parameters += [_sourced(name, source) for name, source in pairs(sources, "--param-from").items()]
    spec: Object = {"templateRef": {"name": template}}
    if parameters:
        spec["parameters"] = parameters
    if dry_run != "client" and api.find(TEMPLATE, api.namespace, template) is None:
        where = f"namespace {api.namespace} has no TaskTemplate {template!r}"
        raise CliError(f"{where}; `{_program()} templates` lists them, -n looks elsewhere")
    body = manifest(wish, template, spec, api.clock.now())
    return submit(api, body, patience, form, dry_run=dry_run)


def _sourced(name: str, source: str) -> Object:
    kind, _, rest = source.partition("/")
    owner, slash, key = rest.partition("/")
    if kind not in SOURCES or not owner or (kind == "task") is bool(slash):
        raise CliError(f"--param-from {name}={source}: write it as secret/NAME/KEY, configmap/NAME/KEY or task/NAME")
    reference = {"name": owner} if kind == "task" else {"name": owner, "key": key}
    return {"name": name, "valueFrom": {SOURCES[kind]: reference}}


def _program() -> str:
    from taskq.cli.main import program

    return program(sys.argv[0])
