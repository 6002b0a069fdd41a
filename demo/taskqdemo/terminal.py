"""A command in a terminal of its own, as somebody at a keyboard sees it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

from taskqdemo.kube import DemoError

SECONDS = 120
QUESTION = b"[y/N]: "


def typed(command: str, columns: int, environment: Mapping[str, str], folder: Path, *, answer: str = "") -> str:
    """What the command says, with its colours; a question is answered as given. DemoError when it never ends."""
    own, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    said = b""
    with subprocess.Popen(
        ["bash", "-c", command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color"},
        cwd=folder,
    ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # nobody has the other end any more
            while select.select([own], [], [], SECONDS)[0]:
                piece = os.read(own, 65_536)
                if not piece:
                    break
                said += piece
                if answer and said.endswith(QUESTION):
                    os.write(own, f"{answer}\n".encode())
            else:
                process.kill()
                raise DemoError(f"{command} said nothing for {SECONDS} s: {said[-300:].decode()}")
    os.close(own)
    return said.decode()
