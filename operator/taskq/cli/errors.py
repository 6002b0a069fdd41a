"""What goes wrong on a command line, each with the next step for whoever typed it."""

from __future__ import annotations

from taskq.errors import TaskQError


class CliError(TaskQError):
    """Ends the command with one line on stderr and an exit code; the line says what to do next."""

    def __init__(self, message: str, *, code: int = 1) -> None:
        """`code` is the exit code."""
        super().__init__(message)
        self.code = code


class ApiRefused(CliError):  # noqa: N818 - an answer, not a fault of ours
    """The API server answered with 400 or above; `status` is that number, `reason` the Status' CamelCase word."""

    def __init__(self, message: str, *, status: int, reason: str = "") -> None:
        """`message` is for people, complete with its next step."""
        super().__init__(message)
        self.status = status
        self.reason = reason
