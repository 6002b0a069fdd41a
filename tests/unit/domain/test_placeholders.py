"""Where a parameter may stand in a template, and that it arrives there as it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.domain.placeholders import fill_in, find, literal

X = "$(params.x)"


def look(**container: Any) -> list[str]:
    """What is wrong with a container."""
    return find({"spec": {"containers": [{"name": "main", **container}]}}, "it").faults


def filled(value: str, *command: str) -> list[str]:
    """The command with a value in its places."""
    pod = {"spec": {"containers": [{"command": list(command)}]}}
    fill_in(pod, lambda _: value)
    found: Any = pod["spec"]["containers"][0]["command"]
    return list(found)


def expand(text: str, variables: dict[str, str]) -> str:
    """The kubelet's expansion, by its documentation: $(NAME) becomes a value, $$ is a $ that begins nothing."""
    out, at = "", 0
    while at < len(text):
        if text.startswith("$$", at):
            out, at = out + "$", at + 2
        elif text.startswith("$(", at) and ")" in text[at:]:
            end = text.index(")", at)
            name = text[at + 2 : end]
            out, at = out + variables.get(name, f"$({name})"), end + 1
        else:
            out, at = out + text[at], at + 1
    return out


@pytest.mark.parametrize(
    "command",
    [
        ["report", X],
        ["report", "--day", X],
        ["report", f"--day={X}"],
        ["report", f"-day={X}"],
        ["report", "-config", X],
        ["sh", "-c", 'echo "$1"', "sh", X],
        ["bash", "-euo", "pipefail", "-c", 'echo "$1"', "bash", X],
        ["/bin/sh", "/scripts/run.sh", X],
        ["python3", "-m", "report", X],
        ["timeout", "30", "report", X],
        ["env", "A=b", "report", X],
        ["report", "$$(params.x)"],
        ["sh", "-c", "echo $$(params.x)"],
        ["sh", "-c", "echo $(date)"],
    ],
    ids=" ".join,
)
def test_a_value_may_be_an_argument(command: list[str]) -> None:
    """As a whole, or after a flag and =."""
    assert look(command=command) == []


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ([X], "must not stand before what says"),
        (["sh", "-c", X], "where code is expected, as after -c"),
        (["sh", "-ec", X], "where code is expected"),
        (["bash", "-lc", X], "where code is expected"),
        (["busybox", "sh", "-c", X], "where code is expected"),
        (["su", "app", "-c", X], "where code is expected"),
        (["cmd.exe", "/c", X], "where code is expected"),
        (["ssh", "--command", X], "where code is expected"),
        (["node", f"--eval={X}"], "where code is expected"),
        (["sh", X], "before what says"),
        (["bash", "-o", "pipefail", X], "before what says"),
        (["bash", "-euoc", "pipefail", X], "before what says"),
        (["python3.11", X], "before what says"),
        (["perl", "-e", X], "before what says"),
        (["env", "A=b", X], "before what says"),
        (["timeout", "30", X], "before what says"),
        (["timeout", "30", "sh", X], "before what says"),
        (["sh", "-c", f"echo {X}"], "must be a whole element"),
        (["report", f"day={X}"], "must be a whole element"),
        (["report", f"-d={X}"], "must be a whole element"),
        (["report", f"-c{X}"], "must be a whole element"),
        (["report", X + X], "must be a whole element"),
        (["report", "$$" + X], "must be a whole element"),
        (["report", "$(params.a b)"], "must be a whole element"),
        (["report", "$(params.x"], "must be a whole element"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_value_never_stands_where_code_is_read(command: list[str], says: str) -> None:
    """Neither after -c nor inside other text; nor does it choose the program."""
    (fault,) = look(command=command)
    assert fault.startswith(f"it.spec.containers[0].command[{len(command) - 1}]: ")
    assert says in fault


def test_arguments_follow_the_command() -> None:
    """The two lists become one; without a command the image decides what reads the arguments."""
    assert look(command=["report"], args=[X]) == []
    assert "where code is expected" in look(command=["sh", "-c"], args=[X])[0]
    assert "before what says" in look(command=["sh"], args=[X])[0]
    assert "needs a command" in look(args=["run", X])[0]


@pytest.mark.parametrize(
    "container",
    [
        {"image": f"busybox:{X}"},
        {"env": [{"name": "A", "value": X}]},
        {"env": [{"name": X, "value": "a"}]},
        {"workingDir": X},
        {"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", X]}}}},
        {"livenessProbe": {"exec": {"command": [X]}}},
        {"volumeMounts": [{"name": "data", "mountPath": f"/data/{X}"}]},
    ],
    ids=lambda container: next(iter(container)),
)
def test_a_value_stands_nowhere_else(container: Any) -> None:
    """An image, a mount or a hook chosen by a Task is what the template's author did not look at."""
    (fault,) = look(**container)
    assert "may only stand in command and args" in fault


def test_other_places_of_a_pod_are_looked_at_too() -> None:
    """Init containers may use parameters; labels, keys and volumes may not."""
    pod = {
        "metadata": {"labels": {"day": X}, "annotations": {X: ""}},
        "spec": {
            "initContainers": [{"command": ["fetch", X]}],
            "containers": [{"name": "main"}],
            "volumes": [{"hostPath": {"path": X}}],
        },
    }
    uses = find(pod, "it")
    assert uses.names == {"x": "it.spec.initContainers[0].command[1]"}
    assert [fault.split(": ")[0] for fault in uses.faults] == [
        "it.metadata.labels.day",
        "it.metadata.annotations",
        "it.spec.volumes[0].hostPath.path",
    ]


@given(st.text(alphabet="ab$()X", max_size=20), st.dictionaries(st.sampled_from(["X", "a", ""]), st.text(max_size=3)))
def test_the_kubelet_makes_exactly_the_value_of_it(value: str, variables: dict[str, str]) -> None:
    """Whatever in it looks like a variable."""
    assert expand(literal(value), variables) == value
    whole, flag = filled(value, X, f"--flag={X}")
    assert (expand(whole, variables), expand(flag, variables)) == (value, f"--flag={value}")


def test_what_is_no_placeholder_stays() -> None:
    """Other variables, and what is escaped."""
    command = ["sh", "-c", "echo $(HOME) $$(params.x)", "$$(params.x)"]
    assert filled("value", *command) == command
