"""Metrics: what is counted under which labels, what a scrape gets, and that the page about them is complete."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from taskq.clock import SystemClock
from taskq.domain.model import Alerts, Key
from taskq.domain.reasons import Reason
from taskq.domain.schedules.objects import Schedule
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.domain.waiting import IN_ORDER, NOT_IN_ORDER
from taskq.observability.metrics import Metrics
from taskq.observability.operator_metrics import DispatcherFacts
from taskq.observability.queue_metrics import NO_ALERTS, QueueFacts
from taskq.observability.roster import OTHER
from taskq.resources.common import TERMINAL_PHASES, AttemptReason

ROOT = Path(__file__).parents[3]
NAMES = {
    "taskq_tasks": "gauge",
    "taskq_waiting_tasks": "gauge",
    "taskq_unstarted_tasks": "gauge",
    "taskq_oldest_pending_task_age_seconds": "gauge",
    "taskq_queue_concurrency_limit": "gauge",
    "taskq_queue_pending_limit": "gauge",
    "taskq_queue_held": "gauge",
    "taskq_tasks_stuck": "gauge",
    "taskq_queue_stuck": "gauge",
    "taskq_queue_alert_depth": "gauge",
    "taskq_queue_alert_stuck_seconds": "gauge",
    "taskq_queue_alert_failure_ratio": "gauge",
    "taskq_queue_alert_utilization_ratio": "gauge",
    "taskq_queue_alert_average_run_seconds": "gauge",
    "taskq_tasks_started_total": "counter",
    "taskq_tasks_finished_total": "counter",
    "taskq_attempts_failed_total": "counter",
    "taskq_task_retries_total": "counter",
    "taskq_launches_refused_total": "counter",
    "taskq_hooks_total": "counter",
    "taskq_task_wait_duration_seconds": "histogram",
    "taskq_task_startup_duration_seconds": "histogram",
    "taskq_task_run_duration_seconds": "histogram",
    "taskq_schedule_runs_total": "counter",
    "taskq_schedule_missed_runs_total": "counter",
    "taskq_schedule_lag_seconds": "histogram",
    "taskq_schedule_next_run_timestamp_seconds": "gauge",
    "taskq_schedule_last_run_timestamp_seconds": "gauge",
    "taskq_schedule_last_success_timestamp_seconds": "gauge",
    "taskq_schedule_consecutive_failures": "gauge",
    "taskq_schedule_suspended": "gauge",
    "taskq_status_write_conflicts_total": "counter",
    "taskq_decision_duration_seconds": "histogram",
    "taskq_decision_errors_total": "counter",
    "taskq_dispatcher_undecided_tasks": "gauge",
    "taskq_dispatcher_requests_in_flight": "gauge",
    "taskq_dispatcher_idle_seconds": "gauge",
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


GPU = Key("a", "gpu")
NIGHTLY = Key("a", "nightly")


def facts(namespace: str = "a", queue: str = "gpu", **changes: Any) -> QueueFacts:
    """A queue that holds something in every state."""
    states = Counter(pending=5, held=4, running=3, retrying=2, succeeded=9)
    waiting = Counter({Reason.SUSPENDED: 4, Reason.CONCURRENCY_LIMIT: 7})
    row = QueueFacts(
        Key(namespace, queue),
        states,
        waiting,
        Counter({Reason.IMAGE_PULL_FAILED: 1}),
        60.0,
        10,
        pending_limit=100,
        alerts=Alerts(1_000, 600, 0.2, 0.9, 60),
    )
    return row._replace(**changes)


def schedule(name: str = "nightly", suspend: bool = False, jitter: int = 0, **status: Any) -> Schedule:
    """A Schedule whose status stands so."""
    made = msgspec.convert(
        {
            "metadata": {
                "name": name,
                "namespace": "a",
                "uid": name,
                "resourceVersion": "1",
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"everySeconds": 60},
            "status": status,
        },
        Schedule,
    )
    made.spec = ScheduleSpec(every_seconds=60, suspend=suspend, jitter_seconds=jitter)
    return made


def everything(metrics: Metrics, namespace: str = "a", queue: str = "gpu") -> None:
    """Let all happen to a queue that can."""
    key = Key(namespace, queue)
    metrics.queues.task_started(key, 3, "t")
    metrics.queues.task_retried(key)
    metrics.queues.launch_refused(key, "QuotaExceeded")
    metrics.queues.hook_ran(key, "Webhook", "Done")
    metrics.queues.attempt_running(key, 1, "t")
    metrics.queues.attempt_failed(key, "OOMKilled")
    metrics.queues.task_finished(key, "Succeeded", 7, "t")


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(max_queues=2, max_schedules=2)
    made.queues.add(GPU)
    return made


def scrape(metrics: Metrics) -> None:
    """As the server does, on a loop of its own: a test may be on one already."""
    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(metrics.page())).result()


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample of the page that a scrape gets now, None when it is not there."""
    scrape(metrics)
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
    metrics.queues.task_finished(GPU, "Expired", None, "t")
    queue = {"namespace": "a", "queue": "gpu", "result": "expired"}
    assert value(metrics, "taskq_tasks_finished_total", **queue) == 1
    assert value(metrics, "taskq_task_run_duration_seconds_count", **queue) is None


