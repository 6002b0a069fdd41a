"""What Tasks get from their templates: by itself, and on the board as templates come, change and go."""

from __future__ import annotations

from typing import Any

from builders import T0, TemplateBuilder, make_job, make_queue, make_task, make_template
from taskq.domain.actions import Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.model import Key, Task
from taskq.domain.registry import Registry

REF = {"name": "report"}


def registry(template: TemplateBuilder) -> Registry:
    """A registry that knows one template."""
    made = Registry()
    made.changed(None, template.build())
    return made


def fault(template: TemplateBuilder, **spec: Any) -> str:
    """What keeps a Task of a template from starting."""
    found = registry(template).resolve(make_task(templateRef=REF, **spec).build(), None).fault
    return found[0] if found else ""


def test_what_a_task_says_stays() -> None:
    """Each field by itself; a level is a priority too."""
    template = make_template("report", queueName="nightly", priority=7, retryPolicy={"maxAttempts": 3}, timeouts={})
    plain = registry(template).resolve(make_task(templateRef=REF).build(), None).task.spec
    assert (plain.queue_name, plain.priority) == ("nightly", 7)
    assert plain.retry_policy is not None
    own = make_task(templateRef=REF, queueName="own", priority=0, retryPolicy={"maxAttempts": 1}).build()
    spec = registry(template).resolve(own, None).task.spec
    assert (spec.queue_name, spec.priority) == ("own", 0)
    assert spec.retry_policy is own.spec.retry_policy
    level = registry(template).resolve(make_task(templateRef=REF, priorityLevel="high").build(), None).task.spec
    assert level.priority is None


def test_what_is_not_changed_is_shared() -> None:
    """Ten thousand Tasks of a template keep one policy; one that gets nothing from it stays the same object."""
    template = make_template("report", retryPolicy={"maxAttempts": 3})
    known = registry(template)
    one, other = (known.resolve(make_task(name, templateRef=REF).build(), None).task for name in "ab")
    assert one.spec.retry_policy is other.spec.retry_policy
    task = make_task(templateRef=REF).build()
    assert registry(make_template("report")).resolve(task, None).task is task


def test_a_started_task_stays_in_its_queue() -> None:
    """Also its retries do, whatever the template says by then; before the first start the status binds nothing."""
    known = registry(make_template("report", queueName="new"))
    waits = make_task(templateRef=REF).status(queueName="old")
    assert known.resolve(waits.build(), None).task.queue.name == "new"
    assert known.resolve(waits.build(), "old").task.queue.name == "old"
    assert known.resolve(waits.status(attempt=1).build(), None).task.queue.name == "old"
    assert waits.ended("Expired").build().queue.name == "old"


def test_faults_of_templates_and_parameters() -> None:
    """In this order: no template, a bad one, bad values."""
    schema = [{"name": "day", "required": True}]
    good = make_template("report", parameters=schema)
    assert fault(make_template("another")) == "TemplateNotFound"
    assert fault(make_template("report", parameters=[{"name": "day", "pattern": "("}])) == "InvalidTemplate"
    assert fault(good) == "InvalidParameters"
    assert fault(good, parameters=[{"name": "day", "value": "Monday"}]) == ""
    assert fault(make_template("report"), parameters=[{"name": "day", "value": ""}]) == "InvalidParameters"


def test_a_value_of_a_template_without_parameters_is_no_code() -> None:
    """What looks like a parameter is looked at in every template."""
    job = {"spec": {"template": {"spec": {"containers": [{"name": "main", "command": ["sh", "-c", "$(params.x)"]}]}}}}
    assert fault(make_template("report", jobTemplate=job)) == "InvalidTemplate"


# --- on the board -----------------------------------------------------------------------------------------------------


