"""Schedules on a real API server: every field at work, what goes wrong, and what is asked for by hand."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cluster_tools import audit
from cluster_tools.desk import Desk, Json, conditions, job_template
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until
from taskq.domain.schedules.spec import ScheduleSpec
from taskq.domain.schedules.ticks import compile_plan, fire_time
from taskq.resources.common import BACKFILL_ANNOTATION, RUN_NOW_ANNOTATION

pytestmark = pytest.mark.usefixtures("operator")

HOLD = {"hold": True}
FAR = 86_400
"""An interval whose first tick no test sees."""
KEEP = {"successfulTasksHistoryLimit": 100, "failedTasksHistoryLimit": 100}


def rfc(moment: float) -> str:
    """A time as the API writes it."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch(text: str) -> int:
    """Epoch seconds of a time of the API."""
    return int(datetime.fromisoformat(text).timestamp())


def ticks(desk: Desk, schedule: str) -> list[int]:
    """The ticks that the Tasks of a Schedule are named by."""
    return sorted(int(task["metadata"]["name"].rpartition("-")[2]) for task in desk.tasks_of(schedule))


def wait_tasks(desk: Desk, schedule: str, number: int) -> list[Json]:
    """The Tasks of a Schedule, as soon as there are so many."""
    found: list[Json] = []

    def enough() -> bool:
        found[:] = desk.tasks_of(schedule)
        return len(found) >= number

    until(enough, lambda: f"{number} Tasks of {schedule}; {desk.find('Schedule', schedule)}")
    return found


def wait_row(desk: Desk, schedule: str, **words: str) -> Json:
    """The first row of the ledger that says so, as soon as there is one."""

    def rows(found: Json) -> list[Json]:
        ledger = found.get("status", {}).get("runs", ())
        return [row for row in ledger if all(row.get(name) == word for name, word in words.items())]

    return rows(desk.wait(schedule, rows, f"a row with {words}", "Schedule"))[0]


def wait_status(desk: Desk, schedule: str) -> Json:
    """The status of a Schedule, as soon as the operator has seen its spec."""

    def seen(found: Json) -> bool:
        return bool(found["status"].get("observedGeneration") == found["metadata"]["generation"])

    status: Json = desk.wait(schedule, seen, "the status is of this spec", "Schedule")["status"]
    return status


def annotate(desk: Desk, schedule: str, key: str, value: str) -> None:
    """Set an annotation of a Schedule."""
    desk.patch("Schedule", schedule, {"metadata": {"annotations": {key: value}}})


def queue_that_holds(desk: Desk) -> dict[str, Any]:
    """A template for Tasks that stay Pending."""
    desk.queue("paused", state="Paused")
    return {"spec": {"queueName": "paused", "jobTemplate": job_template()}}


# --- which ticks there are ----------------------------------------------------------------------------------------


def test_every_second_has_its_task(desk: Desk) -> None:
    """Named by their ticks, which are counted from the creation; none is left out and none comes twice."""
    made = desk.schedule("second", everySeconds=1, concurrencyPolicy="Allow", **KEEP)
    wait_tasks(desk, "second", 5)
    found = ticks(desk, "second")
    assert found == list(range(found[0], found[0] + len(found)))
    assert found[0] == epoch(made["metadata"]["creationTimestamp"]) + 1
    status = desk.get("second", "Schedule")["status"]
    assert status["description"] == "every second, counted from the creation"
    assert status["lastTaskName"].startswith("second-")


