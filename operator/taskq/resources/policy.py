"""How a Task is tried, timed and cleaned up: given in a Task, or as a queue's default."""

from typing import Annotated

from pydantic import ConfigDict, Field

from taskq.resources.base import Model, Seconds, SecondsOrZero, list_type, rule, rules
from taskq.resources.common import (
    ATTEMPT_REASONS,
    BACKOFF_BASE_SECONDS,
    BACKOFF_MAX_SECONDS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_TTL_SECONDS,
    JITTER_PERCENT,
    MAX_ATTEMPTS_LIMIT,
    MAX_BACKOFF_SECONDS,
    MAX_EXIT_CODES,
    MAX_IGNORED_ATTEMPTS,
    MAX_RETRY_RULES,
    MAX_SECONDS,
    MIN_HARD_SECONDS,
    PRIORITY_MAX,
    PRIORITY_MIN,
    AttemptReason,
    BackoffType,
    RuleAction,
)

Priority = Annotated[int, Field(ge=PRIORITY_MIN, le=PRIORITY_MAX)]


class Timeouts(Model):
    """Limits of one attempt; no limit unless given."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.softSeconds) || !has(self.hardSeconds) || self.hardSeconds > self.softSeconds",
                "hardSeconds must be greater than softSeconds: what lies between them is the time to clean up",
                path=".hardSeconds",
            ),
            rule(
                "!has(self.totalSeconds) || !has(self.softSeconds) || self.totalSeconds >= self.softSeconds",
                "totalSeconds must not be less than softSeconds: it spans all attempts",
                path=".totalSeconds",
            ),
            rule(
                "!has(self.totalSeconds) || !has(self.hardSeconds) || self.totalSeconds >= self.hardSeconds",
                "totalSeconds must not be less than hardSeconds: it spans all attempts",
                path=".totalSeconds",
            ),
        )
    )

    soft_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "Seconds after which an attempt gets SIGTERM and ends as TimedOut, counted from the moment "
                "the node accepts the pod (image pull included). No limit by default."
            )
        ),
    ] = None
    hard_seconds: Annotated[
        int | None,
        Field(
            ge=MIN_HARD_SECONDS,
            le=MAX_SECONDS,
            description=(
                "Seconds after which an attempt gets SIGKILL. Alone it also gives SIGTERM, ten seconds (at "
                "most half of it) earlier. No limit by default."
            ),
        ),
    ] = None
    pending_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "Seconds from the creation of the Job within which a container must have started, else the "
                "attempt ends as PendingTimeout. No limit by default."
            )
        ),
    ] = None
    total_seconds: Annotated[
        Seconds | None,
        Field(
            description=(
                "Seconds for all attempts together, the waits between them included, counted from the start of the "
                "first. What runs then is stopped, and no further attempt starts. No limit by default."
            )
        ),
    ] = None


class Backoff(Model):
    """The wait between a failed attempt and the next one."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.maxSeconds >= self.baseSeconds",
                f"maxSeconds ({BACKOFF_MAX_SECONDS} unless given) must not be less than baseSeconds",
                path=".maxSeconds",
            )
        )
    )

    type: Annotated[
        BackoffType,
        Field(
            description=(
                "How the wait grows with the number n of failed attempts: Exponential baseSeconds*2^(n-1) "
                "(the default), Linear baseSeconds*n, Fixed baseSeconds."
            )
        ),
    ] = BackoffType.EXPONENTIAL
    base_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_BACKOFF_SECONDS,
            description=f"Seconds before the second attempt, {BACKOFF_BASE_SECONDS} by default.",
        ),
    ] = BACKOFF_BASE_SECONDS
    max_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_BACKOFF_SECONDS,
            description=(f"No wait is longer than so many seconds (before jitter), {BACKOFF_MAX_SECONDS} by default."),
        ),
    ] = BACKOFF_MAX_SECONDS
    jitter_percent: Annotated[
        int,
        Field(
            ge=0,
            le=100,
            description=(
                "By how much longer than computed a wait may be, in percent, so that Tasks that failed "
                f"together do not return together. {JITTER_PERCENT} by default."
            ),
        ),
    ] = JITTER_PERCENT


class RetryRule(Model):
    """What to do with attempts that ended in one of the named ways."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.exitCodes) != has(self.reasons)",
                "exactly one of exitCodes and reasons must be set; write two rules to match by both",
            )
        )
    )

    exit_codes: Annotated[
        list[Annotated[int, Field(ge=1, le=255)]] | None,
        Field(
            min_length=1,
            max_length=MAX_EXIT_CODES,
            description="Exit codes, 1 to 255, of the container that failed first.",
            json_schema_extra=list_type("set"),
        ),
    ] = None
    reasons: Annotated[
        list[AttemptReason] | None,
        Field(
            min_length=1,
            max_length=len(ATTEMPT_REASONS),
            description="Reasons of an attempt, as status.attempts[].reason shows them.",
            json_schema_extra=list_type("set"),
        ),
    ] = None
    action: Annotated[
        RuleAction,
        Field(
            description=(
                "Retry uses up one attempt, Fail ends the Task at once, Ignore tries again without "
                f"counting the attempt (at most {MAX_IGNORED_ATTEMPTS} times)."
            )
        ),
    ]


class RetryPolicy(Model):
    """How often and when a failed Task is tried again; every attempt is a new Job that queues again."""

    max_attempts: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_ATTEMPTS_LIMIT,
            description=(
                f"Attempts in all, the first one included; {DEFAULT_MAX_ATTEMPTS} by default, that is no retry."
            ),
        ),
    ] = DEFAULT_MAX_ATTEMPTS
    backoff: Annotated[Backoff, Field(description="The wait between a failed attempt and the next one.")] = Backoff()
    priority_boost: Annotated[
        int,
        Field(
            ge=0,
            le=PRIORITY_MAX,
            description=(
                "By how much the Task moves towards the front of its queue once an attempt has failed, however "
                "many have; 0 by default."
            ),
        ),
    ] = 0
    rules: Annotated[
        list[RetryRule] | None,
        Field(
            max_length=MAX_RETRY_RULES,
            description=(
                "Exceptions by exit code or reason; the first rule that matches decides. Unmatched, Evicted, "
                "NodeLost and Preempted are ignored and everything else is retried."
            ),
            json_schema_extra=list_type("atomic"),
        ),
    ] = None


class Ttl(Model):
    """How long a finished Task is kept, with its Job and logs."""

    after_success_seconds: Annotated[
        SecondsOrZero | None,
        Field(description=f"Seconds to keep a Task that Succeeded; {DEFAULT_TTL_SECONDS} (24 h) unless given."),
    ] = None
    after_failure_seconds: Annotated[
        SecondsOrZero | None,
        Field(
            description=(
                "Seconds to keep a Task that ended as Failed, Cancelled or Expired; "
                f"{DEFAULT_TTL_SECONDS} (24 h) unless given."
            )
        ),
    ] = None
    result_seconds: Annotated[
        SecondsOrZero | None,
        Field(
            description=(
                "Seconds after its end for which status.result is kept, when that is shorter than the Task is. "
                "As long as the Task by default."
            )
        ),
    ] = None
