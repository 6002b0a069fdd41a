"""Builds the cluster's programs once for every state of their sources, and keeps them in the user's cache."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from localcluster import golang
from localcluster.errors import ClusterError
from localcluster.files import locked
from localcluster.progress import Say, Stopwatch

SOURCES = Path(__file__).resolve().parent.parent
PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "pki", "relay")
PROGRAM_FILE = "taskq-cluster"


def cache_directory() -> Path:
    """The user's cache folder for this project."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskq" / "local-cluster"


def kubernetes_version() -> str:
    """The pinned version, as `go.mod` has it."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (SOURCES / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise ClusterError(f"{SOURCES / 'go.mod'} does not require k8s.io/kubernetes")
    return found[1]


def build_flags() -> list[str]:
    """Everything that decides what comes out; it is part of the cache's key."""
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    package = "k8s.io/component-base/version"
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    link = ["-s", "-w", *(f"-X {package}.{name}={value}" for name, value in stamps.items())]
    return ["-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", " ".join(link)]


def cache_key() -> str:
    """A hash over the sources and the flags: any change builds anew, beside what may still be running."""
    digest = hashlib.sha256()
    for path in sorted([SOURCES / "go.mod", SOURCES / "go.sum", *SOURCES.rglob("*.go")]):
        digest.update(str(path.relative_to(SOURCES)).encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update("\0".join(build_flags()).encode())
    return digest.hexdigest()[:16]


def ensure_built(say: Say) -> Path:
    """The folder with the programs; builds them when the cache has none for these sources."""
    directory = cache_directory() / cache_key()
    if _is_complete(directory):
        return directory

    def tell() -> None:
        say("another process builds the same cluster; waiting for it")

    with locked(directory.with_suffix(".lock"), on_wait=tell):
        if not _is_complete(directory):
            _build(directory, say)
    return directory


def _is_complete(directory: Path) -> bool:
    return all(os.access(directory / name, os.X_OK) for name in (PROGRAM_FILE, "pause", *PROGRAMS))


def _build(directory: Path, say: Say) -> None:
    """Build in a folder beside and rename: the cache holds a whole build or none."""
    golang.check("the cluster's programs", SOURCES)
    watch = Stopwatch()
    say(f"building Kubernetes {kubernetes_version()} and etcd from source, once: 4 to 8 minutes on two cores")
    shutil.rmtree(directory, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".build-") as temporary:
        beside = Path(temporary) / "out"
        beside.mkdir()
        packages = golang.count_packages(SOURCES, ".", say, watch)
        golang.build(SOURCES, [*build_flags(), "-v", "-o", str(beside / PROGRAM_FILE), "."], say, watch, packages)
        golang.build(SOURCES, [*build_flags(), "-o", str(beside / "pause"), "./pause"], say, watch)
        for name in PROGRAMS:
            (beside / name).symlink_to(PROGRAM_FILE)
        beside.rename(directory)
    say(f"built in {watch}: {directory}")
