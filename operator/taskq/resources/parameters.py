"""Parameters: what a TaskTemplate lets its Tasks choose, and what a Task chooses."""

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from taskq.resources.base import LabelName, Model, forbidden, list_map, list_type, rule, rules
from taskq.resources.common import (
    INTEGER_PATTERN,
    MAX_CHOICE_LENGTH,
    MAX_CHOICES,
    MAX_DEFAULT_LENGTH,
    MAX_NAME_LENGTH,
    MAX_OBJECT_NAME_LENGTH,
    MAX_PARAMETERS,
    MAX_PATTERN_LENGTH,
    MAX_VALUE_LENGTH,
    NUMBER_PATTERN,
    PARAMETER_ENV_PREFIX,
    PARAMETERS_FILE,
    SUBDOMAIN_PATTERN,
    ParameterType,
)

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_-]*$"
KEY_PATTERN = r"^[-._a-zA-Z0-9]+$"

ParameterName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NAME_PATTERN)]
Value = Annotated[str, Field(max_length=MAX_VALUE_LENGTH)]


class KeyRef(Model):
    """A key of a Secret or a ConfigMap in the same namespace."""

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_OBJECT_NAME_LENGTH,
            pattern=SUBDOMAIN_PATTERN,
            description="Name of the object.",
        ),
    ]
    key: Annotated[
        str,
        Field(min_length=1, max_length=MAX_OBJECT_NAME_LENGTH, pattern=KEY_PATTERN, description="Key in its data."),
    ]


class TaskResult(Model):
    """The result of a Task that this one waits for."""

    name: Annotated[LabelName, Field(description="Name of a Task in dependsOn.")]


class ValueFrom(Model):
    """Where a value comes from."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.taskResult)]"
                ".filter(given, given).size() == 1",
                "exactly one of secretKeyRef, configMapKeyRef and taskResult must be set",
                reason="FieldValueRequired",
            )
        )
    )

    secret_key_ref: Annotated[
        KeyRef | None,
        Field(
            description=(
                "A key of a Secret; only for parameters that the template marks as sensitive. It reaches the "
                "containers as an environment variable; the operator never reads it."
            )
        ),
    ] = None
    config_map_key_ref: Annotated[
        KeyRef | None,
        Field(
            description=(
                "A key of a ConfigMap; only for parameters of type String without a pattern, since the operator does "
                "not read it. It reaches the containers as an environment variable."
            )
        ),
    ] = None
    task_result: Annotated[
        TaskResult | None,
        Field(
            description=(
                "The status.result of a Task in dependsOn, without newlines at its end; checked as a value is. A Task "
                "without a result gives no value."
            )
        ),
    ] = None


class Parameter(Model):
    """A value for one parameter of the template."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "has(self.value) != has(self.valueFrom)",
                "exactly one of value and valueFrom must be set",
                reason="FieldValueRequired",
            )
        )
    )

    name: Annotated[ParameterName, Field(description="Name of a parameter of the TaskTemplate.")]
    value: Annotated[
        Value | None,
        Field(description="The value, always as text: write numbers and true or false in quotes."),
    ] = None
    value_from: Annotated[ValueFrom | None, Field(description="Where the value comes from instead.")] = None


RESULT_RULE = forbidden(
    "!has(self.parameters) || self.parameters.all(one, !has(one.valueFrom) || !has(one.valueFrom.taskResult) || "
    "(has(self.dependsOn) && self.dependsOn.exists(other, other.name == one.valueFrom.taskResult.name)))",
    "valueFrom.taskResult must name a Task in dependsOn, since only that one has ended when this one starts",
    path=".parameters",
)

NO_RESULT_RULE = forbidden(
    "!has(self.parameters) || self.parameters.all(one, !has(one.valueFrom) || !has(one.valueFrom.taskResult))",
    "valueFrom.taskResult must not be set in onSuccess and onFailure: the Task that is created waits for no other",
    path=".parameters",
)

Parameters = Annotated[
    list[Parameter] | None,
    Field(
        max_length=MAX_PARAMETERS,
        description=(
            "Values for the parameters of the TaskTemplate; only together with templateRef. The template says which "
            "there are and what they may be. A change takes effect with the next attempt."
        ),
        json_schema_extra=list_map("name"),
    ),
]


def _only_for(field: str, types: tuple[ParameterType, ...]) -> JsonDict:
    words = " and ".join(types)
    listed = ", ".join(f"'{word}'" for word in types)
    return forbidden(
        f"!has(self.{field}) || self.type in [{listed}]",
        f"{field} is only for parameters of type {words}; remove it or change type",
        path=f".{field}",
    )


_NUMBERS = (ParameterType.INTEGER, ParameterType.NUMBER)


