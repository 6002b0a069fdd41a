"""The rules of the schemas in CEL, evaluated as the API server does when an object is created."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import cel

from taskq.cli.kinds import Object
from taskq.cli.manifests import Fault, Path
from taskq.cli.schemas import Schema
from taskq.resources.base import CEL

_FUNCTIONS: dict[str, Callable[..., Any]] = {"upperAscii": str.upper, "replace": str.replace}
"""Those of Kubernetes' own that the rules use; a rule with another one fails a unit test."""


def check(document: Object, schema: Schema) -> Iterator[Fault]:
    """The faults of a document that its schema finds in order."""
    given = copy.deepcopy({name: value for name, value in document.items() if name != "status"})
    metadata = given["metadata"]
    metadata.setdefault("name", f"{metadata.get('generateName', '')}xxxxx")  # as long as the server's
    return _rules(_typed(given, schema), schema, ())


def _typed(value: Any, schema: Schema) -> Any:
    """With defaults, and each value as the type that CEL sees."""
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if value.get(name) is None:
                value.pop(name, None)
            if name not in value and name != "status" and "default" in inner:
                value[name] = copy.deepcopy(inner["default"])
            if name in value:
                value[name] = _typed(value[name], inner)
        return value
    if isinstance(value, list) and "items" in schema:
        return [_typed(item, schema["items"]) for item in value]
    if schema.get("format") == "date-time":
        return datetime.fromisoformat(value)
    return float(value) if schema.get("type") == "number" else value


def _rules(value: Any, schema: Schema, path: Path) -> Iterator[Fault]:
    for rule in schema.get(CEL, ()):
        if "oldSelf" not in rule["rule"] and not holds(rule["rule"], value):
            blamed = (part for part in rule.get("fieldPath", "").split(".") if part)
            yield Fault((*path, *blamed), rule["message"])
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from _rules(value[name], inner, (*path, name))
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _rules(item, schema["items"], (*path, index))


def holds(rule: str, value: Any) -> bool:
    """Whether a rule is kept; one that can't be evaluated is not, as on the API server."""
    context = cel.Context({"self": value})
    for name, function in _FUNCTIONS.items():
        context.add_function(name, function)
    try:
        return cel.evaluate(rule, context) is True
    except (RuntimeError, ValueError, TypeError, KeyError):
        return False
