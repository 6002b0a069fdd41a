"""One Schedule, its Tasks and the time: what to create, cancel and delete, what to write, when to look again.

The order of effects, and what a crash between any two of them leaves behind:

1. **Tasks are created**, each named by its nominal tick: that name is the lock. A crash here leaves Tasks that the
   status does not know. The next pass, of whichever leader, finds them by name and takes them over; were they not seen
   yet, creating them again answers «exists and is ours».
2. **Tasks are cancelled** (Replace, suspension). Repeating it changes nothing.
3. **The status is written**, once: ``handledUntil`` and the runs in one patch. From here on no tick up to that instant
   starts again, also when its Task is deleted, the spec is edited or the clock goes back. If any effect of 1 or 2
   failed, nothing is written, and the next pass decides the same again.
4. **Finished Tasks are deleted**: only those whose result stood in the status that this pass began with.

So a tick is created at least once by 1 and at most once by its name until 3, and not at all after it.

An edit of the fields that say when (``scheduleHash``) begins anew at that moment: ticks that only the new times have in
the past are never created. A tick that was promised (``nextScheduleTime``), is due just now and is a tick of the new
times too, is. An edit of any other field moves nothing.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec

from taskq.domain.model import Condition, stamp
from taskq.domain.reasons import Reason, message
from taskq.domain.schedules.catchup import ON_TIME_SECONDS, due, skipped_row
from taskq.domain.schedules.cron import ScheduleFieldError
from taskq.domain.schedules.describe import describe
from taskq.domain.schedules.runs import Action, Runs, TaskFact, replace, run_now_name, tick_name
from taskq.domain.schedules.spec import (
    LedgerEntry,
    Run,
    ScheduleSpec,
    ScheduleStatus,
    Skip,
    Suspension,
    Trigger,
    at,
    epoch,
)
from taskq.domain.schedules.ticks import Plan, compile_plan, fire_time, schedule_hash
from taskq.domain.status import State, conditions
from taskq.resources.common import MAX_QUEUED, MAX_TOKEN_LENGTH, MAX_UPCOMING

BLOCKED_RECHECK_SECONDS = 10.0
"""While a run keeps others from starting, their ticks are written down this often and not one by one. It must be less
than ``ON_TIME_SECONDS``: what comes due after the run has ended is still in time then."""
CLOCK_TOLERANCE_SECONDS = 60.0
"""How far the clock may lie behind what is dealt with before somebody should know."""

INVALID = "InvalidSchedule"
FAILING: Literal["ConsecutiveFailures"] = "ConsecutiveFailures"
ENDED = "Ended"
CLOCK_WENT_BACK = "ClockWentBack"


_STATUS_FIELDS = msgspec.structs.fields(ScheduleStatus)


class Refusal(NamedTuple):
    """The API server refuses this Schedule's Tasks: its message, and when to try again (epoch seconds)."""

    message: str
    retry_at: float


class ScheduleView(NamedTuple):
    """All that a decision about one Schedule reads.

    ``tasks`` are all Tasks that it owns, finished ones too, and those just created that no watch has shown yet: a run
    whose Task is not among them counts as deleted. ``taken`` are names under which a Task of somebody else was met.
    ``run_now`` and ``backfill`` are the annotations' values, empty when there are none. ``created`` is epoch seconds.
    """

    name: str
    uid: str
    generation: int
    created: float
    spec: ScheduleSpec
    status: ScheduleStatus = ScheduleStatus()
    tasks: tuple[TaskFact, ...] = ()
    taken: frozenset[str] = frozenset()
    run_now: str = ""
    backfill: str = ""
    refusal: Refusal | None = None


class ScheduleDecision(NamedTuple):
    """Effects in their order (see the module), the status to write (None: it stands), and when to decide again.

    ``wake_at`` is None when only an event can change anything. ``news`` are the rows that this pass added to the
    ledger, for Events and metrics, which follow the write.
    """

    actions: tuple[Action, ...] = ()
    patch: dict[str, Any] | None = None
    wake_at: float | None = None
    news: tuple[LedgerEntry, ...] = ()