def test_a_scheduled_task_is_what_the_template_says(desk: Desk) -> None:
    """With its labels and annotations, its spec, and the Schedule as its owner."""
    template = {
        "metadata": {"labels": {"team": "blue"}, "annotations": {"note": "weekly"}},
        "spec": {"priority": 7, "jobTemplate": job_template({"message": "done"})},
    }
    made = desk.schedule("typed", everySeconds=1, taskTemplate=template)
    task = wait_tasks(desk, "typed", 1)[0]
    meta = task["metadata"]
    assert meta["labels"] == {"team": "blue", "taskq.dev/schedule": "typed"}
    assert meta["annotations"]["note"] == "weekly"
    assert task["spec"]["priority"] == 7
    (owner,) = meta["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Schedule", made["metadata"]["uid"], True)
    assert "blockOwnerDeletion" not in owner
    desk.wait("typed", lambda found: found["status"].get("lastResult") == "Succeeded", "a result", "Schedule")


def test_cron_with_seconds_and_several_expressions(desk: Desk) -> None:
    """Six fields have the second first; a tick that two expressions have is one."""
    desk.schedule("cron", schedules=["*/3 * * * * *", "*/6 * * * * *"], concurrencyPolicy="Allow", **KEEP)
    wait_tasks(desk, "cron", 2)
    found = ticks(desk, "cron")
    assert found == list(range(found[0], found[-1] + 1, 3))
    assert found[0] % 3 == 0


def test_cron_with_five_fields_is_told_in_words(desk: Desk) -> None:
    """And the next time is that of the zone."""
    desk.schedule("nightly", schedules=["0 3 * * 1-5"], timeZone="Asia/Kolkata")
    status = wait_status(desk, "nightly")
    assert status["description"] == "at 03:00 on weekdays, Asia/Kolkata"
    assert status["nextScheduleTime"].endswith("T21:30:00Z")


@pytest.mark.parametrize(
    ("dst", "start", "following"),
    [
        ({"gap": "RunAfter"}, "2027-03-28T00:00:00Z", "2027-03-28T01:00:00Z"),
        ({"gap": "Skip"}, "2027-03-28T00:00:00Z", "2027-03-29T00:30:00Z"),
        ({"overlap": "Once"}, "2027-10-31T00:45:00Z", "2027-11-01T01:30:00Z"),
        ({"overlap": "Twice"}, "2027-10-31T00:45:00Z", "2027-10-31T01:30:00Z"),
    ],
)
def test_daily_times_when_the_clocks_change(desk: Desk, dst: Json, start: str, following: str) -> None:
    """02:30 in Madrid, in the night that leaves it out and in the one that has it twice."""
    desk.schedule("daily", dailyTimes=["02:30"], timeZone="Europe/Madrid", dst=dst, startTime=start)
    assert wait_status(desk, "daily")["nextScheduleTime"] == following


def test_start_time_end_time_and_delay(desk: Desk) -> None:
    """Ticks are counted from the start and its delay; after the end there are none, and the Schedule says so."""
    start = int(time.time()) + 2
    window = {"startTime": rfc(start), "startDelaySeconds": 1, "endTime": rfc(start + 5)}
    desk.schedule("window", everySeconds=2, concurrencyPolicy="Allow", **window, **KEEP)
    found = desk.wait_condition("window", "Ready", "True", "Ended", of="Schedule")
    assert ticks(desk, "window") == [start + 1, start + 3, start + 5]
    assert "spec.endTime" in conditions(found)["Ready"]["message"]
    assert "nextScheduleTime" not in found["status"]


def test_jitter_delays_a_task_as_computed(desk: Desk) -> None:
    """Not before its moment, which everybody computes alike."""
    made = desk.schedule("spread", everySeconds=4, jitterSeconds=4, concurrencyPolicy="Allow")
    first = wait_tasks(desk, "spread", 1)[0]["metadata"]["name"]
    tick = int(first.rpartition("-")[2])
    told = {name: value for name, value in made["spec"].items() if name != "taskTemplate"}
    plan = compile_plan(msgspec.convert(told, ScheduleSpec), epoch(made["metadata"]["creationTimestamp"]))
    posts = audit.requests(desk.audit(), "create", "tasks", agent="taskq-operator")
    sent = datetime.fromisoformat(posts[0]["requestReceivedTimestamp"]).timestamp()
    assert sent >= fire_time(plan, tick, 4, made["metadata"]["uid"]) > tick


