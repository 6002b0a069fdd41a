"""Metrics: what is counted under which labels, what a scrape gets, and that the page about them is complete."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from taskq.clock import SystemClock
from taskq.observability.metrics import OTHER, Metrics, QueueFacts
from taskq.resources.common import TERMINAL_PHASES, AttemptReason

ROOT = Path(__file__).parents[3]
NAMES = {
    "taskq_tasks": "gauge",
    "taskq_oldest_pending_task_age_seconds": "gauge",
    "taskq_queue_concurrency_limit": "gauge",
    "taskq_tasks_started_total": "counter",
    "taskq_tasks_finished_total": "counter",
    "taskq_attempts_failed_total": "counter",
    "taskq_task_retries_total": "counter",
    "taskq_launches_refused_total": "counter",
    "taskq_task_wait_duration_seconds": "histogram",
    "taskq_task_startup_duration_seconds": "histogram",
    "taskq_task_run_duration_seconds": "histogram",
    "taskq_schedule_runs_total": "counter",
    "taskq_schedule_missed_runs_total": "counter",
    "taskq_schedule_lag_seconds": "histogram",
    "taskq_status_write_conflicts_total": "counter",
    "taskq_decision_duration_seconds": "histogram",
    "taskq_completion_to_launch_seconds": "histogram",
    "taskq_event_loop_lag_seconds": "histogram",
    "taskq_kube_api_requests_total": "counter",
    "taskq_kube_api_request_duration_seconds": "histogram",
    "taskq_watch_restarts_total": "counter",
    "taskq_watch_events_total": "counter",
    "taskq_watch_poisoned_objects_total": "counter",
    "taskq_stale_leader_posts_total": "counter",
    "taskq_leader": "gauge",
    "taskq_leader_transitions_total": "counter",
    "taskq_build_info": "gauge",
}


@dataclass
class Watched:
    """What an informer has counted."""

    events: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)
    poisoned: int = 0


def facts(namespace: str = "a", queue: str = "gpu", **changes: float) -> QueueFacts:
    """A queue that holds something in every state."""
    row = QueueFacts(namespace, queue, 5, 4, 3, 2, 60.0, 10)
    return row._replace(**changes)  # type: ignore[arg-type]


def everything(metrics: Metrics, namespace: str = "a", queue: str = "gpu") -> None:
    """Let all happen to a queue that can."""
    metrics.task_started(namespace, queue, 3)
    metrics.task_retried(namespace, queue)
    metrics.launch_refused(namespace, queue, "QuotaExceeded")
    metrics.attempt_running(namespace, queue, 1)
    metrics.attempt_failed(namespace, queue, "OOMKilled")
    metrics.task_finished(namespace, queue, "Succeeded", 7)


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(max_queues=2)
    made.add_queue("a", "gpu")
    return made


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample, None when it is not there."""
    metrics.gather()
    return metrics.registry.get_sample_value(name, labels)


def of_queue(metrics: Metrics, queue: str) -> list[str]:
    """The names of all samples that a queue has."""
    return [s.name for m in metrics.registry.collect() for s in m.samples if s.labels.get("queue") == queue]


def test_names_and_kinds_are_what_dashboards_rely_on():
    """A name once published is an interface."""
    assert {family.name: family.kind for family in Metrics().families} == NAMES


def test_what_happens_to_a_task_is_counted_under_its_queue(metrics):
    """One event, one count, in each of the metrics that it concerns."""
    everything(metrics)
    queue = {"namespace": "a", "queue": "gpu"}
    assert value(metrics, "taskq_tasks_started_total", **queue) == 1
    assert value(metrics, "taskq_task_wait_duration_seconds_sum", **queue) == 3
    assert value(metrics, "taskq_task_retries_total", **queue) == 1
    assert value(metrics, "taskq_launches_refused_total", **queue, reason="QuotaExceeded") == 1
    assert value(metrics, "taskq_task_startup_duration_seconds_bucket", **queue, le="1.0") == 1
    assert value(metrics, "taskq_task_startup_duration_seconds_bucket", **queue, le="0.5") == 0
    assert value(metrics, "taskq_attempts_failed_total", **queue, reason="OOMKilled") == 1
    assert value(metrics, "taskq_tasks_finished_total", **queue, result="succeeded") == 1
    assert value(metrics, "taskq_task_run_duration_seconds_sum", **queue, result="succeeded") == 7


