"""What the command line does. Progress goes to standard error, answers to standard output."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
from pathlib import Path

from localcluster import built, kind
from localcluster.build import cache_directory, ensure_built
from localcluster.choice import Kind, choose
from localcluster.errors import ClusterError
from localcluster.images import ImageConfig, full_name, write_image
from localcluster.progress import say
from localcluster.settings import ControllerManager


def up(arguments: argparse.Namespace) -> int:
    """Start, heal, or point at the user's own."""
    chosen = choose(os.environ, nodeless=arguments.no_node)
    _refuse_other_kind(arguments.directory, chosen)
    match chosen:
        case Kind.EXISTING:
            say("using the cluster that your KUBECONFIG or TASKQ_CONTEXT names; nothing is started there")
            print(_existing_kubeconfig())
            return 0
        case Kind.KIND:
            kind.up(arguments.directory, arguments.name, say)
        case Kind.BUILT:
            built.start(
                nodeless=arguments.no_node,
                directory=arguments.directory,
                name=arguments.name,
                kcm=_controller_manager(arguments),
                say=say,
            )
    print(f"export KUBECONFIG={arguments.directory / 'kubeconfig'}")
    return 0


def _refuse_other_kind(directory: Path, chosen: Kind) -> None:
    """A folder remembers one cluster; starting another kind there would lose track of the first."""
    there = Kind.KIND if kind.was_made_in(directory) else Kind.BUILT if built.find(directory) else None
    if there is not None and chosen not in (there, Kind.EXISTING):
        raise ClusterError(f"{directory} has a cluster of the kind «{there}»: stop it with `cluster.py down` first")


def down(arguments: argparse.Namespace) -> int:
    """Whatever the environment says, only what lies in the cluster's own folder is stopped."""
    if kind.was_made_in(arguments.directory):
        kind.down(arguments.directory, say)
        stopped = True
    else:
        stopped = built.stop(arguments.directory, keep_data=arguments.keep_data)
    say(f"cluster in {arguments.directory} {'stopped' if stopped else 'does not exist: nothing to do'}")
    if arguments.purge:
        shutil.rmtree(cache_directory(), ignore_errors=True)
        say(f"deleted {cache_directory()}")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """One line a program."""
    if choose(os.environ, nodeless=False) is Kind.EXISTING:
        print(f"your own cluster, by {_existing_kubeconfig()}")
        return 0
    if kind.was_made_in(arguments.directory):
        print(f"kind cluster in {arguments.directory}")
        return 0
    cluster = built.find(arguments.directory)
    if cluster is None:
        print(f"no cluster in {arguments.directory}")
        return 1
    states = {name: cluster.processes.pid(name) for name in cluster.processes.names()}
    for name, pid in states.items():
        print(f"{name}: {f'process {pid}' if pid else 'dead'}")
    print(f"{cluster.server} {'answers' if cluster.is_ready() else 'does not answer'}")
    return 0 if all(states.values()) and cluster.is_ready() else 1


def kubeconfig(arguments: argparse.Namespace) -> int:
    """For `export KUBECONFIG=$(cluster.py kubeconfig)`."""
    if choose(os.environ, nodeless=False) is Kind.EXISTING:
        print(_existing_kubeconfig())
        return 0
    path = arguments.directory / "kubeconfig"
    if not path.exists():
        raise ClusterError(f"there is no cluster in {arguments.directory}: run `cluster.py up`")
    print(path)
    return 0


def build(_: argparse.Namespace) -> int:
    """For an image or a CI step that wants the minutes spent beforehand."""
    print(ensure_built(say))
    return 0


def image(arguments: argparse.Namespace) -> int:
    """Make an image of a folder, or take the archive of one, and make it known to the cluster."""
    archive: Path = arguments.archive
    if arguments.rootfs is not None:
        if not arguments.tag:
            raise ClusterError("--rootfs needs a --tag: the name that pods will use")
        config = ImageConfig(
            entrypoint=shlex.split(arguments.entrypoint),
            environment=[*ImageConfig().environment, *arguments.env],
            user=arguments.user,
            working_directory=arguments.workdir,
        )
        write_image(archive, arguments.tag, arguments.rootfs, config)
        say(f"wrote {archive}")
    if kind.was_made_in(arguments.directory):
        kind.load_image(arguments.directory, archive)
    else:
        cluster = built.find(arguments.directory)
        if cluster is None or cluster.settings.network is None:
            raise ClusterError(f"no cluster with a node in {arguments.directory}: run `cluster.py up`")
        cluster.import_image(archive)
    say(f"the cluster has {', '.join(map(full_name, arguments.tag)) or archive}")
    return 0


def _controller_manager(arguments: argparse.Namespace) -> ControllerManager | None:
    if arguments.no_kcm:
        return None
    if arguments.kcm_stock:
        return ControllerManager.stock()
    return ControllerManager(qps=arguments.kcm_qps, burst=2 * arguments.kcm_qps)


def _existing_kubeconfig() -> str:
    return os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
