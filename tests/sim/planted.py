"""Defects put into the operator on purpose: a walk that lets one of them pass judges nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import count
from typing import Any


def _replace(name: str, new: Any) -> None:
    """Put a function in the place of another one, wherever it was imported."""
    for module in [module for path, module in sys.modules.items() if path.startswith("taskq.")]:
        if hasattr(module, name):
            setattr(module, name, new)


def job_names_change() -> None:
    """A restart computes other names than before: creating a Job is no lock any more."""
    from taskq.controller.replica import Operator
    from taskq.domain import jobspec

    honest, start = jobspec.job_key, Operator.__init__
    lives = count()
    salt = [""]

    def job_key(task: Any) -> Any:
        key = honest(task)
        return key._replace(name=f"{key.name[:55]}-{salt[0]}")

    def init(self: Any, *args: Any, **options: Any) -> None:
        salt[0] = str(next(lives))
        start(self, *args, **options)

    _replace("job_key", job_key)
    Operator.__init__ = init  # type: ignore[method-assign]


def cap_forgets_own_creates() -> None:
    """A cap that counts only what the watch has shown."""
    from taskq.domain.board import Board

    honest = Board._launch

    def launch(self: Any, entry: Any, state: Any, now: float) -> Any:
        action = honest(self, entry, state, now)
        self.queues.free(state.key, action.job)
        return action

    Board._launch = launch  # type: ignore[method-assign]


def end_is_believed_when_announced() -> None:
    """FailureTarget and SuccessCriteriaMet taken for the end, while pods still terminate."""
    from taskq.domain.model import Job

    def finished(self: Any) -> Any:
        return next((self.is_true(kind) for kind in ("Complete", "SuccessCriteriaMet", "Failed", "FailureTarget")
                     if self.is_true(kind)), None)  # fmt: skip

    Job.finished = property(finished)  # type: ignore[method-assign,assignment]


def order_ignores_priority() -> None:
    """First come, first served, whatever the priority."""
    from taskq.domain import ordering

    honest = ordering.rank

    def rank(task: Any, queue: Any, *rest: Any) -> Any:
        place = honest(task, queue, *rest)
        return (0.0, *place[1:])

    _replace("rank", rank)


def deleted_jobs_leave_nothing() -> None:
    """A Job that is gone is taken to have left no pod behind."""
    from taskq.domain.board import Board

    honest = Board._haunt

    def haunt(self: Any, key: Any, ghost: Any) -> None:
        honest(self, key, ghost)
        self._lay_to_rest(key, ghost)

    Board._haunt = haunt  # type: ignore[method-assign]


def statuses_overwrite() -> None:
    """A status is written whatever the Task has become since it was decided on."""
    from taskq.domain import lifecycle

    honest = lifecycle._write

    def write(task: Any, patch: Any, note: Any) -> Any:
        import msgspec

        return msgspec.structs.replace(honest(task, patch, note), version=None)

    lifecycle._write = write


def no_answer_means_no() -> None:
    """A POST without an answer is taken not to have been applied."""
    from taskq.cluster.effects import Effects

    async def find_out(self: Any, launch: Any) -> None:
        self._board.not_launched(launch, ("JobRefused", "no answer"), self._clock.now())

    Effects._find_out = find_out  # type: ignore[method-assign,assignment]


def what_is_waited_for_need_not_end() -> None:
    """A Task whose dependencies run starts beside them."""
    from taskq.domain.dependencies import Dependencies

    honest = Dependencies.standing

    def standing(self: Any, task: Any) -> Any:
        found = honest(self, task)
        return found._replace(waits=(), is_news=False) if found else None

    Dependencies.standing = standing  # type: ignore[method-assign]


def who_has_started_can_lose_its_key() -> None:
    """A newer Task takes the deduplication key of one that runs."""
    from taskq.domain.deduplication import Deduplication

    start = Deduplication.__init__

    def init(self: Any, _has_started: Any, again: Any) -> None:
        start(self, lambda _: False, again)
        self.occupy = lambda *_: None

    Deduplication.__init__ = init  # type: ignore[method-assign]


def accounts_are_not_counted() -> None:
    """A label that bounds how many run at once is looked at and not counted by."""
    from taskq.domain.ordering import PendingOrder

    PendingOrder.is_blocked = lambda self, uid: uid in self._held  # type: ignore[method-assign]


def siblings_do_not_share() -> None:
    """A child queue has all of its parent's room beside its parent."""
    from taskq.domain.queues import Queues

    Queues._family = lambda self, root: iter((root,))  # type: ignore[method-assign,assignment]
    Queues._root = lambda self, state: state  # type: ignore[method-assign,assignment]


def rates_are_not_kept() -> None:
    """A queue starts as fast as it can, whatever its rate."""
    from taskq.domain.ordering import Starts

    Starts.free_at = lambda _self, _limit, now: now  # type: ignore[method-assign]


def the_cluster_has_room() -> None:
    """The cluster-wide cap is taken for a queue's affair."""
    from taskq.domain.queues import Queues

    start = Queues.__init__

    def init(self: Any, *, cluster_limit: Any = None) -> None:
        start(self, cluster_limit=None)

    Queues.__init__ = init  # type: ignore[method-assign]


def purges_are_not_heard() -> None:
    """What waits in a queue that was purged starts all the same."""
    from taskq.domain import cancelling

    cancelling._concerns = lambda *_: False


def purges_are_told_of_at_once() -> None:
    """The status tells of a request in the second that it counts up to, which others go on to create Tasks in."""
    from taskq.domain import requests

    requests._WAIT_SECONDS = 0.0


