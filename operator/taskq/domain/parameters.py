"""The values that a Task gives to the parameters of its TaskTemplate: what is allowed, and what is wrong with them.

A value is text, whatever its type, as in a container's environment. What comes from a Secret or a ConfigMap is never
read here: it reaches the containers by reference, so it can't be checked, and is refused where the template wants a
check. No message repeats a value: somebody may have written a password into the wrong field.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import msgspec
import re2

from taskq.domain.facts import Value
from taskq.resources.common import (
    INTEGER_PATTERN,
    MAX_PARAMETERS_BYTES,
    MAX_VALUE_LENGTH,
    NUMBER_PATTERN,
    PARAMETER_ENV_PREFIX,
)

_INTEGER = re.compile(INTEGER_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
_NUMBER = re.compile(NUMBER_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
_PATTERNS_KEPT = 128
_PATTERN_MEMORY = 1 << 18
"""Bytes that one compiled pattern may take: those of tenants are bounded in number and in size."""


class Parameter(Value, frozen=True):
    """What a TaskTemplate says of one parameter."""

    name: str
    type: Literal["String", "Integer", "Number", "Boolean", "Enum"] = "String"
    default: str | None = None
    required: bool = False
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[str, ...] = ()
    sensitive: bool = False

    @property
    def variable(self) -> str:
        """The environment variable that has its value."""
        return PARAMETER_ENV_PREFIX + self.name.upper().replace("-", "_")

    @property
    def is_checked(self) -> bool:
        """Whether a value must be read to know that it is allowed."""
        return self.type != "String" or self.pattern is not None


class KeyRef(Value, frozen=True):
    """A key of a Secret or a ConfigMap."""

    name: str
    key: str


class TaskResult(Value, frozen=True):
    """The result of a Task in dependsOn."""

    name: str


class ValueFrom(Value, frozen=True):
    """Where a value comes from."""

    secret_key_ref: KeyRef | None = None
    config_map_key_ref: KeyRef | None = None
    task_result: TaskResult | None = None


class Given(Value, frozen=True):
    """What a Task gives for one parameter."""

    name: str
    value: str | None = None
    value_from: ValueFrom | None = None


class Values(NamedTuple):
    """What a Task's containers get, in the order of the template's parameters."""

    known: dict[Parameter, str]
    """The values that are known here: given or default, and all checked."""
    referred: dict[Parameter, ValueFrom]
    """The values that only the kubelet reads."""

    def text(self, name: str) -> str | None:
        """The known value of a parameter."""
        return next((value for parameter, value in self.known.items() if parameter.name == name), None)

    def document(self) -> str:
        """The known values as JSON, typed."""
        typed = {parameter.name: _typed(parameter, value) for parameter, value in self.known.items()}
        return msgspec.json.encode(typed).decode()


NO_VALUES = Values({}, {})


class _Spec(msgspec.Struct):
    parameters: tuple[Given, ...] = ()


class _Document(msgspec.Struct):
    spec: _Spec = msgspec.field(default_factory=_Spec)


_decoder = msgspec.json.Decoder(_Document)


def given_in(document: bytes) -> tuple[Given, ...]:
    """The parameters in a Task's JSON.

    Raises :class:`msgspec.DecodeError` when they can't be read.
    """
    return _decoder.decode(document).spec.parameters


def results_in(document: bytes) -> set[str]:
    """The names of the Tasks whose results a Task with this JSON hands on."""
    if b'"taskResult"' not in document:
        return set()
    sources = (one.value_from for one in given_in(document) if one.value_from)
    return {source.task_result.name for source in sources if source.task_result}


def bind(
    schema: tuple[Parameter, ...], given: tuple[Given, ...], results: Mapping[str, str] | None = None
) -> tuple[Values, list[str]]:
    """The values of a Task's parameters, and what is wrong with them: one sentence each, with the field to mend.

    ``results`` are those of other Tasks, by name and only as far as they have one; None when nobody has asked yet.
    """
    known: dict[Parameter, str] = {}
    referred: dict[Parameter, ValueFrom] = {}
    wrong = [_unknown(one.name, schema) for one in given if all(one.name != parameter.name for parameter in schema)]
    by_name = {one.name: one for one in given}
    for parameter in schema:
        one = by_name.get(parameter.name)
        fault = _source_fault(parameter, one.value_from) if one else ""
        if fault:
            wrong.append(f"spec.parameters[{parameter.name}]: {fault}")
        elif one and one.value_from and not one.value_from.task_result:
            referred[parameter] = one.value_from
        elif one and one.value_from and results is None:
            continue
        else:
            value = _text(one, results or {})
            fault = _missing(parameter, one) if value is None else value_fault(parameter, value)
            if fault:
                wrong.append(f"spec.parameters[{parameter.name}]: {fault}")
            if value is None:
                value = parameter.default
            if value is not None:
                known[parameter] = value
    values = Values(known, referred)
    if not wrong and len(values.document().encode()) > MAX_PARAMETERS_BYTES:
        wrong.append(f"spec.parameters: all values together have more than {MAX_PARAMETERS_BYTES} bytes as JSON")
    return values, wrong


def schema_faults(schema: tuple[Parameter, ...]) -> Iterator[str]:
    """What is wrong with a template's parameters themselves: with their patterns, and with their defaults."""
    for parameter in schema:
        field = f"spec.parameters[{parameter.name}]"
        try:
            fault = "" if parameter.default is None else value_fault(parameter, parameter.default)
            if parameter.pattern:
                _compiled(parameter.pattern)
        except re2.error as error:
            yield f"{field}.pattern: must be a regular expression in RE2 syntax that is not too large: {_words(error)}"
        else:
            if fault:
                yield f"{field}.default: {fault}"