def test_a_task_that_never_started_has_no_run_time(metrics):
    """An expiry would else pull down the run times."""
    metrics.task_finished("a", "gpu", "Expired", None)
    queue = {"namespace": "a", "queue": "gpu", "result": "expired"}
    assert value(metrics, "taskq_tasks_finished_total", **queue) == 1
    assert value(metrics, "taskq_task_run_duration_seconds_count", **queue) is None


def test_a_clock_that_steps_back_makes_no_negative_times(metrics):
    """A histogram's sum must never fall."""
    metrics.task_started("a", "gpu", -5)
    metrics.api_request("create", "jobs", "201", -1)
    assert value(metrics, "taskq_task_wait_duration_seconds_sum", namespace="a", queue="gpu") == 0
    assert value(metrics, "taskq_kube_api_request_duration_seconds_sum", verb="create", resource="jobs") == 0


def test_every_result_and_reason_of_the_api_is_a_label(metrics):
    """The words are the API's own."""
    for phase in TERMINAL_PHASES:
        metrics.task_finished("a", "gpu", phase, None)
        assert value(metrics, "taskq_tasks_finished_total", namespace="a", queue="gpu", result=phase.lower()) == 1
    for reason in AttemptReason:
        metrics.attempt_failed("a", "gpu", reason)
        assert value(metrics, "taskq_attempts_failed_total", namespace="a", queue="gpu", reason=reason.value) == 1


def test_a_word_from_outside_is_no_label(metrics):
    """An API server's free text would make series without end."""
    metrics.launch_refused("a", "gpu", "pods 'x-1234' is forbidden")
    metrics.attempt_failed("a", "gpu", "Whatever")
    metrics.task_finished("a", "gpu", "Strange", None)
    assert value(metrics, "taskq_launches_refused_total", namespace="a", queue="gpu", reason="Other") == 1
    assert value(metrics, "taskq_attempts_failed_total", namespace="a", queue="gpu", reason="Other") == 1
    assert value(metrics, "taskq_tasks_finished_total", namespace="a", queue="gpu", result="Other") == 1


def test_how_queues_stand_is_asked_for_at_each_scrape(metrics):
    """So that nothing has to be kept in step."""
    rows = [facts()]
    metrics.feed(queues=lambda: rows)
    queue = {"namespace": "a", "queue": "gpu"}
    assert value(metrics, "taskq_tasks", **queue, state="pending") == 5
    assert value(metrics, "taskq_tasks", **queue, state="held") == 4
    assert value(metrics, "taskq_tasks", **queue, state="running") == 3
    assert value(metrics, "taskq_tasks", **queue, state="retrying") == 2
    assert value(metrics, "taskq_oldest_pending_task_age_seconds", **queue) == 60
    assert value(metrics, "taskq_queue_concurrency_limit", **queue) == 10
    rows[:] = [facts(pending=6)]
    assert value(metrics, "taskq_tasks", **queue, state="pending") == 6
    rows[:] = []
    assert value(metrics, "taskq_tasks", **queue, state="pending") is None