def test_upcoming_ticks_within_the_lookahead(desk: Desk) -> None:
    """The first twenty, and how many there are."""
    made = desk.schedule("ahead", everySeconds=60, lookaheadSeconds=1800)
    desk.schedule("blind", everySeconds=60, lookaheadSeconds=0)
    created = epoch(made["metadata"]["creationTimestamp"])
    status = wait_status(desk, "ahead")
    assert status["upcoming"] == [rfc(created + 60 * n) for n in range(1, 21)]
    assert status["upcomingCount"] == 30
    assert "upcoming" not in wait_status(desk, "blind")


# --- concurrency --------------------------------------------------------------------------------------------------


def test_allow_starts_one_beside_the_other(desk: Desk) -> None:
    """Whatever the other ones do."""
    desk.schedule("many", HOLD, everySeconds=1, concurrencyPolicy="Allow")
    desk.wait("many", lambda found: len(found["status"].get("active", ())) >= 3, "three at once", "Schedule")


def test_forbid_skips_ticks_and_run_now_alike(desk: Desk, kubelet: FakeKubelet) -> None:
    """While a Task is unfinished nothing starts, and the ledger says why; after it, the next tick does."""
    desk.schedule("alone", HOLD, everySeconds=1, concurrencyPolicy="Forbid", **KEEP)
    (task,) = wait_tasks(desk, "alone", 1)
    annotate(desk, "alone", RUN_NOW_ANNOTATION, "please")
    wait_row(desk, "alone", trigger="RunNow", reason="ConcurrencyForbidden", result="Skipped")
    wait_row(desk, "alone", trigger="Tick", reason="ConcurrencyForbidden", result="Skipped")
    assert [found["metadata"]["name"] for found in desk.tasks_of("alone")] == [task["metadata"]["name"]]
    kubelet.finish(desk.namespace, task["metadata"]["name"])
    desk.wait_end(task["metadata"]["name"])
    wait_tasks(desk, "alone", 2)


def test_replace_cancels_what_runs(desk: Desk) -> None:
    """The newest run starts when the one before has ended: there are never two."""
    desk.schedule("newest", HOLD, everySeconds=3, concurrencyPolicy="Replace", **KEEP)
    first, second = (task["metadata"]["name"] for task in wait_tasks(desk, "newest", 2)[:2])
    ended = desk.wait_end(first)
    assert ended["status"]["phase"] == "Cancelled"
    assert "spec.concurrencyPolicy" in ended["spec"]["cancellation"]["reason"]
    made = desk.get(second)["metadata"]["creationTimestamp"]
    assert epoch(made) >= epoch(ended["status"]["completionTime"])


def test_replace_is_obeyed_by_run_now(desk: Desk) -> None:
    """A run that is asked for takes the place of the one that runs."""
    desk.schedule("asked", HOLD, everySeconds=FAR, concurrencyPolicy="Replace", **KEEP)
    annotate(desk, "asked", RUN_NOW_ANNOTATION, "one")
    (first,) = wait_tasks(desk, "asked", 1)
    annotate(desk, "asked", RUN_NOW_ANNOTATION, "two")
    wait_tasks(desk, "asked", 2)
    assert desk.get(first["metadata"]["name"])["status"]["phase"] == "Cancelled"


def test_queue_runs_one_after_the_other(desk: Desk, kubelet: FakeKubelet) -> None:
    """Ticks wait for their turn, in their order."""
    desk.schedule("line", HOLD, everySeconds=1, concurrencyPolicy="Queue", **KEEP)
    (first,) = wait_tasks(desk, "line", 1)
    waiting = desk.wait("line", lambda found: len(found["status"].get("queued", ())) >= 2, "two wait", "Schedule")
    following = waiting["status"]["queued"][0]["taskName"]
    kubelet.finish(desk.namespace, first["metadata"]["name"])
    desk.wait_end(first["metadata"]["name"])
    assert wait_tasks(desk, "line", 2)[1]["metadata"]["name"] == following


