"""The commands of README, quickstart and how-tos, typed as they stand there, and compared with what they show."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import localcluster
from cluster_tools.desk import Desk
from doc_blocks import PAGES, Block, Command, blocks, demo_table, demo_words, shows
from e2e.conftest import Demo, Shell

pytestmark = pytest.mark.slow

NOT_HERE = ("test", "down")
"""Verbs that would run these tests again, or take the cluster away."""

MANIFESTS = [block for page in PAGES for block in blocks(page) if block.language == "yaml"]


class Reader(NamedTuple):
    """Somebody who types what a page says, in a namespace of his own."""

    shell: Shell
    demo: Demo

    def type(self, command: Command) -> None:
        """Run one command; it must succeed and say what its page shows."""
        if command.make in NOT_HERE or command.text.startswith("export KUBECONFIG="):
            return  # make test is known to tests/repo; the kubeconfig is already this cluster's
        if command.make == "demo":
            self._play("\n".join(command.shown))
        else:
            said = self.shell(command.text)
            assert shows(command.shown, said), f"$ {command.text}\n{said}\ninstead of\n" + "\n".join(command.shown)

    def _play(self, shown: str) -> None:
        """`make demo` once more, where the page shows what it says; the first one was played to have an operator."""
        if demo_table(shown):
            said = self.shell("make demo")
            assert demo_table(said) == demo_table(shown)
            assert demo_words(said) == demo_words(shown)


@pytest.fixture
def reader(desk: Desk, shell: Shell, demo: Demo, cluster: localcluster.Cluster, tmp_path: Path) -> Iterator[Reader]:
    """With a kubeconfig whose current namespace is a fresh one."""
    demo.wait()
    kubeconfig = tmp_path / "config"
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    own = Shell({**shell.environment, "KUBECONFIG": str(kubeconfig)})
    name = f"page-{re.sub(r'[^a-z0-9]+', '-', tmp_path.name.lower()).strip('-')}"[:63]
    own(f"kubectl create namespace {name} && kubectl config set-context --current --namespace={name}")
    yield Reader(own, demo)
    own(f"kubectl delete namespace {name} --wait=false")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_can_be_typed(reader: Reader, page: str) -> None:
    """Every command works, one after the other, and what is pasted below it is what it says."""
    for block in blocks(page):
        for command in block.commands() if block.language == "console" else ():
            reader.type(command)


@pytest.mark.parametrize("block", MANIFESTS, ids=str)
def test_a_manifest_of_the_documents_is_accepted(shell: Shell, demo: Demo, desk: Desk, block: Block) -> None:
    """By the API server, with its schema and rules; unknown fields are errors."""
    done = subprocess.run(
        ["kubectl", "apply", "--dry-run=server", "--validate=strict", "-n", desk.namespace, "-f", "-"],
        input=block.text,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
