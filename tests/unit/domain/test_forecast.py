"""The position that is told is the one in which Tasks then start, whatever the queues' rules."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import T0, make_job, make_queue, make_task
from taskq.domain.actions import Launch
from taskq.domain.board import Board, Limits
from taskq.domain.explain import explain
from taskq.domain.jobspec import job_key
from taskq.domain.model import Job, Key, Task

PERIOD = 100_000
"""Seconds of aging: Tasks differ by it from the start, and no step falls into the few seconds of a test."""

RULES = st.fixed_dictionaries(
    {
        "maxConcurrency": st.integers(1, 4),
        "queueingStrategy": st.sampled_from(["BestEffort", "Strict"]),
        "ordering": st.sampled_from(["PriorityThenTime", "TimeThenPriority"]),
        "priority": st.integers(0, 1),
    },
    optional={
        "fairShareLabelKey": st.just("team"),
        "concurrencyLabelKey": st.just("db"),
        "maxPending": st.integers(1, 6),
        "priorityAging": st.just({"periodSeconds": PERIOD, "increment": 1}),
        "priorityOrder": st.just("LowestFirst"),
    },
)
TASKS = st.lists(
    st.fixed_dictionaries(
        {
            "queue": st.sampled_from(["root", "a", "b"]),
            "priority": st.integers(0, 2),
            "created": st.integers(0, 3),
            "team": st.sampled_from(["", "x", "y"]),
            "db": st.sampled_from(["", "p", "q"]),
        }
    ),
    max_size=14,
)


class Line:
    """A board with queues that share room, and the slots that are freed one at a time."""

    def __init__(self, rules: dict[str, dict[str, Any]], tasks: list[dict[str, Any]], related: bool) -> None:
        self.board, self.now = Board(Limits(launches=99)), T0 + 4 * PERIOD
        for name, spec in rules.items():
            parent = {"parent": {"name": "root"}} if related and name != "root" else {}
            self.board.on_queue(None, make_queue(name, **spec, **parent).build())
        self.tasks = [self.make(n, **task) for n, task in enumerate(tasks)]
        self.running: list[Job] = []
        self.started: list[Task] = []
        for task in self.tasks:
            self.board.on_task(None, task)

    def make(self, n: int, *, queue: str, priority: int, created: int, **labels: str) -> Task:
        base = make_task(f"t{n}", created=created * PERIOD, priority=priority, queueName=queue)
        return base.meta(labels={key: value for key, value in labels.items() if value}).build()

    def start(self) -> None:
        """What there is room for starts; the Jobs are there at once."""
        by_job = {job_key(task): task for task in self.tasks}
        for number, launch in enumerate(self.board.plan(self.now).actions):
            if isinstance(launch, Launch):
                job = make_job(by_job[launch.job], created=self.now - T0 + number / 1000).active().build()
                self.board.on_job(None, job)
                self.board.launched(launch)
                self.running.append(job)
                self.started.append(by_job[launch.job])

    def end_one(self) -> None:
        """The one that has run longest ends."""
        job = self.running.pop(0)
        task = next(task for task in self.tasks if job_key(task) == job.metadata.key)
        self.now += 1
        created = job.metadata.created - T0
        self.board.on_job(job, make_job(task, created=created).complete(self.now - T0).build())

    def positions(self) -> dict[str, tuple[int | None, int]]:
        """Of all that wait: the place in the queue, and how many start before."""
        waiting = [task for task in self.tasks if task not in self.started]
        answers = {task.metadata.name: explain(self.board, task, self.now) for task in waiting}
        return {name: (a.position, a.ahead.count if a.ahead else -1) for name, a in answers.items()}


@settings(max_examples=100, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("root", "a", "b"), RULES)), TASKS, st.booleans())
def test_whoever_may_not_list_tasks_reads_no_other_name(
    rules: dict[str, dict[str, Any]], tasks: list[dict[str, Any]], related: bool
) -> None:
    """In no field and no sentence of the answer."""
    line = Line(rules, tasks, related)
    line.start()
    for task in line.tasks:
        told = msgspec.json.encode(explain(line.board, task, line.now, names=False)).decode()
        assert set(re.findall(r"\bt\d+\b", told)) <= {task.metadata.name}


@settings(max_examples=400, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(("root", "a", "b"), RULES)), TASKS, st.booleans(), st.integers(0, 4))
def test_tasks_start_at_the_positions_that_were_told(
    rules: dict[str, dict[str, Any]], tasks: list[dict[str, Any]], related: bool, head_start: int
) -> None:
    """Told at any moment of a history, with the rules of siblings and parents, fair shares and mutexes."""
    line = Line(rules, tasks, related)
    line.start()
    for _ in range(min(head_start, len(line.running))):
        line.end_one()
        line.start()
    told, before = line.positions(), len(line.started)
    while line.running:
        line.end_one()
        line.start()
    after = line.started[before:]
    groups = {name: "root" if related else name for name in ("root", "a", "b")}
    seen: dict[str, tuple[int, int]] = {}
    for n, task in enumerate(after):
        own = [t for t in after[:n] if t.queue == task.queue]
        group = [t for t in after[:n] if groups[t.queue.name] == groups[task.queue.name]]
        seen[task.metadata.name] = (len(own) + 1, len(group))
    assert told == seen


def test_a_forecast_changes_nothing() -> None:
    """Asking twice, and starting then, is as starting at once."""
    rules = {"root": {"maxConcurrency": 1, "fairShareLabelKey": "team", "concurrencyLabelKey": "db", "maxPending": 4}}
    tasks = [{"queue": "root", "priority": n % 3, "created": 0, "team": "xy"[n % 2], "db": "p"} for n in range(9)]
    asked, silent = Line(rules, tasks, related=False), Line(rules, tasks, related=False)
    for line in (asked, silent):
        line.start()
        while line.running:
            if line is asked:
                assert line.positions() == line.positions()
            line.end_one()
            line.start()
    names = [[task.metadata.name for task in line.started] for line in (asked, silent)]
    assert names[0] == names[1]
    assert len(names[0]) == 9
    assert not asked.board.queues.of(Key("shop", "root")).holding
