"""One Schedule in time: what it creates, cancels, deletes and writes, with crashes between any two effects."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.domain.schedules import catchup, decide
from taskq.domain.schedules.catchup import ON_TIME_SECONDS
from taskq.domain.schedules.decide import Refusal, ScheduleDecision, ScheduleView, decide_schedule
from taskq.domain.schedules.runs import CancelTask, CreateTask, DeleteTask, TaskFact, run_now_name
from taskq.domain.schedules.spec import SKIP_MEANINGS, ScheduleSpec, ScheduleStatus, Skip
from taskq.resources.common import MAX_LEDGER, MAX_QUEUED, MAX_UNFINISHED

T0 = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp())
HOUR, DAY = 3_600, 86_400


def at(seconds: float) -> str:
    """RFC 3339 of a moment after T0."""
    return datetime.fromtimestamp(T0 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class World:
    """An API server with one Schedule; times are seconds after T0, Tasks are called by their ticks."""

    def __init__(self, *, created: float = 0, **fields: Any) -> None:
        """Create the Schedule."""
        self.fields = fields
        self.created = created
        self.generation = 1
        self.status: dict[str, Any] = {"observedGeneration": -1}
        self.tasks: dict[str, TaskFact] = {}
        self.made: list[str] = []
        self.run_now = self.backfill = ""
        self.taken: frozenset[str] = frozenset()
        self.refusal: Refusal | None = None
        self.writes = 0

    def view(self) -> ScheduleView:
        """What a pass reads; the status is decoded from JSON, as in life."""
        return ScheduleView(
            name="nightly",
            uid="uid-1",
            generation=self.generation,
            created=T0 + self.created,
            spec=msgspec.convert(self.fields, ScheduleSpec),
            status=msgspec.json.decode(msgspec.json.encode(self.status), type=ScheduleStatus),
            tasks=tuple(self.tasks.values()),
            taken=self.taken,
            run_now=self.run_now,
            backfill=self.backfill,
            refusal=self.refusal,
        )

    def step(self, now: float, *, effects: int = 99, write: bool = True) -> ScheduleDecision:
        """One pass; a crash leaves only the first effects, and perhaps no write."""
        decision = decide_schedule(self.view(), T0 + now)
        rest = [action for action in decision.actions if isinstance(action, DeleteTask)]
        for action in [action for action in decision.actions if action not in rest][:effects]:
            self.carry_out(action)
        if write and effects == 99:
            if decision.patch is not None:
                self.writes += 1
                patch = msgspec.json.decode(msgspec.json.encode(decision.patch))
                self.status = {k: v for k, v in (self.status | patch).items() if v is not None}
            for action in rest:
                self.carry_out(action)
        return decision

    def carry_out(self, action: Any) -> None:
        """As the API server would."""
        if isinstance(action, CreateTask):
            assert action.name not in self.tasks, "created twice at once"
            self.tasks[action.name] = TaskFact(action.name, f"uid-{len(self.made)}", "Pending")
            self.made.append(action.name)
        elif isinstance(action, CancelTask):
            self.tasks[action.name] = self.tasks[action.name]._replace(cancelling=True)
        else:
            del self.tasks[action.name]

    def until(self, now: float, *, start: float | None = None, runs_for: float | None = None) -> None:
        """Pass after pass as the operator would make them; each Task succeeds after so many seconds."""
        moment = self.created if start is None else start
        while moment <= now:
            decision = self.step(moment)
            ends = moment + runs_for if runs_for is not None else None
            for name, task in list(self.tasks.items()):
                if task.phase == "Pending" and ends is not None:
                    self.tasks[name] = task._replace(phase="Running", completed=T0 + ends)
            waits = [task.completed - T0 for task in self.tasks.values() if not task.finished and task.completed]
            waits += [decision.wake_at - T0] if decision.wake_at is not None else []
            after = min([wait for wait in waits if wait > moment], default=now + 1)
            if decision.patch is None and after <= moment:
                after = moment + 1
            moment = max(after, moment + 0.001)
            for name, task in list(self.tasks.items()):
                if task.phase == "Running" and task.completed is not None and task.completed - T0 <= moment:
                    self.tasks[name] = task._replace(phase="Succeeded")

    def finish(self, tick: Any, phase: str = "Succeeded", ended: float = 0) -> None:
        """A Task ends."""
        name = tick if isinstance(tick, str) else self.name(tick)
        self.tasks[name] = self.tasks[name]._replace(phase=phase, completed=T0 + ended)

    def edit(self, **fields: Any) -> None:
        """The user edits the spec."""
        self.fields = {k: v for k, v in (self.fields | fields).items() if v is not None}
        self.generation += 1

    def name(self, tick: float) -> str:
        """The name of a tick's Task."""
        return f"nightly-{int(T0 + tick)}"

    @property
    def ran(self) -> list[int]:
        """The ticks whose Tasks were created, in the order of creation."""
        return [int(name.rpartition("-")[2]) - T0 for name in self.made]

    @property
    def ledger(self) -> list[tuple[Any, ...]]:
        """Result or reason of each row, with its tick and its count."""
        rows = []
        for row in self.status.get("runs", ()):
            tick = int(datetime.fromisoformat(row["scheduledTime"]).timestamp()) - T0
            rows.append((row.get("reason") or row["result"], tick, row.get("count", 1)))
        return rows

    def condition(self, kind: str = "Ready") -> tuple[str, str, str]:
        """Status, reason and message."""
        found = [c for c in self.status["conditions"] if c["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else ("", "", "")


def hourly(**fields: Any) -> World:
    """Every hour from T0 on, which is noon."""
    return World(**({"schedules": ["0 * * * *"]} | fields))


# --- the usual ----------------------------------------------------------------------------------------------------


def test_a_tick_creates_its_task_once() -> None:
    """At its time, under its name; the status says what was and what comes."""
    world = hourly()
    assert world.step(5).wake_at == T0 + HOUR
    assert world.made == []
    world.step(HOUR - 0.01)
    assert world.made == []
    decision = world.step(HOUR + 0.01)
    assert decision.actions == (CreateTask(world.name(HOUR), T0 + HOUR, "Tick"),)
    assert world.status["lastScheduleTime"] == world.status["handledUntil"] == at(HOUR)
    assert world.status["nextScheduleTime"] == at(2 * HOUR)
    assert world.status["lastTaskName"] == world.name(HOUR)
    assert world.status["active"] == [{"taskName": world.name(HOUR), "scheduledTime": at(HOUR)}]
    assert world.ledger == [("Started", HOUR, 1)]
    assert world.condition()[:2] == ("True", "Ready")
    world.step(HOUR + 1)
    assert world.ran == [HOUR]


def test_a_result_is_taken_over_once() -> None:
    """Into the ledger and the counters, and the run is active no more."""
    world = hourly()
    world.step(HOUR)
    world.finish(HOUR, ended=HOUR + 50)
    for _ in range(2):
        world.step(HOUR + 60)
    assert world.ledger == [("Succeeded", HOUR, 1)]
    assert world.status["active"] == []
    assert world.status["lastResult"] == "Succeeded"
    assert world.status["lastSuccessfulTime"] == world.status["lastCompletionTime"] == at(HOUR + 50)


def test_a_pass_without_news_writes_nothing() -> None:
    """Nor does the time that goes by."""
    world = hourly()
    world.step(1)
    assert world.writes == 1
    for moment in range(2, HOUR, 60):
        assert world.step(moment).patch is None


def test_a_deleted_task_is_written_down_and_not_made_again() -> None:
    """Whoever deleted it had a reason."""
    world = hourly()
    world.step(HOUR)
    world.tasks.clear()
    world.step(HOUR + 1)
    assert world.ledger == [("Deleted", HOUR, 1)]
    assert world.ran == [HOUR]


def test_what_comes_is_listed_inside_the_lookahead() -> None:
    """The first ticks, and how many there are; from out of sight, the operator wakes when one comes into it."""
    world = World(schedules=["*/5 * * * *"], lookaheadSeconds=7200)
    world.step(1)
    assert world.status["upcoming"][:2] == [at(300), at(600)]
    assert len(world.status["upcoming"]) == 20
    assert world.status["upcomingCount"] == 24
    night = World(schedules=["0 3 * * *"])
    assert night.step(1).wake_at == T0 + 13 * HOUR
    assert "upcoming" not in night.status
    night.step(13 * HOUR)
    assert night.status["upcoming"] == [at(15 * HOUR)]


def test_a_schedule_that_has_ended_says_so() -> None:
    """And is woken no more."""
    world = hourly(endTime=at(HOUR))
    world.until(5 * HOUR, runs_for=5)
    assert world.ran == [HOUR]
    assert world.condition()[:2] == ("True", "Ended")
    assert "nextScheduleTime" not in world.status


def test_a_sub_minute_schedule_loses_no_tick() -> None:
    """Down to one second, also when passes come late."""
    world = World(everySeconds=1, concurrencyPolicy="Allow")
    for moment in (0.5, 1.0, 2.4, 5.2, 5.9, 9.0):
        world.step(moment)
    assert world.ran == list(range(1, 10))
    assert world.status.get("missedRuns", 0) == 0


def test_jitter_shifts_the_creation_and_not_the_name() -> None:
    """The pass before that moment creates nothing, and the status says the nominal time."""
    world = hourly(jitterSeconds=600)
    moment = world.step(1).wake_at
    assert moment is not None
    assert T0 + HOUR < moment < T0 + HOUR + 600
    world.step(moment - T0 - 0.01)
    assert world.made == []
    world.step(moment - T0)
    assert world.made == [world.name(HOUR)]


# --- crashes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Queue", "Replace"])
@pytest.mark.parametrize("missed", ["Skip", "RunOnce", "RunAll"])
def test_a_crash_after_the_create_neither_doubles_nor_forgets(policy: str, missed: str) -> None:
    """The next pass, an hour and more later, finds the Task by its name."""
    world = hourly(concurrencyPolicy=policy, missedRunPolicy=missed)
    world.step(1)
    world.step(HOUR, effects=1)
    assert "lastTaskName" not in world.status
    world.step(HOUR + 1800)
    assert world.ran == [HOUR]
    assert world.status["active"][0]["taskName"] == world.name(HOUR)
    assert world.ledger == [("Started", HOUR, 1)]


def test_a_task_that_ended_before_it_was_written_down_is_settled() -> None:
    """In two passes, without waiting in between."""
    world = hourly()
    world.step(HOUR, effects=1)
    world.finish(HOUR, "Failed", ended=HOUR + 5)
    assert world.step(HOUR + 10).wake_at == T0 + HOUR + 10
    world.step(HOUR + 10)
    assert world.ledger == [("Failed", HOUR, 1)]
    assert world.status["consecutiveFailures"] == 1
    assert world.ran == [HOUR]


@pytest.mark.parametrize("phase", ["Pending", "Succeeded"])
def test_a_tick_that_was_started_is_not_missed_for_lack_of_a_write(phase: str) -> None:
    """Not even under Skip, long after, and with its Task finished."""
    world = hourly(missedRunPolicy="Skip")
    world.step(1)
    world.step(HOUR, effects=1)
    if phase == "Succeeded":
        world.finish(HOUR, ended=HOUR + 5)
    world.step(HOUR + 1800)
    world.step(HOUR + 1800)
    assert world.ledger == [("Started" if phase == "Pending" else phase, HOUR, 1)]
    assert world.status.get("missedRuns", 0) == 0


def test_a_run_that_the_status_forgot_is_counted_again_as_unfinished() -> None:
    """As after a restore from a backup; it gets no second row."""
    world = hourly()
    world.step(HOUR)
    del world.status["active"]
    world.step(2 * HOUR)
    assert world.ran == [HOUR]
    assert world.ledger == [("Started", HOUR, 1), ("ConcurrencyForbidden", 2 * HOUR, 1)]


@pytest.mark.parametrize("effects", range(4))
def test_a_crash_amid_catching_up_makes_each_run_once(effects: int) -> None:
    """Whatever part of the Tasks was created."""
    world = hourly(missedRunPolicy="RunAll", concurrencyPolicy="Allow")
    world.step(1)
    world.step(4 * HOUR + 60, effects=effects)
    world.step(4 * HOUR + 120)
    assert sorted(world.ran) == [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR]
    assert world.status.get("missedRuns", 0) == 0


def test_a_leader_change_at_the_tick_runs_it_once() -> None:
    """The new leader, seconds later and from the old status, decides the same name."""
    for delay in (0.0, 0.5, 8.0, ON_TIME_SECONDS):
        world = hourly(missedRunPolicy="Skip")
        world.step(1)
        first = decide_schedule(world.view(), T0 + HOUR)
        second = decide_schedule(world.view(), T0 + HOUR + delay)
        assert first.actions == second.actions == (CreateTask(world.name(HOUR), T0 + HOUR, "Tick"),)


# --- missed ticks -------------------------------------------------------------------------------------------------


def expected_runs(policy: str, down: int, most: int) -> int:
    """How many of so many missed ticks run."""
    return {"Skip": 0, "RunOnce": 1, "RunAll": min(down, most)}[policy]


@pytest.mark.parametrize("down", [1, 5, 101, 10_000])
@pytest.mark.parametrize("policy", ["Skip", "RunOnce", "RunAll"])
@pytest.mark.parametrize("timing", [{"everySeconds": 60}, {"schedules": ["* * * * *"]}, {"schedules": ["0 3 * * *"]}])
def test_an_operator_that_was_down_catches_up_as_told(
    down: int, policy: str, timing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of runs is exact, the rest is counted, and only so many ticks are looked at one by one."""
    daily = timing.get("schedules") == ["0 3 * * *"]
    period = DAY if daily else 60
    if daily and down > 3000:
        down = 3000
    world = World(concurrencyPolicy="Allow", missedRunPolicy=policy, maxCatchUpRuns=7, **timing)
    world.step(0)
    looked = []
    real = catchup.fire_time
    monkeypatch.setattr(catchup, "fire_time", lambda *given: looked.append(given) or real(*given))
    world.step(down * period + (15 * HOUR if daily else 0) + 20 - (DAY if daily else 0))
    assert len(world.made) == expected_runs(policy, down, 7)
    assert world.status.get("missedRuns", 0) == down - len(world.made)
    assert len(looked) <= ON_TIME_SECONDS + 1 + 7 + 2
    if world.status.get("missedRuns"):
        assert world.ledger[0][0] == "Missed"
        assert world.ledger[0][2] == world.status["missedRuns"]
    assert world.ran == sorted(world.ran)
    assert len(world.status["runs"]) <= MAX_LEDGER


def test_run_all_runs_the_newest_when_there_are_too_many() -> None:
    """The oldest of those first."""
    world = hourly(missedRunPolicy="RunAll", maxCatchUpRuns=2, concurrencyPolicy="Allow")
    world.step(1)
    world.step(5 * HOUR + 600)
    assert world.ran == [4 * HOUR, 5 * HOUR]
    assert world.ledger[0] == ("Missed", HOUR, 3)


def test_a_tick_in_time_is_the_one_run_of_run_once() -> None:
    """Back just when the next tick is due: it runs, and none before it."""
    world = hourly()
    world.step(1)
    world.step(3 * HOUR + 2)
    assert world.ran == [3 * HOUR]
    assert world.status["missedRuns"] == 2


def test_skip_runs_a_tick_in_time_after_a_failover() -> None:
    """A tick is in time for as long as a failover takes."""
    world = hourly(missedRunPolicy="Skip")
    world.step(1)
    world.step(HOUR + ON_TIME_SECONDS)
    assert world.ran == [HOUR]
    late = hourly(missedRunPolicy="Skip")
    late.step(1)
    late.step(HOUR + ON_TIME_SECONDS + 1)
    assert late.ran == []
    assert late.ledger == [("Missed", HOUR, 1)]


def test_catching_up_under_forbid_is_one_after_another_and_costs_no_tick() -> None:
    """All are run, the oldest first, and a tick that comes due meanwhile waits for the one that runs, and goes next."""
    world = hourly(missedRunPolicy="RunAll")
    world.step(1)
    world.until(9 * HOUR, start=4 * HOUR + 1800, runs_for=2000)
    assert world.ran == [hour * HOUR for hour in (1, 5, 2, 6, 3, 7, 4, 8, 9)]
    assert world.status.get("missedRuns", 0) == 0
    assert all(row[0] in ("Started", "Succeeded") for row in world.ledger)


def test_the_starting_deadline_bounds_every_catch_up() -> None:
    """What is too late does not run, and the ledger says why."""
    world = hourly(startingDeadlineSeconds=1000)
    world.step(1)
    world.step(3 * HOUR + 1001)
    assert world.ran == []
    assert world.ledger == [("Missed", HOUR, 2), ("StartingDeadlineExceeded", 3 * HOUR, 1)]
    assert world.status["missedRuns"] == 3
    world.step(4 * HOUR + 1000)
    assert world.ran == [4 * HOUR]


def test_one_tick_at_most_waits_for_a_catch_up_under_forbid() -> None:
    """Forbid is no queue."""
    world = hourly()
    world.step(1)
    world.step(HOUR + 600)
    for hour in (2, 3, 4):
        world.step(hour * HOUR)
    assert [run["scheduledTime"] for run in world.status["queued"]] == [at(2 * HOUR)]
    assert world.ledger[-1] == ("ConcurrencyForbidden", 3 * HOUR, 2)
    world.finish(HOUR, ended=4 * HOUR + 5)
    world.step(4 * HOUR + 5)
    assert world.ran == [HOUR, 2 * HOUR]


def test_long_tasks_under_forbid_do_not_become_a_queue_by_catching_up() -> None:
    """What is made up for fills the time between regular runs, and comes to its end."""
    world = hourly(missedRunPolicy="RunAll")
    world.step(1)
    world.until(40 * HOUR, start=4 * HOUR + 1800, runs_for=HOUR + 1800)
    assert {HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR} <= set(world.ran)
    assert world.status["queued"] == []
    assert world.ran[-8:] == sorted(world.ran[-8:])


# --- concurrency --------------------------------------------------------------------------------------------------


def test_forbid_skips_while_a_run_is_unfinished() -> None:
    """One row for all of it, and the next tick after its end runs."""
    world = World(everySeconds=60)
    world.until(600, runs_for=250)
    assert world.ran == [60, 360]
    assert ("ConcurrencyForbidden", 120, 4) in world.ledger


def test_every_second_under_forbid_with_long_tasks_is_bounded() -> None:
    """Neither a Task nor a write a second: skipped ticks are written down every ten seconds, in one row."""
    world = World(everySeconds=1)
    world.until(3600, runs_for=1800.5)
    assert len(world.made) == 2
    assert world.writes <= 3600 / 10 + 10
    assert len(world.ledger) <= 5
    assert sum(row[2] for row in world.ledger) >= 3590


def test_ticks_of_a_busy_time_do_not_run_after_it() -> None:
    """A pass that comes after the run has ended still knows that it was unfinished then."""
    world = World(everySeconds=5)
    world.step(5)
    world.finish(5, ended=11.5)
    world.step(13)
    assert world.ran == [5]
    assert world.ledger == [("Succeeded", 5, 1), ("ConcurrencyForbidden", 10, 1)]
    world.step(15)
    assert world.ran == [5, 15]
    world.finish(15, ended=20)
    world.step(20.5)
    assert world.ran == [5, 15, 20]


def test_allow_runs_side_by_side_up_to_a_bound() -> None:
    """A hundred unfinished runs of one Schedule are enough."""
    world = World(everySeconds=10, concurrencyPolicy="Allow")
    world.until(10 * (MAX_UNFINISHED + 30))
    assert len(world.made) == MAX_UNFINISHED
    assert world.ledger[-1] == ("TooManyUnfinished", 10 * (MAX_UNFINISHED + 1), 30)


def test_queue_runs_every_tick_one_after_another() -> None:
    """In their order, however long each takes."""
    world = World(everySeconds=60, concurrencyPolicy="Queue", endTime=at(300))
    world.until(2000, runs_for=200)
    assert world.ran == [60, 120, 180, 240, 300]
    assert world.status["queued"] == []
    assert [row[0] for row in world.ledger] == ["Succeeded"] * 5


def test_the_queue_is_bounded_and_keeps_to_the_deadline() -> None:
    """What waited too long does not run; what finds the queue full is skipped."""
    world = World(everySeconds=60, concurrencyPolicy="Queue", startingDeadlineSeconds=100)
    for tick in range(60, 361, 60):
        world.step(tick)
    assert len(world.status["queued"]) == 5
    world.finish(60, ended=361)
    world.step(361)
    assert world.ran == [60, 300]
    assert world.status["missedRuns"] == 3
    full = World(everySeconds=1, concurrencyPolicy="Queue")
    for tick in range(1, MAX_QUEUED + 6):
        full.step(tick)
    assert len(full.status["queued"]) == MAX_QUEUED
    assert full.ledger[-1] == ("QueueFull", MAX_QUEUED + 2, 4)


def test_replace_cancels_and_starts_when_the_old_one_has_ended() -> None:
    """There are never two at once; of several that wait, the newest runs."""
    world = World(everySeconds=60, concurrencyPolicy="Replace")
    world.step(60)
    decision = world.step(120)
    assert [type(action) for action in decision.actions] == [CancelTask]
    assert world.step(121).actions == ()
    assert world.step(180).actions == ()
    assert world.ran == [60]
    world.finish(60, "Cancelled", ended=185)
    world.step(185)
    assert world.ran == [60, 180]
    assert world.ledger == [("Cancelled", 60, 1), ("Superseded", 120, 1), ("Started", 180, 1)]


def test_replace_leaves_a_backfill_waiting() -> None:
    """The newest run takes the place of those that were to come, not of past ones that were asked for."""
    world = hourly(concurrencyPolicy="Replace")
    world.step(HOUR)
    world.backfill = f"{at(-HOUR)}/{at(0)}"
    world.step(HOUR + 1)
    world.step(2 * HOUR)
    assert [run.get("trigger", "Tick") for run in world.status["queued"]] == ["Tick", "Backfill"]
    world.step(3 * HOUR)
    assert [run["scheduledTime"] for run in world.status["queued"]] == [at(3 * HOUR), at(-HOUR)]


def test_replace_after_an_outage_runs_the_newest_only() -> None:
    """Also when all were to run: each would replace the one before."""
    world = World(everySeconds=60, concurrencyPolicy="Replace", missedRunPolicy="RunAll")
    world.step(1)
    world.step(300 + 30)
    assert world.ran == [300]
    assert world.ledger == [("Superseded", 60, 4), ("Started", 300, 1)]


def test_a_recent_success_makes_a_run_needless() -> None:
    """Counted from the end of the last success, a run-now's too."""
    world = hourly(skipIfSucceededWithinSeconds=5000)
    world.step(HOUR)
    world.finish(HOUR, ended=HOUR + 100)
    world.step(2 * HOUR)
    world.step(3 * HOUR)
    assert world.ran == [HOUR, 3 * HOUR]
    assert ("SucceededRecently", 2 * HOUR, 1) in world.ledger


# --- run now ------------------------------------------------------------------------------------------------------


def test_run_now_runs_once_for_each_value() -> None:
    """Under a name of its own, which a crash finds again."""
    world = hourly()
    world.step(1)
    world.run_now = "first"
    world.step(10, effects=1)
    world.step(11)
    world.step(12)
    assert world.made == [run_now_name("nightly", "first")]
    assert world.status["lastRunNow"] == "first"
    world.finish(world.made[0], ended=20)
    world.step(21)
    world.run_now = "second"
    world.step(22)
    assert len(world.made) == 2
    assert [row[0] for row in world.ledger] == ["Succeeded", "Started"]
    assert len(world.made[0]) <= len(world.name(0))


def test_run_now_obeys_forbid() -> None:
    """It is skipped with a reason, and does not come back later."""
    world = hourly()
    world.step(HOUR)
    world.run_now = "x"
    world.step(HOUR + 5)
    world.finish(HOUR, ended=HOUR + 6)
    world.step(HOUR + 7)
    assert world.ran == [HOUR]
    assert world.ledger[-1] == ("ConcurrencyForbidden", HOUR + 5, 1)


def test_run_now_racing_the_tick_under_forbid_makes_one() -> None:
    """The tick is first, in whichever order they were seen."""
    world = hourly()
    world.step(1)
    world.run_now = "x"
    world.step(HOUR)
    assert world.ran == [HOUR]
    assert [row[0] for row in world.ledger] == ["Started", "ConcurrencyForbidden"]


def test_run_now_waits_under_queue_and_replaces_under_replace() -> None:
    """As a tick would."""
    queue = hourly(concurrencyPolicy="Queue")
    queue.step(HOUR)
    queue.run_now = "x"
    queue.step(HOUR + 1)
    queue.finish(HOUR, ended=HOUR + 2)
    queue.step(HOUR + 2)
    assert queue.made == [queue.name(HOUR), run_now_name("nightly", "x")]
    replace = hourly(concurrencyPolicy="Replace")
    replace.step(HOUR)
    replace.run_now = "x"
    assert isinstance(replace.step(HOUR + 1).actions[0], CancelTask)


def test_run_now_runs_a_suspended_schedule_and_one_with_bad_times() -> None:
    """Whoever asks for it by hand means it."""
    for fields in ({"suspend": True}, {"schedules": ["nonsense"]}):
        world = hourly(**fields)
        world.step(1)
        world.run_now = "x"
        world.step(2)
        assert world.made == [run_now_name("nightly", "x")]


def test_a_huge_nonce_is_kept_short() -> None:
    """Its hash is enough to know it again."""
    world = hourly()
    world.run_now = "x" * 200_000
    world.step(1)
    world.step(2)
    assert len(world.made) == 1
    assert len(world.status["lastRunNow"]) == 64


# --- backfill -----------------------------------------------------------------------------------------------------


def test_a_backfill_runs_the_ticks_of_a_past_interval_one_after_another() -> None:
    """From the first instant on and before the second, also from before the creation; ticks that come due go first."""
    world = hourly()
    world.step(HOUR + 1800)
    world.finish(HOUR, ended=HOUR + 1801)
    world.backfill = f"{at(-3 * HOUR)}/{at(0)}"
    world.until(5 * HOUR, start=HOUR + 1802, runs_for=1500)
    assert world.ran == [hour * HOUR for hour in (1, -3, -2, 2, -1, 3, 4, 5)]
    assert world.status["lastScheduleTime"] == at(5 * HOUR)


def test_a_backfill_under_allow_starts_at_once() -> None:
    """All of it."""
    world = hourly(concurrencyPolicy="Allow")
    world.backfill = f"{at(-3 * HOUR)}/{at(0)}"
    world.step(1)
    world.step(2)
    assert world.ran == [-3 * HOUR, -2 * HOUR, -HOUR]


def test_a_backfill_leaves_ticks_alone_whose_task_is_there() -> None:
    """Asked for again under another name, it runs what was deleted meanwhile."""
    world = hourly(concurrencyPolicy="Allow")
    world.until(3 * HOUR)
    world.backfill = f"{at(0)}/{at(3 * HOUR)}"
    world.step(3 * HOUR + 1)
    assert world.ran == [HOUR, 2 * HOUR, 3 * HOUR, 0]
    assert ("TaskExists", HOUR, 2) in world.ledger
    del world.tasks[world.name(HOUR)]
    world.backfill += "/again"
    world.step(3 * HOUR + 2)
    assert world.ran[-1] == HOUR


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "RFC 3339"),
        (f"{at(0)}/{at(-5)}", "RFC 3339"),
        ("2026-13-01T00:00:00Z/2026-14-01T00:00:00Z", "RFC 3339"),
        ("2026-01-01T00:00:00/2026-01-02T00:00:00x", "RFC 3339"),
        ("x" * 100_000, "RFC 3339"),
        (f"{at(-HOUR)}/{at(90 * HOUR)}", "must end in the past"),
        ("2020-01-01T00:00:00Z/2026-01-01T00:00:00Z", f"more ticks than the {MAX_QUEUED}"),
        (f"{at(-60)}/{at(-5)}", "no ticks"),
    ],
)
def test_a_backfill_that_cannot_be_done_is_refused_whole(text: str, words: str) -> None:
    """With a row that says why, once."""
    world = hourly()
    world.backfill = text
    for moment in (1, 2):
        world.step(moment)
    assert world.made == []
    assert [row[0] for row in world.ledger] == ["InvalidBackfill"]
    assert words in world.status["runs"][0]["message"]


