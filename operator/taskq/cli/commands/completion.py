"""`completion`: what a shell reads to complete `taskq`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from taskq.cli.framework import Command


@click.command(
    "completion",
    cls=Command,
    examples=["completion bash > ~/.local/share/bash-completion/completions/taskq", "completion fish | source"],
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script of a shell for `taskq`.

    `kubectl taskq` is completed by kubectl's own completion (`kubectl completion --help`), which asks
    kubectl_complete-taskq, installed beside this program. Both complete names that exist in the cluster.
    """
    from taskq.cli.main import root

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root, {}, "taskq", "_TASKQ_COMPLETE").source())
