"""Ticks that are due: those in time run, those that were missed run or not, as ``missedRunPolicy`` says.

A tick is **in time** until ``ON_TIME_SECONDS`` after its moment; a later one was missed: no operator was there.

- ``Skip``: no missed tick runs.
- ``RunOnce``: the latest missed tick runs, unless one that is in time runs now anyway.
- ``RunAll``: the latest ``maxCatchUpRuns`` missed ticks run, the oldest of them first.

Whatever would run must still be within ``startingDeadlineSeconds``. All other ticks are counted, not walked: at most
``ON_TIME_SECONDS + 1 + maxCatchUpRuns`` ticks are looked at one by one, however long nobody was there.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from taskq.domain.schedules.spec import LedgerEntry, Result, ScheduleSpec, Skip, Trigger, at
from taskq.domain.schedules.ticks import Plan, fire_time

ON_TIME_SECONDS = 15
"""As long as another replica may take to find a crash and to take over; a failover at the tick misses nothing."""


class Wanted(NamedTuple):
    """A tick whose Task should be created: why, and since when (epoch seconds, jitter included)."""

    tick: int
    trigger: Trigger
    since: float


class Due(NamedTuple):
    """What became due: the runs that are wanted (oldest first), the rows of skipped ticks, and how many were missed.

    Ticks up to ``until`` are dealt with.
    """

    wanted: tuple[Wanted, ...] = ()
    skipped: tuple[LedgerEntry, ...] = ()
    missed: int = 0
    until: int | None = None


def due(
    plan: Plan, spec: ScheduleSpec, uid: str, handled: int, now: float, started: frozenset[int] = frozenset()
) -> Due:
    """What is due after ``handled``; ticks that are ``started`` have a Task already."""
    until = _fired(plan, spec, uid, handled, now)
    if until is None:
        return Due()
    catch_ups = spec.max_catch_up_runs if spec.missed_run_policy == "RunAll" else 1
    limit = ON_TIME_SECONDS + 1 + catch_ups + len(started)
    few = plan.latest_few(until, handled, limit)
    total = len(few) if len(few) < limit else plan.how_many(handled, until)
    total -= sum(1 for tick in started if handled < tick <= until)
    fresh = [tick for tick in few if tick not in started]
    moments = {tick: fire_time(plan, tick, spec.jitter_seconds, uid) for tick in fresh}
    in_time = [tick for tick in fresh if now - moments[tick] <= ON_TIME_SECONDS]
    late = [tick for tick in fresh if now - moments[tick] > ON_TIME_SECONDS]
    caught = _caught_up(spec, late, in_time)
    wanted = [Wanted(tick, Trigger.CATCH_UP, moments[tick]) for tick in caught]
    wanted += [Wanted(tick, Trigger.TICK, moments[tick]) for tick in in_time]
    deadline = spec.starting_deadline_seconds
    too_late = [run.tick for run in wanted if deadline is not None and now - run.since > deadline]
    missed = total - len(wanted)
    skipped = []
    if missed > 0:
        skipped.append(_missed(plan, handled, min((run.tick for run in wanted), default=until + 1), missed))
    if too_late:
        skipped.append(_row(Skip.DEADLINE, too_late[0], too_late[-1], len(too_late)))
    kept = tuple(run for run in wanted if run.tick not in too_late)
    return Due(kept, tuple(skipped), max(missed, 0) + len(too_late), until)


def _fired(plan: Plan, spec: ScheduleSpec, uid: str, handled: int, now: float) -> int | None:
    """The last tick whose moment has come, None when there is none: only the very latest may still wait for its own."""
    last = plan.latest(math.floor(now), handled)
    if last is not None and fire_time(plan, last, spec.jitter_seconds, uid) > now:
        last = plan.latest(last - 1, handled)
    return last


def _caught_up(spec: ScheduleSpec, late: list[int], in_time: list[int]) -> list[int]:
    if spec.missed_run_policy == "RunAll":
        return late[max(len(late) - spec.max_catch_up_runs, 0) :]
    if spec.missed_run_policy == "RunOnce" and not in_time:
        return late[-1:]
    return []


def _missed(plan: Plan, handled: int, before: int, count: int) -> LedgerEntry:
    first, last = plan.following(handled), plan.latest(before - 1, handled)
    return _row(Skip.MISSED, first or before, last or before, count)


def _row(reason: Skip, first: int, last: int, count: int) -> LedgerEntry:
    return skipped_row(reason, Trigger.TICK, first, last, count)


def skipped_row(reason: Skip, trigger: str, first: int, last: int, count: int, message: str = "") -> LedgerEntry:
    """A row of the ledger for ticks that made no Task, from the first to the last of them."""
    end = at(last) if last != first else None
    return LedgerEntry(
        at(first), trigger, Result.SKIPPED, reason=reason, last_scheduled_time=end, count=count, message=message
    )