# --- suspension ---------------------------------------------------------------------------------------------------


def test_a_week_of_suspension_is_not_made_up_for() -> None:
    """One row for all of it; the next tick runs."""
    world = hourly(missedRunPolicy="RunAll")
    world.step(HOUR)
    world.edit(suspend=True)
    decision = world.step(HOUR + 60)
    assert decision.wake_at is None
    assert "nextScheduleTime" not in world.status
    assert world.condition()[:2] == ("True", "Suspended")
    world.edit(suspend=False)
    world.step(HOUR + 7 * DAY + 60)
    world.step(HOUR + 7 * DAY + 61)
    assert world.ran == [HOUR]
    assert world.ledger[-1] == ("Suspended", 2 * HOUR, 7 * 24)
    assert world.status.get("missedRuns", 0) == 0
    world.finish(HOUR, ended=HOUR + 70)
    world.step(2 * HOUR + 7 * DAY)
    assert world.ran == [HOUR, 2 * HOUR + 7 * DAY]


@pytest.mark.parametrize(("policy", "cancelled", "queued"), [("DropPending", 1, 0), ("Keep", 0, 1)])
def test_what_waits_when_it_is_suspended(policy: str, cancelled: int, queued: int) -> None:
    """Tasks that have not started are cancelled, and runs that wait forgotten; or both are kept."""
    world = World(everySeconds=60, concurrencyPolicy="Queue", onSuspend=policy)
    world.step(60)
    world.step(120)
    world.edit(suspend=True)
    decision = world.step(130)
    assert [action.mode for action in decision.actions if isinstance(action, CancelTask)] == ["IfPending"] * cancelled
    assert len(world.status["queued"]) == queued
    world.finish(60, ended=140)
    world.step(150)
    assert world.ran == [60]
    world.edit(suspend=False)
    world.step(155)
    assert world.ran == [60, 120][: 1 + queued]


