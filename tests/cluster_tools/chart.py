"""The Helm chart: what it becomes with some values, and the permissions in it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[2]
CHART = REPO / "helm/taskq"
NAMESPACE = "taskq-system"

Json = dict[str, Any]
Permission = tuple[str, str]
"""Resource and verb; the resource may have a subresource: `tasks/status`."""


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


def call(helm: Path, *arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm; the values go in as a file."""
    return subprocess.run(
        [helm, *arguments, "--values=-"], input=json.dumps(values or {}), capture_output=True, text=True, check=False
    )


def render(helm: Path, **values: Any) -> Rendered:
    """`helm template` with values."""
    done = call(helm, "template", "taskq", str(CHART), f"--namespace={NAMESPACE}", values=values)
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)


def operators_rules(rendered: Rendered) -> list[Json]:
    """All that the operator may do in a cluster where it serves its own namespace."""
    rules: list[Json] = rendered.one("ClusterRole", "taskq")["rules"] + rendered.one("Role", "taskq-lease")["rules"]
    return rules


def permissions(rules: list[Json]) -> list[Permission]:
    """Each resource and verb of some rules, as often as it stands there."""
    return [(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]]


def without(rules: list[Json], taken: set[Permission]) -> list[Json]:
    """The rules for all but these permissions, one rule each."""
    return [
        {**rule, "resources": [resource], "verbs": [verb]}
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (resource, verb) not in taken
    ]


def documented() -> list[Permission]:
    """The permissions of the operator as docs/how-to/security.md tells them."""
    text = (REPO / "docs/how-to/security.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `([a-z/]+)` \| (`[a-z]+`(?:, `[a-z]+`)*) \| ", text)
    return [(resource, verb) for resource, verbs in rows for verb in re.findall(r"[a-z]+", verbs)]
