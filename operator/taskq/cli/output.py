"""Printing: tables as kubectl's, JSON, YAML, names, JSONPath. Whole lists pass through page by page."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TextIO, TypeVar

from taskq.cli.errors import CliError
from taskq.cli.kinds import Kind, Object, name_of, namespace_of
from taskq.cli.text import NONE

T = TypeVar("T")

GAP = "   "
FORMATS = ("table", "wide", "json", "yaml", "name", "jsonpath=…")

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "grey": "90", "bold": "1"}
PHASE_COLOURS = {
    "Running": "blue",
    "Retrying": "yellow",
    "Succeeded": "green",
    "Failed": "red",
    "Expired": "red",
    "Cancelled": "grey",
}


class Column(NamedTuple):
    """A column of a table: its header, and what stands in it; `wide` ones appear with -o wide."""

    header: str
    value: Callable[[Any], str]
    wide: bool = False
    colour: Callable[[str], str] | None = None


def phase_colour(phase: str) -> str:
    """The colour of a phase; empty for none."""
    return PHASE_COLOURS.get(phase, "")


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream (stdout) is a terminal and NO_COLOR is not set."""
    return paint(text, colour) if colour and has_colours(stream or sys.stdout) else text


def paint(text: str, colour: str) -> str:
    """The text between the codes of a colour."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if colour else text


def has_colours(stream: TextIO) -> bool:
    """As https://no-color.org asks: not when NO_COLOR is set to anything, and never into a pipe or a file."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


class Format(NamedTuple):
    """What -o and its companions ask for."""

    name: str = "table"
    template: str = ""
    headers: bool = True

    @property
    def is_table(self) -> bool:
        """Whether rows are printed, not documents."""
        return self.name in {"table", "wide"}


def parse_format(text: str, *, headers: bool = True) -> Format:
    """`-o` as it was given."""
    name, equals, template = text.partition("=")
    if name in {"jsonpath", "jsonpath-as-json"} and equals:
        return Format(name, template, headers)
    if text in {"table", "wide", "json", "yaml", "name"}:
        return Format(text, "", headers)
    raise CliError(f"unknown output format {text!r}; it takes {', '.join(FORMATS)}")


class Table:
    """Rows as kubectl prints them. Widths grow with what comes, so that no list has to be complete first."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        wide: bool = False,
        headers: bool = True,
        stream: TextIO | None = None,
        colours: TextIO | None = None,
    ) -> None:
        """Prints the headers with the first rows. `colours` is where the text ends up, if that is not the stream."""
        self._wide = wide
        self.columns = columns
        self._widths = [len(column.header) if headers else 0 for column in self.columns]
        self._headers = headers
        self._stream = stream or sys.stdout
        self._colours = has_colours(colours or self._stream)

    @property
    def columns(self) -> Sequence[Column]:
        """The columns that are shown; new ones must have the same headers."""
        return self._columns

    @columns.setter
    def columns(self, columns: Sequence[Column]) -> None:
        self._columns = [column for column in columns if self._wide or not column.wide]

    def row(self, thing: object) -> tuple[str, ...]:
        """The cells of one thing."""
        return tuple(column.value(thing) or NONE for column in self._columns)

    def print(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Print some rows."""
        batch = list(rows)
        if not batch:
            return
        for index in range(len(self._columns)):
            self._widths[index] = max(self._widths[index], *(len(row[index]) for row in batch))
        out = []
        if self._headers:
            out.append(self._line([column.header for column in self._columns], plain=True))
            self._headers = False
        out += [self._line(row) for row in batch]
        self._stream.write("\n".join(out) + "\n")

    def _line(self, cells: Sequence[str], *, plain: bool = False) -> str:
        shown = []
        last = len(cells) - 1
        for index, (cell, width, column) in enumerate(zip(cells, self._widths, self._columns, strict=True)):
            text = cell if index == last else cell.ljust(width)
            if self._colours and not plain and column.colour and (colour := column.colour(cell)):
                text = text.replace(cell, paint(cell, colour), 1)
            shown.append(text)
        return GAP.join(shown).rstrip()


def batches(things: Iterable[T], size: int = 500) -> Iterator[list[T]]:
    """Some at a time."""
    batch: list[T] = []
    for thing in things:
        batch.append(thing)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


def print_documents(kind: Kind, objects: Iterable[Object], form: Format, *, single: bool = False) -> int:
    """Print objects in one of the formats that are no table, as they come; how many there were.

    `single`: one object stands by itself, as with `kubectl get KIND NAME`.
    """
    shown = (_without_managed_fields(obj) for obj in objects)
    if form.name == "name":
        return _count(sys.stdout.write(f"{kind.qualified}/{name_of(obj)}\n") for obj in shown)
    if form.name.startswith("jsonpath"):
        return _print_jsonpath(shown, form, single=single)
    if single:
        document = next(iter(shown))
        sys.stdout.write(_json(document) + "\n" if form.name == "json" else to_yaml(document))
        return 1
    if form.name == "yaml":
        sys.stdout.write("apiVersion: v1\nitems:")
        number = _count(sys.stdout.write(("\n" if i == 0 else "") + to_yaml([obj])) for i, obj in enumerate(shown))
        sys.stdout.write("kind: List\nmetadata: {}\n" if number else " []\nkind: List\nmetadata: {}\n")
        return number
    sys.stdout.write('{\n    "apiVersion": "v1",\n    "items": [')
    number = 0
    for obj in shown:
        text = _json(obj).replace("\n", "\n        ")
        sys.stdout.write(f"{',' if number else ''}\n        {text}")
        number += 1
    sys.stdout.write(("\n    " if number else "") + '],\n    "kind": "List",\n    "metadata": {}\n}\n')
    return number


def _print_jsonpath(objects: Iterable[Object], form: Format, *, single: bool) -> int:
    from taskq.cli.jsonpath import Template

    template = Template(form.template)
    if single:
        sys.stdout.write(template.render(next(iter(objects))))
        return 1
    number = 0

    def counted() -> Iterator[Object]:
        nonlocal number
        for number, obj in enumerate(objects, 1):  # noqa: B007 - counts for the caller
            yield obj

    for piece in template.render_list(counted(), {"apiVersion": "v1", "kind": "List"}):
        sys.stdout.write(piece)
    return number


def _without_managed_fields(obj: Object) -> Object:
    """Who wrote which field is noise, which kubectl leaves out, too."""
    obj.get("metadata", {}).pop("managedFields", None)
    return obj


def _json(value: object) -> str:
    return json.dumps(value, indent=4, ensure_ascii=False)


def to_yaml(value: object) -> str:
    """As kubectl prints it: keys sorted, lists not indented."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, default_flow_style=False, allow_unicode=True, sort_keys=True))


def _count(done: Iterable[object]) -> int:
    return sum(1 for _ in done)


def where(obj: Object) -> str:
    """`namespace/name` of an object, for messages about several namespaces."""
    return f"{namespace_of(obj)}/{name_of(obj)}"


def say(kind: Kind, obj: Object, verb: str, *, dry_run: str = "none") -> None:
    """What was done to an object, as kubectl says it: `task.taskq.dev/x cancelled`."""
    suffix = {"client": " (dry run)", "server": " (server dry run)"}.get(dry_run, "")
    sys.stdout.write(f"{kind.qualified}/{name_of(obj)} {verb}{suffix}\n")


def note(text: str) -> None:
    """A line for people, on stderr, so that pipes get data only."""
    sys.stderr.write(f"{text}\n")