def test_a_clock_that_steps_back_makes_no_negative_times(metrics):
    """A histogram's sum must never fall."""
    metrics.queues.task_started(GPU, -5, "t")
    metrics.operator.api_request("create", "jobs", "201", -1)
    assert value(metrics, "taskq_task_wait_duration_seconds_sum", namespace="a", queue="gpu") == 0
    assert value(metrics, "taskq_kube_api_request_duration_seconds_sum", verb="create", resource="jobs") == 0


def test_every_result_and_reason_of_the_api_is_a_label(metrics):
    """The words are the API's own."""
    for phase in TERMINAL_PHASES:
        metrics.queues.task_finished(GPU, phase, None, "t")
        assert value(metrics, "taskq_tasks_finished_total", namespace="a", queue="gpu", result=phase.lower()) == 1
    for reason in AttemptReason:
        metrics.queues.attempt_failed(GPU, reason)
        assert value(metrics, "taskq_attempts_failed_total", namespace="a", queue="gpu", reason=reason.value) == 1


def test_a_word_from_outside_is_no_label(metrics):
    """An API server's free text would make series without end."""
    metrics.queues.launch_refused(GPU, "pods 'x-1234' is forbidden")
    metrics.queues.attempt_failed(GPU, "Whatever")
    metrics.queues.task_finished(GPU, "Strange", None, "t")
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
    assert value(metrics, "taskq_tasks", **queue, state="succeeded") == 9
    assert value(metrics, "taskq_tasks", **queue, state="failed") == 0
    assert value(metrics, "taskq_waiting_tasks", **queue, reason="ConcurrencyLimit") == 7
    assert value(metrics, "taskq_queue_concurrency_limit", **queue) == 10
    assert value(metrics, "taskq_queue_pending_limit", **queue) == 100
    assert value(metrics, "taskq_queue_held", **queue) == 0
    assert value(metrics, "taskq_unstarted_tasks", **queue, reason="ImagePullFailed") == 1
    assert value(metrics, "taskq_tasks_stuck", **queue) == value(metrics, "taskq_queue_stuck", **queue) == 0
    rows[:] = [facts(stuck=2, is_stuck=True)]
    assert value(metrics, "taskq_tasks_stuck", **queue) == 2
    assert value(metrics, "taskq_queue_stuck", **queue) == 1
    rows[:] = [facts(stuck=2, is_stuck=True, alerts=NO_ALERTS)]
    assert value(metrics, "taskq_tasks_stuck", **queue) is value(metrics, "taskq_queue_stuck", **queue) is None
    rows[:] = [facts(states=Counter(pending=6))]
    assert value(metrics, "taskq_tasks", **queue, state="pending") == 6
    rows[:] = []
    assert value(metrics, "taskq_tasks", **queue, state="pending") is None