def decide_schedule(view: ScheduleView, now: float) -> ScheduleDecision:
    """What happens to a Schedule now."""
    plan, fault = _plan(view)
    runs = Runs(view.name, view.spec, view.status, view.tasks, view.taken, now)
    handled = _handled(view, plan, now)
    # 1. What ended, and what an earlier pass created without writing it down.
    runs.settle()
    started = runs.adopt(_written_until(view))
    # 2. Suspended or not; what the time before brought is dropped when it ends.
    handled = _suspend(view, runs, plan, handled, now)
    # 3. What is due, in the order of time.
    if not _is_refused(view, now):
        handled = _start(view, runs, plan, handled, started, now)
    # 4. Finished Tasks beyond the limits.
    runs.clean_up(frozenset(run.task_name for run in view.status.active))
    # 5. What is next.
    status = _written(view, runs, plan, fault, handled, now)
    return ScheduleDecision(
        tuple(runs.actions), _patch(view.status, status), _wake_at(view, runs, plan, status, now), tuple(runs.news)
    )


def _plan(view: ScheduleView) -> tuple[Plan | None, str]:
    try:
        return compile_plan(view.spec, view.created), ""
    except ScheduleFieldError as error:
        return None, str(error)


def _is_refused(view: ScheduleView, now: float) -> bool:
    return view.refusal is not None and now < view.refusal.retry_at


# --- what is dealt with -------------------------------------------------------------------------------------------


def _written_until(view: ScheduleView) -> int:
    """Up to where ticks are dealt with, by the status; ``lastScheduleTime`` alone is what the first versions wrote."""
    written = view.status.handled_until or view.status.last_schedule_time
    return int(epoch(written, math.ceil(view.created) - 1))


def _handled(view: ScheduleView, plan: Plan | None, now: float) -> int:
    """Up to where ticks are dealt with, before this pass; it never goes back."""
    status = view.status
    handled = _written_until(view)
    if not status.schedule_hash or status.schedule_hash == schedule_hash(view.spec):
        return handled
    anew = math.floor(now)
    promised = int(epoch(status.next_schedule_time, 0.0))
    if plan and handled < promised <= now and plan.has(promised):
        moment = fire_time(plan, promised, view.spec.jitter_seconds, view.uid)
        anew = promised - 1 if now - moment <= ON_TIME_SECONDS else anew
    return max(handled, anew)


def _suspend(view: ScheduleView, runs: Runs, plan: Plan | None, handled: int, now: float) -> int:
    """Begin or end a suspension; ticks of its time are dropped as it ends. Return up to where ticks are dealt with."""
    before = view.status.suspension
    after = _suspension(view, runs, before, now)
    runs.status = replace(runs.status, suspension=after)
    if after and not before and view.spec.on_suspend == "DropPending":
        runs.drop_waiting()
    if after or not before:
        return handled
    until = max(handled, math.floor(now))
    count = plan.how_many(handled, until) if plan else 0
    if plan and count:
        first, last = plan.following(handled) or until, plan.latest(until, handled) or until
        runs.note(skipped_row(Skip.SUSPENDED, Trigger.TICK, first, last, count))
    return until


def _suspension(view: ScheduleView, runs: Runs, before: Suspension | None, now: float) -> Suspension | None:
    """The suspension that holds now. One for failures ends with the next edit of the spec, or with a success."""
    if view.spec.suspend:
        return before if before and before.reason == "Spec" else Suspension("Spec", at(now), view.generation)
    limit, generation = view.spec.suspend_after_consecutive_failures, view.generation
    if before and before.reason == FAILING and before.generation != generation:
        runs.status = replace(runs.status, consecutive_failures=0)
        return None
    if limit is None or runs.status.consecutive_failures < limit:
        return None
    return before if before and before.reason == FAILING else Suspension(FAILING, at(now), generation)


# --- what is due --------------------------------------------------------------------------------------------------


def _start(view: ScheduleView, runs: Runs, plan: Plan | None, handled: int, started: frozenset[int], now: float) -> int:
    wanted: list[Run] = []
    if plan and runs.status.suspension is None:
        found = due(plan, view.spec, view.uid, handled, now, started)
        for row in found.skipped:
            runs.note(row)
        runs.missed += found.missed
        for tick, trigger, since in found.wanted:
            run = Run(tick_name(view.name, tick), at(tick), trigger)
            if runs.was_busy_at(since):
                runs.skip(run, Skip.FORBIDDEN)
            else:
                wanted.append(run)
        handled = handled if found.until is None else found.until
    wanted += _run_now(view, runs, now)
    runs.want(wanted)
    _backfill(view, runs, handled, now)
    if runs.status.suspension is None:
        runs.work_off()
    return handled