def test_a_running_task_is_not_touched_by_suspension() -> None:
    """It ends by itself."""
    world = hourly()
    world.step(HOUR)
    world.tasks[world.name(HOUR)] = world.tasks[world.name(HOUR)]._replace(phase="Running")
    world.edit(suspend=True)
    assert world.step(HOUR + 5).actions == ()


def test_failures_in_a_row_suspend_until_the_spec_is_edited() -> None:
    """It stands in the status, so Git's spec stays as it is."""
    world = hourly(suspendAfterConsecutiveFailures=2)
    for tick in (HOUR, 2 * HOUR):
        world.step(tick)
        world.finish(tick, "Failed", ended=tick + 10)
        world.step(tick + 20)
    assert world.status["consecutiveFailures"] == 2
    assert world.status["suspension"]["reason"] == "ConsecutiveFailures"
    assert world.condition()[:2] == ("False", "ConsecutiveFailures")
    world.step(3 * HOUR)
    assert len(world.made) == 2
    world.edit(suspendAfterConsecutiveFailures=3)
    world.step(3 * HOUR + 60)
    assert "suspension" not in world.status
    assert world.status["consecutiveFailures"] == 0
    world.step(4 * HOUR)
    assert world.ran == [HOUR, 2 * HOUR, 4 * HOUR]


