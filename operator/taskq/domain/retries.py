"""Tasks that run another one's Job again (``retryOf``): what they run, and which originals must stay for it."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from taskq.domain.model import Key, Task
from taskq.domain.parameters import Given, given_in
from taskq.domain.reasons import Reason, message
from taskq.domain.registry import Unlaunchable
from taskq.resources.common import MAX_RETRY_CHAIN

_encode = msgspec.json.Encoder().encode


class Source(NamedTuple):
    """What a retry runs, after as many originals as were looked at."""

    task: Task
    """As far as a Job's making goes: the retry, with its original's ``templateRef``, or still with a ``retryOf``."""
    document: bytes
    """The JSON with the Job, or with all parameters for the template."""


def follow(retry: Source, original: Task, document: bytes) -> Source:
    """What a retry runs by an original, whose JSON is given.

    The nearest one that gives a parameter is right. Raises :class:`Unlaunchable` when a Job that is the original's own
    is given some; :class:`msgspec.DecodeError` when one can't be read.
    """
    nearer, farther = given_in(retry.document), given_in(document)
    spec = msgspec.structs.replace(
        retry.task.spec, template_ref=original.spec.template_ref, retry_of=original.spec.retry_of
    )
    ended = retry.task.status.dependencies + original.status.dependencies  # whose results parameters may hand on
    status = msgspec.structs.replace(retry.task.status, dependencies=ended)
    task = msgspec.structs.replace(retry.task, spec=spec, status=status)
    if spec.template_ref is None and spec.retry_of is None:
        if nearer:
            text = f"spec.parameters: Task {original.metadata.name} has a Job of its own, which takes none; remove them"
            raise Unlaunchable(Reason.INVALID_PARAMETERS, message(Reason.INVALID_PARAMETERS, message=text))
        return Source(task, document)
    return Source(task, _encode({"spec": {"parameters": _merged(nearer, farther)}}))


def _merged(nearer: tuple[Given, ...], farther: tuple[Given, ...]) -> list[Given]:
    named = {one.name for one in nearer}
    return [*(one for one in farther if one.name not in named), *nearer]


class Originals:
    """Which Tasks must not be cleaned up, since an unfinished one runs their Job, or will."""

    def __init__(self, finished_retries_of: Callable[[Key], AbstractSet[Key]]) -> None:
        """``finished_retries_of`` gives the finished Tasks that name one in their ``retryOf``."""
        self._finished_retries_of = finished_retries_of
        self._unfinished: dict[Key, set[str]] = {}

    def on_task(self, old: Task | None, new: Task | None) -> None:
        """A Task appeared, changed or left."""
        if old and (key := _original(old)):
            retries = self._unfinished.get(key, set())
            retries.discard(old.metadata.uid)
            if not retries:
                self._unfinished.pop(key, None)
        if new and not new.is_terminal and (key := _original(new)):
            self._unfinished.setdefault(key, set()).add(new.metadata.uid)

    def is_needed(self, task: Key, depth: int = MAX_RETRY_CHAIN) -> bool:
        """Whether an unfinished Task is a retry of this one, or a retry of a retry of it."""
        if task in self._unfinished:
            return True
        return depth > 1 and any(self.is_needed(retry, depth - 1) for retry in self._finished_retries_of(task))


def _original(task: Task) -> Key | None:
    return Key(task.metadata.namespace, task.spec.retry_of.name) if task.spec.retry_of else None
