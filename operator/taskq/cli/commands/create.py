"""`create`: a Task from an image and a command line."""

from __future__ import annotations

import re

import click

from taskq.cli.api import Api
from taskq.cli.errors import CliError
from taskq.cli.framework import Command, option
from taskq.cli.kinds import Object
from taskq.cli.newtask import Patience, Wish, manifest, pairs, patient, submit, wished
from taskq.cli.options import connected, dry_run, printed
from taskq.cli.output import Format

CONTAINER = "main"


@click.command(
    "create",
    cls=Command,
    examples=[
        "create --image busybox:1.36 -- echo hello",
        "create --name import --image importer:2 --env MODE=full --requests cpu=1,memory=1Gi -- import --all",
        "create --image busybox:1.36 --dry-run=client -o yaml -- sh -c 'echo $HOSTNAME' > task.yaml",
    ],
)
@click.argument("args", nargs=-1, metavar="[-- COMMAND [ARG]...]")
@option("--image", required=True, metavar="IMAGE", help="The container's image.")
@option("-e", "--env", "variables", multiple=True, metavar="K=V", help="Environment variable; again for more.")
@option("--requests", default="", metavar="K=V,…", help="Resources to reserve, such as cpu=500m,memory=1Gi.")
@option("--limits", default="", metavar="K=V,…", help="Resources to use at most.")
@option("--service-account", default="", metavar="NAME", help="ServiceAccount of the pod.")
@option("--pull-policy", type=click.Choice(["Always", "IfNotPresent", "Never"]), help="When the image is pulled.")
@wished
@patient
@dry_run
@printed
@connected
def command(
    api: Api,
    form: Format,
    args: tuple[str, ...],
    image: str,
    variables: tuple[str, ...],
    requests: str,
    limits: str,
    service_account: str,
    pull_policy: str | None,
    wish: Wish,
    patience: Patience,
    dry_run: str,
) -> int:
    """Create a Task from an image and a command line.

    What stands behind -- is the container's command; without it the image's own runs.
    """
    container: Object = {"name": CONTAINER, "image": image}
    if args:
        container["command"] = list(args)
    if pull_policy:
        container["imagePullPolicy"] = pull_policy
    if variables:
        container["env"] = [{"name": name, "value": value} for name, value in pairs(variables, "--env").items()]
    resources = {
        name: pairs(tuple(given.split(",")), f"--{name}")
        for name, given in (("requests", requests), ("limits", limits))
        if given
    }
    if resources:
        container["resources"] = resources
    pod: Object = {"containers": [container]}
    if service_account:
        pod["serviceAccountName"] = service_account
    spec = {"jobTemplate": {"spec": {"template": {"spec": pod}}}}
    body = manifest(wish, _base(image), spec, api.clock.now())
    return submit(api, body, patience, form, dry_run=dry_run)


def _base(image: str) -> str:
    """A beginning for the Task's name: the last part of the image's."""
    last = image.rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    base = re.sub(r"[^a-z0-9-]+", "-", last).strip("-")
    if not base:
        raise CliError(f"--image {image!r} is no image")
    return base
