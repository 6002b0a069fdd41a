"""Why a Task does not run: the reason, the sentence, the limits, and when it is likely to start."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from builders import T0, QueueBuilder, TaskBuilder, at, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import Launch
from taskq.domain.admission import Refusal
from taskq.domain.board import Board, Limits
from taskq.domain.explain import Explanation, explain
from taskq.domain.explain_queue import QueueExplanation, explain_queue
from taskq.domain.hindrance import hindrance
from taskq.domain.lifecycle import decide
from taskq.domain.model import Job, Key, Task
from taskq.domain.snapshot import board_of_documents, task_of


class Desk:
    """A board, whose Jobs start and end as they are told."""

    def __init__(self, *queues: QueueBuilder, **limits: Any) -> None:
        self.board = Board(Limits(**({"launches": 99} | limits)))
        self.tasks: dict[str, Task] = {}
        self.jobs: dict[str, Job] = {}
        for queue in queues:
            self.board.on_queue(None, queue.build())

    def show(self, *tasks: TaskBuilder) -> None:
        """The watch brings Tasks."""
        for task in tasks:
            built = task.build()
            self.board.on_task(self.tasks.get(built.metadata.name), built)
            self.tasks[built.metadata.name] = built

    def run(self, now: float = 1) -> list[str]:
        """A pass; the Jobs exist at once."""
        names = []
        for launch in self.board.plan(T0 + now).actions:
            if isinstance(launch, Launch):
                name = launch.task.name
                self.jobs[name] = make_job(self.tasks[name], created=now).active().build()
                self.board.on_job(None, self.jobs[name])
                self.board.launched(launch)
                names.append(name)
        return names

    def end(self, name: str, now: float) -> None:
        """A Job completes."""
        created = self.jobs[name].metadata.created - T0
        done = make_job(self.tasks[name], created=created).complete(now).build()
        self.board.on_job(self.jobs.pop(name), done)

    def why(self, name: str, now: float = 1, *, names: bool = True) -> Explanation:
        return explain(self.board, self.tasks[name], T0 + now, names=names)

    def why_queue(self, name: str = "default", now: float = 1, *, names: bool = True) -> QueueExplanation:
        return explain_queue(self.board, Key("shop", name), T0 + now, names=names)


def full(**spec: Any) -> Desk:
    """A queue whose only slot is taken, and two that wait."""
    desk = Desk(make_queue(**({"maxConcurrency": 1} | spec)))
    desk.show(make_task("runs", priority=9), make_task("next", priority=5), make_task("last"))
    assert desk.run() == ["runs"]
    return desk


def test_a_full_queue_names_its_limit_and_who_runs() -> None:
    """The number, the field to change, and the holders."""
    why = full().why("last")
    assert why.reason == "ConcurrencyLimit"
    assert why.message == "Queue default runs 1 of 1 (spec.maxConcurrency): runs. It is number 2 of its queue"
    assert (why.phase, why.queue, why.position) == ("Pending", "default", 2)
    assert why.ahead is not None
    assert (why.ahead.count, why.ahead.more) == (1, False)
    assert [(task.name, task.effective_priority) for task in why.ahead.first] == [("next", 5)]
    (limit,) = why.limits
    assert (limit.field, limit.running, limit.limit) == ("spec.maxConcurrency", 1, 1)
    assert [(held.task, held.since) for held in limit.holders] == [("runs", at(1))]


def test_others_are_not_named_to_who_may_not_list_them() -> None:
    """Counts are told, names are not; also not of a Strict queue's head."""
    why = full().why("last", names=False)
    assert "runs." not in why.message
    assert b"next" not in msgspec.json.encode(why)
    desk = Desk(make_queue(queueingStrategy="Strict", concurrencyLabelKey="db"))
    labelled = (make_task(name).meta(labels={"db": "x"}) for name in ("one", "two"))
    desk.show(*labelled, make_task("three", created=4))
    assert desk.run(5) == ["one"]
    assert desk.why("three", 5).reason == "HeadBlocked"
    assert "first Task, two," in desk.why("three", 5).message
    assert "first Task, another," in desk.why("three", 5, names=False).message
    assert "two" not in desk.why("three", 5, names=False).message


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"suspend": True}, "Suspended", "spec.suspend"),
        ({"notBeforeTime": at(60)}, "NotDue", f"spec.notBeforeTime: not due before {at(60)}"),
        ({"templateRef": {"name": "gone"}}, "TemplateNotFound", "spec.templateRef.name"),
        ({"queueName": "nowhere"}, "QueueNotFound", "spec.queueName"),
        ({"priorityLevel": "urgent"}, "PriorityLevelNotFound", "spec.priorityLevel"),
    ],
)
def test_what_keeps_a_task_from_the_order(spec: dict[str, Any], reason: str, says: str) -> None:
    """It has no position, and the sentence names the field."""
    desk = Desk(make_queue())
    desk.show(make_task("one", **spec))
    desk.run()
    why = desk.why("one")
    assert why.reason == reason
    assert says in why.message
    assert why.position is None
    assert why.estimate is not None
    assert why.estimate.start_time is None


