"""`explain`: every field can be asked for, and a mistake is met with what was meant."""

from __future__ import annotations

import pytest

from taskq.cli import fields
from taskq.cli.commands.explain import command
from taskq.cli.main import main
from taskq.resources import crd


def every_field():
    """The paths of all fields of all kinds."""
    for kind in crd.KINDS:
        for path, _ in crd.walk(crd.structural(kind.model), kind.name.lower()):
            yield path.replace("[]", "").replace(".*", "")


def test_every_field_is_told():
    """With its description."""
    paths = set(every_field())
    assert len(paths) > 300
    for path in paths:
        field = fields.find(path)
        assert field.schema.get("description", "x")[:20] in " ".join(fields.tell(field, recursive=True))


def test_a_field_is_explained(capsys):
    """Type and default, and the rules that kubectl explain does not tell."""
    assert main(["explain", "task.spec.retryPolicy"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("KIND:     Task\nVERSION:  taskq.dev/v1alpha1\nFIELD:    spec.retryPolicy <object>\n")
    assert "  maxAttempts <integer, 1…1000" in said
    assert main(["explain", "tqt.spec.retryPolicy.backoff"]) == 0
    assert "RULES:\n  - " in capsys.readouterr().out


def test_all_below(capsys):
    """Names and types only."""
    assert main(["explain", "schedules.spec", "--recursive"]) == 0
    said = capsys.readouterr().out
    assert "\n  dst <object>\n    gap <RunAfter|Skip, default RunAfter>\n" in said
    assert "\n  taskTemplate <object> (required)\n" in said


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("taks.spec", "did you mean task?"),
        ("task.spec.retrypolicy", "task.spec has no field 'retrypolicy', did you mean retryPolicy?"),
        ("task.spec.jobTemplate.spec.suspend", "`kubectl explain job.spec.suspend`"),
    ],
)
def test_a_mistake(capsys, path, words):
    """One line with the next step."""
    assert main(["explain", path]) == 1
    assert words in capsys.readouterr().err


def test_fields_are_completed():
    """One step further."""
    (param,) = [one for one in command.params if one.name == "field"]
    found = [item.value for item in param.shell_complete(None, "task.spec.retryP")]
    assert found == ["task.spec.retryPolicy"]
    assert "taskqueue" in [item.value for item in param.shell_complete(None, "task")]
    assert not param.shell_complete(None, "nothing.x")
