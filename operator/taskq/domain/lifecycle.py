"""One Task, its Job and the time: what happens to it now.

``decide`` is a list of questions in a fixed order; the first one that applies answers. It reads only its view and asks
for effects by value, so a crash between any two effects leaves facts from which the next pass decides the same again.

      Pending ──launch──▶ Running ──success──▶ Succeeded
       │  ▲                 │
       │  │ mended          ├─failure, attempts left──▶ Retrying ──due──▶ (launch)
       │ (fault)            ├─failure, none left──────▶ Failed
       ├──deadline──▶ Expired
       └──────── cancellation, from any of them ───────▶ Cancelled
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, NamedTuple

import msgspec

from taskq.domain import batch, cancelling, deduplication, dependencies, policy, retry, status, stuck
from taskq.domain import outcome as outcomes
from taskq.domain.actions import Action, FetchJob, FetchPods, KillPods, Note, StopJob, WriteStatus
from taskq.domain.admission import Fault, Refusal, why_blocked
from taskq.domain.deduplication import How, Rival
from taskq.domain.dependencies import Standing
from taskq.domain.jobspec import job_key
from taskq.domain.model import Job, Key, Pod, Queue, QueueSpec, Task
from taskq.domain.ordering import Place, rank
from taskq.domain.outcome import Outcome
from taskq.domain.reasons import Reason, enumerated, message
from taskq.resources.common import STOP_REASON_ANNOTATION

LOOK_UP_SECONDS = 5
"""How often a Task asks again for what could not be found out."""

REPORT_SECONDS = 5
"""How long the Job controller may take to report that the pods have ended: it gathers such news for a second."""

HARD_TIMEOUT_SLACK_SECONDS = 30
"""The kubelet ends a pod at its deadline; when it does not (a lost node), the operator does so this much later."""


NO_POD_SECONDS = 15
"""A Job controller under its stock limits makes pods within seconds; a Job without one for so long is worth a word."""


class Stage(StrEnum):
    """Where a Task stands for its queue."""

    WAITING = "waiting"
    READY = "ready"
    LAUNCHING = "launching"
    RUNNING = "running"
    ENDED = "ended"


class View(NamedTuple):
    """All that a decision about one Task reads."""

    task: Task
    queue: Queue | None
    queue_exists: bool
    parent: Queue | None = None
    """The queue whose state binds this one."""
    template_fault: Fault | None = None
    """What is wrong with its template, or with its parameters for it."""
    rival: Rival | None = None
    """Who has the same deduplication key."""
    dependencies: Standing | None = None
    """Of a Task that has not started and has some."""
    job: Job | None = None
    """The Job of the current attempt."""
    job_leaving: bool = False
    """That Job is gone, and whether its pods are too is not known yet."""
    job_gone: bool = False
    """That Job was there and is no more, pods included."""
    pods: tuple[Pod, ...] = ()
    pods_fetched: bool = False
    """The pods were read after the Job had ended, so none is missing."""
    last_pod: Pod | None = None
    """The last that was seen of a pod of this Job that is gone: a stopped or evicted pod may go before its Job ends."""
    launching: bool = False
    """A request to create the Job is under way, or its answer got lost."""
    refusal: Refusal | None = None
    """The API server's last answer to the Job, if it was no."""
    running_after: float = 2.0
    """Seconds after which a running Task is worth a write that says so."""

    @property
    def rules(self) -> QueueSpec:
        """The queue's rules, or the defaults."""
        return policy.spec_of(self.queue)

    @property
    def known_pods(self) -> tuple[Pod, ...]:
        """What can tell how the attempt ended."""
        return self.pods or ((self.last_pod,) if self.last_pod else ())


class Decision(NamedTuple):
    """What to do about one Task, and when to ask again (epoch seconds)."""

    stage: Stage
    actions: tuple[Action, ...] = ()
    wake_at: float | None = None
    place: Place | None = None
    """Where it stands in its queue's order, when it may."""
    waits_for: str = ""
    """What keeps it out of the order; or, once it has a Job, its containers from running."""
    stuck: bool = False
    """Whether it has run for longer than its queue's ``alerts.stuckSeconds`` without getting on."""


