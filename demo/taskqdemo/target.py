"""Where the demo runs: the user's own cluster, kind, or the one built here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from localcluster import built, kind
from localcluster.choice import Kind, choose
from localcluster.progress import say
from localcluster.settings import state_directory
from taskqdemo.kube import DemoError


class Target(NamedTuple):
    """A cluster and what the demo may do there."""

    kubeconfig: str | None
    """Path of the kubeconfig; None is what kubectl uses without being told."""
    context: str | None
    ours: bool
    """Made here, so that the demo may change what it likes."""

    @property
    def export(self) -> str:
        """What to type first; empty when kubectl finds the cluster by itself."""
        return f"export KUBECONFIG={short(Path(self.kubeconfig))}" if self.ours and self.kubeconfig else ""

    @property
    def kubectl(self) -> str:
        """How to call kubectl for it."""
        return f"kubectl --context {self.context}" if self.context else "kubectl"


def bring_up(environment: Mapping[str, str]) -> Target:
    """Start the cluster, or heal the one that is there. The user's own is only pointed at."""
    chosen = choose(environment, nodeless=False)
    if chosen is Kind.EXISTING:
        context = environment.get("TASKQ_CONTEXT") or None
        return Target(environment.get("KUBECONFIG") or None, context, ours=False)
    directory = state_directory(dict(environment), built.DEFAULT_NAME).absolute()
    if chosen is Kind.KIND:
        kind.up(directory, built.DEFAULT_NAME, say)
    else:
        _need_root()
        built.start(directory=directory, say=say)
    return Target(str(directory / "kubeconfig"), None, ours=True)


def short(path: Path) -> str:
    """The path as people type it."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)


def state_of(environment: Mapping[str, str]) -> Path:
    """The folder for what belongs to the demo and not to a cluster."""
    return state_directory(dict(environment), "demo-operator").absolute()


def confirm(question: str, *, yes: bool) -> None:
    """Go on only with the user's consent; a script gives it by --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise DemoError(f"{question} Nobody is here to answer: run `.venv/bin/python demo/demo.py --yes` if so")
    print(f"{question} [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DemoError("nothing was changed; unset KUBECONFIG and TASKQ_CONTEXT to use a local cluster instead")


def _need_root() -> None:
    if os.geteuid() != 0:
        raise DemoError(
            "a cluster with real pods that is built here needs root: run `sudo make demo`, start Docker and install "
            "kind, or set KUBECONFIG to a cluster of yours"
        )
