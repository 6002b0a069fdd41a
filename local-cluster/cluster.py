#!/usr/bin/env python3
"""A Kubernetes cluster for development and tests; docs/how-to/local-cluster.md tells more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from localcluster import commands
from localcluster.built import DEFAULT_NAME
from localcluster.errors import ClusterError
from localcluster.settings import ControllerManager, state_directory


def parser() -> argparse.ArgumentParser:
    """The command line."""
    stock, raised = ControllerManager.stock(), ControllerManager()
    result = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    verbs = result.add_subparsers(dest="command", required=True)

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        added.add_argument("--name", default=DEFAULT_NAME, help="tells clusters apart (default: %(default)s)")
        added.add_argument("--dir", type=Path, help="folder for everything about it (default: a state folder by name)")
        return added

    up = verb("up", commands.up, "start the cluster, or heal the one that is there")
    up.add_argument("--no-node", action="store_true", help="API server and controllers only: no pod runs")
    rate = up.add_mutually_exclusive_group()
    rate.add_argument("--kcm-qps", type=int, default=raised.qps, metavar="N",
                      help="requests per second of each controller, burst twice (default: %(default)s)")  # fmt: skip
    rate.add_argument("--kcm-stock", action="store_true", help=f"the {stock.qps}/{stock.burst} of an untuned cluster")
    rate.add_argument("--no-kcm", action="store_true", help="no controllers at all")
    down = verb(
        "down",
        commands.down,
        "stop the cluster and delete its data; a cluster not made here is never touched",
    )
    down.add_argument("--keep-data", action="store_true", help="so that the next `up` continues where this one ends")
    down.add_argument("--purge", action="store_true", help="delete the built programs, too")
    verb("status", commands.status, "say what runs; exit code 1 when the cluster is not whole")
    verb("kubeconfig", commands.kubeconfig, "print the path of the kubeconfig")
    verb("build", commands.build, "only build the programs")
    image = verb("image", commands.image, "make an image known to the cluster: an archive, or a folder")
    image.add_argument("archive", type=Path, help="the archive (docker save's form); written when --rootfs is given")
    image.add_argument("--rootfs", type=Path, help="folder that becomes the image's only layer")
    image.add_argument("--tag", action="append", default=[], help="the image's name, such as taskq:dev; repeatable")
    image.add_argument("--entrypoint", default="", help="command line, quoted as for a shell")
    image.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    image.add_argument("--user", default="", help="user or uid[:gid]")
    image.add_argument("--workdir", default="/", help="working directory (default: %(default)s)")
    return result


def main() -> int:
    """Run one command; what the user can mend is told without a traceback."""
    arguments = parser().parse_args()
    try:
        arguments.directory = (arguments.dir or state_directory(dict(os.environ), arguments.name)).absolute()
        code: int = arguments.run(arguments)
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
