"""What each measurement makes of its raw results."""

import json
from pathlib import Path

import pytest
from bench import __main__ as command
from bench import listing, report
from bench.measures import ALL, cold_start, failover, growth, launch_rate, memory, reaction, schedules, steady_state
from bench.report import Figure

BUCKETS = {"0.005": 95.0, "0.01": 100.0, "0.1": 100.0, "+Inf": 100.0}


def pair(operator: float, bare: float) -> dict[str, object]:
    """One round of the launch rate."""
    side = {"jobs": 100, "seconds": 1.0, "median_answer_ms": 30.0}
    costs = {"cpu_ms_per_task": 0.6, "status_writes_meanwhile": 0}
    return {
        "operator": side | costs | {"jobs_per_second": operator},
        "bare": side | {"jobs_per_second": bare, "cpu_ms_per_task": 0.5},
    }


def launches(*pairs: dict[str, object]) -> list[Figure]:
    """The figures of these rounds."""
    return launch_rate.summarise({"tasks": 1000, "task_bytes": 2048, "without_kcm": list(pairs), "with_kcm": []})


def test_the_launch_rate_is_the_median_of_pairs():
    """Each operator run is compared with the bare loop beside it, not with the best of all."""
    ratio, cpu = launches(pair(95, 100), pair(30, 60), pair(200, 200))
    assert (ratio.measured, ratio.met) == ("0.95", True)
    assert "0.50 to 1.00" in ratio.note
    assert cpu.measured == "0.60 ms"
    assert "requests alone: 0.50 ms" in cpu.note


def test_a_miss_says_why():
    """A figure below its target never stands alone."""
    ratio = launches(pair(80, 100))[0]
    assert ratio.met is False
    assert ratio.verdict == "**missed**"
    assert launch_rate.IF_MISSED in ratio.note


def steady(status_writes: int, cpu: float = 1.0) -> list[Figure]:
    """The figures of one round of each kind."""
    writes = {"create jobs": 50, "patch tasks/status": status_writes, "update leases": 9, "patch taskqueues/status": 7}
    side = {"jobs": 50, "seconds": 5.0, "per_second": 9.5}
    costs = {"cpu_ms_per_task": {"arrival": 0.25, "run": cpu}, "writes": writes, "reads": {}}
    rounds = [{"operator": side | costs, "direct": side | {"per_second": 10.0}}]
    raw = {"cap": 20, "tasks": {"paced": 50, "at_once": 50}, "rounds": {"paced": rounds, "at_once": rounds}}
    return steady_state.summarise(raw)


def test_the_steady_state_counts_writes_and_cpu():
    """Two writes a Task; what does not grow with the Tasks is left out; a life is arrival and run."""
    *ratios, writes, cpu = steady(status_writes=50)
    assert [(f.measured, f.met) for f in ratios] == [("0.95", True)] * 2
    assert (writes.measured, writes.met) == ("2.00", True)
    assert (cpu.measured, cpu.met) == ("1.25 ms", True)


def test_too_many_writes_and_too_much_cpu_are_seen():
    """One Running in every second Task, and three milliseconds."""
    *_, writes, cpu = steady(status_writes=75, cpu=3.0)
    assert (writes.measured, writes.met) == ("2.50", False)
    assert cpu.met is False


@pytest.mark.parametrize(
    ("buckets", "measured", "met"), [(BUCKETS, "9.0 ms", True), ({"0.1": 100.0, "+Inf": 100.0}, "99.0 ms", False)]
)
def test_reaction_is_a_percentile(buckets, measured, met):
    """Estimated inside the bucket that the note names."""
    raw = {"pending": 10_000, "reaction_seconds": buckets, "event_loop_lag_seconds": BUCKETS}
    (figure,) = reaction.summarise(raw)
    assert (figure.measured, figure.met) == (measured, met)


