"""From pydantic models to structural schemas: what is translated, and what is refused."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import ConfigDict, Field

from taskq.resources import crd
from taskq.resources.base import CEL, AnyObject, Model, OpenModel, list_map, rule, rules
from taskq.resources.task_queue import TaskQueue

Small = Annotated[int, Field(ge=0, le=9)]
Word = Annotated[str, Field(max_length=9)]


class Colour(StrEnum):
    """A colour."""

    RED = "Red"
    BLUE = "Blue"


class Leaf(Model):
    """A leaf."""

    size: Small = 3
    note: Word | None = None


def field(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """The structural schema of one field with this type."""
    model = type("Sample", (Model,), {"__annotations__": {"it": annotation}, **_given(default)})
    made: dict[str, Any] = crd.structural(model)["properties"]["it"]
    return made


def _given(default: Any) -> dict[str, Any]:
    return {} if default is ... else {"it": default}


def test_an_optional_field_is_one_that_may_be_absent() -> None:
    """Null has no meaning in the API: neither the type nor a default says it."""
    sample = crd.structural(Leaf)
    assert sample["properties"]["note"] == {"type": "string", "maxLength": 9}
    assert "required" not in sample


def test_a_field_without_a_default_is_required() -> None:
    """What has no default must be given."""

    class Sample(Model):
        it: Small

    assert crd.structural(Sample)["required"] == ["it"]


def test_names_become_camel_case() -> None:
    """Python's names are not the API's."""

    class Sample(Model):
        not_before_seconds: Small

    assert list(crd.structural(Sample)["properties"]) == ["notBeforeSeconds"]


def test_an_enum_is_inlined_with_the_fields_own_description() -> None:
    """References are not allowed in a CRD; what the field says of itself wins over what its type says."""
    made = field(Annotated[Colour, Field(description="Its colour.")], Colour.RED)
    assert made == {"description": "Its colour.", "type": "string", "enum": ["Red", "Blue"], "default": "Red"}


def test_a_single_literal_becomes_an_enum_of_one() -> None:
    """OpenAPI 3.0 has no const."""
    assert field(Literal["True"]) == {"type": "string", "enum": ["True"]}


def test_a_nested_model_is_inlined_wherever_it_occurs() -> None:
    """Lists, optional fields and plain ones alike."""
    leaf = {"description": "A leaf.", "type": "object", "properties": crd.structural(Leaf)["properties"]}
    assert field(Leaf) == leaf
    assert field(Leaf | None, None) == leaf
    assert field(Annotated[list[Leaf], Field(max_length=2)])["items"] == leaf


def test_the_default_of_an_object_is_written_in_full() -> None:
    """The API server checks it against the object's own rules before it fills in the parts."""
    assert field(Leaf, Leaf())["default"] == {"size": 3}


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 2**31 - 1, "int32"), (0, 2**31, "int64"), (-(2**31) - 1, 0, "int64")]
)
def test_an_integer_has_the_narrowest_format_that_holds_it(low: int, high: int, expected: str) -> None:
    """Clients in typed languages take their types from it."""
    assert field(Annotated[int, Field(ge=low, le=high)])["format"] == expected


def test_a_map_keeps_the_schema_of_its_values() -> None:
    """Labels are checked value by value."""
    made = field(Annotated[dict[str, Word], Field(max_length=4)])
    assert made["additionalProperties"] == {"type": "string", "maxLength": 9}
    assert made["maxProperties"] == 4


def test_an_open_object_keeps_what_it_does_not_declare() -> None:
    """The Job template passes through."""

    class Sample(OpenModel):
        name: Word

    made = crd.structural(Sample)
    assert made[crd.OPEN] is True
    assert list(made["properties"]) == ["name"]
    assert field(AnyObject) == {"type": "object", crd.OPEN: True}


