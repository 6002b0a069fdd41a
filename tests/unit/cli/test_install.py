"""What is known of the operator from outside."""

from __future__ import annotations

from taskq.cli.commands.top import cut
from taskq.cli.install import LEASE_NAME, series
from taskq.settings import Settings


def test_the_lease_is_found_under_the_name_that_operators_use():
    """The command line does not import the operator's settings; this keeps the two equal."""
    assert Settings.model_fields["lease_name"].default == LEASE_NAME


def test_metrics_are_read():
    """Names, labels with quotes in them, values."""
    text = '# HELP x y\nx 1\nx_total{a="b",c="d\\"e"} 2.5\n'
    assert list(series(text)) == [("x", {}, 1.0), ("x_total", {"a": "b", "c": 'd"e'}, 2.5)]


def test_lines_are_cut_without_their_colours():
    """Codes take no room, and the last one is kept, or the terminal would stay red."""
    assert cut("abcdef", 3) == "abc"
    assert cut("\x1b[31mabcdef\x1b[0m gh", 3) == "\x1b[31mabc\x1b[0m"
