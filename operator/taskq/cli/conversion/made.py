"""What all conversions share: the Schedule that is made, and what it does otherwise than the original."""

from __future__ import annotations

import re
from typing import NamedTuple

from taskq.cli.kinds import SCHEDULE, Object
from taskq.resources.common import MAX_SCHEDULE_NAME_LENGTH


class Made(NamedTuple):
    """A Schedule, and notes for whoever converts: what has to be looked at."""

    schedule: Object
    notes: list[str]


class Wanted(NamedTuple):
    """What the options say of the Schedules; empty for what they leave open."""

    zone: str = ""
    queue: str = ""
    image: str = ""


def slug(text: str) -> str:
    """A name that Kubernetes takes, out of any text; as long as a Schedule's may be."""
    clean = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return clean[:MAX_SCHEDULE_NAME_LENGTH].rstrip("-") or "schedule"


def schedule(metadata: Object, spec: Object, task: Object, wanted: Wanted) -> Object:
    """A manifest; the options' zone and queue win."""
    spec = dict(spec)
    if wanted.zone:
        spec["timeZone"] = wanted.zone
    if wanted.queue:
        task = {"queueName": wanted.queue, **{name: value for name, value in task.items() if name != "queueName"}}
    return {
        "apiVersion": SCHEDULE.api_version,
        "kind": SCHEDULE.name,
        "metadata": metadata,
        "spec": {**spec, "taskTemplate": {"spec": task}},
    }
