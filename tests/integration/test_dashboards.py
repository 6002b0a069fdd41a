"""The dashboards against a real Prometheus that scrapes a real operator under load: every panel shows something.

What Grafana fills in (`$namespace`, `$__rate_interval`) is filled in here; drawing is all that is left to it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes

import localcluster
from cluster_tools.desk import Desk, job_template, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.prometheus import Prometheus
from cluster_tools.waiting import until

REPO = Path(__file__).resolve().parents[2]
RULES = sorted((REPO / "helm/taskq/rules").glob("*.yaml"))
DASHBOARDS = sorted((REPO / "helm/taskq/dashboards").glob("*.json"))
THRESHOLDS = {"queueDepth": 100, "stuckSeconds": 600, "failureRatio": 0.5, "utilization": 0.9, "averageRunSeconds": 60}
FILLED_IN = {"$__rate_interval": "1m", "$cluster": ".*", "$job": ".*", "$schedule": ".*", "$queue": "mail"}

Json = dict[str, Any]


@pytest.fixture(scope="module")
def busy(
    client: kubernetes.ApiClient,
    cluster: localcluster.Cluster,
    kubelet: FakeKubelet,
    operator: OperatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Prometheus]]:
    """A namespace in which all happens that a dashboard shows, and the Prometheus that sees it."""
    core: Any = kubernetes.CoreV1Api(client)
    namespace = core.create_namespace({"metadata": {"generateName": "busy-"}}).metadata.name
    with Prometheus(tmp_path_factory.mktemp("prometheus"), [operator.address], RULES) as prometheus:
        until(lambda: prometheus.values("taskq_leader") == [1.0], "the first scrape")
        _load(Desk(client, namespace, cluster.audit_log))
        yield namespace, prometheus
    core.delete_namespace(namespace)


def _load(desk: Desk) -> None:
    """Tasks that wait, run, fail, are tried again, refused, and never start; and Schedules that work and fail."""
    desk.queue("mail", maxConcurrency=4, maxPending=50, alerts=THRESHOLDS)
    desk.schedule("works", everySeconds=1)
    desk.schedule("fails", {"exitCode": 1}, everySeconds=1)
    desk.task("typo", {"waiting": "ImagePullBackOff"}, queueName="mail", priority=3)
    desk.task("flaky", {"exitCode": 1}, {}, queueName="mail", priority=2, retryPolicy=retries(3))
    desk.create("TaskTemplate", "mop-up", {"jobTemplate": job_template()})
    after = {"tasks": [{"templateRef": {"name": "mop-up"}}]}
    desk.task("broken", {"exitCode": 1}, queueName="mail", priority=2, onFailure=after)
    refused = job_template()
    refused["spec"]["template"]["spec"]["containers"][0]["name"] = "Not a name"
    desk.task("refused", queueName="mail", priority=2, jobTemplate=refused)
    for number in range(12):
        desk.task(f"short-{number}", {"seconds": 0.5}, queueName="mail", priority=1)
    for number in range(12):
        desk.task(f"long-{number}", {"hold": True}, queueName="mail")


def panels(dashboard: Path) -> list[Json]:
    """Everything on a dashboard that asks something."""
    found: list[Json] = [
        panel for panel in json.loads(dashboard.read_text(encoding="utf-8"))["panels"] if panel.get("targets")
    ]
    return found


def filled_in(text: str, namespace: str) -> str:
    """A query as Grafana sends it."""
    for name, value in (FILLED_IN | {"$namespace": namespace}).items():
        text = text.replace(name, value)
    assert "$" not in text, text
    return text


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_shows_something(dashboard: Path, busy: tuple[str, Prometheus]) -> None:
    """Each of its queries, and a number rather than NaN."""
    namespace, prometheus = busy
    asked = panels(dashboard)
    assert len(asked) > 5
    for panel in asked:
        for target in panel["targets"]:
            expression = filled_in(target["expr"], namespace)

            def shown(expression: str = expression) -> bool:
                return any(not math.isnan(value) for value in prometheus.values(expression))

            until(shown, f"{dashboard.stem}: «{panel['title']}» shows something: {expression}")


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_variable_has_values(dashboard: Path, busy: tuple[str, Prometheus]) -> None:
    """But for `cluster`, which only several clusters in one Prometheus have."""
    namespace, prometheus = busy
    for variable in json.loads(dashboard.read_text(encoding="utf-8"))["templating"]["list"]:
        if variable["type"] != "query" or variable["name"] == "cluster":
            continue
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert asked, variable
        assert asked[2] == variable["name"]
        assert prometheus.label_values(asked[2], filled_in(asked[1], namespace)), variable


def test_an_alert_goes_all_the_way(busy: tuple[str, Prometheus]) -> None:
    """From a Schedule whose Tasks fail to an alert that fires, through the rules as they are shipped."""
    namespace, prometheus = busy
    alert = f'ALERTS{{alertname="TaskQScheduleFailing",alertstate="firing",namespace="{namespace}"}}'
    until(lambda: prometheus.query(alert), "TaskQScheduleFailing fires")
    assert [sample["metric"]["schedule"] for sample in prometheus.query(alert)] == ["fails"]


def test_the_slow_task_is_found_by_its_exemplar(busy: tuple[str, Prometheus]) -> None:
    """The label that no series could afford."""
    namespace, prometheus = busy
    series = f'taskq_task_run_duration_seconds_bucket{{namespace="{namespace}",queue="mail"}}'
    until(lambda: prometheus.exemplars(series), "an exemplar")
    assert all(exemplar["task"].startswith(f"{namespace}/") for exemplar in prometheus.exemplars(series))
