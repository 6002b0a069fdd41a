"""Alert rules, dashboards and pages speak of metrics that there are, and of all of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import alerts_page
from taskq.domain.reasons import STALLING, Reason
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


def test_the_reference_of_alerts_is_current() -> None:
    """On failure: `make generate`."""
    assert alerts_page.PAGE.read_text(encoding="utf-8") == alerts_page.page()


def test_the_rules_use_the_defaults_that_the_fields_promise() -> None:
    """`spec.alerts` says what holds for queues that set nothing."""
    expressions = {rule["alert"]: rule["expr"] for rule in rules()}
    assert f"(taskq_oldest_pending_task_age_seconds) > {DEFAULT_STUCK_SECONDS})" in expressions["TaskQQueueStuck"]
    assert f"* 0 + {DEFAULT_FAILURE_RATIO:g}\n" in expressions["TaskQHighFailureRatio"]


def test_the_rules_know_every_fault_that_waits_for_a_person() -> None:
    """A new one must not go unseen."""
    (blocked,) = [rule["expr"] for rule in rules() if rule["alert"] == "TaskQTaskBlocked"]
    (listed,) = re.findall(r'reason=~"([^"]+)"', blocked)
    assert listed.split("|") == sorted(
        reason.value for reason in {*STALLING, Reason.PARENT_NOT_FOUND, Reason.PARENT_IS_CHILD}
    )


@pytest.mark.parametrize("page", sorted((REPO / "docs").rglob("*.md")), ids=lambda path: str(path.relative_to(REPO)))
def test_pages_name_metrics_that_there_are(page: Path) -> None:
    """A query that is copied from a page must find something."""
    families = {family.name for family in Metrics().families}
    assert used(page.read_text(encoding="utf-8")) <= series() | families


# --- dashboards ---------------------------------------------------------------------------------------------------

DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
OF_PROMETHEUS = {"process_cpu_seconds_total", "process_resident_memory_bytes", "ALERTS"}
WIDTH = 24


def dashboard(path: Path) -> dict[str, Any]:
    """One of them."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def queries() -> str:
    """All that dashboards and rules ask."""
    panels = [panel for path in DASHBOARDS for panel in dashboard(path)["panels"]]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return "\n".join([*asked, *(rule["expr"] for rule in rules())])


def test_dashboards_and_rules_use_every_metric() -> None:
    """One that nobody looks at is not worth its series; one that does not exist shows nothing."""
    asked = used(queries())
    assert asked <= series()
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    assert {family.name for family in Metrics().families} - asked - bare == set()


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported(path: Path) -> None:
    """No data source of somebody's own, names that tell, and panels that do not lie upon each other."""
    board = dashboard(path)
    assert board["uid"] == f"taskq-{path.stem}"
    assert board["title"].startswith("TaskQ / ")
    assert board["templating"]["list"][0] == {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
    }
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y)
            for x in range(place["w"])
            for y in range(place["h"])
        }  # fmt: skip
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= WIDTH, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
            assert panel["description"], panel["title"]
            assert panel["targets"], panel["title"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_for_the_chosen_cluster_only(path: Path) -> None:
    """Each selector is bound to the variables; one that is not would mix installations."""
    for panel in dashboard(path)["panels"]:
        for target in panel.get("targets", ()):
            selectors = re.findall(r"\b(\w+)\{([^}]*)\}", target["expr"])
            assert {name for name, _ in selectors} == used(target["expr"]) | (
                OF_PROMETHEUS & set(re.findall(r"\w+", target["expr"]))
            ), panel["title"]
            assert all('cluster=~"$cluster"' in labels for _, labels in selectors), panel["title"]
