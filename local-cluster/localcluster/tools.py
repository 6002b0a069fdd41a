"""Programs of others that tests call, such as helm: built once from a pinned Go module, kept in the user's cache.

    helm = tool("helm")  # the program's path; minutes at the first call on a machine, then nothing

Every folder of `local-cluster/tools/` is a Go module: `go.mod` names the programs in its `tool` lines, `go.sum` pins
all that they are made of. Most have no code of their own; one that has names its own package. To have another program:

    mkdir local-cluster/tools/NAME && cd local-cluster/tools/NAME
    go mod init taskq.dev/tools/NAME && go get -tool PACKAGE@VERSION && go mod tidy

and `tool()` finds it by the last part of its package's path. Programs whose modules can't agree get a folder each.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from localcluster import golang
from localcluster.build import SOURCES, cache_directory
from localcluster.errors import ClusterError
from localcluster.files import locked
from localcluster.progress import Say, Stopwatch, say_nothing

TOOLS = SOURCES / "tools"
FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", "-s -w")


class _Program(NamedTuple):
    """A `tool` line of a go.mod."""

    module: Path
    package: str

    @property
    def key(self) -> str:
        """A hash of all that decides what comes out."""
        digest = hashlib.sha256("\0".join((self.package, *FLAGS)).encode())
        for file in (self.module / "go.mod", self.module / "go.sum", *sorted(self.module.glob("*.go"))):
            digest.update(b"\0" + file.read_bytes())
        return digest.hexdigest()[:16]


def tool(name: str, say: Say = say_nothing) -> Path:
    """The program of that name; built when the cache has none of the pinned version. ClusterError when it can't be."""
    programs = _programs()
    if name not in programs:
        raise ClusterError(f"no go.mod below {TOOLS} has a `tool` line for {name}: there are {', '.join(programs)}")
    program = programs[name]
    folder = cache_directory() / "tools" / program.key
    if not os.access(folder / name, os.X_OK):
        with locked(folder.with_suffix(".lock"), on_wait=lambda: say(f"another process builds {name}; waiting for it")):
            if not os.access(folder / name, os.X_OK):
                _build(program, folder, name, say)
    return folder / name


def _programs() -> dict[str, _Program]:
    """All that can be built, by name."""
    found = {}
    for file in sorted(TOOLS.glob("*/go.mod")):
        text = file.read_text(encoding="utf-8")
        for package in re.findall(r"(?m)^tool ([^(\s]\S*)$", text) + re.findall(r"(?m)^\t(\S+)$", _block(text)):
            found[package.rpartition("/")[2]] = _Program(file.parent, package)
    return found


def _block(text: str) -> str:
    """The lines of `tool ( … )`, the form for several."""
    match = re.search(r"(?ms)^tool \(\n(.*?)^\)", text)
    return match[1] if match else ""


def _build(program: _Program, folder: Path, name: str, say: Say) -> None:
    """Build beside and rename: the cache holds a whole program or none."""
    golang.check(name, program.module)
    watch = Stopwatch()
    say(f"building {program.package} from source, once: a few minutes on two cores")
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".build-") as temporary:
        beside = Path(temporary) / "out"
        packages = golang.count_packages(program.module, program.package, say, watch)
        golang.build(program.module, [*FLAGS, "-v", "-o", str(beside / name), program.package], say, watch, packages)
        beside.rename(folder)
    say(f"built {name} in {watch}")
