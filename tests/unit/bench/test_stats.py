"""The arithmetic under the table of figures."""

import pytest
from bench import stats

SCRAPE = """\
# HELP wait_seconds How long.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.01"} 90.0
wait_seconds_bucket{le="0.02"} 98.0
wait_seconds_bucket{le="+Inf"} 100.0
wait_seconds_count 100.0
runs_bucket{queue="a",le="1.0"} 3.0
runs_bucket{queue="a",le="+Inf"} 4.0
runs_bucket{queue="b",le="1.0"} 1.0
runs_bucket{queue="b",le="+Inf"} 1.0
"""


def test_a_histogram_is_read_from_a_scrape():
    """By its whole name, and nothing else."""
    assert stats.histogram(SCRAPE, "wait_seconds") == {"0.01": 90.0, "0.02": 98.0, "+Inf": 100.0}
    assert stats.histogram(SCRAPE, "seconds") == {}


def test_label_sets_are_added_up():
    """A quantile over all queues needs their sum."""
    assert stats.histogram(SCRAPE, "runs") == {"1.0": 4.0, "+Inf": 5.0}


def test_only_what_happened_between_two_scrapes_counts():
    """What came before the measurement is no part of it."""
    assert stats.since({"1": 2.0, "+Inf": 3.0}, {"1": 5.0, "+Inf": 7.0}) == {"1": 3.0, "+Inf": 4.0}
    assert stats.since({}, {"+Inf": 7.0}) == {"+Inf": 7.0}


@pytest.mark.parametrize(("share", "bounds"), [(0.5, (0.0, 0.01)), (0.95, (0.01, 0.02)), (0.99, (0.02, float("inf")))])
def test_the_bucket_of_a_quantile(share, bounds):
    """All that a histogram knows."""
    assert stats.bucket_of_quantile(stats.histogram(SCRAPE, "wait_seconds"), share) == bounds


@pytest.mark.parametrize(("share", "estimate"), [(0.45, 0.005), (0.94, 0.015), (0.99, 0.02)])
def test_a_quantile_is_estimated_inside_its_bucket(share, estimate):
    """As Prometheus does; above the last bound there is nothing to estimate with."""
    assert stats.estimated_quantile(stats.histogram(SCRAPE, "wait_seconds"), share) == pytest.approx(estimate)


def test_spread_is_lowest_to_highest():
    """A reader sees how far to trust the median."""
    assert stats.spread([0.9, 0.812, 1.04]) == "0.81 to 1.04"