def test_a_run_now_that_succeeds_ends_the_suspension_for_failures() -> None:
    """It shows that the fault is mended."""
    world = hourly(suspendAfterConsecutiveFailures=1)
    world.step(HOUR)
    world.finish(HOUR, "Failed", ended=HOUR + 10)
    world.step(HOUR + 20)
    world.run_now = "mended"
    world.step(HOUR + 30)
    world.finish(world.made[-1], ended=HOUR + 40)
    world.step(HOUR + 41)
    assert "suspension" not in world.status
    assert world.status["nextScheduleTime"] == at(2 * HOUR)


def test_a_success_between_failures_begins_the_count_anew() -> None:
    """A cancelled or expired run says nothing about the Task and changes nothing."""
    world = hourly(suspendAfterConsecutiveFailures=2, concurrencyPolicy="Allow")
    for number, phase in enumerate(["Failed", "Cancelled", "Expired", "Succeeded", "Failed"], 1):
        world.step(number * HOUR)
        world.finish(number * HOUR, phase, ended=number * HOUR + 5)
        world.step(number * HOUR + 6)
    assert world.status["consecutiveFailures"] == 1
    assert "suspension" not in world.status


# --- edits, clocks ------------------------------------------------------------------------------------------------


def test_applying_the_same_manifest_again_fires_nothing() -> None:
    """However often, and whatever generation it gets."""
    world = hourly()
    world.step(HOUR)
    world.finish(HOUR, ended=HOUR + 1)
    for moment in range(2, 50):
        world.generation += 1
        world.step(HOUR + moment)
    assert world.ran == [HOUR]


