"""What users write and what decisions read are two models of one API: they agree on names, words and defaults."""

import re
from datetime import datetime
from typing import Any, get_args

import msgspec
import pytest
from pydantic import BaseModel

from taskq.domain import following, items, parameters, ties
from taskq.domain import model as decision
from taskq.domain.reasons import Reason
from taskq.domain.schedules import spec as when
from taskq.resources import batch, common, hooks, policy, schedule, task, task_queue, task_template
from taskq.resources import parameters as written_parameters
from taskq.resources.base import TIME_PATTERN

PAIRS: list[tuple[type[BaseModel], type[msgspec.Struct], set[str]]] = [
    (task.TaskSpec, decision.TaskSpec, {"jobTemplate", "parameters"}),
    (task_template.TaskTemplateSpec, decision.TemplateSpec, {"jobTemplate"}),
    (written_parameters.Parameter, parameters.Given, set()),
    (written_parameters.ValueFrom, parameters.ValueFrom, set()),
    (written_parameters.TaskResult, parameters.TaskResult, set()),
    (written_parameters.KeyRef, parameters.KeyRef, set()),
    (written_parameters.TemplateParameter, parameters.Parameter, set()),
    (hooks.TemplateRef, following.TemplateRef, set()),
    (task.Cancellation, decision.Cancellation, set()),
    (batch.Batch, items.Batch, set()),
    (task.Deduplication, ties.Deduplication, set()),
    (task.Dependency, ties.Dependency, set()),
    (hooks.Hooks, following.Hooks, set()),
    (hooks.RetryOf, following.RetryOf, set()),
    (hooks.HookTask, following.HookTask, set()),
    (hooks.HookWebhook, following.HookWebhook, set()),
    (hooks.ParentTask, following.ParentTask, set()),
    (policy.Timeouts, decision.Timeouts, set()),
    (policy.Backoff, decision.Backoff, set()),
    (policy.RetryPolicy, decision.RetryPolicy, set()),
    (policy.RetryRule, decision.RetryRule, set()),
    (policy.Ttl, decision.Ttl, set()),
    (task_queue.TaskDefaults, decision.TaskDefaults, set()),
    (task_queue.TaskQueueSpec, decision.QueueSpec, set()),
    (task_queue.PriorityLevel, decision.PriorityLevel, set()),
    (task_queue.PriorityAging, decision.PriorityAging, set()),
    (task_queue.RateLimit, decision.RateLimit, set()),
    (task_queue.RetentionLimits, decision.RetentionLimits, set()),
    (task_queue.Alerts, decision.Alerts, set()),
    (task_queue.ParentRef, decision.ParentRef, set()),
    (schedule.ScheduleSpec, when.ScheduleSpec, {"taskTemplate"}),
    (schedule.Dst, when.Dst, set()),
    (schedule.ScheduleStatus, when.ScheduleStatus, set()),
    (schedule.ScheduledRun, when.Run, set()),
    (schedule.LedgerEntry, when.LedgerEntry, set()),
    (schedule.Suspension, when.Suspension, set()),
]
WRITTEN = [
    (task.TaskStatus, decision.TaskStatus),
    (task.Attempt, decision.Attempt),
    (batch.Progress, items.Progress),
    (task.DependencyOutcome, ties.DependencyOutcome),
    (hooks.HookStatus, following.HookStatus),
    (task_queue.TaskQueueStatus, decision.QueueStatus),
]


def _names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


@pytest.mark.parametrize(("written", "read", "unread"), PAIRS, ids=lambda value: getattr(value, "__name__", ""))
def test_decisions_read_every_field_that_users_can_write(
    written: type[BaseModel], read: type[msgspec.Struct], unread: set[str]
) -> None:
    """A field that only one of them knows is ignored without a word."""
    assert {field.encode_name for field in msgspec.structs.fields(read)} == _names(written) - unread


