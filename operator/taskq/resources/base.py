"""What every model of the API is made of: the base class, bounded types, and CEL rules."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel
from pydantic.config import JsonDict

from taskq.resources.common import (
    GROUP,
    MAX_CONDITIONS,
    MAX_LABELS,
    MAX_MESSAGE_LENGTH,
    MAX_NAME_LENGTH,
    MAX_OBJECT_NAME_LENGTH,
    MAX_SECONDS,
    MAX_TEXT_LENGTH,
    SUBDOMAIN_PATTERN,
    ConditionStatus,
)

CEL = "x-kubernetes-validations"

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
COUNT_MAX = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact."""
MAX_ANNOTATION_LENGTH = 65_536
LABEL_VALUE_PATTERN = r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"
LABEL_KEY_PATTERN = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
TIME_PATTERN = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"


def rule(
    expression: str,
    message: str,
    *,
    path: str | None = None,
    reason: Literal["FieldValueForbidden", "FieldValueRequired"] | None = None,
) -> JsonDict:
    """Build a CEL rule; `path` is the field to blame, relative to the object that has the rule."""
    made: JsonDict = {"rule": expression, "message": message}
    if path is not None:
        made["fieldPath"] = path
    if reason is not None:
        made["reason"] = reason
    return made


def forbidden(expression: str, message: str, *, path: str | None = None) -> JsonDict:
    """Build a CEL rule whose refusal reads «FIELD: Forbidden: MESSAGE»."""
    return rule(expression, message, path=path, reason="FieldValueForbidden")


def unchanged(field: str, message: str) -> JsonDict:
    """Build a rule that an optional field is neither changed nor added nor removed."""
    same = f"has(self.{field}) == has(oldSelf.{field})"
    equal = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return forbidden(f"{same} && {equal}", message, path=f".{field}")


def rules(*given: JsonDict) -> JsonDict:
    """Wrap rules as the schema extension that the generator passes through."""
    return {CEL: list(given)}


def list_type(kind: Literal["atomic", "set"]) -> JsonDict:
    """Say how server-side apply merges a list of scalars or an ordered list."""
    return {"x-kubernetes-list-type": kind}


def list_map(key: str) -> JsonDict:
    """Say that server-side apply merges a list by a key, which must be unique."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class Model(BaseModel):
    """An object of the API; fields it does not know are ignored, so that old operators read new objects."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)


class OpenModel(Model):
    """An object of which only what rules must see is declared; all else passes through as it is."""

    model_config = ConfigDict(extra="allow")


Seconds = Annotated[int, Field(ge=1, le=MAX_SECONDS)]
SecondsOrZero = Annotated[int, Field(ge=0, le=MAX_SECONDS)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Int32 = Annotated[int, Field(ge=INT32_MIN, le=INT32_MAX)]
Generation = Annotated[int, Field(ge=-1, le=COUNT_MAX)]
Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
LabelName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=SUBDOMAIN_PATTERN)]
"""A name that is also used as a label value; dots are fine in both."""
LabelKey = Annotated[str, Field(min_length=1, max_length=317, pattern=LABEL_KEY_PATTERN)]
"""The key of a label: a name of up to 63 characters, after a domain and a slash if it has one."""
ObjectName = Annotated[str, Field(max_length=MAX_OBJECT_NAME_LENGTH)]
Time = Annotated[AwareDatetime, Field(json_schema_extra={"maxLength": 64})]
GivenTime = Annotated[
    AwareDatetime,
    Field(
        json_schema_extra={
            # The server's own check of date-time lets through what RFC 3339 does not know (offset +99:99,
            # a second «T»); what passes here can be read by the operator and be turned into UTC.
            "maxLength": 64,
            "pattern": TIME_PATTERN,
            **rules(
                rule(
                    "self >= timestamp('2000-01-01T00:00:00Z') && self < timestamp('3000-01-01T00:00:00Z')",
                    "must lie in the years 2000 to 2999",
                )
            ),
        }
    ),
]
LabelValue = Annotated[str, Field(max_length=MAX_NAME_LENGTH, pattern=LABEL_VALUE_PATTERN)]
AnnotationValue = Annotated[str, Field(max_length=MAX_ANNOTATION_LENGTH)]


class Metadata(Model):
    """Labels and annotations for an object that the operator creates."""

    labels: Annotated[
        Mapping[str, LabelValue] | None,
        Field(
            max_length=MAX_LABELS,
            description=(
                f"Labels of the created object, at most {MAX_LABELS}. Keys under {GROUP}/ belong to the operator."
            ),
            json_schema_extra=rules(
                forbidden(
                    f"self.all(key, !key.startsWith('{GROUP}/'))",
                    f"labels under {GROUP}/ are set by the operator; choose a prefix of your own",
                )
            ),
        ),
    ] = None
    annotations: Annotated[
        Mapping[str, AnnotationValue] | None,
        Field(max_length=MAX_LABELS, description=f"Annotations of the created object, at most {MAX_LABELS}."),
    ] = None


class Condition(Model):
    """One condition, as in the Kubernetes API conventions."""

    type: Annotated[str, Field(min_length=1, max_length=316, description="What the condition is about.")]
    status: Annotated[ConditionStatus, Field(description="Whether it holds.")]
    observed_generation: Annotated[
        Generation | None, Field(description="The metadata.generation that the condition was computed from.")
    ] = None
    last_transition_time: Annotated[Time, Field(description="When the status last changed.")]
    reason: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MAX_TEXT_LENGTH,
            pattern=REASON_PATTERN,
            description="Why, as one CamelCase word for programs.",
        ),
    ]
    message: Annotated[
        str,
        Field(
            max_length=MAX_MESSAGE_LENGTH,
            description="Why, as a sentence for people; names the field to mend.",
        ),
    ]


Conditions = Annotated[
    list[Condition],
    Field(
        max_length=MAX_CONDITIONS,
        description=("The state of the object as conditions: the part of the status that programs may rely on."),
        json_schema_extra=list_map("type"),
    ),
]


class Status(Model):
    """What the operator writes back about any kind."""

    observed_generation: Annotated[
        Generation | None,
        Field(description="The metadata.generation that the operator has seen; -1 until it has seen the object."),
    ] = None
    conditions: Conditions | None = None


AnyObject = dict[str, JsonValue]
