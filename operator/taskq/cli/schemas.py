"""What the API server says of a document by the schema of its kind: types, limits, unknown fields."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from taskq.cli.kinds import Object
from taskq.cli.manifests import Fault, Path
from taskq.resources import crd

Schema = Mapping[str, Any]

_SCALARS: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,),
}  # fmt: skip
_NAMES = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "object": "an object", "array": "a list",
}  # fmt: skip
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_METADATA = (
    *("name", "generateName", "namespace", "labels", "annotations", "finalizers", "ownerReferences"),
    *("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"),
    *("deletionTimestamp", "deletionGracePeriodSeconds"),
)
SHOWN = 60


@cache
def of_kind(kind: str) -> Object:
    """The schema of a kind of ours, as its CRD has it."""
    found = next(one for one in crd.KINDS if one.name == kind)
    schema: Object = crd.manifest(found)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def near(name: str, known: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """`, did you mean …?`, or nothing."""
    by_lower = {one.lower(): one for one in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f", did you mean {by_lower[found[0]]}?" if found else ""


def check(document: Object, schema: Schema) -> Iterator[Fault]:
    """The faults of a document without its status, which the API server takes from nobody but the operator."""
    given = {name: value for name, value in document.items() if name not in {"status", "metadata"}}
    yield from _metadata(document.get("metadata"))
    yield from _object(given, schema, ())


def _metadata(metadata: Any) -> Iterator[Fault]:
    here: Path = ("metadata",)
    if not isinstance(metadata, dict):
        yield Fault(here, "must be an object with a name")
        return
    for name in metadata.keys() - set(_METADATA):
        yield Fault((*here, name), f"is no field of metadata{near(name, _METADATA)}")
    for field in ("labels", "annotations"):
        pairs = metadata.get(field) or {}
        if not isinstance(pairs, dict):
            yield Fault((*here, field), f"must be an object, not {_shown(pairs)}")
            continue
        for key, value in pairs.items():
            if not isinstance(value, str):
                yield Fault((*here, field, key), f"must be text: put {_shown(value)} into quotes")
    name = metadata.get("name")
    if name is None and not metadata.get("generateName"):
        yield Fault(here, "needs a name, or a generateName")
    elif name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        yield Fault((*here, "name"), "must be lower case letters, digits, - and . and begin and end with no sign")


def _value(value: Any, schema: Schema, path: Path) -> Iterator[Fault]:
    kind = schema["type"]
    if value is None:
        if "default" not in schema:
            yield Fault(path, f"must be {_NAMES[kind]}, and nothing is given; remove the field or give a value")
        return
    if not isinstance(value, _SCALARS[kind]) or (isinstance(value, bool) and kind != "boolean"):
        yield Fault(path, f"must be {_NAMES[kind]}, not {_shown(value)}{_mended(value, kind)}")
        return
    yield from _CHECKS[kind](value, schema, path)


def _mended(value: Any, kind: str) -> str:
    if kind == "string" and not isinstance(value, dict | list):
        return "; put it into quotes"
    if isinstance(value, str) and re.fullmatch(r"-?\d+|true|false", value):
        return "; remove the quotes"
    return "; begin it with - " if kind == "array" else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _object(value: Object, schema: Schema, path: Path) -> Iterator[Fault]:
    known = schema.get("properties", {})
    values = schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield Fault((*path, name), "is required")
    if len(value) > schema.get("maxProperties", len(value)):
        yield Fault(path, f"must have at most {schema['maxProperties']} entries, not {len(value)}")
    for name, inner in value.items():
        if name in known:
            yield from _value(inner, known[name], (*path, name))
        elif values:
            yield from _value(inner, values, (*path, name))
        elif not schema.get(crd.OPEN):
            yield Fault((*path, name), f"is no field of {path[-1] if path else 'this kind'}{near(name, list(known))}")


def _array(value: list[Any], schema: Schema, path: Path) -> Iterator[Fault]:
    if len(value) > schema.get("maxItems", len(value)):
        yield Fault(path, f"must have at most {schema['maxItems']} items, not {len(value)}")
    if len(value) < schema.get("minItems", 0):
        yield Fault(path, f"must have at least {schema['minItems']} items, not {len(value)}")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    seen: list[Any] = []
    for index, item in enumerate(value):
        yield from _value(item, schema["items"], (*path, index))
        if schema.get("x-kubernetes-list-type") not in {"set", "map"}:
            continue
        identity = [item.get(key) for key in keys] if keys and isinstance(item, dict) else item
        if identity in seen:
            yield Fault((*path, index), f"stands there twice{f', by its {keys[0]}' if keys else ''}")
        seen.append(identity)


def _string(value: str, schema: Schema, path: Path) -> Iterator[Fault]:
    if "enum" in schema and value not in schema["enum"]:
        allowed = [str(one) for one in schema["enum"]]
        yield Fault(path, f"must be one of {', '.join(allowed)}, not {_shown(value)}{near(value, allowed)}")
    if len(value) > schema.get("maxLength", len(value)):
        yield Fault(path, f"must have at most {schema['maxLength']} characters, not {len(value)}")
    elif len(value) < schema.get("minLength", 0):
        yield Fault(path, f"must have at least {schema['minLength']} characters")
    elif schema.get("format") == "date-time" and not is_time(value):
        yield Fault(path, f"must be a time like 2026-03-01T14:00:00Z, not {_shown(value)}")
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield Fault(path, f"must match {schema['pattern']}, which {_shown(value)} does not")


def _number(value: float, schema: Schema, path: Path) -> Iterator[Fault]:
    if value < schema.get("minimum", value):
        yield Fault(path, f"must be at least {schema['minimum']}, not {value}")
    if value > schema.get("maximum", value):
        yield Fault(path, f"must be at most {schema['maximum']}, not {value}")


def _nothing(_value: Any, _schema: Schema, _path: Path) -> Iterator[Fault]:
    return iter(())


_CHECKS: dict[str, Callable[[Any, Schema, Path], Iterator[Fault]]] = {
    "object": _object, "array": _array, "string": _string, "integer": _number, "number": _number, "boolean": _nothing,
}  # fmt: skip


def is_time(text: str) -> bool:
    """Whether it is a time with an offset."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