def _token(text: str) -> str:
    """What is kept of an annotation, to know it again."""
    return text if len(text) <= MAX_TOKEN_LENGTH else hashlib.sha256(text.encode()).hexdigest()


def _run_now(view: ScheduleView, runs: Runs, now: float) -> list[Run]:
    """The run that is asked for, once for each value of the annotation; a suspended Schedule runs it too."""
    token = _token(view.run_now)
    if not token or token == view.status.last_run_now:
        return []
    runs.status = replace(runs.status, last_run_now=token)
    run = Run(run_now_name(view.name, token), at(now), Trigger.RUN_NOW)
    if run.task_name in runs.tasks:  # created by a pass whose status was never written
        runs.take(run)
        return []
    return [run]


# --- backfill -----------------------------------------------------------------------------------------------------

BACKFILL = "annotation taskq.dev/backfill"
_BACKFILL = re.compile(r"(\S{20,32})/(\S{20,32}?)(?:/[\w.-]{1,60})?", re.ASCII)


def _backfill(view: ScheduleView, runs: Runs, handled: int, now: float) -> None:
    """Let the ticks of the interval that is asked for wait for their turn, once for each value of the annotation."""
    token = _token(view.backfill)
    if not token or token == view.status.last_backfill:
        return
    runs.status = replace(runs.status, last_backfill=token)
    try:
        ticks = _ticks_to_fill(view, MAX_QUEUED - len(runs.queued), handled)
    except ScheduleFieldError as error:
        moment = math.floor(now)
        runs.note(skipped_row(Skip.BAD_BACKFILL, Trigger.BACKFILL, moment, moment, 1, str(error)))
        return
    for tick in ticks:
        run = Run(tick_name(view.name, tick), at(tick), Trigger.BACKFILL)
        if run.task_name in runs.tasks:
            runs.skip(run, Skip.TASK_EXISTS)
        elif run not in runs.queued:
            runs.enqueue(run)


def _ticks_to_fill(view: ScheduleView, room: int, handled: int) -> list[int]:
    """The ticks from the first instant on and before the second, up to what is dealt with already."""
    low, high = _interval(view.backfill)
    plan = compile_plan(view.spec, view.created, whole_past=True)
    if math.ceil(high) - 1 > handled and plan.how_many(handled, math.ceil(high) - 1):
        raise ScheduleFieldError(BACKFILL, "the interval must end in the past")
    ticks = plan.first_few(math.ceil(low) - 1, math.ceil(high) - 1, room + 1)
    if len(ticks) > room:
        raise ScheduleFieldError(BACKFILL, f"the interval has more ticks than the {room} that may wait; ask for less")
    if not ticks:
        raise ScheduleFieldError(BACKFILL, "the interval has no ticks")
    return ticks


def _interval(text: str) -> tuple[float, float]:
    fault = "wants FROM/TO, two RFC 3339 times, and /NAME behind them to ask for the same interval again"
    found = _BACKFILL.fullmatch(text) if len(text) <= MAX_TOKEN_LENGTH else None
    if not found:
        raise ScheduleFieldError(BACKFILL, fault)
    try:
        low, high = (datetime.fromisoformat(part) for part in found.groups())
        if low.tzinfo is None or high.tzinfo is None or low >= high or low.year < 1970:
            raise ScheduleFieldError(BACKFILL, fault)
        return low.timestamp(), high.timestamp()
    except (ValueError, OverflowError):
        raise ScheduleFieldError(BACKFILL, fault) from None


# --- what is written ----------------------------------------------------------------------------------------------


def _written(view: ScheduleView, runs: Runs, plan: Plan | None, fault: str, handled: int, now: float) -> ScheduleStatus:
    """The whole status as it should stand."""
    runs.status = replace(runs.status, handled_until=at(handled))
    idle = plan is None or runs.status.suspension is not None
    following = None if plan is None or idle else plan.following(handled)
    upcoming, count = ((), 0) if plan is None or idle else _upcoming(view, plan, handled, now)
    states = _states(view, runs, fault, handled, following, now)
    made = conditions(view.status.conditions, view.generation, states, now)
    return runs.into(
        observed_generation=view.generation,
        conditions=msgspec.convert(made, tuple[Condition, ...]),
        description=describe(view.spec),
        schedule_hash=schedule_hash(view.spec),
        next_schedule_time=None if following is None else at(following),
        upcoming=upcoming,
        upcoming_count=count,
    )


