"""An answer of the API server becomes one exception that says what its Status said."""

from __future__ import annotations

import json

import pytest

from taskq.clock import SystemClock
from taskq.cluster.session import Reply
from taskq.errors import BODY_LIMIT, MESSAGE_LIMIT, ApiError, NotSent, RequestError, TaskQError, Unanswered


def test_a_status_is_read_with_its_fields() -> None:
    causes = [{"field": "spec.priority", "message": "no"}, {"message": "without a field"}]
    status = {"reason": "Invalid", "message": "it is invalid", "details": {"causes": causes}}
    error = ApiError.from_answer(422, json.dumps(status).encode(), 3.0)
    assert (error.reason, error.message, error.fields, error.retry_after) == (
        "Invalid",
        "it is invalid",
        ("spec.priority",),
        3.0,
    )
    assert str(error) == "422 Invalid: it is invalid"


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"\xff\xfe", b"", b"[]", b'{"details":{"causes":7}}'])
def test_whatever_else_answers_is_kept_as_text(body: bytes) -> None:
    error = ApiError.from_answer(502, body)
    assert (error.status, error.reason) == (502, "")
    assert error.body == body.decode("utf-8", "replace")
    assert str(error).startswith("502")


def test_long_answers_are_cut() -> None:
    error = ApiError.from_answer(500, json.dumps({"message": "x" * 10_000}).encode())
    assert (len(error.message), len(error.body)) == (MESSAGE_LIMIT, BODY_LIMIT)


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (400, "BadRequest", {"is_invalid"}),
        (401, "Unauthorized", {"is_unauthorized"}),
        (403, "Forbidden", {"is_forbidden"}),
        (404, "NotFound", {"is_not_found"}),
        (408, "Timeout", {"is_transient"}),
        (409, "AlreadyExists", {"is_already_exists"}),
        (409, "Conflict", {"is_conflict"}),
        (410, "Expired", {"is_gone"}),
        (422, "Invalid", {"is_invalid"}),
        (429, "TooManyRequests", {"is_throttled", "is_transient"}),
        (500, "InternalError", {"is_transient"}),
        (504, "Timeout", {"is_transient"}),
    ],
)
def test_each_status_means_one_thing(status: int, reason: str, said: set[str]) -> None:
    error = ApiError(status, reason)
    assert {name for name in dir(error) if name.startswith("is_") and getattr(error, name)} == said


def test_only_answers_of_5xx_leave_a_write_uncertain() -> None:
    assert [status for status in (200, 201, 404, 409, 429, 500, 503, 504) if Reply(status, b"").uncertain] == [
        500,
        503,
        504,
    ]


def test_what_a_request_may_raise_has_one_base() -> None:
    assert all(issubclass(kind, RequestError) for kind in (ApiError, NotSent, Unanswered))
    assert issubclass(RequestError, TaskQError)


def test_the_machines_clocks_go_forward() -> None:
    clock = SystemClock()
    first = clock.uptime()
    assert first <= clock.uptime()
    assert clock.now() > 1_700_000_000
