"""What the Tasks of a queue wait for, counted: from what the queue knows of itself, without a look at any Task."""

from __future__ import annotations

from collections import Counter

from taskq.domain.model import Key
from taskq.domain.outcome import WAITING_REASONS
from taskq.domain.queue_state import QueueState
from taskq.domain.queues import Queues
from taskq.domain.reasons import Reason

NOT_IN_ORDER = (
    Reason.SUSPENDED,
    Reason.NOT_DUE,
    Reason.KEY_HELD,
    Reason.DEPENDENCY_UNFINISHED,
    Reason.DEPENDENCY_NOT_FOUND,
    Reason.DEPENDENCY_CYCLE,
    Reason.BACKING_OFF,
    Reason.QUEUE_NOT_FOUND,
    Reason.QUEUE_CLOSED,
    Reason.QUEUE_DRAINING,
    Reason.INVALID_QUEUE,
    Reason.PRIORITY_LEVEL_NOT_FOUND,
    Reason.TEMPLATE_NOT_FOUND,
    Reason.RETRY_OF_NOT_FOUND,
    Reason.RETRY_OF_DIFFERS,
    Reason.INVALID_TEMPLATE,
    Reason.INVALID_PARAMETERS,
    Reason.JOB_REFUSED,
    Reason.QUOTA_EXCEEDED,
    Reason.FORBIDDEN,
    Reason.JOB_NAME_TAKEN,
    Reason.JOB_NOT_CREATED,
    Reason.INVALID_TASK,
)
"""What keeps a single Task out of the order."""

IN_ORDER = (
    Reason.QUEUE_PAUSED,
    Reason.DRY_RUN,
    Reason.PARENT_NOT_FOUND,
    Reason.PARENT_IS_CHILD,
    Reason.PENDING_LIMIT,
    Reason.CONCURRENCY_LIMIT,
    Reason.CONCURRENCY_KEY_LIMIT,
    Reason.PARENT_LIMIT,
    Reason.CLUSTER_LIMIT,
    Reason.RATE_LIMIT,
    Reason.STARTING,
)
"""What those in the order wait for: the first limit that holds their queue."""

NOT_RUNNING = tuple(sorted(WAITING_REASONS))
"""What keeps the containers of a Task from running whose Job was created."""

WAITING_STATES = ("pending", "held", "retrying")


def unstarted(state: QueueState) -> Counter[str]:
    """How many Tasks of a queue have a Job whose containers do not run, by reason."""
    return Counter({reason: state.blocked[reason] for reason in NOT_RUNNING if state.blocked[reason] > 0})


class Waiting:
    """Answers for one moment; what holds a whole group is found out once."""

    def __init__(self, queues: Queues, now: float) -> None:
        """Ask these queues, at this time in epoch seconds."""
        self._queues = queues
        self._now = now
        self._groups: dict[Key, str] = {}

    def reasons(self, state: QueueState) -> Counter[str]:
        """How many Tasks of a queue wait for what; together they are all that are pending, held or retrying."""
        blocked = state.blocked.items()
        found = Counter({reason: count for reason, count in blocked if count > 0 and reason not in NOT_RUNNING})
        ready = sum(state.states[name] for name in WAITING_STATES) - found.total()
        if ready <= 0:
            return found
        beyond = min(state.beyond, ready)
        limit = self._limit(state)
        aside = 0 if limit else min(state.order.set_aside, ready - beyond)
        found[Reason.PENDING_LIMIT] += beyond
        found[Reason.CONCURRENCY_KEY_LIMIT] += aside
        found[limit or Reason.STARTING] += ready - beyond - aside
        return +found

    def is_held(self, state: QueueState) -> bool:
        """Whether the queue starts nothing by the ``state`` of its own spec, or of its parent's."""
        root = self._queues.root_of(state) or state
        return any(member.rules.state in ("Paused", "Closed", "DryRun") for member in (state, root))

    def _limit(self, state: QueueState) -> str:
        own = self._queues.own_limit(state, self._now)
        if own:
            return own
        root = self._queues.root_of(state) or state
        if root.key not in self._groups:
            self._groups[root.key] = self._queues.group_limit(root, self._now)
        limit = self._groups[root.key]
        return Reason.CONCURRENCY_LIMIT if limit == Reason.PARENT_LIMIT and root is state else limit
