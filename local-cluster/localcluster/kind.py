"""The cluster by kind, where a container engine runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from localcluster.build import SOURCES
from localcluster.built import STATE_FILE
from localcluster.errors import ClusterError
from localcluster.files import read_json, write_json
from localcluster.progress import Say

CONFIG = SOURCES.parent / "kind-config.yaml"


def was_made_in(directory: Path) -> bool:
    """Whether `up` made a kind cluster and keeps its kubeconfig there."""
    return "kind" in read_json(directory / STATE_FILE)


def up(directory: Path, name: str, say: Say) -> None:
    """Create the cluster unless kind has it. One that kind has and that we did not make is not ours to use."""
    if shutil.which("kind") is None:
        raise ClusterError("TASKQ_CLUSTER=kind, but `kind` is not on the PATH: `go install sigs.k8s.io/kind@latest`")
    exists = name in _kind("get", "clusters").split()
    if exists and not was_made_in(directory):
        raise ClusterError(f"kind already has a cluster «{name}» that was not made here; choose another with --name")
    file = directory / "kubeconfig"
    if not exists:
        say(f"creating the kind cluster «{name}», which takes a minute or two")
        write_json(directory / STATE_FILE, {"kind": name})
        _kind(
            "create",
            "cluster",
            "--name",
            name,
            "--config",
            str(CONFIG),
            "--kubeconfig",
            str(file),
            "--wait",
            "3m",
        )
    else:
        _kind("export", "kubeconfig", "--name", name, "--kubeconfig", str(file))


def down(directory: Path, say: Say) -> None:
    """Delete the cluster that was made from this folder."""
    name = str(read_json(directory / STATE_FILE)["kind"])
    say(f"deleting the kind cluster «{name}»")
    _kind("delete", "cluster", "--name", name, "--kubeconfig", str(directory / "kubeconfig"))
    shutil.rmtree(directory)


def load_image(directory: Path, archive: Path) -> None:
    """Make an image archive known to the cluster's nodes."""
    _kind("load", "image-archive", str(archive), "--name", str(read_json(directory / STATE_FILE)["kind"]))


def _kind(*arguments: str) -> str:
    done = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"`kind {' '.join(arguments)}` failed:\n{done.stderr}")
    return done.stdout