def sample(parameter: Parameter) -> str:
    """A value that stands in for what a Task must give: its shape is right, a pattern need not match."""
    if parameter.default is not None:
        return parameter.default
    if parameter.type in ("Integer", "Number"):
        return _plain(float(math.ceil(parameter.minimum or 0)))
    return {"Enum": next(iter(parameter.enum), ""), "Boolean": "false"}.get(parameter.type, "sample")


def value_fault(parameter: Parameter, value: str) -> str:
    """What is wrong with a value, without repeating it; empty when it is allowed."""
    if "\0" in value:
        return "must not contain the character NUL"
    if len(value) > MAX_VALUE_LENGTH:
        return f"must have at most {MAX_VALUE_LENGTH} characters"
    return "" if _is_allowed(parameter, value) else f"must be {allowed(parameter)}"


def allowed(parameter: Parameter) -> str:
    """What a parameter may be, for people."""
    if parameter.sensitive:
        return "given as valueFrom.secretKeyRef"
    if parameter.type == "Enum":
        return "one of " + ", ".join(parameter.enum)
    if parameter.type == "Boolean":
        return "'true' or 'false'"
    if parameter.type == "String":
        return f"text that matches {parameter.pattern} as a whole" if parameter.pattern else "text"
    bounds = [
        f"{words} {_plain(bound)}"
        for words, bound in (("at least", parameter.minimum), ("at most", parameter.maximum))
        if bound is not None
    ]
    return " and ".join(["a whole number" if parameter.type == "Integer" else "a number", *bounds])


def _text(given: Given | None, results: Mapping[str, str]) -> str | None:
    """What a Task gives, itself or by another one's result; None for nothing."""
    if given is None or given.value_from is None:
        return given.value if given else None
    result = results.get(given.value_from.task_result.name) if given.value_from.task_result else None
    return None if result is None else result.rstrip("\n")


def _missing(parameter: Parameter, given: Given | None) -> str:
    if not parameter.required:
        return ""
    source = given.value_from.task_result if given and given.value_from else None
    if source:
        return f"Task {source.name} has no result, and the template requires a value; it must be {allowed(parameter)}"
    return f"is missing; it must be {allowed(parameter)}"


def _source_fault(parameter: Parameter, source: ValueFrom | None) -> str:
    """Whether the value may come from there."""
    if parameter.sensitive:
        if source and source.secret_key_ref:
            return ""
        return (
            "the template marks it as sensitive, so it must be given as valueFrom.secretKeyRef: what stands in a Task "
            "can be read by everybody who may read Tasks. If it was a secret, replace it"
        )
    if source and source.secret_key_ref:
        return "valueFrom.secretKeyRef is only for parameters that the template marks as sensitive; give a value"
    if source and source.config_map_key_ref and parameter.is_checked:
        return f"valueFrom.configMapKeyRef can't be checked, and it must be {allowed(parameter)}; give a value"
    return ""


def _is_allowed(parameter: Parameter, value: str) -> bool:
    if parameter.type == "Enum":
        return value in parameter.enum
    if parameter.type == "Boolean":
        return value in ("true", "false")
    if parameter.type == "String":
        return parameter.pattern is None or _compiled(parameter.pattern).fullmatch(value) is not None
    if not (_INTEGER if parameter.type == "Integer" else _NUMBER).match(value):
        return False
    number = int(value) if parameter.type == "Integer" else float(value)
    above = parameter.minimum is None or number >= parameter.minimum
    return above and (parameter.maximum is None or number <= parameter.maximum)


def _unknown(name: str, schema: tuple[Parameter, ...]) -> str:
    names = [parameter.name for parameter in schema]
    close = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(names) or 'none'}"
    return f"spec.parameters[{name}]: the template has no such parameter; {hint}"


def _typed(parameter: Parameter, value: str) -> Any:
    if parameter.type in ("Integer", "Number"):
        return msgspec.Raw(value.encode())  # as it was written: a float could not hold every digit
    return value == "true" if parameter.type == "Boolean" else value


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


@lru_cache(maxsize=_PATTERNS_KEPT)
def _compiled(pattern: str) -> Any:
    """An automaton: linear in the value's length, whatever a tenant thinks up. Raises :class:`re2.error`."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    return re2.compile(pattern, options=options)


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
