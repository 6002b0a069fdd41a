"""A board made of listed objects, for who has no operator to ask: a command line, a test, a report.

It answers :func:`explain` and :func:`explain_queue` as the operator does, but for what only the operator knows: Jobs
that the API server refused a moment ago, requests under way, the cluster-wide limit, and the pace of starts that no
Job is left of. Lists that were made one after the other may show a Task between two states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from taskq.domain.board import Board, Limits
from taskq.domain.decoding import TaskDecoder, decode_job, decode_pod, decode_queue, decode_template
from taskq.domain.deduplication import Ended, Group, note_end
from taskq.domain.model import Job, Pod, Queue, Task, Template

Document = Mapping[str, Any]
"""An object as the API writes it."""

T = TypeVar("T")


def board_of(
    *,
    tasks: Iterable[Task],
    jobs: Iterable[Job],
    pods: Iterable[Pod] = (),
    queues: Iterable[Queue],
    templates: Iterable[Template] = (),
    now: float,
    limits: Limits | None = None,
) -> Board:
    """A board that has decided on all of them and starts nothing; ``now`` in epoch seconds.

    Tasks that have ended may be left out; without pods, nothing is said of why a started Task does not run.
    """
    board = Board(limits or Limits())
    for queue in queues:
        board.on_queue(None, queue)
    for template in templates:
        board.on_template(None, template)
    for job in jobs:
        board.on_job(None, job)
    for pod in pods:
        board.on_pod(None, pod)
    ended: dict[Group, Ended] = {}
    for task in tasks:
        if task.is_terminal:
            note_end(task, ended)
        else:
            board.on_task(None, task)
    board.deduplication.complete(ended)
    board.observe(now)
    return board


def board_of_documents(
    *,
    tasks: Iterable[Document],
    jobs: Iterable[Document],
    pods: Iterable[Document] = (),
    queues: Iterable[Document],
    templates: Iterable[Document] = (),
    now: float,
    limits: Limits | None = None,
) -> Board:
    """The same from documents; Jobs and pods are those with the label ``taskq.dev/task``.

    One of which not even the metadata can be read is passed over, as the operator does.
    """
    return board_of(
        tasks=_read(tasks, TaskDecoder(0)),
        jobs=_read(jobs, decode_job),
        pods=_read(pods, decode_pod),
        queues=_read(queues, decode_queue),
        templates=_read(templates, decode_template),
        now=now,
        limits=limits,
    )


def task_of(document: Document) -> Task:
    """A Task from its document, for :func:`explain`; :class:`msgspec.DecodeError` when it is none."""
    return TaskDecoder(0)(msgspec.json.encode(document))


def _read(documents: Iterable[Document], decode: Callable[[bytes], T]) -> Iterator[T]:
    for document in documents:
        try:
            found = decode(msgspec.json.encode(document))
        except msgspec.DecodeError:
            continue
        yield found
