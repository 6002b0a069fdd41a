"""The board through small histories: answers that get lost, objects that go, pods without a Job."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeVar

from builders import T0, QueueBuilder, TaskBuilder, make_job, make_pod, make_queue, make_task
from taskq.domain.actions import Action, FetchJob, FetchPods, Launch, WriteStatus
from taskq.domain.board import Board, Limits
from taskq.domain.jobspec import job_key
from taskq.domain.model import Job, Pod, Task

A = TypeVar("A", bound=Action)


class Desk:
    """A board, with the little that tests do to it again and again."""

    def __init__(self, *tasks: TaskBuilder, queue: QueueBuilder | None = None, **limits: Any) -> None:
        self.board = Board(Limits(**limits))
        if queue:
            self.board.on_queue(None, queue.build())
        self.tasks: dict[str, Task] = {}
        for task in tasks:
            self.show(task)

    def show(self, task: TaskBuilder) -> Task:
        """The watch brings a Task."""
        built = task.build()
        self.board.on_task(self.tasks.get(built.metadata.name), built)
        self.tasks[built.metadata.name] = built
        return built

    def plan(self, kind: type[A], now: float = 1) -> list[A]:
        """The actions of one kind that are planned now."""
        return [action for action in self.board.plan(T0 + now).actions if isinstance(action, kind)]

    def starts(self, now: float = 1) -> list[str]:
        """The names of the Tasks that are started now."""
        return [launch.task.name for launch in self.plan(Launch, now)]

    def run(self, now: float = 1) -> list[Job]:
        """Start what starts; the Jobs exist."""
        jobs = []
        for launch in self.plan(Launch, now):
            job = make_job(self.tasks[launch.task.name], created=now).active().build()
            self.board.on_job(None, job)
            self.board.launched(launch)
            jobs.append(job)
        return jobs

    def pod(self, job: Job, now: float = 1) -> Pod:
        """A pod of a Job runs."""
        pod = make_pod(job).running(now).build()
        self.board.on_pod(None, pod)
        return pod


def test_tasks_start_by_rank_up_to_the_cap() -> None:
    """The best two of three, and the third when a slot is free."""
    low, high, middle = (make_task(name, priority=p) for name, p in (("low", 0), ("high", 9), ("middle", 5)))
    desk = Desk(low, high, middle, queue=make_queue(maxConcurrency=2))
    jobs = desk.run()
    assert [job.metadata.labels["taskq.dev/task"] for job in jobs] == ["high", "middle"]
    assert desk.starts() == []
    done = make_job(desk.tasks["high"]).complete(5).build()
    desk.board.on_job(jobs[0], done)
    assert desk.starts(6) == ["low"]


def test_a_request_that_came_to_nothing_frees_its_slot() -> None:
    """The Job that does not exist and won't holds nothing."""
    desk = Desk(make_task("a"), make_task("b", created=1), queue=make_queue(maxConcurrency=1))
    (launch,) = desk.plan(Launch)
    desk.board.not_launched(launch, ("QuotaExceeded", "no room"), T0 + 1)
    assert desk.starts() == ["b"]


def test_an_edit_ends_the_wait_after_a_refusal() -> None:
    """Who mends the Task need not wait for the next try."""
    desk = Desk(make_task("a"))
    (launch,) = desk.plan(Launch)
    desk.board.not_launched(launch, ("JobRefused", "bad image"), T0 + 1)
    (write,) = desk.plan(WriteStatus)
    told = make_task("a").status(**write.status).version(2)
    desk.show(told)
    desk.board.written(write, T0 + 1, failed=False)
    assert desk.starts() == []
    desk.show(told.spec(priority=1).version(3))
    assert desk.starts() == ["a"]


def test_a_deleted_job_ends_its_attempt_once_its_pods_are_gone() -> None:
    """Then, and only then, JobDeleted is written."""
    desk = Desk(make_task("a"))
    (job,) = desk.run()
    pod = desk.pod(job)
    desk.board.on_job(job, None)
    (fetch,) = desk.plan(FetchPods, 2)
    desk.board.asked(fetch, T0 + 2, failed=False)
    assert desk.plan(WriteStatus, 2) == []
    desk.board.on_pod(pod, None)
    (write,) = desk.plan(WriteStatus, 3)
    assert write.status["attempts"][0]["reason"] == "JobDeleted"


