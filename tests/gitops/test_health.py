"""What Flux, Helm and Argo CD make of every status that TaskQ writes: built by the code that writes it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from builders import T0, TaskBuilder, at, make_job, make_queue, make_task, make_template
from cluster_tools.judge import Judge, Verdict
from taskq.domain import status
from taskq.domain.outcome import Outcome
from taskq.domain.queue_state import Counts
from taskq.domain.queue_status import ENDS, queue_patch
from taskq.domain.reasons import STALLING, Reason
from taskq.domain.schedules.decide import Refusal, ScheduleView, decide_schedule
from taskq.domain.schedules.spec import ScheduleSpec, ScheduleStatus
from taskq.domain.template import template_patch
from taskq.resources.common import API_VERSION, QueueState

Json = dict[str, Any]

RULES = make_queue().build().spec
FAILURE = Outcome("Error", "Exit code 1", 1, "pod", T0 + 1, T0 + 5)
SUCCESS = Outcome("Succeeded", "", 0, "pod", T0 + 1, T0 + 5)
IN_PROGRESS = ("InProgress", "Progressing")


def both(verdict: Verdict) -> tuple[str, str]:
    """Without the words."""
    return verdict.kstatus, verdict.argo


def merged(document: Json, patch: Json | None) -> Json:
    """The object as the API server has it after the patch."""
    assert patch is not None
    present = document.get("status", {}) | json.loads(msgspec.json.encode(patch))
    return document | {"status": {name: value for name, value in present.items() if value is not None}}


def fresh(kind: str, spec: Json) -> Json:
    """As the API server fills it in."""
    metadata = {"name": "a", "namespace": "shop", "generation": 1}
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "status": {"observedGeneration": -1},
    }


@pytest.mark.parametrize("kind", ["Task", "TaskQueue", "TaskTemplate", "Schedule"])
def test_what_nobody_has_looked_at_is_in_progress(judge: Judge, kind: str) -> None:
    """Also without the default of the status, for Argo CD."""
    obj = fresh(kind, {})
    assert both(judge.judge(obj)) == IN_PROGRESS
    del obj["status"]
    assert judge.judge(obj).argo == "Progressing"


@pytest.mark.parametrize("kind", ["Task", "TaskQueue", "TaskTemplate", "Schedule"])
def test_what_is_being_deleted_is_waited_for(judge: Judge, kind: str) -> None:
    """Whatever its status says."""
    obj = fresh(kind, {})
    obj["metadata"]["deletionTimestamp"] = at(1)
    assert both(judge.judge(obj)) == ("Terminating", "Progressing")


# --- Task ---------------------------------------------------------------------------------------------------------


def ended(task: TaskBuilder, phase: str) -> Json:
    """A Task that has reached its end."""
    outcome = {"Succeeded": SUCCESS, "Failed": FAILURE}.get(phase)
    attempt = ("job", outcome) if outcome else None
    patch = status.ended(task.build(), RULES, phase, phase, "words", T0 + 9, attempt=attempt, counts=None)
    return merged(task.document, patch)


@pytest.mark.parametrize(
    ("phase", "verdict"),
    [
        ("Succeeded", ("Current", "Healthy")),
        ("Failed", ("Failed", "Degraded")),
        ("Expired", ("Failed", "Degraded")),
        ("Cancelled", ("Current", "Healthy")),
    ],
)
def test_the_end_of_a_task(judge: Judge, phase: str, verdict: tuple[str, str]) -> None:
    """A cancellation was somebody's wish, and no fault."""
    said = judge.judge(ended(make_task(suspend=True), phase))
    assert both(said) == verdict
    assert said.message == f"{phase}: words"


def test_every_end_is_judged() -> None:
    """A new phase belongs into the table above."""
    assert set(ENDS) == {"Succeeded", "Failed", "Expired", "Cancelled"}


@pytest.mark.parametrize("reason", [str(reason) for reason in Reason])
def test_a_task_that_waits(judge: Judge, reason: str) -> None:
    """For a person: failed; for anything else: in progress, and the words say for what."""
    task = make_task()
    said = judge.judge(merged(task.document, status.waiting(task.build(), RULES, (reason, "words"), T0)))
    assert both(said) == (("Failed", "Degraded") if reason in STALLING else IN_PROGRESS)
    assert said.message == f"{reason}: words"