def test_queues_above_the_limit_are_counted_together(metrics):
    """Ten thousand queues cost a bounded number of series, and no Task is left out of the sums."""
    metrics.add_queue("a", "cpu")
    metrics.add_queue("b", "one")
    metrics.add_queue("b", "two")
    for queue in ("one", "two"):
        everything(metrics, "b", queue)
        assert of_queue(metrics, queue) == []
    metrics.feed(queues=lambda: [facts(), facts("b", "one"), facts("b", "two", oldest_pending_seconds=90.0)])
    other = {"namespace": OTHER, "queue": OTHER}
    assert value(metrics, "taskq_tasks_started_total", **other) == 2
    assert value(metrics, "taskq_tasks", **other, state="pending") == 10
    assert value(metrics, "taskq_oldest_pending_task_age_seconds", **other) == 90
    assert value(metrics, "taskq_queue_concurrency_limit", **other) == 20
    assert value(metrics, "taskq_tasks", namespace="a", queue="gpu", state="pending") == 5


def test_a_queue_that_does_not_exist_gets_no_series(metrics):
    """Else anybody could fill the registry by naming queues at will."""
    everything(metrics, "a", "typo")
    metrics.feed(queues=lambda: [facts(queue="typo")])
    assert value(metrics, "taskq_tasks", namespace=OTHER, queue=OTHER, state="pending") == 5
    assert of_queue(metrics, "typo") == []


def test_series_go_with_their_queue(metrics):
    """All of its series, none of another's, also when something still happens to one of its Tasks."""
    metrics.add_queue("b", "gpu")
    everything(metrics)
    everything(metrics, "b")
    before = of_queue(metrics, "gpu")
    metrics.remove_queue("a", "gpu")
    metrics.task_finished("a", "gpu", "Cancelled", None)
    assert value(metrics, "taskq_tasks_started_total", namespace="a", queue="gpu") is None
    assert value(metrics, "taskq_tasks_started_total", namespace="b", queue="gpu") == 1
    assert len(of_queue(metrics, "gpu")) == len(before) / 2
    assert value(metrics, "taskq_tasks_finished_total", namespace=OTHER, queue=OTHER, result="cancelled") == 1


def test_a_queue_that_waited_for_room_gets_it_when_another_goes(metrics):
    """First come, first served; a queue that went meanwhile is passed over."""
    metrics.add_queue("a", "cpu")
    for name in ("one", "two", "three"):
        metrics.add_queue("b", name)
    metrics.remove_queue("b", "one")
    metrics.remove_queue("a", "cpu")
    everything(metrics, "b", "two")
    everything(metrics, "b", "three")
    assert of_queue(metrics, "two")
    assert not of_queue(metrics, "three")


def test_adding_and_removing_twice_is_harmless(metrics):
    """Watches repeat themselves."""
    metrics.add_queue("a", "gpu")
    metrics.add_queue("a", "cpu")
    everything(metrics, "a", "cpu")
    assert of_queue(metrics, "cpu")
    metrics.remove_queue("a", "cpu")
    metrics.remove_queue("a", "cpu")
    assert not of_queue(metrics, "cpu")


def test_a_busy_queue_has_about_a_hundred_series():
    """The figure that the default of metrics_max_queues is reasoned from."""
    metrics = Metrics()
    metrics.add_queue("a", "gpu")
    everything(metrics)
    metrics.task_finished("a", "gpu", "Failed", 7)
    metrics.feed(queues=lambda: [facts()])
    metrics.gather()
    assert 80 <= len(of_queue(metrics, "gpu")) <= 120


def test_informers_of_one_resource_are_added_up(metrics):
    """There is one for each namespace when namespaces are listed."""
    one = Watched(Counter(ADDED=3), Counter(expired=1), 2)
    two = Watched(Counter(ADDED=4, MODIFIED=1), Counter(), 0)
    metrics.feed(informers=lambda: [("tasks", one), ("tasks", two), ("jobs", two)])
    assert value(metrics, "taskq_watch_events_total", resource="tasks", type="ADDED") == 7
    assert value(metrics, "taskq_watch_events_total", resource="jobs", type="MODIFIED") == 1
    assert value(metrics, "taskq_watch_restarts_total", resource="tasks", reason="expired") == 1
    assert value(metrics, "taskq_watch_poisoned_objects_total", resource="tasks") == 2