def test_pods_without_their_job_hold_a_slot() -> None:
    """A new leader that sees a pod before its Job, or instead of it, does not start over it."""
    task = make_task("a")
    job = make_job(task.build()).build()
    desk = Desk(task, make_task("b", created=1), queue=make_queue(maxConcurrency=1))
    desk.pod(job)
    assert desk.starts() == []


def test_a_task_whose_orphaned_pods_have_ended_is_looked_at_again() -> None:
    """Nobody else would tell: its Job had gone before this leader came."""
    task = make_task("a").running()
    job = make_job(make_task("a").build()).build()
    desk = Desk(task)
    pod = desk.pod(job)
    (fetch,) = desk.plan(FetchPods)
    desk.board.asked(fetch, T0 + 1, failed=False)
    assert desk.plan(FetchJob, 2) == []
    desk.board.on_pod(pod, make_pod(job).succeeded(9).version(2).build())
    (ask,) = desk.plan(FetchJob, 10)
    assert ask.job == job_key(task.build())


def test_a_launch_is_not_repeated_once_its_job_was_seen_and_deleted() -> None:
    """The answer got lost, the watch showed the Job and its end: the attempt is over."""
    desk = Desk(make_task("a"))
    (launch,) = desk.plan(Launch)
    assert desk.board.still_wanted(launch)
    job = make_job(desk.tasks["a"]).active().build()
    desk.board.on_job(None, job)
    desk.board.on_job(job, None)
    assert not desk.board.still_wanted(launch)


def test_a_cancelled_launch_is_given_up_between_tries() -> None:
    """A request that got no answer is not repeated for a Task that nobody wants any more."""
    desk = Desk(make_task("a"))
    (launch,) = desk.plan(Launch)
    desk.show(make_task("a").cancelled().version(2))
    assert not desk.board.still_wanted(launch)


def test_one_write_at_a_time_and_the_newest_wins() -> None:
    """While a status is being written, nothing else is decided about its Task."""
    desk = Desk(make_task("a").cancelled())
    (write,) = desk.plan(WriteStatus)
    desk.show(make_task("a").cancelled().spec(priority=4).version(2))
    assert desk.plan(WriteStatus) == []
    desk.board.written(write, T0 + 1, failed=False)
    (again,) = desk.plan(WriteStatus)
    assert again.version == "2"


def test_a_failed_write_is_tried_again_a_moment_later() -> None:
    """Not at once: the API server may be in trouble."""
    desk = Desk(make_task("a").cancelled())
    (write,) = desk.plan(WriteStatus)
    desk.board.written(write, T0 + 1, failed=True)
    assert desk.plan(WriteStatus, 1.5) == []
    assert len(desk.plan(WriteStatus, 2.5)) == 1


def test_a_task_made_anew_is_another_one() -> None:
    """The old one's Job does not count for the new one, but holds its slot while it runs."""
    desk = Desk(make_task("a"), queue=make_queue(maxConcurrency=1))
    desk.run()
    desk.show(make_task("a", uid="another").version(5))
    assert desk.starts(2) == []
    assert set(desk.board.entries) == {"another"}


def test_a_paused_queue_starts_nothing_until_it_opens() -> None:
    """And all that waited starts then."""
    paused = make_queue(state="Paused")
    desk = Desk(make_task("a"), queue=paused)
    assert desk.starts() == []
    desk.board.on_queue(paused.build(), paused.spec(state="Open").version(2).build())
    assert desk.starts() == ["a"]


def test_a_namespace_without_a_queue_has_a_default_one() -> None:
    """Ten at once; unless the operator was told otherwise."""
    tasks = [make_task(f"t{n}") for n in range(12)]
    assert len(Desk(*tasks, launches=99).starts()) == 10
    strict = Desk(*tasks, implicit_default_queue=False)
    assert strict.starts() == []
    assert {write.status["reason"] for write in strict.plan(WriteStatus)} <= {"QueueNotFound"}


def test_launches_under_way_are_bounded() -> None:
    """However many slots are free, so many requests at once."""
    assert len(Desk(*(make_task(f"t{n}") for n in range(9)), launches=4).starts()) == 4


