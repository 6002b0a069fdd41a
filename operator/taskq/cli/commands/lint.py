"""`lint`: manifests checked without a cluster."""

from __future__ import annotations

import click

from taskq.cli.errors import CliError
from taskq.cli.framework import Command
from taskq.cli.output import note
from taskq.cli.text import plural


@click.command("lint", cls=Command, examples=["lint tasks.yaml", "lint manifests/", "lint - < tasks.yaml"])
@click.argument("files", nargs=-1, required=True, type=click.Path(), metavar="FILE...")
def command(files: tuple[str, ...]) -> None:
    """Check manifests without a cluster.

    By the schemas and the rules of the CRDs, then as the operator does: cron expressions, and parameters, also those
    that Tasks and Schedules give to TaskTemplates of the same files. A FILE may be a folder, or - for stdin. Objects
    of other kinds are passed over; what a Job's pod says is for the API server to check.
    """
    from taskq.cli.linting import lint

    done = lint(files)
    for finding in done.findings:
        click.echo(str(finding))
    seen = f"{plural(done.objects, 'object')} in {plural(done.files, 'file')}"
    passed = f"; {plural(done.others, 'object')} of other kinds passed over" if done.others else ""
    if done.findings:
        raise CliError(f"{plural(len(done.findings), 'fault')} found in {seen}{passed}")
    note(f"No fault found in {seen}{passed}.")
