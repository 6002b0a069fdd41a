"""The fields of our kinds, found by a path such as `task.spec.retryPolicy`, and told in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from taskq.cli.errors import CliError
from taskq.cli.schemas import Schema, near, of_kind
from taskq.resources import crd
from taskq.resources.base import CEL
from taskq.resources.common import API_VERSION

INDENT = "  "


class Field(NamedTuple):
    """A field, or a kind as a whole; `path` begins behind the kind."""

    kind: crd.Kind
    path: tuple[str, ...]
    schema: Schema


def find(text: str) -> Field:
    """The field; CliError for one that does not exist, with what is probably meant."""
    first, *path = text.replace("[]", "").strip(".").split(".")
    kinds = {name: kind for kind in crd.KINDS for name in (kind.name.lower(), kind.plural, kind.short_name)}
    kind = kinds.get(first.lower())
    if kind is None:
        names = [one.name.lower() for one in crd.KINDS]
        raise CliError(f"{first!r} is none of {', '.join(names)}{near(first, names)}")
    schema: Schema = of_kind(kind.name)
    for depth, name in enumerate(path):
        known = _inside(schema).get("properties", {})
        if name not in known:
            raise CliError(_unknown(kind, path, depth, schema))
        schema = known[name]
    return Field(kind, tuple(path), schema)


def names_in(field: Field) -> list[str]:
    """The fields in a field."""
    return list(_inside(field.schema).get("properties", {}))


def _inside(schema: Schema) -> Schema:
    """The object of which a list or a map has several; else the schema itself."""
    inner: Schema = schema.get("items") or schema.get("additionalProperties") or schema
    return inner


def _unknown(kind: crd.Kind, path: list[str], depth: int, schema: Schema) -> str:
    above = ".".join((kind.name.lower(), *path[:depth]))
    inside = _inside(schema)
    if inside.get(crd.OPEN) and "jobTemplate" in path:
        rest = path[path.index("jobTemplate") + 1 :]
        return f"{above} hands {path[depth]} on as it is; see `kubectl explain {'.'.join(('job', *rest))}`"
    known = list(inside.get("properties", {}))
    return f"{above} has no field {path[depth]!r}{near(path[depth], known)}"


def tell(field: Field, *, recursive: bool) -> Iterator[str]:
    """The lines about a field: its type and limits, its meaning, its rules, and the fields in it."""
    yield f"KIND:     {field.kind.name}"
    yield f"VERSION:  {API_VERSION}"
    if field.path:
        yield f"FIELD:    {'.'.join(field.path)} <{type_text(field.schema)}>"
    yield ""
    yield from _wrapped(field.schema.get("description", ""), "")
    inside = _inside(field.schema)
    if inside is not field.schema and inside.get("description"):
        yield from _wrapped(f"Each: {inside['description']}", "")
    if rules := [*_rules(field.schema), *(_rules(inside) if inside is not field.schema else ())]:
        yield from ("", "RULES:")
        for text in rules:
            yield from _wrapped(f"- {text}", INDENT)
    if "properties" in inside:
        yield from ("", "FIELDS:")
        yield from _fields(inside, INDENT, recursive=recursive)
    if inside.get(crd.OPEN):
        yield from ("", "Fields that are not listed here are handed on as they are.")


def _rules(schema: Schema) -> Iterator[str]:
    for rule in schema.get(CEL, ()):
        path = rule.get("fieldPath", "").lstrip(".")
        yield f"{path}: {rule['message']}" if path and not rule["message"].startswith(path) else rule["message"]


def _fields(schema: Schema, indent: str, *, recursive: bool) -> Iterator[str]:
    for name, inner in schema["properties"].items():
        required = " (required)" if name in schema.get("required", ()) else ""
        yield f"{indent}{name} <{type_text(inner)}>{required}"
        if recursive:
            if "properties" in _inside(inner):
                yield from _fields(_inside(inner), indent + INDENT, recursive=True)
        elif inner.get("description"):
            yield from _wrapped(inner["description"], indent + INDENT)


def type_text(schema: Schema) -> str:
    """Type, limits and default, without the reference page's marks."""
    if schema["type"] == "object" and "additionalProperties" not in schema:
        return "object"
    if schema["type"] == "array" and "properties" in schema["items"]:
        return f"list of objects, at most {schema['maxItems']}"
    return crd.type_of(dict(schema)).replace("`", "").replace(" \\| ", "|")


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent=indent, subsequent_indent=indent)