def _upcoming(view: ScheduleView, plan: Plan, handled: int, now: float) -> tuple[tuple[datetime, ...], int]:
    after = math.floor(now) if _is_refused(view, now) else handled
    until = math.floor(now) + view.spec.lookahead_seconds
    few = _next_few(view, plan, after, until)
    count = len(few) if len(few) < MAX_UPCOMING else plan.how_many(after, until)
    return tuple(at(tick) for tick in few), count


def _next_few(view: ScheduleView, plan: Plan, after: int, until: int) -> list[int]:
    """The next ticks; those that stand in the status already, of the same times, are not computed again."""
    status = view.status
    known: list[int] = []
    if status.schedule_hash == schedule_hash(view.spec):
        known = [int(time.timestamp()) for time in status.upcoming if after < time.timestamp() <= until]
    if not known or plan.following(after) != known[0]:
        return plan.first_few(after, until, MAX_UPCOMING)
    return known + plan.first_few(known[-1], until, MAX_UPCOMING - len(known))


def _states(
    view: ScheduleView, runs: Runs, fault: str, handled: int, following: int | None, now: float
) -> dict[str, State | None]:
    """Ready and Stalled; the first thing that is wrong is said."""
    suspension = runs.status.suspension
    if fault:
        return _stalled(INVALID, fault)
    if view.refusal:
        return _stalled(Reason.TASK_REFUSED, message(Reason.TASK_REFUSED, message=view.refusal.message))
    if suspension and suspension.reason == FAILING:
        return _stalled(
            FAILING,
            f"{runs.status.consecutive_failures} runs failed one after another "
            "(spec.suspendAfterConsecutiveFailures); it goes on after an edit of the spec, or a run-now that succeeds",
        )
    if suspension:
        return _ready(Reason.SUSPENDED, "Creates no Tasks until spec.suspend is false")
    if handled > now + CLOCK_TOLERANCE_SECONDS:
        text = (
            f"Ticks until {stamp(handled)} are dealt with, and this operator's clock says {stamp(now)}: "
            "nothing starts until then; check the clocks of the nodes"
        )
        return {"Ready": ("False", CLOCK_WENT_BACK, text), "Stalled": None}
    if following is None:
        return _ready(ENDED, "No tick is left; check spec.endTime")
    return _ready(Reason.READY, "Tasks are created in time")


def _ready(reason: str, text: str) -> dict[str, State | None]:
    return {"Ready": ("True", reason, text), "Stalled": None}


def _stalled(reason: str, text: str) -> dict[str, State | None]:
    return {"Ready": ("False", reason, text), "Stalled": ("True", reason, text)}


def _patch(before: ScheduleStatus, after: ScheduleStatus) -> dict[str, Any] | None:
    """The merge patch from one status to the other; None when nothing is worth a write.

    ``upcoming`` moves on by itself; it alone is written only when its first tick changes.
    """
    same = replace(after, upcoming=before.upcoming, upcoming_count=before.upcoming_count)
    if same == before and before.upcoming[:1] == after.upcoming[:1]:
        return None
    patch = {}
    for field in _STATUS_FIELDS:
        value = getattr(after, field.name)
        if value != getattr(before, field.name):
            patch[field.encode_name] = msgspec.to_builtins(value)
    return patch


def _wake_at(view: ScheduleView, runs: Runs, plan: Plan | None, status: ScheduleStatus, now: float) -> float | None:
    """When time alone changes what is decided: the next tick's moment, or the next one that comes into sight."""
    if runs.adopted_finished:
        return now
    if view.refusal and _is_refused(view, now):
        return view.refusal.retry_at
    if plan is None or status.next_schedule_time is None:
        return None
    following = int(status.next_schedule_time.timestamp())
    fires = fire_time(plan, following, view.spec.jitter_seconds, view.uid)
    if view.spec.concurrency_policy == "Forbid" and runs.keeps_others_out:
        fires = max(fires, now + BLOCKED_RECHECK_SECONDS)
    in_sight = following - view.spec.lookahead_seconds
    return in_sight if now < in_sight else fires