@pytest.mark.parametrize(
    "task",
    [
        make_task("one", suspend=True),
        make_task("one", notBeforeTime=at(60)),
        make_task("one").failed_once(1, 60),
        make_task("one", templateRef={"name": "gone"}),
        make_task("one", queueName="nowhere"),
        make_task("one", priorityLevel="urgent"),
        make_task("one", dependsOn=[{"name": "other"}]),
        make_task("one"),
    ],
    ids=lambda task: "-".join(task.document["spec"]),
)
def test_the_reason_is_the_one_that_was_decided_by(task: TaskBuilder) -> None:
    """The metrics count by it, and the answer says the same word."""
    desk = Desk(make_queue())
    desk.show(task)
    view = desk.board.view("uid-of-one")
    assert view is not None
    found = hindrance(view, T0 + 1)
    assert (found.reason if found else "") == decide(view, T0 + 1).waits_for


def test_a_check_without_words_here_is_told_in_those_of_the_status() -> None:
    """Another reason to wait needs no change here to be told."""
    desk = Desk(make_queue())
    desk.show(make_task("one").condition("Admitted", "False", "QuotaExceeded", "no room"))
    view = desk.board.view("uid-of-one")
    assert view is not None
    odd = view._replace(refusal=Refusal("QuotaExceeded", "no room", T0 + 9))
    assert hindrance(odd, T0 + 1) == ("QuotaExceeded", "no room", T0 + 9)


def test_a_task_that_is_not_due_says_from_when_it_is() -> None:
    """Also one that waits for its next attempt."""
    desk = Desk(make_queue())
    desk.show(make_task("later", notBeforeTime=at(60)), make_task("again").failed_once(1, 31.5))
    desk.run()
    assert desk.why("later").not_before == at(60)
    assert desk.why("again").reason == "BackingOff"
    assert desk.why("again").phase == "Retrying"
    assert desk.why("again").not_before == at(32)


@pytest.mark.parametrize(
    ("state", "reason"), [("Paused", "QueuePaused"), ("DryRun", "DryRun"), ("Closed", "QueueClosed")]
)
def test_a_queue_that_starts_nothing_says_so(state: str, reason: str) -> None:
    """No time is promised."""
    desk = Desk(make_queue(state=state))
    desk.show(make_task("one"))
    desk.run()
    why = desk.why("one")
    assert why.reason == reason
    assert "spec.state is Open" in why.message
    assert why.estimate is not None
    assert why.estimate.start_time is None
    assert desk.why_queue().reason == reason