def test_queues_above_the_limit_are_counted_together(metrics):
    """Ten thousand queues cost a bounded number of series, and no Task is left out of the sums."""
    metrics.queues.add(Key("a", "cpu"))
    metrics.queues.add(Key("b", "one"))
    metrics.queues.add(Key("b", "two"))
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
    metrics.queues.add(Key("b", "gpu"))
    everything(metrics)
    everything(metrics, "b")
    before = of_queue(metrics, "gpu")
    metrics.queues.remove(Key("a", "gpu"))
    metrics.queues.task_finished(GPU, "Cancelled", None, "t")
    assert value(metrics, "taskq_tasks_started_total", namespace="a", queue="gpu") is None
    assert value(metrics, "taskq_tasks_started_total", namespace="b", queue="gpu") == 1
    assert len(of_queue(metrics, "gpu")) == len(before) / 2
    assert value(metrics, "taskq_tasks_finished_total", namespace=OTHER, queue=OTHER, result="cancelled") == 1


def test_a_queue_that_waited_for_room_gets_it_when_another_goes(metrics):
    """First come, first served; a queue that went meanwhile is passed over."""
    metrics.queues.add(Key("a", "cpu"))
    for name in ("one", "two", "three"):
        metrics.queues.add(Key("b", name))
    metrics.queues.remove(Key("b", "one"))
    metrics.queues.remove(Key("a", "cpu"))
    everything(metrics, "b", "two")
    everything(metrics, "b", "three")
    assert of_queue(metrics, "two")
    assert not of_queue(metrics, "three")


def test_adding_and_removing_twice_is_harmless(metrics):
    """Watches repeat themselves."""
    metrics.queues.add(Key("a", "gpu"))
    metrics.queues.add(Key("a", "cpu"))
    everything(metrics, "a", "cpu")
    assert of_queue(metrics, "cpu")
    metrics.queues.remove(Key("a", "cpu"))
    metrics.queues.remove(Key("a", "cpu"))
    assert not of_queue(metrics, "cpu")


def test_a_busy_queue_has_about_a_hundred_series():
    """The figure that the default of metrics_max_queues is reasoned from."""
    metrics = Metrics()
    metrics.queues.add(Key("a", "gpu"))
    everything(metrics)
    metrics.queues.task_finished(GPU, "Failed", 7, "t")
    metrics.feed(queues=lambda: [facts()])
    scrape(metrics)
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
    measuring = asyncio.create_task(metrics.operator.watch_loop(SystemClock()))
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
        metrics.queues.add(Key("a", f"q{number}"))
        everything(metrics, "a", f"q{number}")
    scrape = asyncio.create_task(metrics.page())
    turns = 0
    while not scrape.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 3
    assert len(scrape.result()[0]) > 500_000


async def test_the_loop_goes_on_while_many_queues_are_asked():
    """However many there are, each turn is short."""
    metrics = Metrics()
    asked: list[int] = []

    def queues() -> Iterator[QueueFacts]:
        for number in range(100):
            asked.append(number)
            yield facts(queue=f"q{number}")

    metrics.feed(queues=queues)
    page = asyncio.create_task(metrics.page())
    await asyncio.sleep(0)
    assert 0 < len(asked) < 100
    await page
    assert len(asked) == 100


def test_two_sets_of_metrics_do_not_meet():
    """Every test, and every operator in a test, has its own."""
    one, two = Metrics(), Metrics()
    one.operator.leader.set(1)
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
    command = [sys.executable, "-m", "taskq.observability.reference", "--docs", str(page)]
    subprocess.run(command, check=True, cwd=ROOT / "operator")
    assert page.read_text() == (ROOT / "docs/reference/metrics.md").read_text()


