"""The judge: kstatus and Argo CD's Lua runtime. Nothing here needs a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster_tools.judge import Judge


@pytest.fixture(scope="session")
def judge() -> Iterator[Judge]:
    """One process for all questions; built when this machine does not have it yet."""
    with Judge() as started:
        yield started