def test_a_run_that_waited_too_long_is_given_up(desk: Desk, kubelet: FakeKubelet) -> None:
    """It stands in the ledger, and is counted as missed."""
    desk.schedule("late", HOLD, everySeconds=2, concurrencyPolicy="Queue", startingDeadlineSeconds=1, **KEEP)
    (first,) = wait_tasks(desk, "late", 1)
    desk.wait("late", lambda found: len(found["status"].get("queued", ())) >= 2, "two wait", "Schedule")
    kubelet.finish(desk.namespace, first["metadata"]["name"])
    wait_row(desk, "late", reason="StartingDeadlineExceeded")
    assert desk.get("late", "Schedule")["status"]["missedRuns"] >= 1


def test_a_recent_success_is_enough(desk: Desk) -> None:
    """Ticks after it are skipped; a run-now is not."""
    desk.schedule("fresh", everySeconds=1, skipIfSucceededWithinSeconds=3600, **KEEP)
    wait_row(desk, "fresh", reason="SucceededRecently")
    before = len(desk.tasks_of("fresh"))
    annotate(desk, "fresh", RUN_NOW_ANNOTATION, "again")
    wait_tasks(desk, "fresh", before + 1)


# --- suspension ---------------------------------------------------------------------------------------------------


def test_a_suspended_schedule_creates_nothing(desk: Desk) -> None:
    """But what is asked for by hand; when it goes on, the time before is not made up for."""
    desk.schedule("quiet", everySeconds=1, suspend=True, **KEEP)
    desk.wait_condition("quiet", "Ready", "True", "Suspended", of="Schedule")
    annotate(desk, "quiet", RUN_NOW_ANNOTATION, "one")
    (asked,) = wait_tasks(desk, "quiet", 1)
    desk.wait_end(asked["metadata"]["name"])
    assert len(desk.tasks_of("quiet")) == 1
    resumed = int(time.time())
    desk.change("quiet", "Schedule", suspend=False)
    wait_row(desk, "quiet", reason="Suspended")
    wait_tasks(desk, "quiet", 2)
    names = {task["metadata"]["name"] for task in desk.tasks_of("quiet")} - {asked["metadata"]["name"]}
    assert min(int(name.rpartition("-")[2]) for name in names) >= resumed


@pytest.mark.parametrize(("policy", "phase"), [("DropPending", "Cancelled"), ("Keep", "Pending")])
def test_what_a_suspension_does_to_pending_tasks(desk: Desk, policy: str, phase: str) -> None:
    """DropPending cancels them, Keep leaves them."""
    template = queue_that_holds(desk)
    desk.schedule("held", everySeconds=FAR, onSuspend=policy, taskTemplate=template, **KEEP)
    annotate(desk, "held", RUN_NOW_ANNOTATION, "one")
    (task,) = wait_tasks(desk, "held", 1)
    desk.wait("held", lambda found: found["status"].get("active"), "it is written down", "Schedule")
    desk.change("held", "Schedule", suspend=True)
    desk.wait_condition("held", "Ready", "True", "Suspended", of="Schedule")
    if phase == "Cancelled":
        assert desk.wait_end(task["metadata"]["name"])["status"]["phase"] == phase
    assert desk.get(task["metadata"]["name"])["status"]["phase"] == phase
    assert ("cancellation" in desk.get(task["metadata"]["name"])["spec"]) is (phase == "Cancelled")


def test_failures_one_after_another_suspend_it(desk: Desk) -> None:
    """In the status, not in the spec; an edit of the spec lets it go on."""
    desk.schedule("doomed", {"exitCode": 1}, everySeconds=1, suspendAfterConsecutiveFailures=2, **KEEP)
    found = desk.wait_condition("doomed", "Stalled", "True", "ConsecutiveFailures", of="Schedule")
    assert found["status"]["consecutiveFailures"] >= 2
    assert found["spec"]["suspend"] is False
    assert "spec.suspendAfterConsecutiveFailures" in conditions(found)["Stalled"]["message"]
    before = len(desk.tasks_of("doomed"))
    desk.change("doomed", "Schedule", startingDeadlineSeconds=100)
    wait_tasks(desk, "doomed", before + 1)


