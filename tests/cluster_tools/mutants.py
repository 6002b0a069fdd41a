"""Operators with a defect put in on purpose: what judges the real one must find it. Run as a program.

``python mutants.py MUTANT [operator's flags]``
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

from taskq.domain import jobspec, model

NAME_OF_THIS_PROCESS = secrets.token_hex(4)


def random_job_names() -> None:
    """Names that a restart does not compute again: creating a Job is no lock any more."""
    honest = jobspec.job_key

    def job_key(task: model.Task) -> model.Key:
        key = honest(task)
        return key._replace(name=f"{key.name[:50]}-{NAME_OF_THIS_PROCESS}")

    jobspec.job_key = job_key


def cap_without_own_creates() -> None:
    """A cap that counts only Jobs that have been shown, not those that were just asked for."""
    from taskq.domain.board import Board

    honest = Board._launch

    def launch(self: Board, entry: Any, state: Any, now: float) -> Any:
        action = honest(self, entry, state, now)
        self.queues.free(state.key, action.job)
        return action

    Board._launch = launch  # type: ignore[method-assign]


MUTANTS = {"random-job-names": random_job_names, "cap-without-own-creates": cap_without_own_creates}


if __name__ == "__main__":
    MUTANTS[sys.argv.pop(1)]()
    from taskq.__main__ import main

    main()