def test_an_edit_of_when_fires_nothing_of_the_past() -> None:
    """Not even with RunAll: ticks that only the new times have were never promised."""
    world = World(schedules=["0 15 * * *"], missedRunPolicy="RunAll")
    world.step(1)
    world.edit(schedules=["*/5 * * * *"])
    world.step(2 * HOUR + 2)
    assert world.made == []
    assert world.status["nextScheduleTime"] == at(2 * HOUR + 300)


def test_an_edit_while_the_clock_is_back_fires_nothing_twice() -> None:
    """What is dealt with stays so."""
    world = hourly()
    world.until(3 * HOUR, runs_for=5)
    world.step(3 * HOUR + 5)
    world.edit(schedules=["*/30 * * * *"])
    world.step(HOUR + 60)
    world.until(3 * HOUR + 1800, start=HOUR + 61, runs_for=5)
    assert world.ran == [HOUR, 2 * HOUR, 3 * HOUR, 3 * HOUR + 1800]


def test_an_edit_at_the_tick_loses_no_promised_tick() -> None:
    """Both times have it, and it is due just now."""
    world = World(schedules=["*/5 * * * *"])
    world.step(1)
    world.edit(schedules=["*/10 * * * *"])
    world.step(300.2)
    assert world.ran == []
    world.step(590)
    world.edit(schedules=["*/5 * * * *"])
    world.step(600.2)
    assert world.ran == [600]


