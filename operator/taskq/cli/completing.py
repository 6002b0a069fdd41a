"""Completion in shells: names that exist in the cluster, and the protocol by which kubectl asks a plug-in.

kubectl runs `kubectl_complete-taskq WORD...` and reads cobra's answer: a candidate a line, then `:DIRECTIVE`. A shell
that waits for a key must never wait long, nor be shown an error: what goes wrong completes nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete

from taskq.cli.kinds import Kind, name_of

SECONDS = 2.0
MOST = 500
"""One page: nobody reads more names than that."""
FILES, NO_FILES = ":0", ":4"
"""cobra's directives: let the shell complete files, or nothing more."""
_FLAGS = ("kubeconfig", "context", "namespace", "as_user", "as_groups")

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def names(kind: Kind) -> Complete:
    """For an argument or option that takes names of a kind."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = ctx.params.get("names") or ()
        found = [name for name in _listed(ctx, kind) if name.startswith(incomplete) and name not in given]
        return [CompletionItem(name) for name in found]

    return complete


def _listed(ctx: click.Context, kind: Kind) -> list[str]:
    """The names in the namespace that the flags so far say."""
    import logging

    from taskq.cli.api import Api, Connection
    from taskq.clock import SystemClock
    from taskq.errors import TaskQError

    before, mine = ctx.find_root().params, ctx.params
    flags: dict[str, Any] = {
        name: mine.get(name) or before.get(name) or Connection()._asdict()[name] for name in _FLAGS
    }
    logging.disable()  # urllib3 tells of every try
    api = Api(Connection(**flags, request_timeout=SECONDS), SystemClock())
    try:
        namespace = api.namespace if kind.namespaced else None
        return [name_of(obj) for obj in islice(next(iter(api.pages(kind, namespace, size=MOST))).items, MOST)]
    except (TaskQError, ModuleNotFoundError, OSError):
        return []
    finally:
        api.close()
        logging.disable(logging.NOTSET)


def answer(words: Sequence[str]) -> str:
    """What kubectl reads, for the words behind `kubectl taskq`; the last one is incomplete."""
    from taskq.cli.main import root

    *before, incomplete = words or [""]
    items = ShellComplete(root, {}, "taskq", "_TASKQ_COMPLETE").get_completions(before, incomplete)
    if any(item.type in {"file", "dir"} for item in items):
        return f"{FILES}\n"
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in items]
    return "".join(f"{line}\n" for line in [*lines, NO_FILES])


def run() -> None:
    """The console script `kubectl_complete-taskq`."""
    sys.stdout.write(answer(sys.argv[1:]))
