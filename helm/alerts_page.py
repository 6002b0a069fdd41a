"""Writes the reference of the alert rules, docs/reference/alerts.md, from the rules that the chart has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

REPO = Path(__file__).resolve().parents[1]
RULES = REPO / "helm/taskq/rules"
PAGE = REPO / "docs/reference/alerts.md"

HEAD = """\
# Alerts

<!-- Made by `python helm/alerts_page.py`; do not edit. -->

Every alert rule, as it stands in [helm/taskq/rules](../../helm/taskq/rules); each name leads to its runbook.
[Monitoring](../how-to/monitoring.md#alerts) says how they are installed. Metrics with `alert` in their name are the
thresholds in a queue's `spec.alerts`. A number of your own belongs there, or into a copy of the rule.
"""


def page() -> str:
    """The page, whole."""
    parts = [HEAD]
    for path in sorted(RULES.glob("*.yaml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            parts += [f"## {group['name']}\n", *(_alert(rule) for rule in group["rules"])]
    return "\n".join(parts)


def _alert(rule: dict[str, Any]) -> str:
    notes = rule["annotations"]
    return (
        f"### [{rule['alert']}](../{notes['runbook_url'].removeprefix('docs/')})\n\n"
        f"Severity {rule['labels']['severity']}; has to hold for {rule.get('for', '0s')}. «{notes['summary']}» "
        f"{notes['description']}\n\n"
        f"```promql\n{rule['expr'].strip()}\n```\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
