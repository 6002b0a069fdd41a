"""Tasks with one deduplication key: who holds it, who loses, and that two never run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NAMESPACE, T0, TaskBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import FetchPods, FetchTask, Launch, WriteStatus
from taskq.domain.archive import finished
from taskq.domain.board import Board, Limits
from taskq.domain.deduplication import Ended, end_of, note_end
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import Job, Key, QueueSpec, Task
from taskq.resources.common import DEDUPLICATION_ANNOTATION

QUEUE = Key(NAMESPACE, "default")


def board_of(*, known: bool = True) -> Board:
    """A board that knows the default queue, and what has ended before."""
    board = Board(Limits())
    board.on_queue(None, make_queue("default", maxConcurrency=100).build())
    if known:
        board.deduplication.begin()
        board.deduplication.complete({})
    return board


def task(name: str, created: float = 0, key: str = "k", **asked: Any) -> TaskBuilder:
    """A Task with a key."""
    return make_task(name, created=created, deduplication={"key": key, **asked})


def decided(board: Board, now: float = 10) -> dict[str, str]:
    """What a pass does: the name of each Task with «launch», or the reason of its end."""
    found = {}
    for action in board.plan(T0 + now).actions:
        if isinstance(action, Launch):
            found[action.task.name] = "launch"
        elif isinstance(action, WriteStatus):
            found[action.task.name] = str(action.status["reason"])
    return found


def show(board: Board, *tasks: TaskBuilder) -> None:
    """The watch brings new Tasks."""
    for one in tasks:
        board.on_task(None, one.build())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_the_oldest_holds_a_key_and_the_others_end(order: tuple[int, ...]) -> None:
    """In whatever order they are seen; Tasks of one second by their names."""
    board = board_of()
    found = [task("b", 0), task("a", 1), task("c", 0)]
    show(board, *(found[number] for number in order))
    assert decided(board) == {"b": "launch", "a": "Duplicate", "c": "Duplicate"}


def test_keys_and_queues_are_apart() -> None:
    """Another key, another queue or no key at all: nobody loses."""
    board = board_of()
    board.on_queue(None, make_queue("other").build())
    elsewhere = make_task("c", queueName="other", deduplication={"key": "k"})
    show(board, task("a"), task("b", key="other"), elsewhere, make_task("d"))
    assert set(decided(board).values()) == {"launch"}


def test_the_newest_that_replaces_holds_a_key_until_one_has_started() -> None:
    """Older ones are told that they were replaced; whoever comes after the start is a duplicate."""
    board = board_of()
    show(board, task("a", 0), task("b", 1, mode="Replace"), task("c", 2, mode="Replace"), task("d", 3))
    assert decided(board) == {"c": "launch", "a": "Replaced", "b": "Replaced", "d": "Duplicate"}
    show(board, task("e", 4, mode="Replace"))
    assert decided(board) == {"e": "Duplicate"}


def test_who_has_started_keeps_the_key() -> None:
    """Also between two attempts, and if an older one comes to light."""
    for started in (task("late", 5).running(6), task("late", 5).failed_once(6, 60)):
        board = board_of()
        show(board, task("early", 0), started)
        if started.build().status.phase == "Running":
            board.on_job(None, make_job(started.build(), created=6).build())
        assert decided(board, 7) == {"early": "Duplicate"}


def test_a_job_shows_who_has_started_before_any_status_does() -> None:
    """After a crash between the creation of the Job and the write: the Jobs are listed before anything is decided."""
    board = board_of()
    late = task("late", 5).build()
    board.on_task(None, task("early", 0).build())
    board.on_task(None, late)
    board.on_job(None, recorded(late, 6))
    assert decided(board, 7) == {"early": "Duplicate"}


def test_the_next_one_may_start_when_the_holder_has_ended() -> None:
    """Without a window there is nothing to wait for."""
    board = board_of()
    holder = task("a").running()
    show(board, holder)
    board.on_job(None, make_job(holder.build()).build())
    board.on_task(holder.build(), holder.version(2).ended("Succeeded", 5).build())
    show(board, task("b", 4))
    assert decided(board, 6) == {"b": "launch"}


def test_a_window_counts_from_the_end_of_a_task_that_ran() -> None:
    """By the time of creation, so that the answer never changes; one that never started counts for nothing."""
    for ended, created, ran, expected in (
        (10, 69, True, "Duplicate"),
        (10, 70, True, "launch"),
        (10, 11, False, "launch"),
    ):
        board = board_of()
        last = task("last").status(attempt=1 if ran else 0).ended("Failed", ended)
        board.on_task(None, last.build())
        show(board, task("next", created, windowSeconds=60))
        assert decided(board, 1000) == {"next": expected}


def test_a_task_with_a_window_waits_until_it_is_known_what_ended_before() -> None:
    """One without a window need not; what ends while the list is read is not forgotten."""
    board = board_of(known=False)
    board.deduplication.begin()
    show(board, task("windowed", 20, windowSeconds=60), task("plain", 20, "other"), task("late", 19, "third"))
    assert decided(board, 20) == {"plain": "launch", "late": "launch"}
    last = task("before", key="k").status(attempt=1).ended("Succeeded", 10).build()
    gone: dict[Any, Ended] = {}
    note_end(last, gone)
    board.on_task(None, task("meanwhile", key="new").status(attempt=1).ended("Succeeded", 21).build())
    board.deduplication.complete(gone)
    show(board, task("too-soon", 30, "new", windowSeconds=60))
    assert decided(board, 30) == {"windowed": "Duplicate", "too-soon": "Duplicate"}


def test_what_the_next_list_does_not_show_is_forgotten() -> None:
    """Somebody deleted it, in order to run its work again."""
    board = board_of()
    last = task("last").status(attempt=1).ended("Succeeded", 10).build()
    board.on_task(None, last)
    board.on_task(last, None)
    board.deduplication.begin()
    board.deduplication.complete({})
    show(board, task("next", 20, windowSeconds=60))
    assert decided(board, 20) == {"next": "launch"}


def test_a_task_that_left_without_a_word_is_looked_up_when_somebody_needs_to_know() -> None:
    """The watch may tell of its leaving before the answer to the write that ended it; nobody starts in between."""
    board = board_of()
    ran = task("ran").running()
    board.on_task(None, ran.build())
    board.on_job(None, recorded(ran.build()))
    board.on_task(ran.build(), None)
    board.on_job(recorded(ran.build()), make_job(ran.build()).complete(10).build())
    show(board, task("next", 11, windowSeconds=60), make_task("other", created=11))
    plan = board.plan(T0 + 11)
    (fetch,) = [action for action in plan.actions if isinstance(action, FetchTask)]
    assert [action.task.name for action in plan.actions if isinstance(action, Launch)] == ["other"]
    board.asked(fetch, T0 + 11, failed=True)
    assert plan.wake_at == T0 + 16
    (fetch,) = [action for action in board.plan(T0 + 16).actions if isinstance(action, FetchTask)]
    board.task_found(fetch, ran.ended("Succeeded", 10).build())
    board.asked(fetch, T0 + 16, failed=False)
    assert decided(board, 16) == {"next": "Duplicate"}


def test_the_answer_to_the_write_that_ended_a_task_tells_as_well() -> None:
    """No look-up is needed then."""
    board = board_of()
    ran = task("ran").running()
    board.on_task(None, ran.build())
    board.on_task(ran.build(), None)
    board.ended(ran.ended("Succeeded", 10).build())
    show(board, task("next", 11, windowSeconds=60))
    assert decided(board, 11) == {"next": "Duplicate"}


def recorded(of: Task, created: float = 0) -> Job:
    """The Job of a Task, as it is made: with the key on it."""
    job = make_job(of, created=created).active()
    assert of.spec.deduplication is not None
    return job.meta(annotations={DEDUPLICATION_ANNOTATION: of.spec.deduplication.key}).build()


def test_the_job_of_a_deleted_task_holds_its_key_until_its_last_pod_has_ended() -> None:
    """Also for an operator that never saw the Task."""
    board = board_of()
    gone = task("gone").build()
    job = recorded(gone)
    board.on_job(None, job)
    pod = make_pod(job).running(1).build()
    board.on_pod(None, pod)
    show(board, task("next", 5))
    assert decided(board, 6) == {}
    board.on_job(job, None)
    (fetch,) = [action for action in board.plan(T0 + 7).actions if isinstance(action, FetchPods)]
    board.asked(fetch, T0 + 7, failed=False)
    assert decided(board, 7) == {}
    board.on_pod(pod, None)
    assert decided(board, 8) == {"next": "launch"}


def test_a_key_is_held_while_the_creation_of_a_job_is_under_way() -> None:
    """The Task may be deleted meanwhile."""
    board = board_of()
    holder = task("a").build()
    board.on_task(None, holder)
    (launch,) = board.plan(T0).actions
    assert isinstance(launch, Launch)
    board.on_task(holder, None)
    show(board, task("b", 1))
    assert decided(board, 1) == {}
    board.not_launched(launch, None, T0 + 1)
    assert decided(board, 1) == {"b": "launch"}


def test_a_refused_job_is_no_start() -> None:
    """Its Task can still be replaced."""
    board = board_of()
    board.on_task(None, task("a").build())
    (launch,) = board.plan(T0).actions
    assert isinstance(launch, Launch)
    board.not_launched(launch, ("QuotaExceeded", "no"), T0)
    show(board, task("b", 1, mode="Replace"))
    assert decided(board, 1) == {"a": "Replaced", "b": "launch"}


def test_the_job_carries_the_key() -> None:
    """Its Task may be deleted while it still ends."""
    of = task("a", key="import 7").build()
    assert b'"taskq.dev/deduplication-key":"import 7"' in job_manifest(of, of.raw, QueueSpec())


def test_a_finished_task_is_kept_until_its_window_is_over() -> None:
    """Whatever its time to live says; a duplicate itself is not."""
    spec = {"windowSeconds": 60}
    ran = task("ran", **spec)._with("spec", ttl={"afterSuccessSeconds": 0}).status(attempt=1).ended("Succeeded", 10)
    lost = task("lost", **spec)._with("spec", ttl={"afterFailureSeconds": 0}).ended("Cancelled", 10)
    assert finished(ran.build(), QueueSpec()).expires == T0 + 70
    assert finished(lost.build(), QueueSpec()).expires == T0 + 10
    assert end_of(lost.build()) is None


@dataclass
class World:
    """An API server with Tasks of two keys, Jobs, and a board; and the rules said plainly, over all that is there."""

    tasks: dict[str, TaskBuilder] = field(default_factory=dict)
    jobs: dict[str, Task] = field(default_factory=dict)
    """The Tasks whose Jobs run."""
    board: Board = field(default_factory=board_of)
    shown: dict[str, Task] = field(default_factory=dict)
    now: float = 0
    version: int = 1
    history: list[tuple[str, str]] = field(default_factory=list)
    """What started and what ended, one after the other: times alone can't tell within a second."""

    def put(self, name: str, one: TaskBuilder) -> None:
        """A Task is created or changes."""
        self.version += 1
        self.tasks[name] = one.version(self.version)
        built = self.tasks[name].build()
        old = self.shown.get(name)
        self.shown[name] = built
        self.board.on_task(old, built)
        if built.is_terminal:
            self.board.on_task(self.shown.pop(name), None)

    def restart(self) -> None:
        """A new process lists everything."""
        self.board, self.shown = board_of(known=False), {}
        self.board.deduplication.begin()
        for of in self.jobs.values():
            self.board.on_job(None, recorded(of))
        ends: dict[Any, Ended] = {}
        for name, one in self.tasks.items():
            built = one.build()
            note_end(built, ends)
            if not built.is_terminal:
                self.shown[name] = built
                self.board.on_task(None, built)
        self.board.deduplication.complete(ends)

    def run(self, *, crash: bool) -> None:
        """Carry out one plan after the other; with a crash, the first one only in part."""
        while actions := [a for a in self.board.plan(T0 + self.now).actions if isinstance(a, Launch | WriteStatus)]:
            for number, action in enumerate(actions):
                if crash and number:
                    return self.restart()
                name = action.task.name
                if isinstance(action, Launch):
                    self.jobs[name] = self.tasks[name].build()
                    self.history.append(("start", name))
                    if not crash:
                        self.board.on_job(None, recorded(self.jobs[name]))
                        self.board.launched(action)
                else:
                    assert name not in self.jobs or action.status["phase"] == "Running"
                    self.put(name, self.tasks[name].status(**action.status))
                    self.board.written(action, T0 + self.now, failed=False)
            if crash:
                return self.restart()
        return None

    def end(self, name: str, phase: str) -> None:
        """A Job completes, and the end of its Task is written."""
        of = self.jobs.pop(name)
        self.history.append(("end", name))
        if name in self.shown:
            self.put(name, self.tasks[name].status(attempt=1).ended(phase, self.now))
        done = make_job(of).complete(self.now).meta(annotations=recorded(of).metadata.annotations).build()
        self.board.on_job(recorded(of), done)

    def check(self) -> None:
        """Never two with one key: not running, and after everything is decided not unfinished either."""
        keys = [of.spec.deduplication.key for of in self.jobs.values() if of.spec.deduplication]
        assert len(keys) == len(set(keys))
        unfinished = [one.build() for one in self.tasks.values() if not one.build().is_terminal]
        keys = [one.spec.deduplication.key for one in unfinished if one.spec.deduplication]
        assert len(keys) == len(set(keys))


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from("kl"), st.sampled_from(["Reject", "Replace"]), st.booleans()),
        st.tuples(st.just("end"), st.integers(0, 5), st.sampled_from(["Succeeded", "Failed"])),
        st.tuples(st.just("delete"), st.integers(0, 20)),
        st.tuples(st.just("run"), st.booleans()),
        st.tuples(st.just("work"), st.sampled_from(["Succeeded", "Failed"])),
        st.tuples(st.just("restart")),
        st.tuples(st.just("wait"), st.sampled_from([1, 5, 20])),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_two_with_one_key_never_run_whatever_crashes(moves: list[tuple[Any, ...]]) -> None:
    """And every loser names one that was there; a window is kept by comparing all times, plainly."""
    world = World()
    for count, (move, *facts) in enumerate(moves):
        if move == "create":
            key, mode, windowed = facts
            asked = {"mode": mode, **({"windowSeconds": 10} if windowed else {})}
            world.put(f"t{count}", task(f"t{count}", world.now, key, **asked))
        elif move == "end" and world.jobs:
            world.end(sorted(world.jobs)[facts[0] % len(world.jobs)], facts[1])
        elif move == "delete" and world.tasks:
            name = sorted(world.tasks)[facts[0] % len(world.tasks)]
            del world.tasks[name]
            if name in world.shown:
                world.board.on_task(world.shown.pop(name), None)
        elif move == "run":
            world.run(crash=facts[0])
        elif move == "work":
            world.run(crash=False)
            for name in list(world.jobs):
                world.end(name, facts[0])
        elif move == "restart":
            world.restart()
        elif move == "wait":
            world.now += facts[0]
        keys = [of.spec.deduplication.key for of in world.jobs.values() if of.spec.deduplication]
        assert len(keys) == len(set(keys))
    world.run(crash=False)
    world.check()
    started_in_window(world)


def started_in_window(world: World) -> None:
    """No Task with a window ran that was created too soon after the end of another one that ran."""
    order = {event: number for number, event in enumerate(world.history)}
    ran = [one.build() for name, one in world.tasks.items() if ("start", name) in order]
    for late in ran:
        asked = late.spec.deduplication
        for early in ran:
            ended = early.status.completion_time
            if early is late or asked is None or not asked.window_seconds or ended is None:
                continue
            if order["end", early.metadata.name] > order["start", late.metadata.name]:
                continue
            if early.spec.deduplication == asked or early.spec.deduplication.key == asked.key:  # type: ignore[union-attr]
                created = late.metadata.created
                assert not ended.timestamp() <= created < ended.timestamp() + asked.window_seconds, at(world.now)