@pytest.mark.parametrize(("written", "read"), WRITTEN, ids=lambda value: value.__name__)
def test_decisions_read_nothing_that_the_status_does_not_have(
    written: type[BaseModel], read: type[msgspec.Struct]
) -> None:
    """The API server would have pruned it."""
    assert {field.encode_name for field in msgspec.structs.fields(read)} <= _names(written)


@pytest.mark.parametrize("written", [policy.Backoff, policy.RetryPolicy, task.Cancellation], ids=lambda m: m.__name__)
def test_both_have_the_same_defaults(written: type[BaseModel]) -> None:
    """What the API server fills in is what a decision takes when nothing is there."""
    read: Any = getattr(decision, written.__name__)
    filled = written().model_dump(mode="json", by_alias=True, exclude_none=True)
    assert msgspec.convert(filled, read) == read()


def test_a_schedule_has_the_same_defaults_in_both() -> None:
    """Of the times alone: which Task is created has no default."""
    filled = {
        field.alias or name: field.get_default()
        for name, field in schedule.ScheduleSpec.model_fields.items()
        if not field.is_required() and field.get_default() is not None
    }
    filled["dst"] = filled["dst"].model_dump(mode="json")
    assert msgspec.convert({name: _plain(value) for name, value in filled.items()}, when.ScheduleSpec) == (
        when.ScheduleSpec()
    )


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)


@pytest.mark.parametrize(
    ("words", "literal"),
    [
        (common.Phase, decision.Phase),
        (common.BackoffType, decision.Backoff.__annotations__["type"]),
        (common.RuleAction, decision.RetryRule.__annotations__["action"]),
        (common.CancellationMode, decision.Cancellation.__annotations__["mode"]),
        (common.DeduplicationMode, ties.Deduplication.__annotations__["mode"]),
        (common.DependencyCondition, ties.Dependency.__annotations__["condition"]),
        (common.DependencyFailure, decision.TaskSpec.__annotations__["on_dependency_failure"]),
        (common.QueueState, decision.QueueSpec.__annotations__["state"]),
        (common.ParameterType, parameters.Parameter.__annotations__["type"]),
        (common.Ordering, decision.QueueSpec.__annotations__["ordering"]),
        (common.PriorityOrder, decision.QueueSpec.__annotations__["priority_order"]),
        (common.Concurrency, when.ScheduleSpec.__annotations__["concurrency_policy"]),
        (common.MissedRuns, when.ScheduleSpec.__annotations__["missed_run_policy"]),
        (common.OnSuspend, when.ScheduleSpec.__annotations__["on_suspend"]),
        (common.DstGap, when.Dst.__annotations__["gap"]),
        (common.DstOverlap, when.Dst.__annotations__["overlap"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_both_know_the_same_words(words: Any, literal: Any) -> None:
    """A word that passes the API server and not the decoder would be a poison object."""
    known = eval(literal, vars(decision)) if isinstance(literal, str) else literal
    assert set(get_args(known)) == {word.value for word in words}


def test_terminal_phases_are_the_same() -> None:
    """The rule that freezes an ended Task and the decisions speak of the same ends."""
    assert {phase.value for phase in common.TERMINAL_PHASES} == decision.TERMINAL_PHASES


def test_every_reason_a_rule_can_name_is_one_that_attempts_end_with() -> None:
    """A rule by a reason that never occurs would never match."""
    assert {reason.value for reason in common.AttemptReason} <= {reason.value for reason in Reason}


@pytest.mark.parametrize(
    "time",
    [
        "2000-01-01T00:00:00Z",
        "2026-02-28T23:59:59.5Z",
        "2999-12-31T23:59:59.999999999+23:59",
        "2026-01-02T03:04:05-00:30",
    ],
)
def test_a_time_that_the_api_server_lets_through_can_be_read(time: str) -> None:
    """One that could not would make its Task unreadable."""
    assert re.fullmatch(TIME_PATTERN, time)
    assert msgspec.convert(time, datetime).timestamp() > 0