def decide(view: View, now: float) -> Decision:
    """Answer for one Task."""
    task = view.task
    if task.metadata.deletion_timestamp or task.is_terminal:
        return Decision(Stage.ENDED)
    if task.defect:
        return _wait(view, now, (Reason.INVALID_TASK, message(Reason.INVALID_TASK, message=task.defect)))
    if view.launching:
        told = _wait(view, now, (view.refusal.reason, view.refusal.message)).actions if view.refusal else ()
        return Decision(Stage.LAUNCHING, told)
    if view.job:
        return _attend(view, view.job, now)
    if view.job_leaving:
        return Decision(Stage.RUNNING)
    if view.job_gone:
        return _settle(view, job_key(task).name, outcomes.job_deleted(None, view.known_pods, now), None, now)
    if task.status.attempt >= task.current_attempt:  # the status says it started, and nothing shows it
        return Decision(Stage.RUNNING, (FetchJob(job_key(task), task.metadata.uid),))
    return _queue(view, now)


def quiescent(job: Job, pods: tuple[Pod, ...]) -> bool:
    """Whether nothing of a Job runs or terminates any more.

    A suspended Job counts only once its controller has said so: before that it may be about to create a pod.
    """
    if any(pod.alive for pod in pods):
        return False
    if job.finished:
        return True
    return bool(job.spec.suspend and job.is_true("Suspended") and not job.status.active and not job.status.terminating)


# --- before it starts ---------------------------------------------------------------------------------------------


def _queue(view: View, now: float) -> Decision:
    """A Task without a Job: cancelled, expired, held, not due, blocked, or ready."""
    task = view.task
    if wish := cancelling.of_waiting(task, view.queue):
        return _end(view, "Cancelled", wish.reason, wish.message, now)
    expiry = policy.expiry_time(task, view.rules)
    if expiry is not None and now >= expiry:
        return _expire(view, now)
    no_time_left = policy.total_deadline(task, view.rules) if task.settled_attempt else None
    if no_time_left is not None and now >= no_time_left:
        return _run_out(view, now)
    expiry = _earliest(expiry, no_time_left)
    if view.rival:
        return _stand_back(view, view.rival, expiry, now)
    waiting = _depend(view, view.dependencies, expiry, now) if view.dependencies else None
    if waiting:
        return waiting
    if task.spec.suspend:
        return _wait(view, now, None, wake_at=expiry, waits_for=Reason.SUSPENDED)
    due = policy.due_time(task)
    if due > now:
        waits_for = Reason.BACKING_OFF if task.settled_attempt else Reason.NOT_DUE
        return _wait(view, now, None, wake_at=_earliest(due, expiry), waits_for=waits_for)
    fault, again = fault_of(view, now)
    place = Place(rank(task, view.rules, now), policy.lane(task, view.rules), held=fault is not None)
    if fault:
        decision = _wait(view, now, fault, wake_at=_earliest(again, expiry))
        return decision._replace(place=place) if _keeps_its_place(view, fault) else decision
    ready = Decision(Stage.READY, (), _earliest(expiry, policy.next_aging_step(task, view.rules, now)), place)
    if view.refusal:  # not over before the API server has said yes: clearing it first would make the status flicker
        return ready
    return ready._replace(actions=_wait(view, now, None).actions)


def fault_of(view: View, now: float) -> tuple[Fault | None, float | None]:
    """What keeps a Task that is due from standing in the order, and when to look again without any other event."""
    return why_blocked(
        view.task,
        view.queue,
        parent=view.parent,
        queue_exists=view.queue_exists,
        template_fault=view.template_fault,
        refusal=view.refusal,
        now=now,
    )


def _stand_back(view: View, rival: Rival, expiry: float | None, now: float) -> Decision:
    """A Task whose deduplication key is another's."""
    reason, text = deduplication.in_words(view.task, rival)
    if rival.is_final:
        return _end(view, "Cancelled", reason, text, now)
    again = now + LOOK_UP_SECONDS if rival.how is How.UNKNOWN else None
    return _wait(view, now, None, _earliest(again, expiry), reason)