def test_a_restart_leads_to_the_same_plan() -> None:
    """A board fed with the same objects in another order starts the same Task."""
    tasks = [make_task(f"t{n}", priority=n % 3) for n in range(9)]
    running = make_job(tasks[2].build()).active().build()
    plans = []
    for order in (tasks, tasks[::-1]):
        desk = Desk(queue=make_queue(maxConcurrency=2))
        desk.board.on_job(None, running)
        for task in order:
            desk.show(task)
        plans.append(desk.starts())
    assert plans == [["t5"], ["t5"]]


RATE = {"maxStarts": 2, "periodSeconds": 60}


def start_two(desk: Desk) -> None:
    """Two Tasks of a queue start in the fifth second; they end and go, their Jobs do not."""
    for name in "ab":
        desk.show(make_task(name, queueName="line"))
    jobs = desk.run(now=5)
    for job, task in zip(jobs, list(desk.tasks.values()), strict=True):
        desk.board.on_job(job, make_job(task, created=5).complete(6).build())
        desk.board.on_task(task, None)
    assert desk.starts(6) == []


def assert_the_rate_is_kept(desk: Desk) -> None:
    """The next one starts when the period since both is over; creation times have whole seconds."""
    desk.show(make_task("c", queueName="line"))
    assert desk.starts(8) == []
    assert desk.starts(65) == []
    assert desk.starts(66) == ["c"]


def test_a_queue_that_is_made_anew_allows_no_burst() -> None:
    """Its rateLimit counts what its namesake has started: their Jobs tell."""
    queue = make_queue("line", rateLimit=RATE)
    desk = Desk(queue=queue)
    start_two(desk)
    desk.board.on_queue(queue.build(), None)
    desk.board.on_queue(None, queue.meta(uid="another").build())
    assert_the_rate_is_kept(desk)


def test_a_new_rate_limit_counts_what_was_started_before_it() -> None:
    """As it would after a restart; also one that is taken away and given back."""
    queue = make_queue("line")
    desk = Desk(queue=queue)
    start_two(desk)
    limited = queue.spec(rateLimit=RATE)
    again = [queue.meta(generation=3), limited.meta(generation=4)]
    for old, new in pairwise([queue, limited, *again]):
        desk.board.on_queue(old.build(), new.build())
        desk.plan(Launch, 7)
    assert_the_rate_is_kept(desk)


def test_a_new_rate_limit_of_a_parent_counts_what_its_children_started() -> None:
    """It bounds them together."""
    root = make_queue("root")
    desk = Desk(queue=root)
    desk.board.on_queue(None, make_queue("line", parent={"name": "root"}).build())
    start_two(desk)
    desk.board.on_queue(root.build(), root.spec(rateLimit=RATE).build())
    assert_the_rate_is_kept(desk)


def test_a_new_rate_limit_counts_a_start_whose_job_was_not_seen_yet() -> None:
    """Its creation is under way when the limit comes."""
    queue = make_queue("line")
    desk = Desk(*(make_task(name, queueName="line", priority=1) for name in "ab"), queue=queue)
    assert desk.starts(5) == ["a", "b"]
    desk.board.on_queue(queue.build(), queue.spec(rateLimit=RATE).build())
    desk.show(make_task("c", queueName="line"))
    assert desk.starts(8) == []


def test_a_job_that_may_still_come_keeps_its_slot_and_holds_up_no_other_launch() -> None:
    """Its Task says why; an edit ends the wait for the next try; the Job's appearance ends it all."""
    slow = make_task("slow", priority=1)
    desk = Desk(slow, queue=make_queue(maxConcurrency=2), launches=1)
    (launch,) = desk.plan(Launch)
    desk.show(make_task("b"))
    desk.show(make_task("c"))
    assert desk.starts(5) == []
    waits = [desk.board.doubted(launch, ("JobNotCreated", "in vain"), T0 + 10) - T0 - 10 for _ in range(3)]
    assert waits == [2, 4, 8]
    plan = desk.board.plan(T0 + 10).actions
    assert [action.task.name for action in plan if isinstance(action, Launch)] == ["b"]
    (told,) = [action.status for action in plan if isinstance(action, WriteStatus)]
    assert (told["phase"], told["reason"], told["message"]) == ("Pending", "JobNotCreated", "in vain")
    assert desk.board.is_doubted(launch)
    desk.show(slow.spec(priority=2).version(2))
    assert not desk.board.is_doubted(launch)
    desk.board.on_job(None, make_job(desk.tasks["slow"], created=12).active().build())
    desk.board.launched(launch)
    assert desk.starts(13) == []
