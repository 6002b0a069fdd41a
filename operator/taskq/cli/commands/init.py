"""`init`: manifests to begin with."""

from __future__ import annotations

import shlex

import click

from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.output import note

PARTS = ("queue", "template", "schedule")


@click.command(
    "init", cls=Command, examples=["init mail", "init report --dir manifests --image report:1 --only template"]
)
@click.argument("name")
@option("--dir", "folder", default=".", metavar="DIR", help="Folder to write into; this one by default.")
@option("--only", type=click.Choice(PARTS), multiple=True, help="Write this one only; again for more.")
@option("--image", default="busybox:1.36", metavar="IMAGE", help="Image of the container; busybox:1.36 by default.")
@option("--cron", default="0 3 * * *", metavar="CRON", help="When the Schedule runs; every day at 03:00 by default.")
@option("--zone", default="Etc/UTC", metavar="ZONE", help="IANA time zone of --cron; Etc/UTC by default.")
@option("--force", is_flag=True, help="Write over files that are there.")
def command(name: str, folder: str, only: tuple[str, ...], image: str, cron: str, zone: str, force: bool) -> None:
    """Write a TaskQueue, a TaskTemplate and a Schedule to begin with.

    Three files with a word about each field, ready to be applied; nothing is sent to a cluster.
    """
    from pathlib import Path

    from taskq.cli.conversion.made import slug
    from taskq.cli.linting import faults_of, path_text
    from taskq.cli.manifests import read
    from taskq.cli.scaffold import Wanted, manifests

    if slug(name) != name:
        raise CliError(f"{name!r} is no name for a Schedule; {slug(name)} would do")
    made = manifests(Wanted(name, image, cron, zone))
    for document in (found for text in made.values() for found in read(text)):
        for fault in faults_of(document.value):
            raise CliError(f"{path_text(fault.path)}: {fault.message}")
    place = Path(folder)
    files = {place / file: text for file, text in made.items() if not only or file.removesuffix(".yaml") in only}
    if not force and (there := [str(file) for file in files if file.exists()]):
        raise CliError(f"{', '.join(there)} would be written over; --force does that, --dir names another folder")
    try:
        place.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
            click.echo(f"{file} written")
    except OSError as error:
        raise CliError(f"{error.filename} can't be written: {error.strerror}") from error
    note(f"Look through them, then: kubectl apply -f {shlex.quote(str(place))}")
