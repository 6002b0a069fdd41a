"""Checking values: a wrong one never passes, a right one never fails, and nothing that is checked is repeated."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.domain.parameters import (
    Given,
    KeyRef,
    Parameter,
    TaskResult,
    ValueFrom,
    bind,
    given_in,
    sample,
    schema_faults,
    value_fault,
)

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
BOUND = st.none() | st.floats(-1e6, 1e6)
SECRET = ValueFrom(secret_key_ref=KeyRef("s", "k"))
CONFIG_MAP = ValueFrom(config_map_key_ref=KeyRef("c", "k"))


def faults(parameter: Parameter, *given_: Given) -> str:
    """What is wrong with what is given for one parameter."""
    return "; ".join(bind((parameter,), given_)[1])


def reference(parameter: Parameter, value: str) -> bool:
    """The rule once more, in the words of the standard library."""
    if "\0" in value:
        return False
    if parameter.type == "Boolean":
        return value in {"true", "false"}
    if parameter.type == "Enum":
        return value in parameter.enum
    if parameter.type == "String":
        return True
    try:
        number = json.loads(value)
    except ValueError:
        return False
    if value != value.strip() or isinstance(number, bool) or not isinstance(number, int | float):
        return False
    if not re.fullmatch(r"-?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?", value, re.ASCII):
        return False
    if parameter.type == "Integer" and not isinstance(number, int):
        return False
    lowest = parameter.minimum if parameter.minimum is not None else number
    highest = parameter.maximum if parameter.maximum is not None else number
    return bool(lowest <= number <= highest)


@given(
    st.sampled_from(["String", "Integer", "Number", "Boolean", "Enum"]),
    BOUND,
    BOUND,
    TEXT
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["true", "1e3", "-0", "01", "1\n", "\u0661", "a"]),
)
def test_a_value_is_taken_exactly_when_the_schema_allows_it(
    kind: Any, minimum: float | None, maximum: float | None, value: str
) -> None:
    """Compared with a slower rule."""
    parameter = Parameter("it", kind, minimum=minimum, maximum=maximum, enum=("a", "b"))
    assert (value_fault(parameter, value) == "") == reference(parameter, value)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), TEXT | st.integers(-(10**17), 10**17)))
def test_the_file_holds_what_was_given(values: dict[str, str | int]) -> None:
    """Text as text, numbers as numbers, to the last digit."""
    schema = tuple(Parameter(name, "Integer" if isinstance(value, int) else "String") for name, value in values.items())
    bound, wrong = bind(schema, tuple(Given(name, str(value)) for name, value in values.items()))
    if not wrong:
        assert json.loads(bound.document()) == values


def test_the_whole_value_must_match() -> None:
    """A pattern that matches somewhere would let everything else through."""
    parameter = Parameter("it", pattern="[a-z]+")
    assert faults(parameter, Given("it", "abc")) == ""
    for value in ("abc; rm", "abc\n", "", "Abc"):
        assert "text that matches [a-z]+ as a whole" in faults(parameter, Given("it", value))


def test_no_pattern_takes_long() -> None:
    """This one would keep a backtracking engine busy for years, and the operator with it."""
    assert faults(Parameter("it", pattern="(a+)+b(c*)*[d]?(a|aa)+"), Given("it", "a" * 4096))


@pytest.mark.parametrize("pattern", ["(", "a{1000}{1000}", r"(\pL?){900}", "(?<=a)b", r"(a)\1"])
def test_a_bad_pattern_is_a_fault_of_the_template(pattern: str) -> None:
    """Broken, too large, or beyond what can be matched in linear time."""
    (fault,) = schema_faults((Parameter("it", pattern=pattern),))
    assert fault.startswith("spec.parameters[it].pattern: must be a regular expression in RE2 syntax")


def test_a_bad_default_is_a_fault_of_the_template() -> None:
    """The same check as for what a Task gives."""
    schema = (Parameter("a", "Integer", default="x"), Parameter("b", default="B", pattern="[a-z]"), Parameter("c"))
    assert list(schema_faults(schema)) == [
        "spec.parameters[a].default: must be a whole number",
        "spec.parameters[b].default: must be text that matches [a-z] as a whole",
    ]


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Nobody likes to mend one after the other."""
    _, wrong = bind((Parameter("day", required=True), Parameter("n", "Integer")), (Given("n", "x"), Given("dai", "y")))
    assert [fault.split(":")[0] for fault in wrong] == [
        "spec.parameters[dai]",
        "spec.parameters[day]",
        "spec.parameters[n]",
    ]