def test_a_task_that_runs(judge: Judge) -> None:
    """In progress, also while its image can't be pulled, and when it does not get on."""
    task = make_task()
    job = make_job(task.build()).build()
    runs = status.running(task.build(), RULES, job, None, T0)
    pulls = status.running(task.build(), RULES, job, ("ImagePullFailed", "no such image"), T0)
    stuck = status.running(task.build(), RULES, job, None, T0, stuck=("RunningLong", "for long"))
    said = [judge.judge(merged(task.document, patch)) for patch in (runs, pulls, stuck)]
    assert [both(each) for each in said] == [IN_PROGRESS] * 3
    assert said[0].message == f"Started: Attempt 1 runs as Job {job.metadata.name}"
    assert [each.message for each in said[1:]] == ["ImagePullFailed: no such image", "RunningLong: for long"]


def test_a_task_that_waits_for_its_next_attempt(judge: Judge) -> None:
    """The failure of one attempt is none of the Task."""
    task = make_task()
    patch = status.retrying(task.build(), RULES, "job", FAILURE, due=T0 + 60, counts=True, now=T0)
    said = judge.judge(merged(task.document, patch))
    assert both(said) == IN_PROGRESS
    assert "the next one is due at" in said.message


def test_a_task_that_is_held(judge: Judge) -> None:
    """Suspended in Argo CD, as a Job is; not while an attempt still runs, and not when it could not start anyway."""
    held = make_task(suspend=True)
    assert both(judge.judge(held.document)) == ("InProgress", "Suspended")
    runs = status.running(held.build(), RULES, make_job(held.build()).build(), None, T0)
    assert both(judge.judge(merged(held.document, runs))) == IN_PROGRESS
    wrong = status.waiting(held.build(), RULES, (Reason.QUEUE_NOT_FOUND, "no such queue"), T0)
    assert both(judge.judge(merged(held.document, wrong))) == ("Failed", "Degraded")


def test_a_task_that_was_edited_since(judge: Judge) -> None:
    """What was wrong before counts no more."""
    task = make_task()
    wrong = status.waiting(task.build(), RULES, (Reason.QUEUE_NOT_FOUND, "no such queue"), T0)
    edited = TaskBuilder(merged(task.document, wrong)).spec(priority=5)
    assert both(judge.judge(edited.document)) == IN_PROGRESS


# --- TaskQueue and TaskTemplate -----------------------------------------------------------------------------------


def queue_says(judge: Judge, *, fault: Any = None, stuck: Any = None, **spec: Any) -> Verdict:
    """What is said of a queue whose status stands."""
    queue = make_queue(**spec)
    patch = queue_patch(queue.build(), Counts(2, 0, 1, 0, T0), {}, None, T0, fault=fault, stuck=stuck)
    return judge.judge(merged(queue.document, patch))


@pytest.mark.parametrize("state", [str(state) for state in QueueState])
def test_a_queue_in_every_state(judge: Judge, state: str) -> None:
    """Paused or closed it is what its owner wants; the words tell."""
    said = queue_says(judge, state=state)
    assert both(said) == ("Current", "Healthy")
    assert state == "Open" or "spec.state is Open" in said.message


def test_a_queue_that_can_start_nothing(judge: Judge) -> None:
    """Because of its parent, for example."""
    said = queue_says(judge, fault=(Reason.PARENT_NOT_FOUND, "spec.parent.name: no such queue"))
    assert said == ("Failed", "Degraded", "spec.parent.name: no such queue")


def test_a_queue_that_is_stuck(judge: Judge) -> None:
    """That is no reason to stop the sync that mends it."""
    said = queue_says(judge, stuck=(Reason.QUEUE_STUCK, "nothing starts"))
    assert said == ("Current", "Healthy", "Stuck: nothing starts")


def test_a_template(judge: Judge) -> None:
    """Its Job has passed a dry run, or not."""
    template = make_template()
    fault = (Reason.JOB_REFUSED, "spec.jobTemplate: no image")
    good, bad = (merged(template.document, template_patch(template.build(), each, T0)) for each in (None, fault))
    assert judge.judge(good) == ("Current", "Healthy", "The Job is valid")
    assert judge.judge(bad) == ("Failed", "Degraded", "spec.jobTemplate: no image")


# --- Schedule -----------------------------------------------------------------------------------------------------


def schedule_says(judge: Judge, *, refusal: Refusal | None = None, before: Json | None = None, **spec: Any) -> Verdict:
    """What is said of a Schedule after one pass."""
    spec = {"schedules": ["0 * * * *"], **spec}
    obj = fresh("Schedule", spec)
    obj["status"] |= before or {}
    view = ScheduleView(
        name="a",
        uid="uid",
        generation=1,
        created=T0,
        spec=msgspec.convert(spec, ScheduleSpec),
        status=msgspec.convert(obj["status"], ScheduleStatus),
        refusal=refusal,
    )
    return judge.judge(merged(obj, decide_schedule(view, T0).patch))


