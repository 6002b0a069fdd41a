"""Writes what the chart has from the code: copies of the CRDs, and the settings and the alerts' names in
values.schema.json.

    python helm/chart_files.py [--check]

Copies, because a packaged chart has only what lies in its folder; that they are current is a test.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from taskq.settings import Settings

REPO = Path(__file__).resolve().parents[1]
CHART = REPO / "helm/taskq"
SCHEMA = CHART / "values.schema.json"

OWN = frozenset(
    {
        "namespaces",
        "kubeconfig",
        "context",
        "http_address",
        "leader_election",
        "lease_name",
        "lease_namespace",
        "identity",
    }
)
"""Settings that the chart makes of other values, or that have one right value in a pod."""

KEPT = ("type", "enum", "pattern", "minimum", "maximum", "items", "anyOf")


def files() -> dict[Path, str]:
    """What should stand in each generated file."""
    copies = {CHART / "files/crds" / path.name: path.read_text(encoding="utf-8") for path in (REPO / "crds").iterdir()}
    return {**copies, SCHEMA: _schema(SCHEMA.read_text(encoding="utf-8"))}


def _schema(text: str) -> str:
    """The schema of the values with the operator's settings and the alerts' names; all else is written by hand."""
    schema: dict[str, Any] = json.loads(text)
    fields = Settings.model_json_schema()["properties"]
    schema["properties"]["settings"]["properties"] = {
        name: {word: field[word] for word in KEPT if word in field} for name, field in fields.items() if name not in OWN
    }
    schema["properties"]["prometheusRule"]["properties"]["alerts"]["propertyNames"] = {"enum": _alerts()}
    return json.dumps(schema, indent=2) + "\n"


def _alerts() -> list[str]:
    """The names of all alerts of the chart."""
    files = (yaml.safe_load(path.read_text(encoding="utf-8")) for path in (CHART / "rules").glob("*.yaml"))
    return sorted(rule["alert"] for file in files for group in file["groups"] for rule in group["rules"])


def main() -> int:
    """Write, or with --check only say; 1 when a checked file is not current."""
    check = "--check" in sys.argv[1:]
    made = files()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(REPO)}: {'not current; run `make generate`' if check else 'written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made[path], encoding="utf-8")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