async def test_the_event_loops_lag_is_measured(metrics):
    """A step that holds up the loop shows in the histogram."""
    measuring = asyncio.create_task(metrics.watch_loop(SystemClock()))
    await asyncio.sleep(0)
    clock = SystemClock()
    until = clock.uptime() + 0.6
    while clock.uptime() < until:
        pass
    await asyncio.sleep(0.01)
    measuring.cancel()
    assert value(metrics, "taskq_event_loop_lag_seconds_count") == 1
    assert value(metrics, "taskq_event_loop_lag_seconds_sum") >= 0.3


async def test_a_scrape_is_openmetrics_for_whoever_accepts_it(metrics):
    """And it is well-formed: the library's own parser reads it."""
    everything(metrics)
    body, content_type = await metrics.page("application/openmetrics-text;version=1.0.0;q=0.5, text/plain;q=0.1")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert {"taskq_tasks_started", "taskq_build", "process_cpu_seconds"} <= families


@pytest.mark.parametrize("accept", ["", "*/*", "text/html;q=;;,,", "application/openmetrics-text;version=x.y"])
async def test_any_accept_header_gets_an_answer(metrics, accept):
    """A browser, a script or nonsense."""
    body, content_type = await metrics.page(accept)
    assert b"taskq_leader 0.0" in body
    assert "text" in content_type


async def test_there_are_no_series_of_creation_times(metrics):
    """They would double the counters' number and nobody reads them."""
    everything(metrics)
    for accept in ("", "application/openmetrics-text"):
        body, _ = await metrics.page(accept)
        assert b"_created" not in body


async def test_the_loop_goes_on_while_a_large_page_is_written():
    """Half a second in which the Lease is not renewed would be dangerous."""
    metrics = Metrics(max_queues=200)
    for number in range(200):
        metrics.add_queue("a", f"q{number}")
        everything(metrics, "a", f"q{number}")
    scrape = asyncio.create_task(metrics.page())
    turns = 0
    while not scrape.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert len(scrape.result()[0]) > 500_000


def test_two_sets_of_metrics_do_not_meet():
    """Every test, and every operator in a test, has its own."""
    one, two = Metrics(), Metrics()
    one.leader.set(1)
    assert value(one, "taskq_leader") == 1
    assert value(two, "taskq_leader") == 0


def test_the_build_is_told(metrics):
    """Which version runs is the first question of every report."""
    (family,) = [f for f in metrics.registry.collect() if f.name == "taskq_build"]
    (sample,) = family.samples
    assert sample.name == "taskq_build_info"
    assert sample.labels.keys() == {"version", "python", "kopf"}


def test_the_reference_page_is_current(tmp_path):
    """Made anew with the command that it names, it is what is committed."""
    page = tmp_path / "metrics.md"
    command = [sys.executable, "-m", "taskq.observability.metrics", "--docs", str(page)]
    subprocess.run(command, check=True, cwd=ROOT / "operator")
    assert page.read_text() == (ROOT / "docs/reference/metrics.md").read_text()


def test_the_reference_page_is_complete(metrics):
    """Each metric that a scrape can show is on it, with its type and labels, and nothing else is."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| (.*?) \|", page)
    told = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    everything(metrics)
    metrics.schedule_ran("a", "Started", 1)
    metrics.schedule_missed_runs.labels("a").inc()
    metrics.api_request("create", "jobs", "201", 0.1)
    watched = Watched(Counter(ADDED=1), Counter(expired=1), 1)
    metrics.feed(queues=lambda: [facts()], informers=lambda: [("tasks", watched)])
    metrics.gather()
    shown = {}
    for family in metrics.registry.collect():
        if not family.name.startswith("process_"):
            sample = family.samples[0]
            kind = "gauge" if family.type == "info" else family.type
            name = family.name if kind == "histogram" else sample.name
            shown[name] = (kind, frozenset(sample.labels) - {"le"})
    assert shown == told
