"""Programs out of Debian's packages: unpacked, not installed, so that nothing of the system changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from localcluster.build import cache_directory
from localcluster.errors import ClusterError
from localcluster.files import locked
from localcluster.progress import Say, say_nothing
from localcluster.shell import run


def program(package: str, name: str, say: Say = say_nothing) -> Path:
    """A program of a package: the machine's own, else the one kept in the user's cache, else fetched (seconds)."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    kept = cache_directory() / "debian" / package
    path = kept / "usr" / "bin" / name
    if not os.access(path, os.X_OK):
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise ClusterError(f"{name} is needed: install it (on Debian it is in the package {package})")
        with locked(kept.with_suffix(".lock"), on_wait=lambda: say(f"another process fetches {package}")):
            if not os.access(path, os.X_OK):
                _fetch(package, kept, say)
    return path


def _fetch(package: str, kept: Path, say: Say) -> None:
    """Unpack beside and rename: the cache holds a whole package or none."""
    say(f"fetching the package {package}")
    shutil.rmtree(kept, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        unpack(package, Path(temporary)).rename(kept)


def unpack(package: str, folder: Path) -> Path:
    """Fetch a package into a folder and unpack it there; returns where."""
    _download(package, folder)
    run(["dpkg-deb", "--extract", next(folder.glob("*.deb")), folder / "out"])
    return folder / "out"


def _download(package: str, folder: Path) -> None:
    """apt puts it into the working folder; its lists may be missing on a fresh machine."""

    def attempt() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", "download", "-qq", package],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip

    done = attempt()
    if done.returncode != 0:
        run(["apt-get", "update", "-qq"], {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        done = attempt()
    if done.returncode != 0:
        raise ClusterError(f"`apt-get download {package}` failed:\n{done.stderr}")
