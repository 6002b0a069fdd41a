"""Manifests as kubectl reads them, and the line on which each field stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from taskq.cli.kinds import Object

Path = tuple[str | int, ...]
"""Where a field is: names, and the indexes of lists."""


class Fault(NamedTuple):
    """What is wrong with a field."""

    path: Path
    message: str


class Document(NamedTuple):
    """One document of a file: its value, the line of every field of it, and what could not be read in it."""

    value: Any
    lines: dict[Path, int]
    faults: tuple[Fault, ...] = ()

    def line(self, path: Path) -> int:
        """Where the field is, or the nearest one above it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def parts(self) -> Iterator[Document]:
        """The items of a List, or this document."""
        if not (isinstance(self.value, dict) and self.value.get("kind") == "List"):
            yield self
            return
        for index, item in enumerate(self.value.get("items") or ()):
            here: Path = ("items", index)
            lines = {path[2:]: line for path, line in self.lines.items() if path[:2] == here}
            faults = tuple(Fault(one.path[2:], one.message) for one in self.faults if one.path[:2] == here)
            yield Document(item, lines, faults)


class Unreadable(Exception):  # noqa: N818 - an answer
    """A file is no YAML."""

    def __init__(self, line: int, message: str) -> None:
        """`line` is the one on which reading ended."""
        super().__init__(message)
        self.line = line


class _Loader(yaml.SafeLoader):
    """YAML as kubectl's library reads it: 12:30 is text, not a number of base 60, and no text becomes a time."""


_OWN = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _OWN]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in (
    ("int", r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)"),
    (
        "float",
        r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf)|\.(?:nan|NaN)",
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list("-+0123456789."))


def read(text: str) -> Iterator[Document]:
    """The documents of a text, but not the empty ones; Unreadable when it is no YAML (JSON is YAML)."""
    try:
        loader = _Loader(text)
        while loader.check_node():
            reader = _Reader(loader)
            value = reader.value(loader.get_node(), ())
            if value is not None:
                yield Document(value, reader.lines, tuple(reader.faults))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, str(error.problem or error.context)) from error
    except yaml.YAMLError as error:
        raise Unreadable(1, " ".join(str(error).split())) from error
    except ValueError as error:  # an explicit tag, and what can't be read as that
        raise Unreadable(1, str(error)) from error


class _Reader:
    """Turns the nodes of one document into values, and keeps where they were."""

    def __init__(self, loader: _Loader) -> None:
        """The loader knows how scalars are written."""
        self._loader = loader
        self._above: list[Any] = []
        self.lines: dict[Path, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: Any, path: Path) -> Any:
        """The value of a node."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._loader.construct_object(node)
        if any(node is other for other in self._above):
            raise yaml.MarkedYAMLError(problem="an alias stands inside of what it names", problem_mark=node.start_mark)
        self._above.append(node)
        try:
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        finally:
            self._above.pop()

    def _sequence(self, node: Any, path: Path) -> list[Any]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Object:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be text", problem_mark=key.start_mark)
            if key.value in seen:
                self.lines[(*path, key.value)] = key.start_mark.line + 1
                self.faults.append(Fault((*path, key.value), "is given twice"))
            seen.add(str(key.value))
        self._loader.flatten_mapping(node)  # `<<`
        found: Object = {}
        for key, inner in node.value:
            here = (*path, str(key.value))
            self.lines.setdefault(here, key.start_mark.line + 1)
            found[str(key.value)] = self.value(inner, here)
        return found
