"""Alert rules, dashboards and pages speak of metrics that there are, and of all of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskq.observability.metrics import Metrics
from taskq.resources.common import DEFAULT_FAILURE_RATIO, DEFAULT_STUCK_SECONDS

REPO = Path(__file__).resolve().parents[2]
CHART = REPO / "helm/taskq"
RUNBOOKS = REPO / "docs/runbooks"
SEVERITIES = {"critical", "warning", "info"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}


def series() -> set[str]:
    """Every name that a query may use."""
    return {f"{family.name}{suffix}" for family in Metrics().families for suffix in SUFFIXES[family.kind]}


def used(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"\btaskq_[a-z_]+", text))


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((CHART / "rules").glob("*.yaml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def cases() -> list[dict[str, Any]]:
    """Every case that promtool runs."""
    files = [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((REPO / "tests/alerts").glob("*.yaml"))
    ]
    return [case for file in files for test in file["tests"] for case in test["alert_rule_test"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_is_complete(rule: dict[str, Any]) -> None:
    """Metrics that exist, a severity, words, and a page that says what to do."""
    assert used(rule["expr"]) <= series()
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    page = REPO / rule["annotations"]["runbook_url"]
    assert page == RUNBOOKS / f"{rule['alert']}.md"
    assert page.read_text(encoding="utf-8").startswith(f"# {rule['alert']}\n")


@pytest.mark.parametrize("name", [rule["alert"] for rule in rules()])
def test_an_alert_is_tried_both_ways(name: str) -> None:
    """One case in which it fires, one in which it must not."""
    fires = [bool(case["exp_alerts"]) for case in cases() if case["alertname"] == name]
    assert set(fires) == {True, False}


def test_every_runbook_belongs_to_an_alert() -> None:
    """None is left of one that was renamed."""
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in rules()}


def test_the_rules_use_the_defaults_that_the_fields_promise() -> None:
    """`spec.alerts` says what holds for queues that set nothing."""
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    assert f"* 0 + {DEFAULT_STUCK_SECONDS}\n" in expressions["TaskQQueueStuck"]
    assert f"* 0 + {DEFAULT_FAILURE_RATIO:g}\n" in expressions["TaskQHighFailureRatio"]


@pytest.mark.parametrize("page", sorted((REPO / "docs").rglob("*.md")), ids=lambda path: str(path.relative_to(REPO)))
def test_pages_name_metrics_that_there_are(page: Path) -> None:
    """A query that is copied from a page must find something."""
    families = {family.name for family in Metrics().families}
    assert used(page.read_text(encoding="utf-8")) <= series() | families
