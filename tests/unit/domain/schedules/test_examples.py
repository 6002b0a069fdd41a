"""The Schedules that users copy: each can be followed, and is told in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from taskq.domain.schedules.decide import ScheduleView, decide_schedule
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.resources.schedule import Schedule

REPO = Path(__file__).resolve().parents[4]
NOW = 1_800_000_000
WORDS = {
    "nightly-report": "at 03:00 on weekdays, Europe/Madrid",
    "nightly-regions": "at 03:00 on weekdays, Europe/Madrid",
    "every-30-seconds": "every 30 seconds, counted from the creation",
    "open-new-york": "at 09:00 on weekdays, America/New_York",
    "open-tokyo": "at 09:00 on weekdays, Asia/Tokyo",
    "monthly": (
        "at 22:00 on the last day of the month; at 06:00 on the weekday nearest to day 1 of the month, Europe/Berlin"
    ),
    "refresh": "every day at 02:30, Europe/Madrid",
}


def _schedules() -> dict[str, dict[str, Any]]:
    documents = [
        document
        for path in sorted((REPO / "examples").rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document["kind"] == "Schedule"
    ]
    return {document["metadata"]["name"]: document for document in documents}


SCHEDULES = _schedules()


def test_each_example_is_described_here() -> None:
    """A new one is to be added to the table."""
    assert SCHEDULES.keys() == WORDS.keys()


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_example_can_be_followed(name: str) -> None:
    """It is ready at once, and there is a next tick."""
    document = SCHEDULES[name]
    Schedule.model_validate(document)
    told = {field: value for field, value in document["spec"].items() if field != "taskTemplate"}
    made = decide_schedule(ScheduleView(name, "uid", 1, NOW, msgspec.convert(told, ScheduleSpec)), NOW + 1.0)
    assert made.patch is not None
    assert made.patch["description"] == WORDS[name]
    assert made.patch["nextScheduleTime"]
    assert [(c["type"], c["status"]) for c in made.patch["conditions"]] == [("Ready", "True")]
