"""Logs: what a line holds, in both formats, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from enum import StrEnum

import pytest

from taskq.observability import logs

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Logging is the process's: give it back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, was in quiet.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def text(out: io.StringIO) -> io.StringIO:
    logs.configure("text", "info", out)
    return out


@pytest.fixture
def as_json(out: io.StringIO) -> io.StringIO:
    logs.configure("json", "info", out)
    return out


log = logging.getLogger("taskq.test")


def raised(error: Exception) -> Exception:
    """The same error with a traceback."""
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_json_line_has_time_level_logger_message_and_the_bound_facts(as_json):
    """One object a line, which any collector takes apart."""
    logs.bind(log, namespace="team-a", task="report", attempt=2, reason="OOMKilled").warning("ended with %d", 137)
    line = as_json.getvalue()
    assert line.count("\n") == 1
    facts = json.loads(line)
    assert facts.pop("ts").endswith("Z")
    assert facts == {
        "level": "warning",
        "logger": "taskq.test",
        "message": "ended with 137",
        "namespace": "team-a",
        "task": "report",
        "attempt": 2,
        "reason": "OOMKilled",
    }


def test_a_text_line_reads_from_left_to_right(text):
    """Time, level, logger, message, facts; those of more than one word in quotes."""
    logs.bind(log, queue="gpu", message_="two words", empty="", done=True).info("launched")
    when, rest = text.getvalue().split(" ", 1)
    assert when.endswith("Z")
    assert rest == 'INFO    taskq.test: launched queue=gpu message_="two words" empty="" done=true\n'


def test_the_time_is_the_records_in_utc(as_json):
    """With milliseconds and a Z, as Kubernetes' own timestamps."""
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, "x", (), None)
    record.created = 1_700_000_000.25
    log.handle(record)
    assert json.loads(as_json.getvalue())["ts"] == "2023-11-14T22:13:20.250Z"


def test_facts_are_bound_step_by_step_and_the_later_one_wins(as_json):
    """A Task's logger is made from its queue's; the first one stays as it was."""
    queue = logs.bind(log, namespace="a", attempt=1)
    queue.bind(task="t", attempt=2).info("one")
    queue.info("two")
    one, two = map(json.loads, as_json.getvalue().splitlines())
    assert (one["namespace"], one["task"], one["attempt"]) == ("a", "t", 2)
    assert (two["namespace"], two["attempt"], "task" in two) == ("a", 1, False)


@pytest.mark.parametrize("name", ["ts", "level", "logger", "message", "exception"])
def test_a_fact_may_not_take_the_place_of_what_every_line_has(name):
    """Else a line could lie about its level."""
    with pytest.raises(ValueError, match=name):
        logs.bind(log, **{name: "x"})


def test_a_fact_that_is_none_is_left_out(as_json):
    """So that callers need no if."""
    logs.bind(log, task=None).info("x")
    assert "task" not in json.loads(as_json.getvalue())


class _Reason(StrEnum):
    OOM = "OOMKilled"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"spec": {"password": "hunter2"}}, "<dict>"),
        (["hunter2"], "<list>"),
        (b"hunter2", "<bytes>"),
        ("x" * 300, "x" * 256 + "…"),
        (float("inf"), "inf"),
        (1.5, 1.5),
        (False, False),
        (_Reason.OOM, "OOMKilled"),
    ],
)
def test_a_fact_is_a_word_or_a_number_and_never_an_object(as_json, value, written):
    """No manifest, and nothing in one, gets into the logs by being bound."""
    logs.bind(log, thing=value).info("x")
    assert json.loads(as_json.getvalue())["thing"] == written


def test_extras_of_other_libraries_are_not_written(as_json):
    """Only what was bound is known to be harmless."""
    log.info("x", extra={"settings": "hunter2", "body": {"a": 1}})
    assert "hunter2" not in as_json.getvalue()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", [TOKEN, "Bearer abcdefgh12345678abcdefgh", "authorization: bearer " + "x" * 40])
