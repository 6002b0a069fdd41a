"""The facts of what follows the end of a Task: what it asks for, how far that is, and what a follower is told."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from taskq.domain.facts import Value
from taskq.domain.parameters import Given


class TemplateRef(Value, frozen=True):
    """The TaskTemplate that holds the Job."""

    name: str


class RetryOf(Value, frozen=True):
    """A Task that has ended, whose Job is to run again."""

    name: str


class HookTask(Value, frozen=True):
    """A Task to create when this one has ended."""

    template_ref: TemplateRef
    queue_name: str | None = None
    priority: int | None = None
    parameters: tuple[Given, ...] = ()


class HookWebhook(Value, frozen=True):
    """A target of the operator's configuration to call when this Task has ended."""

    name: str


class Hooks(Value, frozen=True):
    """What follows the end of a Task."""

    tasks: tuple[HookTask, ...] = ()
    webhooks: tuple[HookWebhook, ...] = ()


class ParentTask(Value, frozen=True):
    """The Task after whose end this one was created."""

    name: str
    uid: str
    reason: str = ""
    exit_code: int | None = None
    message: str = ""
    depth: int = 1


class HookStatus(Value, frozen=True):
    """How far one hook is."""

    hook: str
    kind: Literal["Task", "Webhook", "DeadLetter"]
    name: str
    state: Literal["Pending", "Done", "Failed"] = "Pending"
    attempts: int = 0
    message: str = ""
    time: datetime | None = None