def _depend(view: View, on: Standing, expiry: float | None, now: float) -> Decision | None:
    """A Task whose dependencies keep it from starting, or have something to record; None when all is done."""
    task = view.task
    record: status.Patch = {}
    if on.is_news:
        record["dependencies"] = [msgspec.structs.asdict(outcome) for outcome in on.ended]
    if on.failed and task.spec.on_dependency_failure == "Cancel":
        wanted, outcome = on.failed
        facts = {"name": wanted.name, "phase": outcome.phase, "condition": wanted.condition}
        text = message(Reason.DEPENDENCY_FAILED, **facts)
        return _end(view, "Cancelled", Reason.DEPENDENCY_FAILED, text, now, record)
    fault, again = dependencies.fault_of(task, on, now)
    waiting = _wait(view, now, fault, _earliest(again, expiry), Reason.DEPENDENCY_UNFINISHED)
    if record:
        note = Note(reason=fault[0], message=fault[1], warning=True) if fault else None
        patch = status.waiting(task, view.rules, fault, now) | record
        return waiting._replace(actions=(_write(task, patch, note),))
    return waiting if on.waits else None


def _keeps_its_place(view: View, fault: Fault) -> bool:
    """Whether nothing may overtake a Task that can't start: in a Strict queue, when only room is lacking.

    What a person must mend does not hold up the others, in any queue.
    """
    return view.rules.queueing_strategy == "Strict" and fault[0] == Reason.QUOTA_EXCEEDED


def _earliest(*times: float | None) -> float | None:
    return min((time for time in times if time is not None), default=None)


def _wait(
    view: View, now: float, fault: tuple[str, str] | None, wake_at: float | None = None, waits_for: str = ""
) -> Decision:
    """Wait; write only a fault that is new, or that is over."""
    task = view.task
    waiting = Decision(Stage.WAITING, (), wake_at, waits_for=fault[0] if fault else waits_for)
    if fault is None and not _shows_fault(task):
        return waiting
    patch = status.waiting(task, view.rules, fault, now)
    if not status.differs(task, patch):
        return waiting
    note = Note(reason=fault[0], message=fault[1], warning=True) if fault else None
    return waiting._replace(actions=(_write(task, patch, note),))


def _shows_fault(task: Task) -> bool:
    admitted = task.condition("Admitted")
    return admitted is not None and admitted.reason not in (Reason.WAITING, Reason.BACKING_OFF)


def _expire(view: View, now: float) -> Decision:
    task, rules = view.task, view.rules
    own = task.spec.starting_deadline_seconds
    text = message(
        Reason.STARTING_DEADLINE_EXCEEDED,
        limit=rules.task_defaults.starting_deadline_seconds if own is None else own,
        since="its creation" if task.spec.not_before_time is None else "spec.notBeforeTime",
        cause=_what_held_it(view),
    )
    return _end(view, "Expired", Reason.STARTING_DEADLINE_EXCEEDED, text, now)


def _what_held_it(view: View) -> str:
    waits = view.dependencies.waits if view.dependencies else ()
    if waits:
        return f"it waited for {enumerated([wait.name for wait in waits])} (spec.dependsOn)"
    return f"its queue {view.task.queue.name} had no room, or held it"


def _run_out(view: View, now: float) -> Decision:
    """The time for all attempts was over before the next one could start."""
    task, last = view.task, view.task.status.attempts[-1]
    text = message(
        Reason.TOTAL_TIMEOUT,
        limit=policy.timeouts(task, view.rules).total_seconds,
        attempt=last.number,
        reason=last.reason,
        message=last.message,
    )
    return _end(view, "Failed", Reason.TOTAL_TIMEOUT, text, now)


# --- while it runs ------------------------------------------------------------------------------------------------


def _attend(view: View, job: Job, now: float) -> Decision:
    """A Task with a Job: ended, stopping, to be stopped, or running."""
    task, uid = view.task, view.task.metadata.uid
    stopping = bool(job.metadata.annotations.get(STOP_REASON_ANNOTATION))
    if job.finished or (stopping and quiescent(job, view.pods)):
        which = _missing_pods(view, job)
        if which and not view.pods_fetched:
            return Decision(Stage.RUNNING, (FetchPods(job.metadata.key, job.metadata.uid, uid, which),))
        limits = policy.timeouts(task, view.rules)
        outcome = outcomes.of_attempt(job, view.known_pods, limits, now, seen=_seen_fault(task))
        return _settle(view, job.metadata.name, outcome, job, now)
    if job.metadata.deletion_timestamp:
        return Decision(Stage.RUNNING)  # its end is JobDeleted, once it and its pods are gone
    if stopping:
        slow = _slow_pods(view)
        return Decision(Stage.RUNNING, (KillPods(slow, uid),) if slow else ())
    reason, wake_at = _stop_reason(view, job, now)
    if reason:
        return Decision(Stage.RUNNING, (StopJob(job.metadata.key, job.metadata.uid, uid, reason, _slow_pods(view)),))
    return _show_running(view, job, now, wake_at)