def test_an_edit_of_the_task_at_the_tick_loses_nothing() -> None:
    """Nor when the operator was down meanwhile: the times are the same."""
    world = hourly()
    world.step(1)
    world.edit(concurrencyPolicy="Allow")
    world.step(HOUR + 600)
    assert world.ran == [HOUR]


def test_a_mended_schedule_does_not_make_up_for_its_broken_time() -> None:
    """Nothing was promised meanwhile."""
    world = hourly(schedules=["nonsense"], missedRunPolicy="RunAll")
    world.step(1)
    assert world.condition()[:2] == ("False", "InvalidSchedule")
    assert world.condition("Stalled")[2].startswith("spec.schedules[0]: ")
    world.edit(schedules=["0 * * * *"])
    world.step(5 * HOUR + 60)
    assert world.made == []
    assert world.condition() == ("True", "Ready", "Tasks are created in time")
    assert world.condition("Stalled") == ("", "", "")


@pytest.mark.parametrize("back", [60, HOUR, DAY])
def test_a_clock_that_goes_back_fires_nothing_twice(back: int) -> None:
    """Also when the Task is gone already; the status says that something is wrong."""
    world = hourly()
    world.until(30 * HOUR, runs_for=60)
    made = list(world.made)
    world.tasks.clear()
    for moment in range(0, back, 600):
        world.step(30 * HOUR + 1 - back + moment)
    assert world.made == made
    world.step(30 * HOUR + 1 - DAY)
    assert world.condition()[1] == "ClockWentBack"
    world.step(31 * HOUR)
    assert world.made == [*made, world.name(31 * HOUR)]
    assert world.condition()[1] == "Ready"


