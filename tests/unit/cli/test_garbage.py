"""Whatever stands in a file or on the command line: an answer in one line or some, and never a traceback."""

from __future__ import annotations

import contextlib
import io
import json

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from taskq.cli import text
from taskq.cli.errors import CliError
from taskq.cli.jsonpath import Template
from taskq.cli.linting import faults_of
from taskq.cli.main import main
from taskq.cli.options import parse_format

quietly = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)

FIELDS = st.sampled_from(
    [
        "metadata", "name", "labels", "spec", "status", "schedules", "timeZone", "everySeconds", "taskTemplate",
        "jobTemplate", "template", "containers", "image", "command", "args", "parameters", "value", "valueFrom", "type",
        "enum", "default", "pattern", "retryPolicy", "rules", "exitCodes", "priorityLevels", "dailyTimes", "dependsOn",
        "schedule", "suspend", "concurrencyPolicy", "backoffLimit", "items", "beat_schedule", "task", "kwargs",
    ]
)  # fmt: skip
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=12)
    | st.sampled_from(["* * * * *", "0 25 * * *", "@daily", "Etc/UTC", "(", "$(params.x)", "2026-01-01T00:00:00Z"])
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)
KINDS = st.sampled_from(["Task", "TaskQueue", "TaskTemplate", "Schedule"])


def typed(*args: str, stdin: str = "", monkeypatch) -> str:
    """What a command line says on stderr; its exit code is 0 or 1."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "surrogatepass"))))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main(args) in {0, 1}, args
    assert "Traceback" not in err.getvalue()
    return err.getvalue()


@quietly
@given(KINDS, VALUES, VALUES)
@example("Schedule", {"name": "a"}, {"schedules": ["* * * * *"], "taskTemplate": []})
def test_lint_judges_any_object(kind, metadata, spec):
    """Of the right kind and with anything in it: faults, each with a path and words."""
    document = {"apiVersion": "taskq.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
    for fault in faults_of(document):
        assert fault.message


@quietly
@given(st.text(max_size=200) | VALUES.map(lambda value: yaml.safe_dump(value, allow_unicode=True)))
def test_lint_reads_any_text(monkeypatch, text):
    """What is no YAML, or none of ours, is said to be so."""
    typed("lint", "-", stdin=text, monkeypatch=monkeypatch)


CRONJOBS = VALUES.map(lambda spec: yaml.safe_dump({"apiVersion": "batch/v1", "kind": "CronJob", "spec": spec}))
NAMED_CRONJOBS = VALUES.map(
    lambda spec: yaml.safe_dump(
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "x"},
            "spec": {"schedule": "@daily", "jobTemplate": spec},
        }
    )
)
BEATS = VALUES.map(lambda value: json.dumps({"beat_schedule": {"a": value}}))
CODE = st.text(max_size=60).map(lambda value: f"beat_schedule = {value}") | VALUES.map(
    lambda value: f"app.conf.beat_schedule = {{'a': {value!r}}}"
)
CRONTABS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4).map(
    lambda lines: "\n".join(f"*/5 * * * * {line}" for line in lines)
)


@quietly
@given(
    st.text(max_size=120) | CRONJOBS | NAMED_CRONJOBS | BEATS | CODE | CRONTABS,
    st.sampled_from(["auto", "cronjob", "crontab", "celery"]),
)
def test_convert_reads_any_text(monkeypatch, text, source):
    """It converts what it can, and says what it can't."""
    typed("convert", "-", "--from", source, "--image", "busybox:1.36", stdin=text, monkeypatch=monkeypatch)


@quietly
@given(st.text(max_size=30))
@example("9" * 400 + "d")
@example("1e9")
@example("0001-01-01")
@example("9999-12-31T23:59:59-14:00")
@example("99999999d")
def test_times_and_formats_are_read_or_refused(word):
    """By a CliError, which the command shows as one line."""
    reads = (text.duration, text.whole_seconds, lambda word: text.stamp(text.moment(word, 1.7e9)), parse_format)
    for read in reads:
        with contextlib.suppress(CliError):
            read(word)


@quietly
@given(st.text("{}[]().*@?$'\"\\<>=!:,ab0- range end items", max_size=40), VALUES)
def test_jsonpath_is_read_or_refused(template, document):
    """And then rendered, whatever the document is."""
    with contextlib.suppress(CliError):
        Template(template).render(document)


@quietly
@given(
    st.sampled_from(["--at", "--in", "-p", "--param-from", "--priority", "--deadline", "-e", "--requests", "--name"]),
    st.text(max_size=20),
)
def test_options_are_read_or_refused(monkeypatch, option, value):
    """Before anything is asked of a cluster."""
    monkeypatch.setenv("KUBECONFIG", "no-such-file")
    typed("create", "--image", "busybox:1.36", "--dry-run=client", "-o", "yaml", option, value, monkeypatch=monkeypatch)
    typed("run", "report", option, value, monkeypatch=monkeypatch)
    typed("list", "--newer", value, "--sort-by", value, monkeypatch=monkeypatch)
    typed("schedule", "preview", value, "--zone", value, "--from", value, monkeypatch=monkeypatch)
    typed("explain", value, monkeypatch=monkeypatch)