def test_tokens_are_blotted_out(out, form, secret):
    """In messages, facts and tracebacks alike."""
    logs.configure(form, "info", out)
    logs.bind(log, header=secret).error("failed with %s", secret, exc_info=RuntimeError(f"answer to {secret}"))
    written = out.getvalue()
    assert "[secret]" in written
    assert secret.split()[-1] not in written


def test_an_exception_is_one_field(as_json):
    """With its traceback, so that a line stays a line."""
    log.error("no", exc_info=raised(RuntimeError("a\nb")))
    line = as_json.getvalue()
    assert line.count("\n") == 1
    exception = json.loads(line)["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("RuntimeError: a\nb")


def test_in_text_a_traceback_is_indented(text):
    """What begins at the margin is always a line of its own."""
    log.error("no", exc_info=raised(RuntimeError("a\nb")))
    first, *others = text.getvalue().splitlines()
    assert first.endswith("ERROR   taskq.test: no")
    assert others
    assert all(line.startswith("    ") for line in others)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_can_write_a_line_of_his_own(out, form):
    """A termination message with line ends or terminal codes stays inside its line."""
    logs.configure(form, "info", out)
    logs.bind(log, reason="a\r\nb\u2028").info("x\n2030-01-01 ERROR fake \x1b[31m")
    written = out.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "\r" not in written
    assert len(written.splitlines()) == 1


def test_a_json_line_is_ascii(as_json):
    """Neither half of a surrogate pair nor a container's missing locale can break it."""
    log.info("naïve \ud800")
    assert as_json.getvalue().isascii()
    assert json.loads(as_json.getvalue())["message"] == "naïve \ud800"


def test_a_long_message_is_cut(as_json):
    """Somebody's error page of a megabyte is not our log."""
    log.info("x" * 1_000_000)
    assert len(as_json.getvalue()) < 5000


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_a_call_with_wrong_arguments_still_says_something(formatter):
    """A mistake in a log call must not hide what happened, nor end anything."""
    record = log.makeRecord(log.name, logging.INFO, __file__, 1, "%d of %d", (1,), None)
    assert "%d of %d" in formatter.format(record)


def test_the_level_holds_for_all_loggers(out):
    """Also for libraries'."""
    logs.configure("text", "warning", out)
    log.info("quiet")
    logging.getLogger("some.library").warning("loud")
    assert "quiet" not in out.getvalue()
    assert "loud" in out.getvalue()


@pytest.mark.parametrize("name", ["kopf.objects", "aiohttp.access"])
def test_loggers_that_write_for_each_object_or_request_are_quiet(text, name):
    """Ten thousand Tasks would write a hundred thousand lines."""
    logging.getLogger(name).info("noise")
    logging.getLogger(name).warning("trouble")
    assert "noise" not in text.getvalue()
    assert "trouble" in text.getvalue()


def test_quiet_loggers_are_not_louder_than_asked(out):
    """With level error, their warnings are left out as well."""
    logs.configure("text", "error", out)
    logging.getLogger("kopf.objects").warning("trouble")
    assert out.getvalue() == ""


def test_kopfs_lines_say_which_object_they_are_about(as_json):
    """Its loggers carry a reference, which is not ours but harmless."""
    reference = {"kind": "TaskQueue", "namespace": "a", "name": "gpu", "uid": "1"}
    logging.getLogger("kopf.objects").warning("x", extra={"k8s_ref": reference})
    line = json.loads(as_json.getvalue())
    assert (line["kind"], line["namespace"], line["name"]) == ("TaskQueue", "a", "gpu")


def test_warnings_become_lines(as_json):
    """A deprecation in a library should reach whoever reads the logs, in their format."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old", UserWarning, stacklevel=1)
        logging.captureWarnings(capture=False)
    assert "old" in json.loads(as_json.getvalue())["message"]


def test_logs_go_to_stderr_once(capsys):
    """Stdout is for results; a second call replaces the first."""
    logs.configure("text", "info", sys.stderr)
    logs.configure("text", "info")
    log.info("here")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("here") == 1
