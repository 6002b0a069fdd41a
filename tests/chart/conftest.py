"""helm, and what the chart becomes with some values. Nothing here needs a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster_tools import chart
from cluster_tools.chart import CHART, Rendered
from localcluster.tools import tool

Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm() -> Path:
    """The program; built when this machine does not have it yet."""
    return tool("helm")


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """`helm template` with values."""

    def rendered(**values: Any) -> Rendered:
        return chart.render(helm, **values)

    return rendered


@pytest.fixture(scope="session")
def refuse(helm: Path) -> Callable[..., str]:
    """The words with which `helm template` refuses values."""

    def refused(**values: Any) -> str:
        done = chart.call(helm, "template", "taskq", str(CHART), values=values)
        assert done.returncode != 0, done.stdout
        return done.stderr

    return refused
