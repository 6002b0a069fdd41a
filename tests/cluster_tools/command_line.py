"""`kubectl taskq` as users call it, in this process: quick, with what it said and its exit code."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from taskq.cli.main import main


class Said(NamedTuple):
    """What a command said."""

    out: str
    err: str
    code: int

    @property
    def rows(self) -> list[list[str]]:
        """The lines of a table, cut at its gaps."""
        return [[cell for cell in line.split("   ") if cell] for line in self.out.splitlines()]

    def column(self, header: str) -> list[str]:
        """One column of a table, by its place under the header."""
        head, *rows = self.out.splitlines()
        begin = next(i for i in range(len(head)) if head[i:].startswith(header) and (not i or head[i - 1] == " "))
        rest = head[begin + len(header) :]
        end = begin + len(header) + len(rest) - len(rest.lstrip()) if rest.strip() else None
        return [row[begin:end].strip() for row in rows]


class CommandLine:
    """A user at a prompt, in a namespace of a cluster."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._where = ("--kubeconfig", str(kubeconfig), "-n", namespace)

    def __call__(self, *args: str, code: int = 0, stdin: str = "") -> Said:
        """Type a command; the exit code must be as expected."""
        out, err = io.StringIO(), io.StringIO()
        typed = mock.patch.object(sys, "stdin", io.StringIO(stdin))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), typed:
            ended = main([*self._where, *args])
        said = Said(out.getvalue(), err.getvalue(), ended)
        assert ended == code, f"{args}: exit code {ended}\n{said.out}\n{said.err}"
        return said
