"""What a TaskQueue's status says of whether it accepts Tasks."""

from __future__ import annotations

import pytest

from builders import make_queue
from taskq.domain.queue_status import stops_accepting


@pytest.mark.parametrize(
    ("state", "stops"),
    [("Open", False), ("Paused", False), ("DryRun", False), ("Draining", True), ("Closed", True)],
)
def test_a_queue_stops_accepting_by_its_state(state: str, *, stops: bool) -> None:
    """Draining and Closed take nothing new, whether the condition said True before or nothing yet."""
    assert stops_accepting(make_queue(state=state).build()) is stops
    assert stops_accepting(make_queue(state=state).condition("Accepting").build()) is stops


def test_a_queue_stops_accepting_once() -> None:
    """What stands there already need not wait for another second."""
    assert not stops_accepting(make_queue(state="Draining").condition("Accepting", "False").build())
    assert not stops_accepting(make_queue(state="Closed").condition("Accepting", "False").build())
