"""Tasks that wait for others: what the board plans as those end, vanish and come again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from builders import NAMESPACE, T0, TaskBuilder, make_job, make_queue, make_task
from taskq.domain.actions import Action, FetchTask, Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.dependencies import FETCHES, holds
from taskq.domain.model import Key, Task


def on(*names: str, condition: str = "Succeeded") -> list[dict[str, str]]:
    """What a Task waits for."""
    return [{"name": name, "condition": condition} for name in names]


@dataclass
class Server:
    """The smallest API server there is: its Tasks, and a board that sees what becomes of them."""

    tasks: dict[str, TaskBuilder] = field(default_factory=dict)
    board: Board = field(default_factory=lambda: Board(Limits()))
    shown: dict[str, Task] = field(default_factory=dict)
    gets: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    version: int = 1
    now: float = 0

    def __post_init__(self) -> None:
        self.board.on_queue(None, make_queue("default", maxConcurrency=100_000).build())

    def restart(self) -> None:
        """A new process: it lists what the watch selects."""
        self.board, self.shown = Board(Limits()), {}
        self.board.on_queue(None, make_queue("default", maxConcurrency=100_000).build())
        for name in self.tasks:
            self._show(name)
            if self.tasks[name].build().status.phase == "Running":
                self.board.on_job(None, make_job(self.tasks[name].build()).build())

    def create(self, name: str, **spec: Any) -> None:
        """A user applies a Task."""
        self.version += 1
        self._put(name, make_task(name, uid=f"{name}-{self.version}", created=self.now, **spec))

    def delete(self, name: str) -> None:
        """A user deletes a Task."""
        del self.tasks[name]
        old = self.shown.pop(name, None)
        if old:
            self.board.on_task(old, None)

    def end(self, name: str, phase: str) -> None:
        """A Task ends: the board is told of the end, then the Task leaves the watch."""
        self._put(name, self.tasks[name].ended(phase, self.now))
        self.board.on_task(self.shown.pop(name), None)

    def end_unseen(self, name: str, phase: str) -> None:
        """A Task ends, and all that is seen of it is that it left the watch."""
        self.tasks[name] = self.tasks[name].ended(phase, self.now)
        self.board.on_task(self.shown.pop(name), None)

    def run(self) -> None:
        """Carry out what is planned until nothing more is."""
        wake_at: float | None = T0 + self.now
        while wake_at is not None and wake_at <= T0 + self.now:
            actions, wake_at, _ = self.board.plan(T0 + self.now)
            for action in actions:
                self._perform(action)
                wake_at = T0 + self.now

    def _perform(self, action: Action) -> None:
        if isinstance(action, FetchTask):
            self.gets.append(action.task.name)
            found = self.tasks.get(action.task.name)
            if found is None or found.build().is_terminal:
                self.board.task_found(action, found.build() if found else None)
            self.board.asked(action, T0 + self.now, failed=False)
        elif isinstance(action, WriteStatus):
            name = action.task.name
            self._put(name, self.tasks[name].status(**action.status))
            if self.tasks[name].build().is_terminal:
                self.board.on_task(self.shown.pop(name), None)
            self.board.written(action, T0 + self.now, failed=False)
        elif isinstance(action, Launch):
            name = action.task.name
            self.started.append(name)
            job = make_job(self.tasks[name].build()).build()
            self.board.on_job(None, job)
            self.board.launched(action)
            self._put(name, self.tasks[name].running(self.now))

    def _put(self, name: str, task: TaskBuilder) -> None:
        self.version += 1
        self.tasks[name] = task.version(self.version)
        self._show(name)

    def _show(self, name: str) -> None:
        task = self.tasks[name].build()
        if task.status.settled == "True" and name not in self.shown:
            return
        old = self.shown.get(name)
        self.shown[name] = task
        self.board.on_task(old, task)

    def phase(self, name: str) -> str:
        """Where a Task stands."""
        return self.tasks[name].build().status.phase

    def recorded(self, name: str) -> dict[str, str]:
        """The outcomes in its status."""
        return {one.name: one.phase for one in self.tasks[name].build().status.dependencies}


def test_a_task_starts_when_the_last_of_its_dependencies_has_ended() -> None:
    """And each outcome is recorded as it comes."""
    server = Server()
    for name in ("a", "b"):
        server.create(name)
    server.create("c", dependsOn=on("a", "b"))
    server.run()
    assert server.started == ["a", "b"]
    server.end("a", "Succeeded")
    server.run()
    assert server.recorded("c") == {"a": "Succeeded"}
    assert server.started == ["a", "b"]
    server.end("b", "Succeeded")
    server.run()
    assert server.started == ["a", "b", "c"]
    assert server.gets == []


def test_ten_thousand_who_wait_for_one_that_ended_long_ago_ask_once() -> None:
    """Also those who come later: what is known of a name is kept as long as somebody depends on it."""
    server = Server()
    server.create("source")
    server.run()
    server.end("source", "Succeeded")
    for number in range(1000):
        server.create(f"n{number}", dependsOn=on("source"))
    server.run()
    server.create("late", dependsOn=on("source"))
    server.run()
    assert server.gets == ["source"]
    assert len(server.started) == 1002


def test_the_answer_to_the_write_that_ended_a_task_spares_the_look_up() -> None:
    """The watch may tell of its leaving before that."""
    server = Server()
    server.create("source")
    server.create("waits", dependsOn=on("source"))
    server.run()
    server.end_unseen("source", "Succeeded")
    server.board.ended(server.tasks["source"].build())
    server.run()
    assert server.started == ["source", "waits"]
    assert server.gets == []


def test_only_so_many_names_are_looked_up_at_once() -> None:
    """A start with ten thousand different ones must not flood the API server."""
    server = Server()
    for number in range(100):
        server.create(f"n{number}", dependsOn=on(f"gone-{number}"))
    first = [a for a in server.board.plan(T0).actions if isinstance(a, FetchTask)]
    assert len(first) == FETCHES
    for fetch in first:
        server.board.task_found(fetch, None)
    assert len([a for a in server.board.plan(T0).actions if isinstance(a, FetchTask)]) == FETCHES


def test_a_look_up_that_failed_is_made_again_a_little_later() -> None:
    """Nothing is concluded from it."""
    server = Server()
    server.create("waits", dependsOn=on("source"))
    (fetch,) = server.board.plan(T0).actions
    server.board.asked(fetch, T0, failed=True)
    plan = server.board.plan(T0)
    assert not plan.actions
    assert plan.wake_at is not None
    assert [type(a) for a in server.board.plan(plan.wake_at).actions] == [FetchTask]


def test_an_answer_that_comes_after_the_task_itself_is_old_news() -> None:
    """The look-up found nothing; meanwhile the watch shows the Task."""
    server = Server()
    server.create("waits", dependsOn=on("source"))
    (fetch,) = server.board.plan(T0).actions
    assert isinstance(fetch, FetchTask)
    server.create("source")
    server.board.task_found(fetch, None)
    server.now = 60
    server.run()
    assert server.tasks["waits"].build().condition("Admitted") is None
    assert server.started == ["source"]


def test_a_missing_dependency_is_worth_a_word_after_a_while() -> None:
    """Tools apply a folder in any order: no status is written and taken back for that."""
    server = Server()
    server.create("waits", dependsOn=on("typo"))
    server.run()
    assert server.tasks["waits"].build().condition("Admitted") is None
    assert server.board.plan(T0).wake_at == T0 + 10
    server.now = 10
    server.run()
    told = server.tasks["waits"].build().condition("Admitted")
    assert told is not None
    assert told.reason == "DependencyNotFound"
    server.create("typo")
    server.run()
    told = server.tasks["waits"].build().condition("Admitted")
    assert told is not None
    assert told.reason == "Waiting"


def test_what_is_recorded_outlasts_deletion_and_a_namesake() -> None:
    """Also over a restart."""
    server = Server()
    server.create("a")
    server.create("gate")
    server.create("waits", dependsOn=on("a", "gate"))
    server.run()
    server.end("a", "Succeeded")
    server.run()
    server.delete("a")
    server.create("a")
    server.restart()
    server.run()
    server.end("gate", "Succeeded")
    server.run()
    assert server.started[-1] == "waits"


def test_a_finished_task_is_needed_until_the_last_dependent_has_ended() -> None:
    """A namesake of the one that was recorded is not."""
    server = Server()
    server.create("a")
    server.create("waits", dependsOn=on("a"))
    server.run()
    uid = server.tasks["a"].build().metadata.uid
    server.end("a", "Succeeded")
    server.run()
    needed = server.board.dependencies.is_needed
    assert needed(Key(NAMESPACE, "a"), uid)
    assert not needed(Key(NAMESPACE, "a"), "another")
    assert not needed(Key(NAMESPACE, "b"), uid)
    server.end("waits", "Failed")
    assert not needed(Key(NAMESPACE, "a"), uid)


def test_conditions_are_about_how_a_task_ended() -> None:
    """Failed includes every end but success."""
    phases = ("Succeeded", "Failed", "Cancelled", "Expired")
    assert [holds("Succeeded", phase) for phase in phases] == [True, False, False, False]
    assert [holds("Failed", phase) for phase in phases] == [False, True, True, True]
    assert all(holds("Finished", phase) for phase in phases)


def test_a_thousand_links_run_one_after_the_other() -> None:
    """A chain without a look-up, and with one write for each link."""
    server = Server()
    for number in reversed(range(1000)):
        server.create(f"n{number}", **({"dependsOn": on(f"n{number - 1}")} if number else {}))
    for number in range(1000):
        server.run()
        assert server.started[number:] == [f"n{number}"]
        server.end(f"n{number}", "Succeeded")
    assert server.gets == []


NAMES = [f"t{number}" for number in range(6)]
CONDITIONS = st.sampled_from(["Succeeded", "Failed", "Finished"])
LINKS = st.lists(st.tuples(st.sampled_from(NAMES), CONDITIONS), max_size=3, unique_by=lambda link: link[0])
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.sampled_from(NAMES), LINKS, st.sampled_from(["Cancel", "Run"])),
        st.tuples(st.just("end"), st.sampled_from(NAMES), st.sampled_from(["Succeeded", "Failed", "Expired"])),
        st.tuples(st.just("end unseen"), st.sampled_from(NAMES), st.sampled_from(["Succeeded", "Failed"])),
        st.tuples(st.just("delete"), st.sampled_from(NAMES)),
        st.tuples(st.just("restart"), st.just("")),
    ),
    max_size=30,
)


class Reference:
    """The rules as plainly as they can be said: look at everything, until nothing changes."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}

    def settle(self) -> None:
        """Record what has ended, cancel and start."""
        while any(self._look_at(task) for task in self.tasks.values()):
            pass

    def is_needed(self, name: str) -> bool:
        """Whether an unfinished Task names it: nobody should delete it then, for its end may be remembered or not."""
        return any(name in task["links"] for task in self.tasks.values() if task["phase"] in ("Pending", "Running"))

    def _look_at(self, task: dict[str, Any]) -> bool:
        if task["phase"] != "Pending":
            return False
        for name in task["links"]:
            other = self.tasks.get(name)
            if name not in task["known"] and other and other["phase"] not in ("Pending", "Running"):
                task["known"][name] = other["phase"]
        bad = [name for name, wanted in task["links"].items() if not _fits(wanted, task["known"].get(name))]
        if bad and task["policy"] == "Cancel":
            task["phase"] = "Cancelled"
        elif len(task["known"]) == len(task["links"]):
            task["phase"] = "Running"
        return bool(task["phase"] != "Pending")