def waiting_gains_nothing() -> None:
    """A queue with `priorityAging` orders as if its Tasks had just come."""
    from taskq.domain import policy

    policy._aged = lambda *_: 0


def levels_are_read_once() -> None:
    """A priority level stands for what it stood for at first, also when it is taken away."""
    from taskq.domain import policy

    honest: Any = policy.priority_level
    first: dict[Any, Any] = {}

    def priority_level(task: Any, queue: Any) -> Any:
        found = honest(task, queue)
        return first.setdefault(task.spec.priority_level, found) if found else first.get(task.spec.priority_level)

    policy.priority_level = priority_level


def refused_heads_are_overtaken() -> None:
    """A Strict queue goes on with the next Task when a quota refuses the first."""
    from taskq.domain import lifecycle

    lifecycle._keeps_its_place = lambda *_: False


def the_most_urgent_so_many() -> None:
    """`maxPending` counts in the order of priority, so that who comes late and is urgent is let in."""
    from taskq.domain import queue_state

    queue_state._age = lambda rank: (rank[0], *rank[3:])


def tenants_do_not_take_turns() -> None:
    """How many of a tenant run makes no difference."""
    from taskq.domain.ordering import PendingOrder

    honest = PendingOrder._touch

    def touch(self: Any, turn: Any) -> None:
        turn.running = 0
        honest(self, turn)

    PendingOrder._touch = touch  # type: ignore[method-assign]


def the_parent_goes_first() -> None:
    """A child queue starts only what its parent leaves, whatever their priorities."""
    from taskq.domain.queues import Queues

    def next_member(self: Any, root: Any, now: float) -> Any:
        family = self._family(root) if self._has_room(root, now) else ()
        return next((one for one in family if one.order.head() and self._is_free(one, now)), None)

    Queues._next_member = next_member  # type: ignore[method-assign]


def starts_before_a_restart_are_forgotten() -> None:
    """Only what this process has started counts for a queue's rate."""
    from taskq.domain.queues import Queues

    Queues.note_start = lambda *_: None  # type: ignore[method-assign]
    Queues.recall = lambda *_: None  # type: ignore[method-assign]


def what_others_need_is_cleaned_up() -> None:
    """Nobody is asked whether a Task that is over its time is needed."""
    from taskq.controller.replica import Operator

    Operator._is_needed = lambda *_: False  # type: ignore[method-assign]


def dead_letters_are_not_kept() -> None:
    """They go when their `ttl` or their queue's `retention` says so."""
    from taskq.domain import archive

    archive._dead_letter_seconds = lambda *_: 0


def the_newest_go_first() -> None:
    """Above a queue's `retention`, the Task that has just ended goes."""
    from taskq.domain import archive

    class Backwards(archive.SortedList):  # type: ignore[misc]
        def pop(self, _index: int = 0) -> Any:
            return super().pop(-1)

    archive.SortedList = Backwards


def totals_are_added_up_again() -> None:
    """What this process has counted is added to what it has written itself."""
    from taskq.domain.tally import Tally

    honest = Tally.totals

    def totals(self: Any, queue: Any, *rest: Any) -> Any:
        self._bases.pop(queue.metadata.key, None)
        return honest(self, queue, *rest)

    Tally.totals = totals  # type: ignore[method-assign]


def no_answer_means_yes() -> None:
    """A hook's Task is taken to be made when nobody said so."""
    from taskq.controller.hooks import Hooks
    from taskq.domain import hooks
    from taskq.errors import RequestError

    honest = Hooks._create

    async def create(self: Any, parent: Any, hook: Any) -> Any:
        try:
            return await honest(self, parent, hook)
        except RequestError:
            return hooks.after_try(hook, "", self._clock.now(), final=True)

    Hooks._create = create  # type: ignore[method-assign]


def schedules_begin_anew() -> None:
    """Up to where a Schedule's ticks are dealt with is looked for in its Tasks, which may be cleaned up, alone."""
    from taskq.domain.schedules import decide

    decide._written_until = lambda view: int(view.created)


def runs_overlap() -> None:
    """A Schedule with `Forbid` starts a run beside another one."""
    from taskq.domain.schedules.runs import Runs

    Runs._want = Runs._start  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    mutant.__name__: mutant
    for mutant in (
        job_names_change,
        cap_forgets_own_creates,
        end_is_believed_when_announced,
        order_ignores_priority,
        deleted_jobs_leave_nothing,
        statuses_overwrite,
        no_answer_means_no,
        what_is_waited_for_need_not_end,
        who_has_started_can_lose_its_key,
        accounts_are_not_counted,
        siblings_do_not_share,
        rates_are_not_kept,
        the_cluster_has_room,
        purges_are_not_heard,
        purges_are_told_of_at_once,
        waiting_gains_nothing,
        levels_are_read_once,
        refused_heads_are_overtaken,
        the_most_urgent_so_many,
        tenants_do_not_take_turns,
        the_parent_goes_first,
        starts_before_a_restart_are_forgotten,
        what_others_need_is_cleaned_up,
        dead_letters_are_not_kept,
        the_newest_go_first,
        totals_are_added_up_again,
        no_answer_means_yes,
        schedules_begin_anew,
        runs_overlap,
    )
}

FIRST_SEEDS = {
    "purges_are_told_of_at_once": 10,
    "refused_heads_are_overtaken": 30,
    "schedules_begin_anew": 8,
    "tenants_do_not_take_turns": 40,
}
"""Where to begin with what comes to light late: the walks before would only take their time."""
