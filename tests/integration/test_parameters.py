"""What Tasks choose within their TaskTemplate: checked, and handed to the containers of the Job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster_tools.desk import Desk, conditions, job_template
from cluster_tools.operator_process import OperatorProcess

pytestmark = pytest.mark.usefixtures("operator")

SCHEMA = [
    {"name": "day", "type": "Enum", "enum": ["Monday", "Friday"], "required": True},
    {"name": "top-n", "type": "Integer", "default": "10", "minimum": 1, "maximum": 100},
    {"name": "ratio", "type": "Number", "minimum": 0.5, "maximum": 2},
    {"name": "dryRun", "type": "Boolean", "default": "false"},
    {"name": "customer", "pattern": "[a-z]+(-[a-z]+)*"},
    {"name": "password", "sensitive": True},
]


def template(desk: Desk, name: str = "report", parameters: Any = SCHEMA, args: list[str] | None = None) -> None:
    """Create a TaskTemplate with parameters, and wait until it is tried."""
    job = job_template({"message": "done"})
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container |= {"command": ["report"], "args": args or []}
    desk.create("TaskTemplate", name, {"parameters": parameters, "jobTemplate": job})


def task(desk: Desk, name: str, template_: str = "report", **values: Any) -> None:
    """Create a Task that gives values; one that is no text is a ``valueFrom``."""
    given = [
        {"name": parameter.replace("_", "-"), "value" if isinstance(value, str) else "valueFrom": value}
        for parameter, value in values.items()
    ]
    desk.task(name, templateRef={"name": template_}, parameters=given)


def container_of(job: Any) -> Any:
    """The container of a Job."""
    return job["spec"]["template"]["spec"]["containers"][0]


def environment(job: Any) -> dict[str, Any]:
    """The variables of a Job's container that come from parameters: the value, or where it comes from."""
    found = container_of(job)["env"]
    return {
        one["name"].removeprefix("TASKQ_PARAM_"): one.get("value", one.get("valueFrom"))
        for one in found
        if one["name"].startswith("TASKQ_PARAM_")
    }


def test_values_and_defaults_reach_the_containers(desk: Desk) -> None:
    """In the environment as text, in the file with their types, and as arguments where the template says so."""
    template(desk, args=["--top=$(params.top-n)", "$(params.day)", "$$(params.day)"])
    task(desk, "first", day="Friday", ratio="1.50")
    job = desk.wait_job("first")
    assert environment(job) == {"DAY": "Friday", "TOP_N": "10", "RATIO": "1.50", "DRYRUN": "false"}
    pod = job["spec"]["template"]
    values = json.loads(pod["metadata"]["annotations"]["taskq.dev/parameters"])
    assert values == {"day": "Friday", "top-n": 10, "ratio": 1.5, "dryRun": False}
    assert container_of(job)["args"] == ["--top=10", "Friday", "$$(params.day)"]
    (mount,) = container_of(job)["volumeMounts"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/etc/taskq", True)
    assert desk.wait_end("first")["status"]["phase"] == "Succeeded"


def test_a_value_is_no_variable_of_kubernetes(desk: Desk) -> None:
    """What looks like one to the kubelet arrives as it was written, in arguments and in the environment."""
    template(desk, parameters=[{"name": "text", "required": True}], args=["$(params.text)"])
    task(desk, "literal", text="$(TASKQ_TASK_UID) $$(X) $")
    job = desk.wait_job("literal")
    escaped = "$$(TASKQ_TASK_UID) $$$$(X) $$"
    assert container_of(job)["args"] == [escaped]
    assert environment(job) == {"TEXT": escaped}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "spec.parameters[day]: is missing; it must be one of Monday, Friday"),
        ({"day": "Sunday"}, "spec.parameters[day]: must be one of Monday, Friday"),
        (
            {"day": "Monday", "top_n": "101"},
            "spec.parameters[top-n]: must be a whole number and at least 1 and",
        ),
        ({"day": "Monday", "top_n": "ten"}, "spec.parameters[top-n]: must be a whole number"),
        ({"day": "Monday", "ratio": "0.4"}, "spec.parameters[ratio]: must be a number and at least 0.5"),
        ({"day": "Monday", "dryRun": "yes"}, "spec.parameters[dryRun]: must be 'true' or 'false'"),
        ({"day": "Monday", "customer": "acme; rm -rf"}, "spec.parameters[customer]: must be text that matches"),
        ({"day": "Monday", "custommer": "acme"}, "no such parameter; did you mean customer?"),
        ({"day": "Monday", "customer": {"configMapKeyRef": {"name": "c", "key": "k"}}}, "configMapKeyRef can't be"),
        ({"day": "Monday", "customer": {"secretKeyRef": {"name": "s", "key": "k"}}}, "secretKeyRef is only for"),
        ({"day": "Monday", "password": "hunter2"}, "spec.parameters[password]: the template marks it as sensitive"),
    ],
    ids=lambda value: "-".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_explained(desk: Desk, operator: OperatorProcess, values: dict[str, Any], says: str) -> None:
    """Before the Task's turn comes, with the parameter and what the template allows; the value is not repeated."""
    template(desk)
    task(desk, "wrong", **values)
    stalled = conditions(desk.wait_condition("wrong", "Stalled", "True", "InvalidParameters"))["Stalled"]
    assert says in stalled["message"]
    told = json.dumps([desk.get("wrong")["status"], desk.events("wrong")]) + operator.output()
    assert "hunter2" not in told
    assert "rm -rf" not in told