@given(TEXT.filter(lambda text: len(text) > 3 and not text.isascii()))
def test_no_message_repeats_a_value(value: str) -> None:
    """It may be a password in the wrong field."""
    for parameter in (
        Parameter("it", sensitive=True),
        Parameter("it", "Integer"),
        Parameter("it", "Enum", enum=("a",)),
        Parameter("it", pattern="[0-9]"),
    ):
        assert value not in faults(parameter, Given("it", value))


@pytest.mark.parametrize(
    ("parameter", "source", "says"),
    [
        (Parameter("it"), CONFIG_MAP, ""),
        (Parameter("it"), SECRET, "only for parameters that the template marks as sensitive"),
        (Parameter("it", sensitive=True), SECRET, ""),
        (Parameter("it", sensitive=True), CONFIG_MAP, "must be given as valueFrom.secretKeyRef"),
        (Parameter("it", pattern="a"), CONFIG_MAP, "can't be checked"),
        (Parameter("it", "Integer"), CONFIG_MAP, "can't be checked"),
        (Parameter("it", "Enum", enum=("a",)), CONFIG_MAP, "can't be checked"),
    ],
)
def test_a_reference_goes_where_nothing_is_checked(parameter: Parameter, source: ValueFrom, says: str) -> None:
    """Else whoever may write a ConfigMap gets round the template."""
    assert says in faults(parameter, Given("it", value_from=source))
    assert bool(faults(parameter, Given("it", value_from=source))) == bool(says)


def test_a_result_is_checked_as_a_value_is_once_it_is_known() -> None:
    """Before that nobody can say; a newline at its end is no part of it; without one there is no value."""
    schema = (Parameter("n", "Integer", default="7"), Parameter("must", required=True))
    handed = tuple(Given(name, value_from=ValueFrom(task_result=TaskResult("before"))) for name in ("n", "must"))
    assert bind(schema, handed)[1] == []
    values, wrong = bind(schema, handed, {"before": "42\n"})
    assert wrong == []
    assert json.loads(values.document()) == {"n": 42, "must": "42"}
    assert bind(schema, handed, {"before": "many"})[1] == ["spec.parameters[n]: must be a whole number"]
    values, wrong = bind(schema, handed, {})
    assert values.text("n") == "7"
    assert wrong == [
        "spec.parameters[must]: Task before has no result, and the template requires a value; it must be text"
    ]
    assert faults(Parameter("it", sensitive=True), Given("it", value_from=handed[0].value_from))


def test_what_is_not_required_may_be_absent() -> None:
    """Then it has no variable, and no place in the file."""
    values, wrong = bind((Parameter("a"), Parameter("b", default=""), Parameter("secret", sensitive=True)), ())
    assert wrong == []
    assert json.loads(values.document()) == {"b": ""}
    assert values.referred == {}


def test_all_values_together_are_bounded() -> None:
    """They become an annotation of the pod, whose size is limited; said with the right field."""
    schema = tuple(Parameter(f"p{number}") for number in range(64))
    _, wrong = bind(schema, tuple(Given(parameter.name, "ä" * 4096) for parameter in schema))
    assert wrong == ["spec.parameters: all values together have more than 131072 bytes as JSON"]


@given(st.sampled_from(["String", "Integer", "Number", "Boolean", "Enum"]), BOUND)
def test_a_made_up_value_is_allowed(kind: Any, minimum: float | None) -> None:
    """A dry run with it must not fail for its sake."""
    parameter = Parameter("it", kind, minimum=minimum, enum=("a", "b"))
    assert value_fault(parameter, sample(parameter)) == ""


def test_parameters_are_read_from_a_task() -> None:
    """What the store keeps of it is enough."""
    document = {"spec": {"parameters": [{"name": "a", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}}
    assert given_in(msgspec.json.encode(document)) == (Given("a", value_from=SECRET),)
    assert given_in(b'{"spec":{}}') == ()


def test_names_become_variables() -> None:
    """In upper case, without what a shell could not name."""
    assert Parameter("top-n").variable == "TASKQ_PARAM_TOP_N"