def _fits(wanted: str, phase: str | None) -> bool:
    if phase is None or wanted == "Finished":
        return True
    return phase == "Succeeded" if wanted == "Succeeded" else phase != "Succeeded"


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_whatever_happens_the_board_and_the_plain_rules_agree(moves: list[tuple[Any, ...]]) -> None:
    """In every phase and in every recorded outcome, after each step."""
    server, plain = Server(), Reference()
    for move, name, *facts in moves:
        there = plain.tasks.get(name)
        unfinished = there is not None and there["phase"] in ("Pending", "Running")
        if move == "create" and there is None:
            links = {other: wanted for other, wanted in facts[0] if other != name}
            depends = [{"name": other, "condition": wanted} for other, wanted in links.items()]
            server.create(name, **({"dependsOn": depends, "onDependencyFailure": facts[1]} if depends else {}))
            plain.tasks[name] = {"links": links, "policy": facts[1], "known": {}, "phase": "Pending"}
        elif move.startswith("end") and there and unfinished:
            (server.end if move == "end" else server.end_unseen)(name, facts[0])
            there["phase"] = facts[0]
        elif move == "delete" and there and (unfinished or not plain.is_needed(name)):
            server.delete(name)
            del plain.tasks[name]
        elif move == "restart":
            server.restart()
        server.run()
        plain.settle()
        assert {name: server.phase(name) for name in server.tasks} == {n: t["phase"] for n, t in plain.tasks.items()}
        assert {n: server.recorded(n) for n in server.tasks} == {n: t["known"] for n, t in plain.tasks.items()}