def test_a_mended_value_is_taken(desk: Desk) -> None:
    """The Task goes on, or its template may be what is changed."""
    template(desk)
    task(desk, "mended", day="Sunday")
    task(desk, "waits", day="Saturday")
    for name in ("mended", "waits"):
        desk.wait_condition(name, "Stalled", "True", "InvalidParameters")
    desk.change("mended", parameters=[{"name": "day", "value": "Friday"}])
    assert "Stalled" not in conditions(desk.wait_end("mended"))
    desk.change("report", "TaskTemplate", parameters=[{"name": "day"}])
    assert desk.wait_end("waits")["status"]["phase"] == "Succeeded"


def test_a_secret_reaches_the_environment_only(desk: Desk) -> None:
    """By reference: the operator never reads it, so that neither file nor annotation nor argument has it."""
    template(desk)
    ref = {"secretKeyRef": {"name": "database", "key": "password"}}
    task(desk, "logs-in", day="Monday", password=ref)
    job = desk.wait_job("logs-in")
    assert environment(job)["PASSWORD"] == ref
    assert "password" not in json.loads(job["spec"]["template"]["metadata"]["annotations"]["taskq.dev/parameters"])


def test_a_config_map_is_referred_to(desk: Desk) -> None:
    """Only text that the template does not restrict can come from there."""
    template(desk, parameters=[{"name": "greeting"}])
    ref = {"configMapKeyRef": {"name": "words", "key": "hello"}}
    task(desk, "greets", greeting=ref)
    assert environment(desk.wait_job("greets")) == {"GREETING": ref}


def test_a_value_by_reference_can_be_no_argument(desk: Desk) -> None:
    """The operator does not know it."""
    template(desk, parameters=[{"name": "who", "default": "you"}], args=["$(params.who)"])
    task(desk, "asks", who={"configMapKeyRef": {"name": "words", "key": "who"}})
    stalled = conditions(desk.wait_condition("asks", "Stalled", "True", "InvalidParameters"))["Stalled"]
    assert "spec.parameters[who]: valueFrom is not possible" in stalled["message"]


@pytest.mark.parametrize(
    ("container", "says"),
    [
        (
            {"command": ["sh", "-c", "$(params.day)"]},
            "command[2]: $(params.NAME) must not stand where code",
        ),
        ({"command": ["sh", "-c", "echo $(params.day)"]}, "command[2]: $(params.NAME) must be a whole element"),
        ({"args": ["$(params.day)"]}, "args[0]: $(params.NAME) needs a command"),
        ({"image": "busybox:$(params.day)"}, "image: $(params.…) may only stand in command and args"),
        ({"env": [{"name": "DAY", "value": "$(params.day)"}]}, "env[0].value: $(params.…) may only stand in command"),
        ({"command": ["report", "$(params.dai)"]}, "command[1]: $(params.dai) is not among spec.parameters"),
        ({"command": ["report", "$(params.password)"]}, "command[1]: $(params.password) must not be used"),
        ({"command": ["report", "$(params.customer)"]}, "command[1]: $(params.customer) may be without a value"),
    ],
    ids=["code", "inside", "no-command", "image", "env", "unknown", "secret", "no-value"],
)
def test_a_template_that_could_make_code_of_a_value_is_not_ready(
    desk: Desk, container: dict[str, Any], says: str
) -> None:
    """It says where; its Tasks say so, too, and wait."""
    job = job_template()
    job["spec"]["template"]["spec"]["containers"][0] |= container
    desk.create("TaskTemplate", "risky", {"parameters": SCHEMA, "jobTemplate": job})
    not_ready = desk.wait_condition("risky", "Ready", "False", "InvalidTemplate", of="TaskTemplate")
    assert f"spec.jobTemplate.spec.template.spec.containers[0].{says}" in conditions(not_ready)["Ready"]["message"]
    task(desk, "user", "risky", day="Monday")
    stalled = conditions(desk.wait_condition("user", "Stalled", "True", "InvalidTemplate"))["Stalled"]
    assert says in stalled["message"]


