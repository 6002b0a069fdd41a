"""What follows a failed attempt."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import make_task
from taskq.domain.model import RetryPolicy, Task
from taskq.domain.retry import Verdict, after_failure
from taskq.resources.common import ATTEMPT_REASONS, MAX_IGNORED_ATTEMPTS


def policy(**fields: Any) -> RetryPolicy:
    """A retryPolicy as in a manifest."""
    return msgspec.convert(fields, RetryPolicy)


def failed(times: int, *, ignored: int = 0, uid: str = "") -> Task:
    """A Task that has failed so often."""
    number = times + ignored
    attempts = [{"number": number}] if number else []
    task = make_task(uid=uid).status(failedAttempts=times, ignoredAttempts=ignored, attempts=attempts)
    return task.build()


def verdict(task: Task, rules: RetryPolicy, reason: str = "Error", exit_code: int | None = 1) -> Verdict:
    """What follows."""
    return after_failure(task, rules, reason=reason, exit_code=exit_code)


def delays(kind: str, times: int, **backoff: Any) -> list[float]:
    """The waits after the first so many failures, without jitter."""
    rules = policy(maxAttempts=99, backoff={"type": kind, "jitterPercent": 0, **backoff})
    waits = [verdict(failed(n), rules).retry_in for n in range(times)]
    return [wait for wait in waits if wait is not None]


def test_one_attempt_is_the_default() -> None:
    """Without a policy the first failure is the last."""
    assert verdict(failed(0), policy()) == Verdict(None, counts=True, final_reason="RetriesExhausted")


def test_attempts_end_at_the_maximum() -> None:
    """Three attempts are three, not three retries."""
    rules = policy(maxAttempts=3)
    assert [verdict(failed(n), rules).retry_in is not None for n in range(3)] == [True, True, False]


def test_exponential_waits_double_up_to_the_cap() -> None:
    """10, 20, 40 … up to maxSeconds."""
    assert delays("Exponential", 5, baseSeconds=10, maxSeconds=60) == [10, 20, 40, 60, 60]


def test_linear_waits_grow_by_the_base() -> None:
    """10, 20, 30 … up to maxSeconds."""
    assert delays("Linear", 4, baseSeconds=10, maxSeconds=35) == [10, 20, 30, 35]


def test_fixed_waits_stay() -> None:
    """Always the base."""
    assert delays("Fixed", 3, baseSeconds=7) == [7, 7, 7]


def test_a_thousand_failures_do_not_overflow() -> None:
    """The doubling stops at the cap, however often it failed."""
    rules = policy(maxAttempts=1000, backoff={"type": "Exponential", "baseSeconds": 1, "jitterPercent": 0})
    assert verdict(failed(998), rules).retry_in == 600


@given(st.integers(0, 30), st.integers(0, 100), st.uuids().map(str))
def test_jitter_only_adds_and_never_more_than_asked(times: int, percent: int, uid: str) -> None:
    """The wait lies between the backoff and the backoff plus its percentage, and a restart computes it again."""
    task = failed(times, uid=uid)
    backoff = {"type": "Linear", "baseSeconds": 10, "maxSeconds": 100}
    rules = policy(maxAttempts=99, backoff={**backoff, "jitterPercent": percent})
    plain = min(10 * (times + 1), 100)
    wait = verdict(task, rules).retry_in
    assert wait is not None
    assert plain <= wait <= plain * (1 + percent / 100)
    assert verdict(task, rules).retry_in == wait


def test_jitter_spreads_a_burst() -> None:
    """Tasks that fail together do not come back together."""
    rules = policy(maxAttempts=2, backoff={"jitterPercent": 50})
    waits = sorted(verdict(failed(0, uid=f"u{n}"), rules).retry_in or 0 for n in range(100))
    assert len(set(waits)) == 100
    assert max(b - a for a, b in pairwise(waits)) < 1


@pytest.mark.parametrize("reason", ["Evicted", "NodeLost", "Preempted"])
def test_what_is_not_the_tasks_fault_does_not_count(reason: str) -> None:
    """An eviction, a lost node or a preemption is tried again even with one attempt."""
    found = verdict(failed(0), policy(), reason, None)
    assert (found.counts, found.retry_in is not None) == (False, True)


def test_ignored_attempts_are_bounded() -> None:
    """A Task that is evicted for ever fails in the end."""
    most = verdict(failed(0, ignored=MAX_IGNORED_ATTEMPTS - 1), policy(), "Evicted", None)
    over = verdict(failed(0, ignored=MAX_IGNORED_ATTEMPTS), policy(), "Evicted", None)
    assert most.retry_in is not None
    assert over == Verdict(None, counts=False, final_reason="TooManyIgnoredAttempts")


def test_ignored_attempts_do_not_use_up_the_others() -> None:
    """Nineteen evictions leave all three attempts."""
    assert verdict(failed(0, ignored=19), policy(maxAttempts=3)).retry_in is not None


def test_a_rule_makes_an_exit_code_final() -> None:
    """Exit code 2 need not be tried again when a rule says so."""
    rules = policy(maxAttempts=5, rules=[{"exitCodes": [2, 3], "action": "Fail"}])
    assert verdict(failed(0), rules, exit_code=3).final_reason == "NonRetriable"
    assert verdict(failed(0), rules, exit_code=4).retry_in is not None


def test_a_rule_makes_a_reason_free_of_charge() -> None:
    """A pod deleted by hand can be made not to count."""
    rules = policy(rules=[{"reasons": ["PodDeleted"], "action": "Ignore"}])
    assert verdict(failed(0), rules, "PodDeleted", None).counts is False


def test_a_rule_can_make_an_eviction_count() -> None:
    """What does not count by default counts when a rule says Retry."""
    rules = policy(maxAttempts=2, rules=[{"reasons": ["Evicted"], "action": "Retry"}])
    assert verdict(failed(0), rules, "Evicted", None).counts is True
    assert verdict(failed(1), rules, "Evicted", None).final_reason == "RetriesExhausted"


def test_the_first_rule_that_matches_decides() -> None:
    """Later rules are not read."""
    rules = policy(maxAttempts=9, rules=[{"exitCodes": [1], "action": "Retry"}, {"exitCodes": [1], "action": "Fail"}])
    assert verdict(failed(0), rules).retry_in is not None


@given(
    st.sampled_from(ATTEMPT_REASONS),
    st.one_of(st.none(), st.integers(0, 255)),
    st.integers(1, 50),
    st.lists(st.sampled_from(["Retry", "Fail", "Ignore"]), max_size=3),
)
def test_every_task_ends(reason: str, code: int | None, most: int, actions: list[str]) -> None:
    """Whatever fails and whatever the rules, a bounded number of attempts leads to an end."""
    rules = policy(maxAttempts=most, rules=[{"reasons": [reason], "action": action} for action in actions])
    spent = ignored = 0
    for _ in range(most + MAX_IGNORED_ATTEMPTS + 1):
        found = verdict(failed(spent, ignored=ignored), rules, reason, code)
        if found.retry_in is None:
            assert found.final_reason
            return
        assert not found.final_reason
        spent, ignored = spent + found.counts, ignored + (not found.counts)
    pytest.fail("it never ends")


def said(words: str, **fields: Any) -> Verdict:
    """What follows a failure whose container wrote these last words."""
    rules = policy(maxAttempts=3, backoff={"baseSeconds": 10, "jitterPercent": 0}, **fields)
    return after_failure(failed(0), rules, reason="Error", exit_code=1, said=words)


def test_a_program_may_say_when_to_come_back() -> None:
    """Its own wait replaces the backoff, and the attempt counts."""
    assert said('{"taskq": {"retryAfterSeconds": 300}}') == Verdict(300, counts=True)


def test_a_program_may_say_that_it_is_hopeless() -> None:
    """No further attempt, whatever is left and whatever the rules say."""
    rule = {"exitCodes": [1], "action": "Retry"}
    assert said('{"taskq": {"retry": false}}', rules=[rule]).final_reason == "NonRetriable"


def test_a_wish_for_later_gives_no_further_attempt() -> None:
    """When the attempts are used up, they are."""
    rules = policy(maxAttempts=1)
    found = after_failure(failed(0), rules, reason="Error", exit_code=1, said='{"taskq": {"retryAfterSeconds": 1}}')
    assert found.final_reason == "RetriesExhausted"


@pytest.mark.parametrize(
    "words",
    [
        "",
        "boom",
        "{",
        "[]",
        '{"taskq": 1}',
        '{"taskq": {"retryAfterSeconds": -1}}',
        '{"taskq": {"retry": "no"}}',
        "null",
    ],
)
def test_other_last_words_change_nothing(words: str) -> None:
    """What can't be understood is no wish."""
    assert said(words) == Verdict(10, counts=True)
