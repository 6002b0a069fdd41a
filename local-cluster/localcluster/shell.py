"""Commands of the system, with their own words in the error."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import ClusterError


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> str:
    """The command's output; a failure ends with what it wrote."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ClusterError(f"`{' '.join(words)}` failed with {done.returncode}:\n{said[-2000:]}")
    return done.stdout


def succeeds(command: Sequence[str | Path], seconds: float = 20.0) -> bool:
    """Whether the command can be run and says yes in time."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except (subprocess.TimeoutExpired, OSError):
        return False
    return done.returncode == 0
