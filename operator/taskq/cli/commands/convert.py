"""`convert`: Schedules from CronJobs, crontabs and Celery's beat schedules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.output import note

if TYPE_CHECKING:
    from taskq.cli.conversion.made import Made, Wanted

SOURCES = ("auto", "cronjob", "crontab", "celery")


@click.command(
    "convert",
    cls=Command,
    examples=[
        "convert cronjob.yaml > schedule.yaml",
        "convert crontab.txt --image busybox:1.36 --zone Europe/Madrid",
        "convert celeryconfig.py | kubectl apply --dry-run=server -f -",
    ],
)
@click.argument("file", type=click.Path(), metavar="FILE")
@option("--from", "source", type=click.Choice(SOURCES), default="auto", help="What the file is; found out by default.")
@option("--zone", default="", metavar="ZONE", help="IANA time zone of the Schedules; the file's own, or Etc/UTC.")
@option("-q", "--queue", default="", metavar="NAME", help="TaskQueue of the Tasks.")
@option("--image", default="", metavar="IMAGE", help="Image in which a crontab's commands run.")
def command(file: str, source: str, zone: str, queue: str, image: str) -> None:
    """Convert a CronJob, a crontab or a Celery beat schedule into Schedules.

    Manifests go to stdout, and to stderr what is to be looked at, `lint`'s faults included. FILE is manifests with
    CronJobs, lines of a crontab, or Python or JSON with beat_schedule, which is read and not run; - is stdin.
    """
    import yaml

    from taskq.cli.conversion.made import Wanted
    from taskq.cli.linting import faults_of, path_text, text_of

    found = list(_converted(text_of(file), source, Wanted(zone, queue, image)))
    if not found:
        raise CliError(f"nothing in {file} can be converted; --from says what it is: {', '.join(SOURCES[1:])}")
    wrong = 0
    for made in found:
        click.echo("---\n" + yaml.safe_dump(made.schedule, sort_keys=False, allow_unicode=True, width=110), nl=False)
        name = made.schedule["metadata"]["name"]
        for text in made.notes:
            note(f"{name}: {text}")
        for fault in faults_of(made.schedule):
            wrong += 1
            note(f"{name}: {path_text(fault.path)}: {fault.message}")
    if wrong:
        raise CliError("the API server or the operator would refuse what is named above; mend it by hand")


def _converted(text: str, source: str, wanted: Wanted) -> Iterator[Made]:
    from taskq.cli.conversion import celery, cronjob, crontab
    from taskq.cli.manifests import Unreadable, read

    if source == "crontab" or (source == "auto" and crontab.looks_like(text)):
        yield from crontab.convert(text, wanted)
        return
    if source in {"auto", "celery"} and (entries := celery.find(text)) is not None:
        yield from celery.convert(entries, wanted)
        return
    if source == "celery":
        raise CliError("there is no beat_schedule in it")
    try:
        documents = [part.value for document in read(text) for part in document.parts()]
    except Unreadable as error:
        raise CliError(f"line {error.line}: no YAML: {error}") from error
    yield from (cronjob.convert(one, wanted) for one in documents if cronjob.is_cronjob(one))
