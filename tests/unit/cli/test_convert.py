"""`convert`: what other systems' schedules become, and what is said about the rest."""

from __future__ import annotations

import json

import pytest
import yaml

from taskq.cli.main import main

CRONJOB = """
apiVersion: batch/v1
kind: CronJob
metadata:
  name: backup
  namespace: shop
  labels: {team: a}
  uid: 123
  annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}
spec:
  schedule: "CRON_TZ=Europe/Madrid 30 2 * * 1-5"
  startingDeadlineSeconds: 600
  successfulJobsHistoryLimit: 5
  jobTemplate:
    spec:
      backoffLimit: 2
      activeDeadlineSeconds: 900
      ttlSecondsAfterFinished: 60
      template:
        spec:
          restartPolicy: OnFailure
          containers: [{name: main, image: "busybox:1.36", command: [backup]}]
"""
CRONTAB = """
# m h dom mon dow command
CRON_TZ=Europe/Madrid
GREETING="hello"
*/5 * * * * /usr/local/bin/poll.sh --fast
@daily      poll.sh 100\\% \
"""
BEAT = """
from celery.schedules import crontab
app.conf.beat_schedule = {
    'Daily Report': {
        'task': 'shop.tasks.report',
        'schedule': crontab(hour=7, minute=30, day_of_week='monday,friday'),
        'kwargs': {'rows': 3, 'dry': True},
        'options': {'queue': 'reports', 'expires': 60 * 5},
    },
    'poll': {'task': 'poll', 'schedule': timedelta(minutes=2), 'args': (16,)},
    'often': {'task': 'poll', 'schedule': 30.0},
}
"""


@pytest.fixture
def convert(tmp_path, capsys):
    """Runs the command on a text; the exit code, the Schedules, stderr."""

    def run(text, *args):
        (tmp_path / "it").write_text(text)
        code = main(["convert", str(tmp_path / "it"), *args])
        said = capsys.readouterr()
        return code, list(yaml.safe_load_all(said.out)), said.err

    return run


def test_a_cronjob(convert):
    """Retries and the time for them become the Task's; what Kubernetes wrote is left out."""
    code, (schedule,), said = convert(CRONJOB)
    assert (code, said) == (0, "")
    assert schedule["metadata"] == {"name": "backup", "namespace": "shop", "labels": {"team": "a"}}
    task = schedule["spec"].pop("taskTemplate")["spec"]
    assert schedule["spec"] == {
        "schedules": ["30 2 * * 1-5"],
        "timeZone": "Europe/Madrid",
        "concurrencyPolicy": "Allow",
        "startingDeadlineSeconds": 600,
        "successfulTasksHistoryLimit": 5,
    }
    containers = [{"name": "main", "image": "busybox:1.36", "command": ["backup"]}]
    assert task == {
        "retryPolicy": {"maxAttempts": 3},
        "timeouts": {"totalSeconds": 900},
        "jobTemplate": {"spec": {"template": {"spec": {"containers": containers}}}},
    }


def test_a_cronjob_without_a_zone(convert):
    """It ran by a clock that no manifest tells; --zone and --queue decide."""
    text = CRONJOB.replace("CRON_TZ=Europe/Madrid ", "")
    assert "controller-manager's clock" in convert(text)[2]
    _, (schedule,), said = convert(text, "--zone", "Asia/Kolkata", "--queue", "nightly")
    assert (schedule["spec"]["timeZone"], said) == ("Asia/Kolkata", "")
    assert schedule["spec"]["taskTemplate"]["spec"]["queueName"] == "nightly"


def test_a_cronjob_in_json(convert):
    """As kubectl's -o json prints it, in a List."""
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(CRONJOB)]})
    assert convert(listed)[:2] == convert(CRONJOB)[:2]
    assert convert(json.dumps(yaml.safe_load(CRONJOB)))[:2] == convert(CRONJOB)[:2]


def test_a_crontab(convert):
    """A line each, in the file's zone, with its variables; two lines never share a name."""
    code, (first, second), said = convert(CRONTAB, "--image", "busybox:1.36")
    assert (code, said) == (0, "")
    assert [one["metadata"]["name"] for one in (first, second)] == ["poll", "poll-2"]
    assert first["spec"]["schedules"] == ["*/5 * * * *"]
    assert first["spec"]["timeZone"] == "Europe/Madrid"
    (container,) = first["spec"]["taskTemplate"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "-c", "/usr/local/bin/poll.sh --fast"]
    assert container["env"] == [{"name": "GREETING", "value": "hello"}]
    (container,) = second["spec"]["taskTemplate"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][2] == "poll.sh 100%"


def test_the_stdin_of_a_crontabs_command(convert):
    """After the first % that no backslash precedes."""
    _, (schedule,), said = convert("0 0 * * * cat%one%two\n", "--image", "busybox", "--zone", "Etc/UTC")
    (container,) = schedule["spec"]["taskTemplate"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"][2] == "cat <<'END_OF_STDIN'\none\ntwo\nEND_OF_STDIN"
    assert "stdin" in said


def test_celery_beat(convert):
    """Its tasks are functions, which TaskTemplates stand for; the file is not run."""
    code, (report, poll, often), said = convert(BEAT)
    assert code == 0
    assert report["metadata"]["name"] == "daily-report"
    assert report["spec"] == {
        "schedules": ["30 7 * * mon,fri"],
        "concurrencyPolicy": "Allow",
        "startingDeadlineSeconds": 300,
        "taskTemplate": {
            "spec": {
                "templateRef": {"name": "shop-tasks-report"},
                "queueName": "reports",
                "parameters": [{"name": "rows", "value": "3"}, {"name": "dry", "value": "true"}],
            }
        },
    }
    assert [one["spec"]["everySeconds"] for one in (poll, often)] == [120, 30]
    assert "poll: args [16] have no names" in said


def test_celery_beat_as_json(convert):
    """As a settings file has it, or the dict alone."""
    entries = {"a": {"task": "t", "schedule": 60, "kwargs": {"x": None}}}
    assert convert(json.dumps({"beat_schedule": entries}))[1] == convert(json.dumps(entries))[1] != []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 0 * * * x\n", "name it with --image"),
        ("a: 1\n", "can be converted; --from says what it is"),
        ("kind: CronJob\n", "a CronJob without 'metadata'"),
        ("beat_schedule = make()\n", "line 1 of the beat schedule"),
        ("beat_schedule = {'a': {'task': 't', 'schedule': solar('sunset', 1, 2)}}\n", "solar(…) has no Schedule"),
        ("beat_schedule = {'a': {'task': 't', 'schedule': 0.5}}\n", "none that can be converted"),
        ("beat_schedule = {'a': 1}\n", "dict of entries"),
        ("beat_schedule = {'a': 9999 * 'b'}\n", "no number"),
        ("beat_schedule = {'a': timedelta(moons=1)}\n", "can't be read"),
    ],
)
def test_what_can_not_be_converted(convert, text, words):
    """One line says why, and nothing comes out."""
    code, out, said = convert(text)
    assert (code, out, said.count("\n")) == (1, [], 1)
    assert words in said


def test_what_would_be_refused_is_named(convert):
    """The manifest is there to be mended."""
    code, out, said = convert("@reboot x\n", "--image", "busybox", "--zone", "Etc/UTC")
    assert (code, len(out)) == (1, 1)
    assert "x: spec.schedules[0]: " in said
