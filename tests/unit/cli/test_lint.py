"""`lint`: what is found in manifests, on which line, and that nothing is found in good ones."""

from __future__ import annotations

from pathlib import Path

import cel
import pytest

from taskq.cli import celrules, schemas
from taskq.cli.kinds import OURS
from taskq.cli.linting import lint
from taskq.cli.main import main
from taskq.resources import crd
from taskq.resources.base import CEL

REPO = Path(__file__).parents[3]
HEAD = "apiVersion: taskq.dev/v1alpha1\nkind: {}\nmetadata:\n  name: one\nspec:\n"
"""Five lines: spec's first field is on line 6."""


def lines_of(tmp_path, text):
    """What lint says of a file, without its name."""
    file = tmp_path / "it.yaml"
    file.write_text(text)
    return [str(one).removeprefix(f"{file}:") for one in lint([str(file)]).findings]


def test_no_example_has_a_fault():
    """They are applied to real API servers by other tests: whatever is found here is found in vain."""
    done = lint([str(REPO / "examples")])
    assert not [str(one) for one in done.findings]
    assert done.objects > 40


JOB = "jobTemplate: {spec: {template: {spec: {containers: [{name: main, image: busybox}]}}}}"
TASK = f"taskTemplate: {{spec: {{{JOB}}}}}"

CASES = {
    "unknown": ("TaskQueue", "  maxConcurency: 3", "6", "spec.maxConcurency: is no field of spec, did you mean max"),
    "quoted": ("TaskQueue", "  maxConcurrency: '3'", "6", "spec.maxConcurrency: must be a whole number, not '3'; rem"),
    "limit": ("TaskQueue", "  maxConcurrency: -3", "6", "spec.maxConcurrency: must be at least 1, not -3"),
    "enum": ("TaskQueue", "  state: paused", "6", "spec.state: must be one of Open, Paused, Draining, Closed, DryRun,"),
    "null": ("Task", f"  queueName:\n  {JOB}", "6", "spec.queueName: must be text, and nothing is given"),
    "list": ("Schedule", f"  schedules: '@daily'\n  {TASK}", "6", "spec.schedules: must be a list, not '@daily'"),
    "twice": ("TaskQueue", "  state: Open\n  state: Paused", "7", "spec.state: is given twice"),
    "same key": (
        "TaskQueue",
        "  priorityLevels:\n  - {name: a, value: 1}\n  - {name: a, value: 2}",
        "8",
        "spec.priorityLevels[1]: stands there twice, by its name",
    ),
    "rule": ("Task", f"  priority: 1\n  priorityLevel: high\n  {JOB}", "7", "spec.priorityLevel: "),
    "absence": ("Task", "  priority: 1", "5", "spec: exactly one of jobTemplate, templateRef and retryOf"),
    "rule below": (
        "Task",
        f"  retryPolicy:\n    rules:\n    - {{action: Fail}}\n  {JOB}",
        "8",
        "spec.retryPolicy.rules[0]: ",
    ),
    "time": ("Task", f"  notBeforeTime: 2026-13-01T00:00:00Z\n  {JOB}", "6", "spec.notBeforeTime: must be a time"),
    "cron": (
        "Schedule",
        f"  schedules:\n  - 0 3 * * *\n  - 0 3 31 2 *\n  {TASK}",
        "8",
        'spec.schedules[1]: "0 3 31 2 *" can\'t be met',
    ),
    "zone": ("Schedule", f"  schedules: ['@daily']\n  timeZone: Europe/Madird\n  {TASK}", "7", "spec.timeZone: "),
    "pattern": (
        "TaskTemplate",
        f"  parameters:\n  - {{name: a, pattern: '['}}\n  {JOB}",
        "7",
        "spec.parameters[0].pattern: must be a regular expression",
    ),
    "placeholder": (
        "TaskTemplate",
        "  jobTemplate: {spec: {template: {spec: {containers: [\n    {name: main, command: [x, $(params.no)]}]}}}}",
        "7",
        "spec.jobTemplate.spec.template.spec.containers[0].command[1]: $(params.no)",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_found(case, tmp_path):
    """On the line of its field, and it alone."""
    kind, spec, line, words = CASES[case]
    (found,) = lines_of(tmp_path, HEAD.format(kind) + spec + "\n")
    assert found.startswith(f"{line}: {kind}/one: {words}")


TEMPLATE = f"{HEAD.format('TaskTemplate')}  parameters: [{{name: rows, type: Integer, required: true}}]\n  {JOB}\n"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "rows: "),
        ("  parameters:\n  - {name: rows, value: many}\n", "spec.parameters[0]: must be a whole number"),
        ("  parameters:\n  - {name: row, value: '1'}\n  - {name: rows, value: '1'}\n", "did you mean rows?"),
    ],
)
def test_parameters_are_those_of_the_template_beside_it(tmp_path, given, words):
    """As the operator checks them when it starts the Task."""
    task = HEAD.format("Task") + "  templateRef: {name: one}\n" + given
    (found,) = lines_of(tmp_path, TEMPLATE + "---\n" + task)
    assert words in found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "1: no YAML: "),
        ("? [a]\n: b\n", "1: no YAML: a key must be text"),
        (
            HEAD.format("TaskQueue").replace("one", "one\n  labels: [a]") + "  {}",
            "5: TaskQueue/one: metadata.labels: mu",
        ),
        ("- a\n", "1: is no object"),
        ("&a [*a]\n", "no YAML: an alias"),
        ("apiVersion: taskq.dev/v1alpha1\nkind: Tsk\n", "did you mean Task?"),
        ("apiVersion: taskq.dev/v1alpha1\nkind: TaskQueue\nmetadata: {}\n", "3: TaskQueue/?: metadata: needs a name"),
        (HEAD.format("TaskQueue").replace("one", "Mail") + "  {}", "4: TaskQueue/Mail: metadata.name: must be lower"),
        (HEAD.format("TaskQueue").replace("one", "n" * 64) + "  {}", "at most 63 characters"),
    ],
)
def test_what_is_hardly_a_manifest(tmp_path, text, words):
    """The first fault says it; nothing breaks."""
    assert words in lines_of(tmp_path, text)[0]