def _missing_pods(view: View, job: Job) -> Literal["all", "failed"] | None:
    """Which pods must be read before the outcome can be told; None when enough is known."""
    if job.has_items:
        return "failed" if batch.lacks_witness(job, view.known_pods) else None
    return None if any(not pod.alive for pod in view.known_pods) else "all"


def _stop_reason(view: View, job: Job, now: float) -> tuple[str, float | None]:
    """Why the attempt must stop now, else an empty string and the time of its next limit."""
    if cancelling.of_running(view.task, view.queue):
        return Reason.CANCELLED, None
    limits = policy.timeouts(view.task, view.rules)
    deadlines = {Reason.TOTAL_TIMEOUT: policy.total_deadline(view.task, view.rules, job.metadata.created)}
    accepted = outcomes.last_pod_start(view.pods)
    if limits.hard_seconds is not None and accepted is not None:
        deadlines[Reason.TIMED_OUT] = accepted + limits.hard_seconds + HARD_TIMEOUT_SLACK_SECONDS
    pending_since = outcomes.pending_since(job, view.pods)
    if limits.pending_seconds is not None and pending_since is not None:
        deadlines[Reason.PENDING_TIMEOUT] = pending_since + limits.pending_seconds
    passed = (reason for reason, deadline in deadlines.items() if deadline is not None and now >= deadline)
    return next(passed, ""), _earliest(*deadlines.values())


def _slow_pods(view: View) -> tuple[tuple[Key, str], ...]:
    """The pods to which an immediate cancellation leaves one second; others keep their grace period."""
    cancellation = view.task.spec.cancellation
    if not cancellation or cancellation.mode != "Immediate":
        return ()
    return tuple(
        (pod.metadata.key, pod.metadata.uid)
        for pod in view.pods
        if pod.alive and pod.metadata.deletion_grace_period_seconds not in (0, 1)
    )


def _show_running(view: View, job: Job, now: float, wake_at: float | None) -> Decision:
    """Say that it runs, once it does so for longer than most; say why it does not, as soon as that is known."""
    task = view.task
    worth_it = job.metadata.created + view.running_after
    if view.pods and not any(pod.alive for pod in view.pods):  # its end is about to be written
        worth_it += REPORT_SECONDS
    if now < worth_it:
        return Decision(Stage.RUNNING, (), _earliest(wake_at, worth_it))
    fault, again = why_not_running(view, job, now)
    shown = batch.to_show(task, job, now)
    wake_at = _earliest(wake_at, again, shown.again)
    verdict = stuck.attempt(task, view.rules, job, fault, now)
    wake_at = _earliest(wake_at, verdict.again)
    patch = status.running(task, view.rules, job, fault, now, shown.progress, stuck=verdict.why)
    waits_for = fault[0] if fault else ""
    running = Decision(Stage.RUNNING, (), wake_at, waits_for=waits_for, stuck=verdict.why is not None)
    if not status.differs(task, patch):
        return running
    note = None
    if fault and not _shows(task, fault):
        note = Note(reason=fault[0], message=fault[1], warning=True)
    note = note or stuck.note(task.condition(stuck.STUCK), verdict.why)
    return running._replace(actions=(_write(task, patch, note),))


def why_not_running(view: View, job: Job, now: float) -> tuple[Fault | None, float | None]:
    """What keeps the containers from running, and when to look again for something that no event tells."""
    if not view.pods and not job.status.active and not job.status.succeeded:
        at = job.metadata.created + NO_POD_SECONDS
        text = message(Reason.NO_POD, limit=NO_POD_SECONDS, job=job.metadata.name)
        return ((Reason.NO_POD, text), None) if now >= at else (None, at)
    found = None if outcomes.pending_since(job, view.pods) is None else outcomes.waiting_fault(view.pods)
    return ((found[0], message(found[0], message=found[1])) if found else None), None