def test_a_clock_that_goes_forward_runs_what_lies_between_as_missed() -> None:
    """And when it comes back, nothing again."""
    world = hourly()
    world.step(HOUR)
    world.finish(HOUR, ended=HOUR + 1)
    world.step(2 * HOUR + 1200)
    world.finish(2 * HOUR, ended=2 * HOUR + 1201)
    for moment in (HOUR + 1300, 2 * HOUR, 2 * HOUR + 1300):
        world.step(moment)
    assert world.ran == [HOUR, 2 * HOUR]


# --- faults, history, order ---------------------------------------------------------------------------------------


def test_a_refused_task_is_tried_again_and_said() -> None:
    """The tick stays due; a later one takes its place as after any outage."""
    world = hourly()
    world.step(1)
    world.refusal = Refusal("spec.jobTemplate: Required value", T0 + HOUR + 30)
    decision = world.step(HOUR + 1)
    assert decision.actions == ()
    assert decision.wake_at == T0 + HOUR + 30
    assert world.condition("Stalled")[:2] == ("True", "TaskRefused")
    world.step(HOUR + 31)
    assert world.ran == [HOUR]
    world.refusal = None
    world.step(HOUR + 32)
    assert world.condition()[:2] == ("True", "Ready")


def test_a_name_that_is_taken_costs_one_tick() -> None:
    """Nobody else's Task is touched."""
    world = hourly()
    world.step(1)
    world.taken = frozenset({world.name(HOUR)})
    world.step(HOUR)
    world.step(2 * HOUR)
    assert world.ran == [2 * HOUR]
    assert world.ledger == [("NameTaken", HOUR, 1), ("Started", 2 * HOUR, 1)]


