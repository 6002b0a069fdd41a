"""The root command: `kubectl taskq`, or `taskq`. What goes wrong ends as one line on stderr, and a code.

0 all is well · 1 an error, also in how the command was typed, as with kubectl · 130 interrupted. `run --wait` and
`wait` add codes of their own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from taskq import __version__
from taskq.cli.catalog import CATALOG
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import LazyGroup
from taskq.errors import TaskQError

INTERRUPTED = 130
BROKEN_PIPE = 141
"""What a shell shows for a program that SIGPIPE ended."""


@click.group(cls=LazyGroup, entries=CATALOG, package="taskq.cli.commands", invoke_without_command=False)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option("-n", "--namespace", default="", hidden=True)
@click.option("--context", default="", hidden=True)
@click.option("--kubeconfig", default="", hidden=True)
@click.option("--as", "as_user", default="", hidden=True)
@click.option("--as-group", "as_groups", multiple=True, hidden=True)
@click.option("--request-timeout", default="0", hidden=True)
@click.pass_context
def root(ctx: click.Context, /, **given: Any) -> None:
    """Priority task queues on Kubernetes: see and steer Tasks, TaskQueues, Schedules and TaskTemplates.

    Every command takes kubectl's -n, --context, --kubeconfig and --as; `COMMAND --help` tells the rest.
    """
    from taskq.cli.api import Connection
    from taskq.cli.text import duration

    given["request_timeout"] = duration(given["request_timeout"])
    ctx.obj = Connection(**given)


def program(argv0: str) -> str:
    """How the user called it: kubectl runs a plug-in by its file's name."""
    return "kubectl taskq" if Path(argv0).name.startswith("kubectl-") else "taskq"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (the process' own by default); the exit code."""
    prog = program(sys.argv[0])
    try:
        code = root.main(
            args=_as_options(sys.argv[1:] if argv is None else argv), prog_name=prog, standalone_mode=False
        )
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:  # `kubectl taskq schedule`: as kubectl's own groups do
        sys.stdout.write(error.ctx.get_help() + "\n" if error.ctx else "")
        return 0
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else prog
        return _fail(f"error: {_lower(error.format_message())}; see `{where} --help`")
    except click.ClickException as error:
        return _fail(f"error: {error.format_message()}")
    except ApiRefused as error:
        return _fail(f"Error from server{f' ({error.reason})' if error.reason else ''}: {error}", error.code)
    except CliError as error:
        return _fail(f"error: {error}", error.code)
    except TaskQError as error:  # the domain's: a Schedule's field that can't be followed
        return _fail(f"error: {error}")
    except ModuleNotFoundError as error:
        if error.name != "kubernetes":
            raise
        return _fail("error: the official client is not installed: `pip install 'taskq-operator[cli]'` adds it")
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except SystemExit:  # click ends so when whoever reads has left, and only then
        return BROKEN_PIPE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is flushed into the broken pipe
        return BROKEN_PIPE
    return code if isinstance(code, int) else 0


def _as_options(argv: Sequence[str]) -> list[str]:
    """`help COMMAND` and `version`, which kubectl has as commands, too."""
    if argv and argv[0] == "help":
        return [*argv[1:], "--help"]
    return ["--version", *argv[1:]] if argv and argv[0] == "version" else list(argv)


def _fail(text: str, code: int = 1) -> int:
    sys.stderr.write(" ".join(text.split()) + "\n")
    return code


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")


def run() -> None:
    """The console scripts."""
    sys.exit(main())


if __name__ == "__main__":
    run()