def test_a_schedule_that_works(judge: Judge) -> None:
    """Also one that has no time left, and one that is suspended: Suspended would hold the waves of its application."""
    good = ("Current", "Healthy")
    assert schedule_says(judge) == (*good, "Tasks are created in time")
    assert schedule_says(judge, suspend=True) == (*good, "Creates no Tasks until spec.suspend is false")
    assert both(schedule_says(judge, endTime="2020-01-01T00:00:00Z")) == good


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedules": ["0 0 30 2 *"]}, "spec.schedules[0]"),
        ({"timeZone": "Europe/Nowhere"}, "spec.timeZone"),
        ({"refusal": Refusal("no", T0 + 60)}, "spec.taskTemplate"),
        (
            {"suspendAfterConsecutiveFailures": 3, "before": {"consecutiveFailures": 3, "lastResult": "Failed"}},
            "spec.suspendAfterConsecutiveFailures",
        ),
    ],
    ids=["times", "zone", "refused", "failures"],
)
def test_a_schedule_that_waits_for_a_person(judge: Judge, change: Json, words: str) -> None:
    """The words name the field."""
    said = schedule_says(judge, **change)
    assert both(said) == ("Failed", "Degraded")
    assert words in said.message


@pytest.mark.parametrize(
    ("result", "health"),
    [
        ("Succeeded", "Healthy"),
        ("Cancelled", "Healthy"),
        ("Deleted", "Healthy"),
        ("Failed", "Degraded"),
        ("Expired", "Degraded"),
    ],
)
def test_a_schedule_whose_last_run_ended(judge: Judge, result: str, health: str) -> None:
    """Argo CD shows a failure as it does that of a CronJob, unless it is suspended; Flux and Helm go on."""
    assert both(schedule_says(judge, before={"lastResult": result})) == ("Current", health)
    assert both(schedule_says(judge, before={"lastResult": result}, suspend=True)) == ("Current", "Healthy")


def test_failures_in_a_row_are_counted(judge: Judge) -> None:
    """As a whole number."""
    said = schedule_says(judge, before={"lastResult": "Failed", "consecutiveFailures": 3})
    assert said.message == "Its last run ended as Failed, 3 failures in a row"


def test_a_clock_that_went_back_is_seen(judge: Judge) -> None:
    """kstatus waits, since it may pass by itself."""
    said = schedule_says(judge, before={"handledUntil": at(3600)})
    assert both(said) == ("InProgress", "Degraded")
    assert "clock" in said.message


# --- actions ------------------------------------------------------------------------------------------------------


def act(judge: Judge, obj: Json, action: str) -> tuple[Json, set[str]]:
    """The object after an action, and what is offered then."""
    assert action in judge.actions(obj)
    changed = judge.act(obj, action)
    obj = obj | {"spec": changed["spec"], "metadata": obj["metadata"] | changed["metadata"]}
    return obj, judge.actions(obj)


@pytest.mark.parametrize(("action", "state"), [("pause", "Paused"), ("drain", "Draining"), ("resume", "Open")], ids=str)
def test_what_can_be_done_to_a_queue(judge: Judge, action: str, state: str) -> None:
    """All but what it is already."""
    after, offered = act(judge, fresh("TaskQueue", {"state": "DryRun", "maxConcurrency": 3}), action)
    assert after["spec"] == {"state": state, "maxConcurrency": 3}
    assert offered == {"pause", "drain", "resume"} - {action}


def test_what_can_be_done_to_a_schedule(judge: Judge) -> None:
    """Suspend it or let it go on; run it, also while it is suspended."""
    obj = fresh("Schedule", {"everySeconds": 60, "dst": {}})
    obj, offered = act(judge, obj, "suspend")
    assert (obj["spec"], offered) == ({"everySeconds": 60, "dst": {}, "suspend": True}, {"resume", "run-now"})
    obj, _ = act(judge, obj, "run-now")
    assert obj["metadata"]["annotations"]["taskq.dev/run-now"].startswith("argo-cd-")
    obj, offered = act(judge, obj, "resume")
    assert (obj["spec"]["suspend"], offered) == (False, {"suspend", "run-now"})


def test_what_can_be_done_to_a_task(judge: Judge) -> None:
    """Cancel it, until it has ended or somebody has done so."""
    obj, offered = act(judge, make_task().document, "cancel")
    assert obj["spec"]["cancellation"] == {"mode": "Graceful", "reason": "cancelled in Argo CD"}
    assert offered == set()
    for phase in ENDS:
        assert judge.actions(ended(make_task(), phase)) == set()