def test_rules_and_merge_keys_are_passed_on() -> None:
    """CEL rules and list types are written as they are."""

    class Sample(Model):
        model_config = ConfigDict(json_schema_extra=rules(rule("self.it.size() > 0", "it must not be empty")))

        it: Annotated[list[Leaf], Field(max_length=2, json_schema_extra=list_map("size"))]

    made = crd.structural(Sample)
    assert made[CEL] == [{"rule": "self.it.size() > 0", "message": "it must not be empty"}]
    assert made["properties"]["it"]["x-kubernetes-list-map-keys"] == ["size"]


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (int, r"Sample\.it: without maximum, minimum"),
        (str, r"Sample\.it: without maxLength or enum"),
        (list[Small], r"Sample\.it: without maxItems"),
        (Annotated[list[str], Field(max_length=2)], r"Sample\.it\[\]: without maxLength"),
        (dict[str, Word], r"Sample\.it: without maxProperties"),
    ],
)
def test_an_unbounded_field_is_refused(annotation: Any, says: str) -> None:
    """CEL's cost is estimated from the bounds, and no user needs a megabyte of queue name."""
    with pytest.raises(TypeError, match=says):
        field(annotation)


@pytest.mark.parametrize(
    ("annotation", "says"),
    [
        (Small | Word, r"Sample\.it: a structural schema has no anyOf"),
        (Annotated[int, Field(gt=0, le=9)], r"Sample\.it: a structural schema has no exclusiveMinimum"),
        (Any, r"Sample\.it: a structural schema needs one type"),
    ],
)
def test_what_a_structural_schema_cannot_say_is_refused(annotation: Any, says: str) -> None:
    """Dropped without a word, a limit would be in Python and not in the cluster."""
    with pytest.raises(TypeError, match=says):
        field(annotation)


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_every_field_describes_itself(kind: crd.Kind) -> None:
    """What `kubectl explain` shows is one or two sentences that end with a full stop."""
    schema = crd.structural(kind.model)
    for path, inner in crd.walk(schema, kind.name):
        assert inner.get("description", "").endswith("."), path
    assert schema["description"]


@pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
def test_a_table_fits_into_eighty_columns(kind: crd.Kind) -> None:
    """With the widths that values usually have, and kubectl's three spaces between columns."""
    widths = {"Status": 9, "State": 8, "Queue": 7, "Reason": 16, "Description": 24, "Next": 20, "Age": 4}
    shown = [column for column in kind.columns if not column.wide]
    usual_name = 16
    assert usual_name + sum(3 + max(len(c.name), widths.get(c.name, 0)) for c in shown) <= 80


def test_queue_defaults_leave_unset_what_the_global_default_decides() -> None:
    """A default inside taskDefaults would shadow whatever comes after it."""
    defaults = crd.structural(TaskQueue)["properties"]["spec"]["properties"]["taskDefaults"]
    assert "default" not in defaults
    assert [name for name, inner in defaults["properties"].items() if "default" in inner] == []


def test_check_tells_what_is_not_current_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CI fails on a model that was changed without its CRD."""
    assert crd.main([str(tmp_path), "--docs", str(tmp_path / "docs/fields.md")]) == 0
    assert crd.main(["--check", str(tmp_path), "--docs", str(tmp_path / "docs/fields.md")]) == 0
    (tmp_path / "tasks.yaml").write_text("", encoding="utf-8")
    capsys.readouterr()
    assert crd.main(["--check", str(tmp_path)]) == 1
    assert "tasks.yaml: not current" in capsys.readouterr().out
    assert (tmp_path / "tasks.yaml").read_text(encoding="utf-8") == ""


def test_a_written_crd_is_yaml_without_references() -> None:
    """Some readers of CRDs know no YAML anchors."""
    for kind in crd.KINDS:
        text = crd.render_crd(kind)
        assert yaml.safe_load(text) == crd.manifest(kind)
        assert "&id" not in text


def test_nothing_to_do_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a target the command says which ones there are."""
    with pytest.raises(SystemExit, match="2"):
        crd.main([])
    assert "--docs FILE" in capsys.readouterr().err
