"""A board made of listed objects, for who has no operator to ask: a command line, a test, a report.

It answers :func:`explain` and :func:`explain_queue` as the operator does, but for what only the operator knows: Jobs
that the API server refused a moment ago, requests under way, the cluster-wide limit, and the pace of starts that no
Job is left of. Lists that were made one after the other may show a Task between two states.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskq.domain.board import Board, Limits
from taskq.domain.model import Job, Pod, Queue, Task, Template


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
    for task in tasks:
        if not task.is_terminal:
            board.on_task(None, task)
    board.observe(now)
    return board