class Desk:
    """A board with one Task of one template, and two queues."""

    def __init__(self, template: TemplateBuilder | None) -> None:
        self.board = Board(Limits())
        for name in ("one", "two"):
            self.board.on_queue(None, make_queue(name).build())
        self.template = template
        if template:
            self.board.on_template(None, template.build())
        self.task = self.board_task()
        self.board.on_task(None, self.task)

    def board_task(self, **status: Any) -> Task:
        """The Task as the watch brings it."""
        return make_task("a", templateRef=REF).status(**status).version(len(status) + 1).build()

    def change(self, template: TemplateBuilder | None) -> None:
        """The watch brings another version of the template, or its end."""
        old = self.template.build() if self.template else None
        self.board.on_template(old, template.build() if template else None)
        self.template = template

    def starts(self, now: float = 1) -> list[Launch]:
        """What is started now."""
        return [action for action in self.board.plan(T0 + now).actions if isinstance(action, Launch)]

    def members(self) -> dict[str, int]:
        """How many Tasks each queue has."""
        return {state.key.name: len(state.members) for state in self.board.queues if state.members}


def template(queue: str, generation: int = 1) -> TemplateBuilder:
    """A version of the template."""
    return make_template("report", queueName=queue).meta(generation=generation).version(generation)


def test_a_task_finds_its_queue_when_its_template_comes() -> None:
    """Until then it waits, with a fault, where Tasks without a queue are."""
    desk = Desk(None)
    (write,) = (action for action in desk.board.plan(T0 + 1).actions if isinstance(action, WriteStatus))
    assert write.status["reason"] == "TemplateNotFound"
    assert desk.members() == {"default": 1}
    told = desk.board_task(**write.status)
    desk.board.on_task(desk.task, told)
    desk.board.written(write, T0 + 1, failed=False)
    desk.change(template("one"))
    (launch,) = desk.starts()
    assert launch.queue.name == "one"
    assert desk.members() == {"one": 1}


def test_a_waiting_task_follows_its_template() -> None:
    """Into the other queue's order, and out of the first one's."""
    desk = Desk(template("one"))
    desk.board.on_queue(make_queue("one").build(), make_queue("one").spec(state="Paused").version(2).build())
    assert desk.starts() == []
    assert [state.counts().pending for state in desk.board.queues if state.key.name == "one"] == [1]
    desk.change(template("two", 2))
    (launch,) = desk.starts()
    assert launch.queue.name == "two"
    assert [state.counts().pending for state in desk.board.queues if state.key.name == "one"] == [0]


def test_a_start_under_way_keeps_its_queue() -> None:
    """The Job's label, and the place that it takes, are those of the decision; also once it exists."""
    desk = Desk(template("one"))
    (launch,) = desk.starts()
    desk.change(template("two", 2))
    assert desk.starts() == []
    task = desk.board.merged(desk.task)
    assert task.queue.name == "one"
    job = make_job(task).active().build()
    desk.board.on_job(None, job)
    desk.board.launched(launch)
    assert desk.starts() == []
    assert desk.members() == {"one": 1}
    assert [len(state.holding) for state in desk.board.queues if state.key.name == "one"] == [1]


def test_a_restart_finds_the_queue_by_the_job() -> None:
    """The predecessor died before it wrote the status, and the template has changed since, in any order of news."""
    job = make_job(make_task("a", templateRef=REF, queueName="one").build()).active().build()
    for job_first in (True, False):
        desk = Desk(template("two"))
        if not job_first:
            desk.board.on_job(None, job)
        else:
            fresh = Board(Limits())
            fresh.on_job(None, job)
            fresh.on_template(None, template("two").build())
            fresh.on_task(None, desk.task)
            desk.board = fresh
        assert desk.starts() == []
        assert desk.members() == {"one": 1}


def test_a_template_that_goes_leaves_its_tasks_waiting() -> None:
    """They say so, and no launch is begun."""
    desk = Desk(template("one"))
    desk.change(None)
    actions = desk.board.plan(T0 + 1).actions
    assert [action.status["reason"] for action in actions if isinstance(action, WriteStatus)] == ["TemplateNotFound"]
    assert desk.members() == {"default": 1}
    desk.board.on_task(desk.task, None)
    assert desk.members() == {}
    assert Key("shop", "report") not in desk.board.templates


def test_the_status_of_a_template_wakes_nobody() -> None:
    """Only its spec does."""
    one = template("one")
    known = registry(one)
    known.add(make_task("a", templateRef=REF).build())
    assert known.changed(one.build(), one.version(2).build()) == frozenset()
    assert known.changed(one.build(), template("two", 2).build()) == {"uid-of-a"}