def _shows(task: Task, fault: Fault) -> bool:
    shown = task.condition("Reconciling")
    return shown is not None and (shown.reason, shown.message) == fault


def _seen_fault(task: Task) -> str:
    """What the status says keeps the containers from starting."""
    shown = task.condition("Reconciling")
    return shown.message if shown and shown.reason in outcomes.WAITING_REASONS else ""


# --- when an attempt, or the Task, ends ---------------------------------------------------------------------------


def _settle(view: View, job_name: str, outcome: Outcome, job: Job | None, now: float) -> Decision:
    """Write down how the attempt ended, and what follows."""
    task, number = view.task, view.task.current_attempt
    launched = job.metadata.created if job else None
    ended = (job_name, outcome)
    if outcome.succeeded:
        text = message(Reason.SUCCEEDED, attempt=number)
        note = Note(reason=Reason.SUCCEEDED, message=text, result="succeeded", outcome=outcome, launched=launched)
        patch = status.ended(task, view.rules, "Succeeded", Reason.SUCCEEDED, text, now, attempt=ended)
        return Decision(Stage.ENDED, (_write(task, patch, note),))
    if wish := cancelling.of_running(task, view.queue, outcome):
        note = Note(reason=wish.reason, message=wish.message, result="cancelled", outcome=outcome, launched=launched)
        patch = status.ended(task, view.rules, "Cancelled", wish.reason, wish.message, now, attempt=ended)
        return Decision(Stage.ENDED, (_write(task, patch, note),))
    return _settle_failure(view, job_name, outcome, launched, now)


def _settle_failure(view: View, job_name: str, outcome: Outcome, launched: float | None, now: float) -> Decision:
    task, rules = view.task, policy.retry_policy(view.task, view.rules)
    verdict = retry.after_failure(task, rules, reason=outcome.reason, exit_code=outcome.exit_code, said=outcome.said)
    deadline = policy.total_deadline(task, view.rules, outcome.started or launched)
    if verdict.retry_in is not None and deadline is not None and outcome.ended + verdict.retry_in >= deadline:
        verdict = verdict._replace(retry_in=None, final_reason=Reason.TOTAL_TIMEOUT)
    note = Note(
        reason=verdict.final_reason or "AttemptFailed",
        message="",
        warning=True,
        result="" if verdict.retry_in is not None else "failed",
        attempt_failed=outcome.reason,
        retried=verdict.retry_in is not None,
        outcome=outcome,
        launched=launched,
    )
    if verdict.retry_in is not None:
        due = outcome.ended + verdict.retry_in
        patch = status.retrying(task, view.rules, job_name, outcome, due=due, counts=verdict.counts, now=now)
        note = msgspec.structs.replace(note, message=f"{patch['message']}: {outcome.message}")
        return Decision(Stage.WAITING, (_write(task, patch, note),), waits_for=Reason.BACKING_OFF)
    limits: dict[str, object] = {
        Reason.TOO_MANY_IGNORED: task.status.ignored_attempts,
        Reason.TOTAL_TIMEOUT: policy.timeouts(task, view.rules).total_seconds,
    }
    text = message(
        verdict.final_reason,
        attempt=task.current_attempt,
        reason=outcome.reason,
        limit=limits.get(verdict.final_reason, rules.max_attempts),
        message=outcome.message,
    )
    ended = (job_name, outcome)
    patch = status.ended(
        task, view.rules, "Failed", verdict.final_reason, text, now, attempt=ended, counts=verdict.counts
    )
    return Decision(Stage.ENDED, (_write(task, patch, msgspec.structs.replace(note, message=text)),))


def _end(view: View, phase: str, reason: str, text: str, now: float, also: status.Patch | None = None) -> Decision:
    """End a Task that has no attempt to settle; ``also`` is written with it."""
    patch = status.ended(view.task, view.rules, phase, reason, text, now) | (also or {})
    note = Note(reason=reason, message=text, warning=phase != "Cancelled", result=phase.lower())
    return Decision(Stage.ENDED, (_write(view.task, patch, note),))


def _write(task: Task, patch: status.Patch, note: Note | None) -> WriteStatus:
    meta = task.metadata
    return WriteStatus(task=meta.key, uid=meta.uid, version=meta.resource_version, status=patch, note=note)