def test_a_template_with_parameters_is_tried(desk: Desk) -> None:
    """With defaults, or with values made up for the dry run."""
    template(desk, args=["--top=$(params.top-n)", "$(params.day)"])
    desk.wait_condition("report", "Ready", "True", "Ready", of="TaskTemplate")
    job = job_template(volumes=[{"name": "taskq-parameters", "emptyDir": {}}])
    desk.create("TaskTemplate", "clashes", {"parameters": SCHEMA, "jobTemplate": job})
    refused = desk.wait_condition("clashes", "Ready", "False", "JobRefused", of="TaskTemplate")
    assert "Duplicate value" in conditions(refused)["Ready"]["message"]


def test_a_schedule_gives_parameters(desk: Desk) -> None:
    """Its Tasks carry them."""
    template(desk)
    spec = {"templateRef": {"name": "report"}, "parameters": [{"name": "day", "value": "Monday"}]}
    desk.schedule("often", everySeconds=1, taskTemplate={"spec": spec})
    desk.wait("often", lambda schedule: schedule["status"].get("lastTaskName"), "a Task", "Schedule")
    made = desk.tasks_of("often")[0]["metadata"]["name"]
    assert environment(desk.wait_job(made))["DAY"] == "Monday"


def test_a_large_task_has_parameters_too(desk: Desk) -> None:
    """It is not kept in memory, so that its values are looked at when its turn comes."""
    template(desk, parameters=[{"name": f"p{number}"} for number in range(4)])
    values = {f"p{number}": str(number) * 4000 for number in range(4)}
    task(desk, "large", **values)
    assert environment(desk.wait_job("large"))["P3"] == "3" * 4000
    task(desk, "large-and-wrong", more="", **values)
    stalled = conditions(desk.wait_condition("large-and-wrong", "Stalled", "True", "InvalidParameters"))["Stalled"]
    assert "spec.parameters[more]" in stalled["message"]


def test_a_result_is_handed_on(desk: Desk) -> None:
    """Of a Task that this one waits for; as a value, in all three ways."""
    template(desk, parameters=[{"name": "rows", "type": "Integer", "required": True}], args=["--rows=$(params.rows)"])
    result = [{"name": "rows", "valueFrom": {"taskResult": {"name": "counts"}}}]
    rest = {"templateRef": {"name": "report"}, "parameters": result, "dependsOn": [{"name": "counts"}]}
    desk.task("reports", **rest)
    desk.task("counts", {"message": "42\n"})
    job = desk.wait_job("reports")
    assert environment(job) == {"ROWS": "42"}
    assert container_of(job)["args"] == ["--rows=42"]


@pytest.mark.parametrize(
    ("said", "gone", "says"),
    [
        ("many", False, "spec.parameters[rows]: must be a whole number"),
        ("", False, "spec.parameters[rows]: Task counts has no result"),
        ("42", True, "Task counts, whose result is needed (valueFrom.taskResult), has been deleted"),
    ],
    ids=["wrong", "none", "gone"],
)
def test_a_result_that_does_not_fit_is_explained(desk: Desk, said: str, gone: bool, says: str) -> None:
    """As a wrong value is; a Task of the same name that is created later is another one."""
    template(desk, parameters=[{"name": "rows", "type": "Integer", "required": True}])
    result = [{"name": "rows", "valueFrom": {"taskResult": {"name": "counts"}}}]
    rest = {"templateRef": {"name": "report"}, "parameters": result, "dependsOn": [{"name": "counts"}]}
    desk.queue("held", state="Paused")
    desk.task("reports", queueName="held", **rest)
    desk.task("counts", {"message": said})
    desk.wait("reports", lambda task: task["status"].get("dependencies"), "counts has ended")
    if gone:
        desk.delete("Task", "counts")
        desk.wait_gone("Task", "counts")
        desk.task("counts", suspend=True)
    desk.change("held", "TaskQueue", state="Open")
    stalled = conditions(desk.wait_condition("reports", "Stalled", "True", "InvalidParameters"))["Stalled"]
    assert says in stalled["message"]
