"""helm, and what the chart becomes with some values. Nothing here needs a cluster."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster.tools import tool

CHART = Path(__file__).resolve().parents[2] / "helm/taskq"
NAMESPACE = "taskq-system"

Json = dict[str, Any]


class Rendered:
    """The objects that a release consists of."""

    def __init__(self, text: str) -> None:
        self.objects: list[Json] = [document for document in yaml.safe_load_all(text) if document]

    def all(self, kind: str) -> list[Json]:
        """Those of a kind."""
        return [obj for obj in self.objects if obj["kind"] == kind]

    def one(self, kind: str, name: str = "") -> Json:
        """The only one of a kind, or of this name."""
        [found] = [obj for obj in self.all(kind) if name in ("", obj["metadata"]["name"])]
        return found

    @property
    def pod(self) -> Json:
        """The spec of the operator's pods."""
        spec: Json = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Json:
        """The operator's container."""
        [container] = self.pod["containers"]
        return container

    @property
    def environment(self) -> dict[str, str]:
        """Its variables with literal values."""
        return {each["name"]: each["value"] for each in self.container["env"] if "value" in each}


Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def helm() -> Path:
    """The program; built when this machine does not have it yet."""
    return tool("helm")


def call(helm: Path, *arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; the values go in as a file."""
    return subprocess.run(
        [helm, *arguments, "--values=-"], input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def render(helm: Path) -> Render:
    """`helm template` with values."""

    def rendered(**values: Any) -> Rendered:
        done = call(helm, "template", "taskq", str(CHART), f"--namespace={NAMESPACE}", values=values)
        assert done.returncode == 0, done.stderr
        return Rendered(done.stdout)

    return rendered


@pytest.fixture(scope="session")
def refuse(helm: Path) -> Callable[..., str]:
    """The words with which `helm template` refuses values."""

    def refused(**values: Any) -> str:
        done = call(helm, "template", "taskq", str(CHART), values=values)
        assert done.returncode != 0, done.stdout
        return done.stderr

    return refused
