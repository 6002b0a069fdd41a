"""What a scrape of a real operator shows of real queues."""

from __future__ import annotations

from cluster_tools.desk import Desk
from cluster_tools.operator_process import OperatorProcess
from cluster_tools.waiting import until


def value(operator: OperatorProcess, desk: Desk, name: str, queue: str, **labels: str) -> float:
    """A metric of a queue of this test."""
    told = {"namespace": desk.namespace, "queue": queue, **labels}
    written = ",".join(f'{key}="{told[key]}"' for key in sorted(told))
    return operator.metric(f"{name}{{{written}}}")


def test_thresholds_of_a_queue_are_exported(desk: Desk, operator: OperatorProcess) -> None:
    """So that one rule serves every queue; they follow the spec."""
    thresholds = {"queueDepth": 1000, "stuckSeconds": 600, "failureRatio": 0.2, "utilization": 0.9}
    desk.queue("watched", alerts={**thresholds, "averageRunSeconds": 60})
    expected = {"depth": 1000, "stuck_seconds": 600, "failure_ratio": 0.2, "utilization_ratio": 0.9}
    for name, threshold in (expected | {"average_run_seconds": 60}).items():
        metric = f"taskq_queue_alert_{name}"
        until(lambda: value(operator, desk, metric, "watched") == threshold, f"{metric} is {threshold}")  # noqa: B023
    desk.change("watched", "TaskQueue", alerts={"queueDepth": 5})
    until(lambda: value(operator, desk, "taskq_queue_alert_depth", "watched") == 5, "the new threshold")


def test_a_scrape_says_what_tasks_wait_for(desk: Desk, operator: OperatorProcess) -> None:
    """A limit, a hold, a mistake; and whatever of them runs."""
    desk.queue("busy", maxConcurrency=1)
    for name in ("runs", "next", "after"):
        desk.task(name, {"hold": True}, queueName="busy")
    desk.task("held", queueName="busy", suspend=True)
    desk.task("odd", queueName="busy", templateRef={"name": "nobody"})
    expected = {"ConcurrencyLimit": 2, "Suspended": 1, "TemplateNotFound": 1}

    def told() -> bool:
        metric = "taskq_waiting_tasks"
        return all(value(operator, desk, metric, "busy", reason=why) == count for why, count in expected.items())

    until(told, f"they wait for {expected}")
    assert value(operator, desk, "taskq_tasks", "busy", state="running") == 1
    assert value(operator, desk, "taskq_tasks", "busy", state="pending") == 3
    assert value(operator, desk, "taskq_tasks", "busy", state="held") == 1
    assert value(operator, desk, "taskq_oldest_pending_task_age_seconds", "busy") > 0


def test_a_scrape_says_which_tasks_do_not_get_to_run(desk: Desk, operator: OperatorProcess) -> None:
    """They hold a place, and somebody has to mend them."""
    desk.queue("typo")
    desk.task("misspelt", {"waiting": "ImagePullBackOff"}, queueName="typo")

    def told() -> bool:
        return value(operator, desk, "taskq_unstarted_tasks", "typo", reason="ImagePullFailed") == 1

    until(told, "one Task whose image can't be pulled")


def test_a_queue_that_goes_takes_its_series_along(desk: Desk, operator: OperatorProcess) -> None:
    """However many queues come and go, a scrape stays as large as what there is."""
    desk.queue("brief")
    series = f'namespace="{desk.namespace}",queue="brief"'
    until(lambda: series in operator.get("/metrics")[1], "its series")
    desk.delete("TaskQueue", "brief")
    until(lambda: series not in operator.get("/metrics")[1], "no series of it")


def test_a_schedule_says_when_it_runs_next(desk: Desk, operator: OperatorProcess) -> None:
    """By name, as long as it exists."""
    desk.schedule("daily", dailyTimes=["03:00:00"])
    series = f'taskq_schedule_next_run_timestamp_seconds{{namespace="{desk.namespace}",schedule="daily"}}'
    until(lambda: operator.metric(series) > 1_700_000_000, "a next run")
    missed = f'taskq_schedule_missed_runs_total{{namespace="{desk.namespace}",schedule="daily"}} 0.0'
    assert missed in operator.get("/metrics")[1]
    desk.delete("Schedule", "daily")
    until(lambda: series not in operator.get("/metrics")[1], "no series of it")