# --- history ------------------------------------------------------------------------------------------------------


def test_history_limits(desk: Desk) -> None:
    """The latest Tasks stay, and the ledger remembers the others."""
    limits = {"successfulTasksHistoryLimit": 1, "failedTasksHistoryLimit": 0}
    desk.schedule("kept", {"exitCode": 0}, everySeconds=1, **limits)
    desk.schedule("dropped", {"exitCode": 1}, everySeconds=1, **limits)

    def ended(schedule: str, result: str) -> list[str]:
        rows = desk.get(schedule, "Schedule")["status"].get("runs", ())
        return [row["taskName"] for row in rows if row["result"] == result]

    good = until(lambda: (rows := ended("kept", "Succeeded"))[2:] and rows, "three that succeeded")
    bad = until(lambda: (rows := ended("dropped", "Failed"))[1:] and rows, "two that failed")
    desk.wait_gone("Task", good[0])
    desk.wait_gone("Task", bad[0])


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"schedules": ["0 0 30 2 *"]}, "spec.schedules[0]", "can't be met"),
        ({"schedules": ["@daily", "0 25 * * *"]}, "spec.schedules[1]", "hour"),
        ({"schedules": ["@reboot"]}, "spec.schedules[0]", "@reboot"),
        ({"dailyTimes": ["03:00"], "timeZone": "Mars/Olympus"}, "spec.timeZone", "Mars/Olympus"),
    ],
)
def test_what_cannot_be_followed_names_its_field(desk: Desk, spec: Json, field: str, words: str) -> None:
    """And its neighbours go on; mended, it goes on as well."""
    desk.schedule("broken", **spec)
    desk.schedule("neighbour", everySeconds=1)
    found = desk.wait_condition("broken", "Stalled", "True", "InvalidSchedule", of="Schedule")
    text = conditions(found)["Stalled"]["message"]
    assert text.startswith(field)
    assert words in text
    wait_tasks(desk, "neighbour", 1)
    desk.patch("Schedule", "broken", {"spec": {**dict.fromkeys(spec), "everySeconds": 1}})
    wait_tasks(desk, "broken", 1)
    desk.wait_condition("broken", "Ready", "True", of="Schedule")


def test_a_task_that_the_api_server_refuses(desk: Desk) -> None:
    """The condition says what it said; a mended Schedule goes on at once."""
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"count/tasks.taskq.dev": "0"}}}
    desk.core.create_namespaced_resource_quota(desk.namespace, quota)

    def counted() -> bool:
        status = desk.core.read_namespaced_resource_quota("none", desk.namespace).status
        return bool(status.used)

    until(counted, "the quota counts")
    desk.schedule("refused", everySeconds=1)
    found = desk.wait_condition("refused", "Stalled", "True", "TaskRefused", of="Schedule")
    assert "exceeded quota: none" in conditions(found)["Stalled"]["message"]
    desk.core.delete_namespaced_resource_quota("none", desk.namespace)
    until(lambda: not desk.core.list_namespaced_resource_quota(desk.namespace).items, "the quota is gone")
    desk.change("refused", "Schedule", startingDeadlineSeconds=1000)
    wait_tasks(desk, "refused", 1)
    found = desk.wait_condition("refused", "Ready", "True", of="Schedule")
    assert "Stalled" not in conditions(found)


def test_a_name_that_somebody_else_took(desk: Desk) -> None:
    """The foreign Task is left alone, the ledger says so, and the next tick has its own."""
    start = int(time.time()) + 3
    desk.task(f"taken-{start}", HOLD)
    desk.schedule("taken", everySeconds=2, startTime=rfc(start))
    wait_row(desk, "taken", reason="NameTaken")
    wait_tasks(desk, "taken", 1)
    assert start not in ticks(desk, "taken")
    assert "cancellation" not in desk.get(f"taken-{start}")["spec"]


