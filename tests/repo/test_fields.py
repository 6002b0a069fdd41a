"""No field of the API is silently ignored: each names the test that shows it at work and the case that refuses it.

The table is `fields.yaml`. A field whose subtree is the same model as another's says `as: PATH`; then what lies below
it needs no entries of its own, unless it behaves differently there.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from taskq.resources.base import CEL
from taskq.resources.crd import walk

REPO = Path(__file__).resolve().parents[2]
TABLE: dict[str, dict[str, str]] = yaml.safe_load((REPO / "tests/repo/fields.yaml").read_text(encoding="utf-8"))
WORDS = {"shown", "refused", "nothing_refused", "as"}


def _fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((REPO / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]
        schema = crd["versions"][0]["schema"]["openAPIV3Schema"]
        yield from walk(schema["properties"]["spec"], f"{crd['names']['kind']}.spec")
        yield f"{crd['names']['kind']}.spec", schema["properties"]["spec"]


FIELDS = dict(_fields())


def covering(path: str) -> str | None:
    """The entry that speaks for a field: its own, or the nearest one above it that is the same model as another."""
    if path in TABLE:
        return path
    above = [entry for entry, says in TABLE.items() if "as" in says and _within(path, entry)]
    return max(above, key=len, default=None)


@pytest.mark.parametrize("path", [path for path in FIELDS if path.count(".") > 1])
def test_a_field_has_an_entry(path: str) -> None:
    """A field without a test that shows it may well do nothing."""
    assert covering(path), f"add {path} to tests/repo/fields.yaml"


@pytest.mark.parametrize("path", TABLE)
def test_an_entry_is_complete(path: str) -> None:
    """It stands for a field that exists, and says what is to be said in known words."""
    assert path in FIELDS, "no such field; remove the entry"
    says = TABLE[path]
    assert says.keys() <= WORDS
    assert "shown" in says
    assert ("refused" in says) != ("nothing_refused" in says), "say which case refuses it, or why none can"


@pytest.mark.parametrize("path", TABLE)
def test_the_test_that_shows_a_field_exists(path: str) -> None:
    """The named test is in the named file; whether it passes is its own business."""
    shown = TABLE[path]["shown"]
    assert not shown.startswith("TODO"), f"name the test that shows {path} at work"
    file, _, test = shown.partition("::")
    assert test in _tests(REPO / file), f"{file} has no {test}"


@cache
def _tests(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for outer in tree.body:
        if isinstance(outer, ast.ClassDef):
            inner = (node for node in outer.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
            names |= {f"{outer.name}::{node.name}" for node in inner}
    return frozenset(name for name in names if name.split("::")[-1].startswith("test_"))


@pytest.mark.parametrize("path", [path for path, says in TABLE.items() if "refused" in says])
def test_the_case_that_refuses_a_field_is_about_it(path: str) -> None:
    """The case makes an object of the same kind, and its answer blames this field, its parts, or what it is part of."""
    cases = {case.id: case for case in _refusals()}
    case = cases.get(TABLE[path]["refused"])
    assert case is not None, f"tests/integration/test_crds.py has no case {TABLE[path]['refused']}"
    blamed = f"{case.kind}." + re.sub(r"\[\d+\]", "[]", case.field)
    assert _within(path, blamed) or _within(blamed, path), f"{case.id} blames {blamed}"


def _within(inner: str, outer: str) -> bool:
    return inner == outer or inner.startswith((f"{outer}.", f"{outer}[]"))


@cache
def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("refusals", REPO / "tests/integration/test_crds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refusals() -> list[Any]:
    return [*_module().CREATIONS, *_module().OF_A_CHANGE]


def test_case_names_are_unique() -> None:
    """Two cases under one name would hide each other."""
    names = [case.id for case in _refusals()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", [path for path, says in TABLE.items() if "as" in says])
def test_a_field_that_speaks_for_another_has_the_same_schema(path: str) -> None:
    """Only then does what is shown of the one hold for the other; descriptions and outer rules may differ."""
    assert _bare(FIELDS[path]) == _bare(FIELDS[TABLE[path]["as"]])


def _bare(schema: dict[str, Any]) -> Any:
    return _without_descriptions({word: value for word, value in schema.items() if word != CEL})


def _without_descriptions(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_descriptions(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        word: _without_descriptions(inner)
        for word, inner in value.items()
        if not (word == "description" and isinstance(inner, str))
    }
