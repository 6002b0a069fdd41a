"""Which cluster to use: the user's own, kind, or the one that we build."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from localcluster.built import DEFAULT_NAME, STATE_FILE
from localcluster.errors import ClusterError
from localcluster.settings import state_directory

ENGINES = ("docker", "podman")
ANSWER_SECONDS = 20


class Kind(StrEnum):
    """The three ways to a cluster, by the names that TASKQ_CLUSTER takes."""

    EXISTING = "existing"
    KIND = "kind"
    BUILT = "built"


def choose(environment: Mapping[str, str], *, nodeless: bool) -> Kind:
    """TASKQ_CLUSTER decides; else the user's own cluster, if there is one; else kind, if it can run; else ours."""
    forced = environment.get("TASKQ_CLUSTER")
    if forced:
        try:
            return Kind(forced)
        except ValueError:
            raise ClusterError(f"TASKQ_CLUSTER={forced}: it must be one of {', '.join(Kind)}") from None
    if users_own(environment):
        return Kind.EXISTING
    if not nodeless and shutil.which("kind") and engine_answers():
        return Kind.KIND
    return Kind.BUILT


def users_own(environment: Mapping[str, str]) -> bool:
    """Whether the environment names a cluster that we did not make.

    A KUBECONFIG that points at a file of ours is what `make cluster` told people to export, so it names none.
    """
    if environment.get("TASKQ_CONTEXT"):
        return True
    files = [Path(name) for name in environment.get("KUBECONFIG", "").split(os.pathsep) if name]
    states = state_directory(dict(environment), DEFAULT_NAME).parent
    return any(not is_ours(file) and not _was_ours(file, states) for file in files)


def is_ours(kubeconfig: Path) -> bool:
    """A file that `up` wrote lies beside the state of its cluster."""
    return kubeconfig.name == "kubeconfig" and (kubeconfig.parent / STATE_FILE).exists()


def _was_ours(kubeconfig: Path, states: Path) -> bool:
    """`down` has deleted it, and the shell still exports it."""
    return kubeconfig.name == "kubeconfig" and kubeconfig.parent.parent == states and not kubeconfig.exists()


def engine_answers() -> bool:
    """A container engine's client is not enough: the engine itself has to answer."""
    return any(_succeeds([engine, "info"]) for engine in ENGINES if shutil.which(engine))


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=ANSWER_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False
