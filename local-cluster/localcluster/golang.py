"""The Go compiler: whether it is there, and builds that say how far they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.progress import Say, Stopwatch

REPORT_SECONDS = 10.0

# Compiling without garbage collection is faster, and takes up to 2.5 GB: not on a small machine.
ROOMY_BYTES = 8 << 30


def check(what: str, module: Path) -> None:
    """ClusterError, with the version to install, when there is no Go for `what` is to be built."""
    if shutil.which("go") is None:
        found = re.search(r"^go (\S+)", (module / "go.mod").read_text(encoding="utf-8"), re.MULTILINE)
        raise ClusterError(
            f"Go is needed to build {what}, and `go` is not on the PATH. Install Go {found[1] if found else '1.26'} "
            "or newer, for example `apt-get install golang-go` where the system has that version."
        )


def count_packages(module: Path, package: str, say: Say, watch: Stopwatch) -> int:
    """Downloads what is missing, and gives the progress its hundred per cent."""
    say("fetching the Go modules (about 600 MB unpacked when none is there)")
    listed = subprocess.run(
        ["go", "list", "-mod=readonly", "-deps", package],
        cwd=module, env=_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        raise ClusterError(f"`go list` failed in {module}:\n{listed.stderr[-3000:]}")
    count = len(listed.stdout.splitlines())
    say(f"modules are there after {watch}; {count} packages to compile")
    return count


def build(module: Path, arguments: Sequence[str], say: Say, watch: Stopwatch, packages: int = 0) -> None:
    """`go build` in a module; with `-v` among the arguments and a number of packages, it tells its progress."""
    lines: list[str] = []
    next_report = watch.seconds + REPORT_SECONDS
    with subprocess.Popen(
        ["go", "build", *arguments], cwd=module, env=_environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None  # it is a pipe
        for line in process.stderr:
            lines.append(line)
            if packages and watch.seconds >= next_report:
                next_report = watch.seconds + REPORT_SECONDS
                say(f"  {watch} compiled {len(lines)} of at most {packages} packages")
    if process.returncode != 0:
        raise ClusterError(f"`go build` failed in {module}:\n{''.join(lines)[-3000:]}")


def _environment() -> dict[str, str]:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    if os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >= ROOMY_BYTES:
        environment["GOGC"] = "off"
        environment["GOMEMLIMIT"] = "3GiB"
    return environment
