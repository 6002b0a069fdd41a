"""What follows a failed attempt: another one and when, or the end."""

from __future__ import annotations

import hashlib
from typing import Annotated, NamedTuple

import msgspec

from taskq.domain.model import Backoff, RetryPolicy, Task
from taskq.domain.reasons import Reason
from taskq.resources.common import MAX_BACKOFF_SECONDS, MAX_IGNORED_ATTEMPTS

NOT_THE_TASKS_FAULT = frozenset({Reason.EVICTED, Reason.NODE_LOST, Reason.PREEMPTED})
"""Ends that say nothing about the Task: unless a rule says otherwise, they do not count against maxAttempts."""


class Verdict(NamedTuple):
    """What follows a failed attempt."""

    retry_in: float | None
    """Seconds from the attempt's end to the next one; None ends the Task."""
    counts: bool
    """Whether the attempt counts against ``maxAttempts``."""
    final_reason: str = ""
    """Why there is no further attempt; empty when there is one."""


class _Wish(msgspec.Struct, rename="camel"):
    retry: bool = True
    retry_after_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_BACKOFF_SECONDS)] | None = None


class _Message(msgspec.Struct):
    taskq: _Wish = msgspec.field(default_factory=_Wish)


_decode_message = msgspec.json.Decoder(_Message).decode


def after_failure(task: Task, policy: RetryPolicy, *, reason: str, exit_code: int | None, said: str = "") -> Verdict:
    """Apply the first rule that matches, else the default, then the limits on attempts.

    ``said`` is the container's termination message. ``{"taskq": {"retry": false}}`` in it ends the Task, and
    ``{"taskq": {"retryAfterSeconds": 60}}`` replaces the backoff: the program knows best whether and when to come back.
    """
    wish = _wish(said)
    action = _action(policy, reason, exit_code) if wish.retry else "Fail"
    verdict = _by_action(task, policy, action)
    if verdict.retry_in is not None and wish.retry_after_seconds is not None:
        return verdict._replace(retry_in=float(wish.retry_after_seconds))
    return verdict


def _wish(said: str) -> _Wish:
    try:
        return _decode_message(said).taskq
    except msgspec.DecodeError:  # most programs say something else, or nothing
        return _Wish()


def _by_action(task: Task, policy: RetryPolicy, action: str) -> Verdict:
    if action == "Fail":
        return Verdict(None, counts=True, final_reason=Reason.NON_RETRIABLE)
    if action == "Ignore":
        ignored = task.status.ignored_attempts + 1
        if ignored > MAX_IGNORED_ATTEMPTS:
            return Verdict(None, counts=False, final_reason=Reason.TOO_MANY_IGNORED)
        return Verdict(_delay(task, policy.backoff, ignored), counts=False)
    failed = task.status.failed_attempts + 1
    if failed >= policy.max_attempts:
        return Verdict(None, counts=True, final_reason=Reason.RETRIES_EXHAUSTED)
    return Verdict(_delay(task, policy.backoff, failed), counts=True)


def _action(policy: RetryPolicy, reason: str, exit_code: int | None) -> str:
    for rule in policy.rules:
        if reason in rule.reasons or (exit_code is not None and exit_code in rule.exit_codes):
            return rule.action
    return "Ignore" if reason in NOT_THE_TASKS_FAULT else "Retry"


def _delay(task: Task, backoff: Backoff, failures: int) -> float:
    """Seconds to wait: the backoff of this failure, capped, plus up to ``jitterPercent`` of it.

    The jitter comes from the Task's uid and attempt, so that a restart computes the same time again.
    """
    factor = {"Exponential": 2 ** min(failures - 1, 32), "Linear": failures, "Fixed": 1}[backoff.type]
    delay = float(min(backoff.base_seconds * factor, backoff.max_seconds))
    seed = hashlib.sha256(f"{task.metadata.uid}/{task.current_attempt}".encode()).digest()
    spread = int.from_bytes(seed[:4], "big") / 2**32
    return delay * (1 + spread * backoff.jitter_percent / 100)
