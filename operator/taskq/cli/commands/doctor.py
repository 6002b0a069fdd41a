"""`doctor`: is the installation well, and if not, what to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import click

from taskq.cli.api import Api
from taskq.cli.checks import FAULT, OK, UNKNOWN, WARNING, Finding, findings
from taskq.cli.errors import CliError
from taskq.cli.framework import Command
from taskq.cli.install import Operator, reached
from taskq.cli.options import connected, printed
from taskq.cli.output import Format, coloured, to_yaml

COLOURS = {OK: "green", WARNING: "yellow", FAULT: "red", UNKNOWN: "grey"}


@click.command("doctor", cls=Command, examples=["doctor", "doctor -n reports -o json"])
@reached
@printed
@connected
def command(api: Api, form: Format, reach: Callable[[Api], Operator]) -> int:
    """Check the installation, and say how to mend it.

    CRDs, your rights, the leader, metrics, the controller-manager's limits, and the clock. The exit code is 1 when
    there is a fault; warnings and what can't be seen are none.
    """
    found = []
    for finding in findings(api, reach(api)):
        found.append(finding)
        if form.is_table:
            sys.stdout.write(_shown(finding))
            sys.stdout.flush()
    if form.name in {"json", "yaml"}:
        document = {"findings": [one._asdict() for one in found]}
        sys.stdout.write(json.dumps(document, indent=4) + "\n" if form.name == "json" else to_yaml(document))
    elif not form.is_table:
        raise CliError("doctor prints table, json or yaml")
    return 1 if any(one.state == FAULT for one in found) else 0


def _shown(finding: Finding) -> str:
    state = coloured(f"{finding.state:<8}", COLOURS[finding.state])
    lines = f"{state} {finding.check}: {finding.found}\n"
    return lines + (f"{'':<8}   → {finding.mend}\n" if finding.mend else "")
