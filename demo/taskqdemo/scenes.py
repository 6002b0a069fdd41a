"""What the demo plays: files of examples/, and how their Tasks are meant to end."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import yaml

from taskqdemo.install import MARK, NAMESPACE, ROOT
from taskqdemo.kube import Json

EXAMPLES = ROOT / "examples"


class Scene(NamedTuple):
    """One file of examples and what it shows."""

    file: str
    title: str
    ends: dict[str, str]
    """The phase in which each Task ends, in the order in which the table shows them."""
    first: str = ""
    """A Task that has to hold its queue's only place before the others come."""
    opens: str = ""
    """A queue that is paused, to be opened once all of these Tasks wait in it."""
    cancel: tuple[tuple[str, str], ...] = ()
    """Tasks to cancel once the first one runs, and why."""

    @property
    def path(self) -> Path:
        """The file."""
        return EXAMPLES / self.file

    def documents(self) -> list[Json]:
        """Its objects, for the demo's namespace, marked as the demo's."""
        found = [document for document in yaml.safe_load_all(self.path.read_text(encoding="utf-8")) if document]
        for document in found:
            metadata = document["metadata"]
            metadata["namespace"] = NAMESPACE
            metadata["labels"] = {**metadata.get("labels", {}), **MARK}
        return found


SCENES = (
    Scene(
        "priorities.yaml",
        "one at a time, by priority",
        dict.fromkeys(("urgent", "hourly", "daily", "batch", "someday"), "Succeeded"),
        opens="one-at-a-time",
    ),
    Scene(
        "retries.yaml",
        "retries",
        {"third-time-lucky": "Succeeded", "hopeless": "Failed", "bad-input": "Failed"},
    ),
    Scene(
        "timeouts.yaml",
        "timeouts",
        {"soft-timeout": "Failed", "hard-timeout": "Failed", "slow-image": "Failed"},
    ),
    Scene(
        "expiry.yaml",
        "too late to start",
        {"occupies": "Succeeded", "in-time": "Succeeded", "too-late": "Expired"},
        first="occupies",
    ),
    Scene(
        "cancel.yaml",
        "cancelled",
        {"runs": "Cancelled", "waits": "Cancelled"},
        first="runs",
        cancel=(("waits", "not needed"), ("runs", "wrong input")),
    ),
)
TASKS = {name: phase for scene in SCENES for name, phase in scene.ends.items()}