# --- by hand ------------------------------------------------------------------------------------------------------


def test_run_now_runs_once_for_each_value(desk: Desk) -> None:
    """The same value again is no wish; nor is a tick or an edit of the Schedule."""
    desk.schedule("wish", everySeconds=FAR, **KEEP)
    for number, nonce in enumerate(("one", "two"), 1):
        annotate(desk, "wish", RUN_NOW_ANNOTATION, nonce)
        wait_tasks(desk, "wish", number)
        desk.wait("wish", lambda found, n=number: _succeeded(found) == n, "it succeeded", "Schedule")
    annotate(desk, "wish", RUN_NOW_ANNOTATION, "two")
    desk.change("wish", "Schedule", lookaheadSeconds=60)
    status = wait_status(desk, "wish")
    assert len(desk.tasks_of("wish")) == 2
    assert [row["trigger"] for row in status["runs"]] == ["RunNow", "RunNow"]


def _succeeded(schedule: Json) -> int:
    return sum(row["result"] == "Succeeded" for row in schedule["status"].get("runs", ()))


def test_backfill_runs_a_past_interval(desk: Desk) -> None:
    """Tick by tick, one after the other; an interval that can't be filled is told in the ledger."""
    start = (int(time.time()) - 7200) // 3600 * 3600
    desk.schedule("past", everySeconds=600, startTime=rfc(start), **KEEP)
    wait_status(desk, "past")
    annotate(desk, "past", BACKFILL_ANNOTATION, f"{rfc(start)}/{rfc(start + 1800)}")
    wanted = [start, start + 600, start + 1200]
    until(lambda: [tick for tick in ticks(desk, "past") if tick in wanted] == wanted, "three ticks of the past")
    annotate(desk, "past", BACKFILL_ANNOTATION, "yesterday")
    assert "RFC 3339" in wait_row(desk, "past", reason="InvalidBackfill")["message"]


def test_applying_the_same_again_fires_nothing(desk: Desk) -> None:
    """Nor does a label, or an edit of what does not say when."""
    made = desk.schedule("steady", everySeconds=FAR)
    before = wait_status(desk, "steady")
    desk.patch("Schedule", "steady", {"spec": made["spec"], "metadata": {"labels": {"team": "blue"}}})
    desk.change("steady", "Schedule", concurrencyPolicy="Allow", successfulTasksHistoryLimit=9)
    after = wait_status(desk, "steady")
    assert desk.tasks_of("steady") == []
    assert after["nextScheduleTime"] == before["nextScheduleTime"]


def test_a_tick_that_was_run_is_not_run_again(desk: Desk) -> None:
    """Although its Task was deleted, and the Schedule was edited since."""
    start = int(time.time()) + 2
    desk.schedule("once", everySeconds=FAR, startTime=rfc(start))
    (task,) = wait_tasks(desk, "once", 1)
    desk.wait_end(task["metadata"]["name"])
    desk.wait("once", lambda found: found["status"].get("lastResult"), "its result", "Schedule")
    desk.delete("Task", task["metadata"]["name"])
    desk.wait_gone("Task", task["metadata"]["name"])
    desk.change("once", "Schedule", jitterSeconds=0, concurrencyPolicy="Allow")
    wait_status(desk, "once")
    assert desk.tasks_of("once") == []
    posts = audit.requests(desk.audit(), "create", "tasks", agent="taskq-operator")
    assert len(posts) == 1


def test_tasks_go_with_their_schedule(desk: Desk) -> None:
    """They are its property."""
    desk.schedule("owner", everySeconds=1)
    wait_tasks(desk, "owner", 1)
    desk.delete("Schedule", "owner")
    until(lambda: not desk.tasks_of("owner"), "its Tasks are gone")