def test_a_parents_state_and_room_are_the_parents() -> None:
    """The limit names whose it is, and the siblings that use it up."""
    desk = Desk(
        make_queue("all", maxConcurrency=1),
        make_queue("a", parent={"name": "all"}),
        make_queue("b", parent={"name": "all"}),
    )
    desk.show(make_task("one", queueName="a"), make_task("two", queueName="b"), make_task("three", queueName="b"))
    assert desk.run() == ["one"]
    why = desk.why("three")
    assert why.reason == "ParentLimit"
    assert "all and its children run 1 of 1 (spec.maxConcurrency of all): one" in why.message
    assert why.limits[0].queue == "all"
    paused = make_queue("all", maxConcurrency=1, state="Paused").version(2).meta(generation=2).build()
    desk.board.on_queue(make_queue("all", maxConcurrency=1).build(), paused)
    desk.board.observe(T0 + 1)
    assert desk.why("three").reason == "QueuePaused"
    assert "Queue all is Paused" in desk.why("three").message


def test_a_missing_parent_is_named() -> None:
    """Its children wait; a position there is one all the same."""
    desk = Desk(make_queue("a", parent={"name": "all"}))
    desk.show(make_task("one", queueName="a"), make_task("two", queueName="a"))
    desk.run()
    assert desk.why("two").reason == "ParentNotFound"
    assert desk.why("two").position == 2


def test_a_mutex_names_the_key_and_who_has_it() -> None:
    """Although the queue itself has room."""
    desk = Desk(make_queue(concurrencyLabelKey="db"))
    desk.show(*(make_task(name).meta(labels={"db": "main"}) for name in ("one", "two")))
    assert desk.run() == ["one"]
    why = desk.why("two")
    assert why.reason == "ConcurrencyKeyLimit"
    assert "db=main, 1 of 1 run (spec.maxConcurrencyPerKey of queue default): one" in why.message
    assert desk.why_queue().reason == "ConcurrencyKeyLimit"


def test_a_rate_says_when_the_next_start_is_allowed() -> None:
    """And the estimate follows it."""
    desk = Desk(make_queue(rateLimit={"maxStarts": 1, "periodSeconds": 60}))
    desk.show(*(make_task(name) for name in "abc"))
    assert desk.run() == ["a"]
    why = desk.why("c", 2)
    assert why.reason == "RateLimit"
    assert why.limits[0].free_at == at(61)
    assert why.estimate is not None
    assert why.estimate.start_time == at(121)


def test_a_limit_on_what_is_ordered_says_so() -> None:
    """Whatever the priority."""
    desk = Desk(make_queue(maxPending=1, maxConcurrency=1))
    desk.show(make_task("runs"), make_task("old", created=1), make_task("new", created=2, priority=9))
    desk.run(3)
    assert desk.why("new", 3).reason == "PendingLimit"
    assert desk.why("new", 3).position == 2


def test_the_clusters_limit_names_nobody() -> None:
    """Those that run may be in namespaces that the asker knows nothing of."""
    desk = Desk(make_queue(), cluster_limit=1)
    desk.show(make_task("one"), make_task("two", created=1))
    desk.run(2)
    why = desk.why("two", 2)
    assert why.reason == "ClusterLimit"
    assert "one" not in why.message


def test_a_refused_job_says_what_the_api_server_said() -> None:
    """And when it is tried again; in a Strict queue it keeps its place."""
    desk = Desk(make_queue(queueingStrategy="Strict"))
    desk.show(make_task("one"), make_task("two", created=1))
    for launch in desk.board.plan(T0 + 2).actions:
        assert isinstance(launch, Launch)
        desk.board.not_launched(launch, ("QuotaExceeded", "no room"), T0 + 2)
    desk.board.observe(T0 + 2)
    why = desk.why("one", 2)
    assert (why.reason, why.not_before, why.position) == ("QuotaExceeded", at(4), 1)
    assert why.message.startswith("no room")


def test_a_task_that_runs_says_how_it_fares() -> None:
    """Its Job, what keeps its container from starting, or that it is being stopped."""
    desk = full()
    assert desk.why("runs").reason == "Started"
    assert desk.why("runs").phase == "Running"
    assert desk.why("runs").estimate is None
    desk.board.on_pod(None, make_pod(desk.jobs["runs"]).waiting("ImagePullBackOff", "no such image").build())
    assert desk.why("runs").reason == "ImagePullFailed"
    assert "no such image" in desk.why("runs").message