def _default(unless: str, expression: str, message: str) -> JsonDict:
    """Refuse a default that a Task could not give; `unless` says when the rule does not apply."""
    return rule(f"!has(self.default) || {unless} || {expression}", f"default {message}", path=".default")


_DEFAULT_RULES = (
    _default("self.type != 'Integer'", f"self.default.matches('{INTEGER_PATTERN}')", "must be a whole number"),
    _default("self.type != 'Number'", f"self.default.matches('{NUMBER_PATTERN}')", "must be a number"),
    _default("self.type != 'Boolean'", "self.default in ['true', 'false']", "must be 'true' or 'false'"),
    _default("self.type != 'Enum' || !has(self.enum)", "self.default in self.enum", "must be one of enum"),
    _default(
        "!has(self.pattern)",
        "self.default.matches('^(?:' + self.pattern + ')$')",
        "must match pattern, from its beginning to its end",
    ),
    *(
        _default(
            f"!has(self.{bound}) || !self.default.matches('{NUMBER_PATTERN}')",
            f"double(self.default) {sign} self.{bound}",
            f"must not be {words} than {bound}",
        )
        for bound, sign, words in (("minimum", ">=", "less"), ("maximum", "<=", "greater"))
    ),
)


class TemplateParameter(Model):
    """What one parameter may be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _only_for("pattern", (ParameterType.STRING,)),
            _only_for("minimum", _NUMBERS),
            _only_for("maximum", _NUMBERS),
            _only_for("enum", (ParameterType.ENUM,)),
            rule(
                "self.type != 'Enum' || has(self.enum)",
                "a parameter of type Enum needs enum, the values that it may have",
                reason="FieldValueRequired",
            ),
            rule(
                "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
                "maximum must not be less than minimum",
                path=".maximum",
            ),
            forbidden(
                "!self.required || !has(self.default)",
                "default must not be set beside required: true, it would never be used; remove one of the two",
                path=".default",
            ),
            forbidden(
                "!self.sensitive || self.type == 'String'",
                "type must be String beside sensitive: true, since the operator never reads the value to check it",
                path=".type",
            ),
            *(
                forbidden(
                    f"!self.sensitive || !has(self.{field})",
                    f"{field} must not be set beside sensitive: true: the value comes from a Secret, which the "
                    "operator never reads",
                    path=f".{field}",
                )
                for field in ("default", "pattern")
            ),
            *_DEFAULT_RULES,
        )
    )

    name: Annotated[
        ParameterName,
        Field(
            description=(
                f"Name of the parameter: {PARAMETER_ENV_PREFIX}NAME in the environment (upper case, - becomes _), "
                "NAME in the JSON file, $(params.NAME) in command and args."
            )
        ),
    ]
    type: Annotated[
        ParameterType,
        Field(description="What values look like: String (the default), Integer, Number, Boolean or Enum."),
    ] = ParameterType.STRING
    default: Annotated[
        str | None, Field(max_length=MAX_DEFAULT_LENGTH, description="The value of Tasks that give none, as text.")
    ] = None
    required: Annotated[bool, Field(description="Whether every Task must give a value.")] = False
    pattern: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_PATTERN_LENGTH,
            description=(
                "A regular expression in RE2 syntax that the whole value must match; only for type String. "
                "A Task's configMapKeyRef is refused then."
            ),
            json_schema_extra=rules(
                rule("(''.matches(self) ? 1 : 1) == 1", "must be a regular expression in RE2 syntax")
            ),
        ),
    ] = None
    minimum: Annotated[float | None, Field(description="The least value; only for Integer and Number.")] = None
    maximum: Annotated[float | None, Field(description="The greatest value; only for Integer and Number.")] = None
    enum: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_CHOICE_LENGTH)]] | None,
        Field(
            min_length=1,
            max_length=MAX_CHOICES,
            description="The values that a parameter of type Enum may have.",
            json_schema_extra=list_type("set"),
        ),
    ] = None
    sensitive: Annotated[
        bool,
        Field(
            description=(
                "The value may only be given as valueFrom.secretKeyRef, and reaches the containers as an environment "
                "variable only. Without it, secretKeyRef is refused."
            )
        ),
    ] = False


TemplateParameters = Annotated[
    list[TemplateParameter] | None,
    Field(
        max_length=MAX_PARAMETERS,
        description=(
            "What Tasks of this type may choose. Values reach every container as environment variables and as the "
            f"JSON file {PARAMETERS_FILE}, and command and args where they say $(params.NAME)."
        ),
        json_schema_extra=list_map("name")
        | rules(
            rule(
                "self.all(one, self.exists_one(other, one.name.upperAscii().replace('-', '_') == "
                "other.name.upperAscii().replace('-', '_')))",
                "two names must not differ only in case or in - and _, since both would be the same environment "
                "variable",
            )
        ),
    ),
]