def test_memory_has_targets_for_some_numbers_of_tasks():
    """And says what one Task costs for all."""
    raw = {
        "empty": {"rss_mb": 50.0, "peak_mb": 50.0},
        "pending": {"10000": {"rss_mb": 90.0, "peak_mb": 95.0}, "100000": {"rss_mb": 701.0, "peak_mb": 800.0}},
        "large": {"1000": {"rss_mb": 55.0, "peak_mb": 80.0}},
    }
    ten, hundred, large = memory.summarise(raw)
    assert (ten.measured, ten.target, ten.met) == ("90 MB", "≤ 120 MB", True)
    assert "4.0 KB each" in ten.note
    assert hundred.met is False
    assert (large.target, large.met) == ("bounded", None)


def test_cold_start_is_a_median():
    """Of the first Job's request."""
    starts = [{"first list": 1.0, "lease": 1.5, "first Job": first, "cpu": 1.0} for first in (2.0, 2.5, 9.0)]
    (figure,) = cold_start.summarise({"pending": 10_000, "starts": starts})
    assert (figure.measured, figure.met) == ("2.50 s", True)


def test_failovers_have_a_target_each():
    """An orderly one is faster than a crash."""
    changes = [{"seconds": 3.0, "gap_seconds": 3.0}]
    graceful, crash = failover.summarise({"pending": 10, "graceful": changes, "crash": changes})
    assert (graceful.met, crash.met) == (False, True)


def test_schedules_are_compared_by_the_time_of_the_whole_burst():
    """Longer than the bare loop is more than 1."""
    operator = {"seconds": 3.0, "lag_p50_seconds": 1.5, "lag_p99_seconds": 3.1}
    rounds = [{"operator": operator, "bare": {"seconds": bare}} for bare in (2.0, 2.5, 3.0)]
    raw = {"schedules": 10_000, "due": 1000, "rounds": rounds, "idle_cpu_percent": 0.4}
    ratio, lag, idle = schedules.summarise(raw)
    assert (ratio.measured, ratio.target, ratio.met) == ("1.20", "≤ 1.3", True)
    assert lag.measured == "1.50 s · 3.10 s"
    assert idle.measured == "0.40 % of a core"


def test_growth_compares_the_longest_queue_with_the_shortest():
    """What a hundred times the Tasks cost, and what the policies do."""
    found = {
        str(pending): {"median_us": median, "p99_us": 900.0, "first_order_seconds": 8.0}
        for pending, median in ((1_000, 200.0), (10_000, 300.0), (100_000, 500.0))
    }
    plain = {"10000": {"median_us": 150.0}}
    growth_figure, policies = growth.summarise({"policies": found, "plain": plain})
    assert (growth_figure.measured, growth_figure.met) == ("2.50 x", False)
    assert policies.measured == "2.00 x"


def test_the_page_names_machine_versions_date_and_commit():
    """A figure without them is hearsay."""
    result = {
        "name": "launch-rate",
        "date": "2026-01-02 03:04 UTC",
        "commit": "abc123",
        "size": "standard",
        "load_average": [0.5, 1.5],
        "machine": {"CPUs": "2 (Fast)"},
        "versions": {"Kubernetes": "1.36.3"},
    }
    page = report.page([Figure(name="speed", target="≥ 1", measured="2", met=True, note="once")], [result])
    assert "| speed | ≥ 1 | 2 | met | once |" in page
    for fact in ("2026-01-02 03:04 UTC", "`abc123`", "0.5, 1.5", "CPUs 2 (Fast)", "Kubernetes 1.36.3"):
        assert fact in page


def test_the_page_is_current():
    """It is a function of the raw results, so nobody edits it by hand."""
    if not command.PAGE.exists():
        pytest.skip("nothing was measured yet")
    assert command.PAGE.read_text(encoding="utf-8") == command.page(command.RESULTS), "python -m bench --render"


def test_raw_results_belong_to_a_measurement():
    """A renamed measurement leaves no orphan behind."""
    names = {module.NAME for module in (*ALL, listing)}
    files = list(Path(command.RESULTS).glob("*.json"))
    assert {file.stem for file in files} <= names
    assert all(json.loads(file.read_text())["name"] == file.stem for file in files)
