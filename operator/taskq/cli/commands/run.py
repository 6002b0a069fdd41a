"""`run`: a Task from a TaskTemplate."""

from __future__ import annotations

import sys

import click

from taskq.cli.api import Api
from taskq.cli.completing import names as existing
from taskq.cli.errors import CliError
from taskq.cli.framework import Command
from taskq.cli.kinds import TEMPLATE, Object
from taskq.cli.newtask import Patience, Wish, manifest, patient, submit, wished
from taskq.cli.options import connected, dry_run, printed
from taskq.cli.output import Format
from taskq.cli.params import check_parameters, parameterised, results_of


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
@click.argument("template", shell_complete=existing(TEMPLATE))
@parameterised
@wished
@patient
@dry_run
@printed
@connected
def command(
    api: Api,
    form: Format,
    template: str,
    parameters: list[Object],
    wish: Wish,
    patience: Patience,
    dry_run: str,
) -> int:
    """Create a Task from a TaskTemplate, with parameters.

    With --wait or --follow the exit code is the Task's: 0 when it succeeded, the container's own when it failed, 1 when
    it was cancelled or expired.
    """
    spec: Object = {"templateRef": {"name": template}}
    if parameters:
        spec["parameters"] = parameters
        wish = wish._replace(after=tuple(dict.fromkeys((*wish.after, *results_of(parameters)))))
    if dry_run != "client":
        found = api.find(TEMPLATE, api.namespace, template)
        if found is None:
            where = f"namespace {api.namespace} has no TaskTemplate {template!r}"
            raise CliError(f"{where}; `{_program()} templates` lists them, -n looks elsewhere")
        check_parameters(found, parameters)
    body = manifest(wish, template, spec, api.clock.now())
    return submit(api, body, patience, form, dry_run=dry_run)


def _program() -> str:
    from taskq.cli.main import program

    return program(sys.argv[0])