def test_lists_and_other_kinds(tmp_path, capsys):
    """`kubectl get -o yaml` writes a List; a file with a ConfigMap in it is no fault."""
    (tmp_path / "a.yaml").write_text(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n- apiVersion: taskq.dev/v1alpha1\n"
        "  kind: TaskQueue\n  metadata: {name: a}\n  spec: {stat: Open}\n"
    )
    assert main(["lint", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/a.yaml:9: TaskQueue/a: spec.stat: is no field of spec, did you mean state?\n"
    assert said.err == "error: 1 fault found in 1 object in 1 file; 1 object of other kinds passed over\n"


def test_a_file_that_is_not_there(capsys):
    """One line, as everywhere."""
    assert main(["lint", "nowhere.yaml"]) == 1
    assert capsys.readouterr().err == "error: nowhere.yaml can't be read: No such file or directory\n"


def rules():
    """Every rule of the four kinds."""
    return {
        rule["rule"]
        for kind in OURS
        for schema in [schemas.of_kind(kind.name)]
        for _, inner in [("", schema), *crd.walk(schema, "")]
        for rule in inner.get(CEL, ())
    }


def test_every_rule_can_be_evaluated_here():
    """One that could not would be taken for broken, whatever it says."""
    assert len(rules()) > 50
    for rule in rules():
        cel.compile(rule)


def test_a_rule_with_an_unknown_function_is_not_kept():
    """As on the API server, which refuses what it can't evaluate."""
    assert not celrules.holds("self.nonsense() == 1", {})