def test_a_task_that_has_ended_says_how() -> None:
    """From its status, also when the board does not know it any more."""
    desk = Desk()
    done = make_task("one").ended("Failed", 5).condition("Finished", "True", "RetriesExhausted", "Attempt 1 failed")
    desk.tasks["one"] = done.build()
    why = desk.why("one", 9)
    assert (why.phase, why.reason, why.message) == ("Failed", "RetriesExhausted", "Attempt 1 failed")
    assert why.position is None


def test_a_cancellation_that_is_not_written_down_yet_is_told() -> None:
    """Who asks in between is not told that it waits."""
    desk = full()
    desk.show(make_task("last").cancelled(reason="not needed").version(2))
    assert desk.why("last").phase == "Cancelled"
    assert "not needed" in desk.why("last").message


def test_an_estimate_comes_from_the_starts_of_busy_times() -> None:
    """Not from the first burst, and none before a slot became free for another."""
    desk = Desk(make_queue(maxConcurrency=2))
    desk.show(*(make_task(f"t{n}") for n in range(8)))
    assert desk.run() == ["t0", "t1"]
    unknown = desk.why("t5", 2).estimate
    assert unknown is not None
    assert unknown.start_time is None
    assert "no slot of this queue has become free" in unknown.why
    for n, now in enumerate((11, 21, 31)):
        desk.end(f"t{n}", now)
        assert desk.run(now) == [f"t{n + 2}"]
    known = desk.why("t7", 31).estimate
    assert known is not None
    assert known.start_time == at(31 + 3 * 10)
    assert known.why == "its queue's last 3 starts came 10 s apart"


def test_a_new_leader_learns_the_pace_from_the_jobs() -> None:
    """What the process before it has seen stands in the Jobs' times."""
    desk = Desk(make_queue(maxConcurrency=1))
    for n in range(4):
        task = make_task(f"old{n}").build()
        desk.board.on_job(None, make_job(task, created=n * 10).complete(n * 10 + 9).build())
    desk.show(make_task("runs"), make_task("next", created=1), make_task("last", created=2))
    desk.run(40)
    estimate = desk.why("last", 41).estimate
    assert estimate is not None
    assert estimate.why == "its queue's last 4 starts came 10 s apart"
    assert estimate.start_time == at(60)


def test_a_queue_says_what_holds_it_and_who_is_next() -> None:
    """With counts by reason."""
    desk = full()
    desk.show(make_task("held", suspend=True))
    desk.run()
    why = desk.why_queue()
    assert why.reason == "ConcurrencyLimit"
    assert (why.pending, why.held, why.running) == (2, 1, 1)
    assert why.waiting_for == {"ConcurrencyLimit": 2, "Suspended": 1}
    assert [task.name for task in why.following] == ["next", "last"]
    assert desk.why_queue(names=False).following == ()
    assert desk.why_queue("unknown").reason == "NothingReady"


def test_the_json_has_the_apis_names() -> None:
    """Programs read it: camelCase, and null where nothing is to be said."""
    told = msgspec.json.decode(msgspec.json.encode(full().why("last")))
    assert told["effectivePriority"] == 0
    assert told["asOf"] == at(1)
    assert told["notBefore"] is None
    assert told["ahead"]["first"] == [{"name": "next", "queue": "default", "effectivePriority": 5}]
    assert "next" in msgspec.json.decode(msgspec.json.encode(full().why_queue()))


def test_listed_objects_give_the_operators_answer() -> None:
    """Whoever may list a namespace can answer without the operator; what can't be read is passed over."""
    desk = full()
    queue = make_queue(maxConcurrency=1)
    jobs = [make_job(desk.tasks["runs"], created=1).active().document]
    tasks = [json.loads(task.raw) for task in desk.tasks.values()]
    listed = board_of_documents(
        tasks=[*tasks, {"metadata": "odd"}], jobs=jobs, queues=[queue.document], templates=[{}], now=T0 + 1
    )
    assert explain(listed, task_of(tasks[2]), T0 + 1) == desk.why("last")
    assert explain_queue(listed, Key("shop", "default"), T0 + 1) == desk.why_queue()