def test_history_is_kept_to_its_limits_and_only_what_is_written_down_goes() -> None:
    """The newest stay; a result is written first, and its Task deleted by a later pass."""
    world = World(everySeconds=60, successfulTasksHistoryLimit=2, failedTasksHistoryLimit=1)
    for number in range(1, 8):
        world.step(60 * number)
        world.finish(60 * number, "Failed" if number in (2, 3) else "Succeeded", ended=60 * number + 5)
        before = set(world.tasks)
        world.step(60 * number + 6)
        assert world.name(60 * number) in before & set(world.tasks)
        world.step(60 * number + 7)
    assert sorted(world.tasks) == [world.name(60 * number) for number in (3, 6, 7)]


def test_a_task_is_deleted_only_after_its_result_is_written() -> None:
    """The pass that learns of the end writes it; the next one deletes."""
    world = hourly(successfulTasksHistoryLimit=0)
    world.step(HOUR)
    world.finish(HOUR, ended=HOUR + 5)
    assert world.step(HOUR + 6).actions == ()
    assert [type(action) for action in world.step(HOUR + 7).actions] == [DeleteTask]


def test_no_history_at_all_still_runs_each_tick_once() -> None:
    """The status remembers, not the Tasks."""
    world = World(everySeconds=60, successfulTasksHistoryLimit=0)
    world.until(600, runs_for=5)
    world.step(611)
    world.step(612)
    assert world.tasks == {}
    assert world.ran == [60 * number for number in range(1, 11)]


def test_the_ledger_keeps_the_last_twenty() -> None:
    """Of whatever kind."""
    world = World(everySeconds=60)
    world.until(6000, runs_for=5)
    assert len(world.ledger) == MAX_LEDGER
    assert world.ledger[-1][:2] == ("Started", 6000)


def test_the_same_view_gives_the_same_decision() -> None:
    """Nothing is remembered between passes."""
    world = hourly(jitterSeconds=300, missedRunPolicy="RunAll")
    world.step(1)
    assert decide_schedule(world.view(), T0 + 9 * HOUR) == decide_schedule(world.view(), T0 + 9 * HOUR)


def test_every_reason_of_a_skip_has_words() -> None:
    """The docs print them."""
    assert set(SKIP_MEANINGS) == set(Skip)
    assert decide.BLOCKED_RECHECK_SECONDS < ON_TIME_SECONDS


# --- a walk -------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 200)),
        st.tuples(st.just("outage"), st.integers(200, 20_000)),
        st.tuples(st.just("back"), st.integers(1, 4_000)),
        st.tuples(st.just("crash"), st.integers(0, 5)),
        st.tuples(st.just("finish"), st.sampled_from(["Succeeded", "Failed", "Cancelled", "Expired"])),
        st.tuples(st.just("delete"), st.just(0)),
        st.tuples(st.just("run now"), st.integers(0, 3)),
        st.tuples(st.just("suspend"), st.booleans()),
        st.tuples(st.just("edit"), st.sampled_from(["* * * * *", "*/2 * * * *", "*/7 * * * * *", "nonsense"])),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(
    steps=STEPS,
    policy=st.sampled_from(["Allow", "Forbid", "Queue", "Replace"]),
    missed=st.sampled_from(["Skip", "RunOnce", "RunAll"]),
    jitter=st.sampled_from([0, 30]),
    limit=st.sampled_from([None, 2]),
)
def test_whatever_happens_no_tick_runs_twice_or_early(
    steps: list[tuple[str, Any]], policy: str, missed: str, jitter: int, limit: int | None
) -> None:
    """With crashes, outages, clocks going back, edits, deletions and run-nows in any order."""
    world = World(
        schedules=["* * * * *"],
        concurrencyPolicy=policy,
        missedRunPolicy=missed,
        jitterSeconds=jitter,
        suspendAfterConsecutiveFailures=limit,
    )
    now = latest = 0.0
    for step, value in steps:
        effects = 99
        if step in ("wait", "outage"):
            now += value
        elif step == "back":
            now -= value
        elif step == "crash":
            effects = value
        elif step == "run now":
            world.run_now = str(value)
        elif step == "suspend":
            world.edit(suspend=value)
        elif step == "edit":
            world.edit(schedules=[value])
        known = {run["taskName"] for run in world.status.get("active", ())}
        if step == "finish":
            for name in sorted(known & set(world.tasks)):
                world.finish(name, value, ended=now)
        if step == "delete":
            for name in known & set(world.tasks):
                del world.tasks[name]
        decision = world.step(now, effects=effects)
        latest = max(latest, now)
        assert decision.wake_at is None or decision.wake_at >= T0 + now
        unfinished = [task for task in world.tasks.values() if not task.finished]
        assert policy == "Allow" or len(unfinished) <= 1
        assert all(tick <= latest for tick in made_ticks(world))
    runs = [name for name in world.made if name.rpartition("-")[2].isdecimal()]
    assert len(runs) == len(set(runs))
    assert len(world.status.get("runs", ())) <= MAX_LEDGER


def made_ticks(world: World) -> list[float]:
    """The tick of each Task; nothing for a run-now."""
    parts = [name.rpartition("-")[2] for name in world.made]
    return [int(part) - T0 if part.isdecimal() else -1e9 for part in parts]