def test_the_reference_page_is_complete(metrics):
    """Each metric that a scrape can show is on it, with its type and labels, and nothing else is."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| (.*?) \|", page)
    told = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in rows}
    everything(metrics)
    metrics.schedules.add(NIGHTLY)
    metrics.operator.api_request("create", "jobs", "201", 0.1)
    watched = Watched(Counter(ADDED=1), Counter(expired=1), 1)
    moment = "2026-01-02T00:00:00Z"
    run = schedule(nextScheduleTime=moment, lastScheduleTime=moment, lastSuccessfulTime=moment)
    metrics.feed(
        queues=lambda: [facts()],
        schedules=lambda: [run],
        informers=lambda: [("tasks", watched)],
        dispatcher=lambda: DispatcherFacts(1, 2, 3.0),
    )
    scrape(metrics)
    shown = {}
    for family in metrics.registry.collect():
        if not family.name.startswith("process_"):
            sample = family.samples[0]
            kind = "gauge" if family.type == "info" else family.type
            name = family.name if kind == "histogram" else sample.name
            shown[name] = (kind, frozenset(sample.labels) - {"le"})
    assert shown == told


def test_every_reason_to_wait_is_a_label(metrics):
    """But no other word: whatever a future check calls its reason."""
    waiting = Counter(dict.fromkeys((*NOT_IN_ORDER, *IN_ORDER, "made up", "as well"), 1))
    metrics.feed(queues=lambda: [facts(waiting=waiting)])
    for reason in (*NOT_IN_ORDER, *IN_ORDER):
        assert value(metrics, "taskq_waiting_tasks", namespace="a", queue="gpu", reason=reason.value) == 1
    assert value(metrics, "taskq_waiting_tasks", namespace="a", queue="gpu", reason="Other") == 2


def test_thresholds_are_there_when_a_queue_sets_them(metrics):
    """And only then; those of many queues together would mean nothing."""
    rows = [facts(), facts("b", "one"), facts("b", "two")]
    metrics.feed(queues=lambda: rows)
    expected = {"depth": 1_000, "stuck_seconds": 600, "failure_ratio": 0.2, "utilization_ratio": 0.9}
    for name, threshold in (expected | {"average_run_seconds": 60}).items():
        assert value(metrics, f"taskq_queue_alert_{name}", namespace="a", queue="gpu") == threshold
        assert value(metrics, f"taskq_queue_alert_{name}", namespace=OTHER, queue=OTHER) is None
    rows[:] = [facts(alerts=Alerts(queue_depth=5))]
    assert value(metrics, "taskq_queue_alert_depth", namespace="a", queue="gpu") == 5
    assert value(metrics, "taskq_queue_alert_stuck_seconds", namespace="a", queue="gpu") is None


def test_counters_of_a_new_queue_begin_at_zero(metrics):
    """Prometheus takes no notice of a first value that comes with its series."""
    for name in ("taskq_tasks_started_total", "taskq_task_retries_total"):
        assert value(metrics, name, namespace="a", queue="gpu") == 0
    assert value(metrics, "taskq_tasks_finished_total", namespace="a", queue="gpu", result="failed") == 0
    metrics.schedules.add(NIGHTLY)
    assert value(metrics, "taskq_schedule_missed_runs_total", namespace="a", schedule="nightly") == 0


async def test_a_bucket_names_the_last_task_in_it(metrics):
    """An exemplar finds the slow Task, and costs no series; only OpenMetrics can say it."""
    everything(metrics)
    longest = Key("n" * 63, "default")
    metrics.queues.task_finished(longest, "Failed", 7, "t" * 63)
    body, _ = await metrics.page("application/openmetrics-text")
    assert '# {task="a/t"} 3.0' in body.decode()
    exemplars = [
        sample.exemplar.labels["task"]
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
        if sample.exemplar
    ]
    assert len(exemplars) == 4
    assert all(len(f"task{task}") <= 128 for task in exemplars)
    assert any(task.endswith(f"/{'t' * 63}") for task in exemplars)
    assert b"a/t" not in (await metrics.page(""))[0]


MIDNIGHT = 1_767_225_600.0
NEXT_MIDNIGHT = "2026-01-02T00:00:00Z"


def test_how_schedules_stand_is_asked_for_at_each_scrape(metrics):
    """When it runs next, ran last and succeeded last, from its status."""
    metrics.schedules.add(NIGHTLY)
    run = schedule(
        jitter=30,
        nextScheduleTime=NEXT_MIDNIGHT,
        lastScheduleTime="2026-01-01T00:00:00Z",
        consecutiveFailures=3,
    )
    metrics.feed(schedules=lambda: [run])
    of = {"namespace": "a", "schedule": "nightly"}
    assert value(metrics, "taskq_schedule_next_run_timestamp_seconds", **of) == MIDNIGHT + 86_400 + 30
    assert value(metrics, "taskq_schedule_last_run_timestamp_seconds", **of) == MIDNIGHT
    assert value(metrics, "taskq_schedule_last_success_timestamp_seconds", **of) is None
    assert value(metrics, "taskq_schedule_consecutive_failures", **of) == 3
    assert value(metrics, "taskq_schedule_suspended", **of) == 0


def test_a_suspended_schedule_has_no_next_run(metrics):
    """Else it would be late for ever."""
    metrics.schedules.add(NIGHTLY)
    metrics.feed(schedules=lambda: [schedule(suspend=True, nextScheduleTime=NEXT_MIDNIGHT)])
    of = {"namespace": "a", "schedule": "nightly"}
    assert value(metrics, "taskq_schedule_next_run_timestamp_seconds", **of) is None
    assert value(metrics, "taskq_schedule_suspended", **of) == 1


def test_what_happens_to_a_schedule_is_counted_under_its_name(metrics):
    """Runs, skips and misses; and no longer than it exists."""
    metrics.schedules.add(NIGHTLY)
    metrics.schedules.ran(NIGHTLY, "Started", 2)
    metrics.schedules.ran(NIGHTLY, "ConcurrencyForbidden", 1)
    metrics.schedules.missed(NIGHTLY, 5)
    of = {"namespace": "a", "schedule": "nightly"}
    assert value(metrics, "taskq_schedule_runs_total", **of, result="Started") == 2
    assert value(metrics, "taskq_schedule_runs_total", **of, result="ConcurrencyForbidden") == 1
    assert value(metrics, "taskq_schedule_missed_runs_total", **of) == 5
    metrics.schedules.remove(NIGHTLY)
    assert value(metrics, "taskq_schedule_runs_total", **of, result="Started") is None
    assert value(metrics, "taskq_schedule_missed_runs_total", **of) is None


def test_schedules_above_the_limit_are_counted_together(metrics):
    """Their times are the earliest, so that one that is late shows."""
    for name in ("one", "two", "three", "four"):
        metrics.schedules.add(Key("a", name))
    late = schedule("three", nextScheduleTime=NEXT_MIDNIGHT, consecutiveFailures=2)
    later = schedule("four", nextScheduleTime="2026-01-03T00:00:00Z", consecutiveFailures=1)
    metrics.feed(schedules=lambda: [late, later, schedule("four", suspend=True)])
    metrics.schedules.missed(Key("a", "three"), 1)
    metrics.schedules.missed(Key("a", "four"), 1)
    other = {"namespace": OTHER, "schedule": OTHER}
    assert value(metrics, "taskq_schedule_missed_runs_total", **other) == 2
    assert value(metrics, "taskq_schedule_next_run_timestamp_seconds", **other) == MIDNIGHT + 86_400
    assert value(metrics, "taskq_schedule_consecutive_failures", **other) == 2
    assert value(metrics, "taskq_schedule_suspended", **other) == 1


def test_only_a_leader_tells_how_its_dispatcher_stands(metrics):
    """A standby has one that does nothing."""
    metrics.feed(dispatcher=lambda: None)
    assert value(metrics, "taskq_dispatcher_undecided_tasks") is None
    metrics.feed(dispatcher=lambda: DispatcherFacts(4, 3, 0.5))
    assert value(metrics, "taskq_dispatcher_undecided_tasks") == 4
    assert value(metrics, "taskq_dispatcher_requests_in_flight") == 3
    assert value(metrics, "taskq_dispatcher_idle_seconds") == 0.5
