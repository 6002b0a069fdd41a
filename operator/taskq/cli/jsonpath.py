"""kubectl's JSONPath templates: `{range .items[*]}{.metadata.name}{"\\n"}{end}`.

The subset that kubectl documents: fields, `['quoted']` and escaped (`\\.`) names, `*`, indexes and slices, unions,
`..` recursion, filters with one comparison `?(@.a=="b")`, quoted text, `range`/`end`. No other library reads kubectl's
dialect, which wraps paths in braces and lets them begin with a dot.
https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from taskq.cli.errors import CliError

Step = Callable[[Any], Iterator[Any]]

_NAME = re.compile(r"(?:[^.\[\]\\\s'\"()]|\\.)+")
_FILTER = re.compile(r"\?\(\s*@(?P<path>.*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<value>.+?)\s*)?\)")
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_ITEMS = re.compile(r"\.?items(?:\[\s*\*\s*\]|\.\*)(?=[.\[]|$)")
_SLICE = re.compile(r"(-?\d+)?:(-?\d+)?(?::(-?\d+))?")

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


class Template:
    """A template, read once; CliError when it can't be."""

    def __init__(self, text: str) -> None:
        """`text` without a brace is one path."""
        source = text if "{" in text else f"{{{text}}}"
        self._nodes, rest = _nodes(_pieces(source), 0, inside=False)
        assert rest is None

    def render(self, document: object) -> str:
        """What the template says about a document."""
        return "".join(_render(self._nodes, document))

    def render_list(self, items: Iterable[object], around: Mapping[str, object]) -> Iterator[str]:
        """What it says about a list with these items, piece by piece.

        A template that goes over `.items[*]` once, as nearly all do, has one item in memory at a time; any other needs
        the whole document, `around` being the rest of it.
        """
        parts = [node for node in self._nodes if not isinstance(node, _Text)]
        if len(parts) != 1 or (inside := parts[0].inside_items()) is None:
            yield self.render({**around, "items": list(items)})
            return
        for node in self._nodes:
            yield from [str(node)] if isinstance(node, _Text) else _over(node, inside, items)


class Path:
    """One path such as `.metadata.name`."""

    def __init__(self, text: str) -> None:
        """CliError when it can't be read."""
        self._text = text.strip().removeprefix("$").removeprefix("@")
        self._steps = list(_steps(self._text))

    def inside_items(self) -> Path | None:
        """What is left of it inside each of `.items[*]`; None when it goes elsewhere."""
        found = _ITEMS.match(self._text)
        return Path(self._text[found.end() :]) if found else None

    def values(self, document: object) -> list[Any]:
        """All that it finds."""
        found = [document]
        for step in self._steps:
            found = [value for item in found for value in step(item)]
        return found


class _Text(str):
    __slots__ = ()


class _Range:
    def __init__(self, path: Path, body: list[Any]) -> None:
        self.path = path
        self.body = body

    def inside_items(self) -> Path | None:
        """As of its path."""
        return self.path.inside_items()


def _over(node: _Range | Path, inside: Path, items: Iterable[object]) -> Iterator[str]:
    """A node that goes over all items, from one item to the next."""
    found = (value for item in items for value in inside.values(item))
    if isinstance(node, _Range):
        for value in found:
            yield from _render(node.body, value)
        return
    for number, value in enumerate(found):
        yield f" {_show(value)}" if number else _show(value)


def _render(nodes: list[Any], here: object) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, _Text):
            yield str(node)
        elif isinstance(node, _Range):
            for item in node.path.values(here):
                yield from _render(node.body, item)
        else:
            yield " ".join(_show(value) for value in node.values(here))


def _show(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _pieces(text: str) -> list[tuple[bool, str]]:
    """The template cut into (is an expression, text); braces inside quotes do not count."""
    found: list[tuple[bool, str]] = []
    index = 0
    while index < len(text):
        start = text.find("{", index)
        if start < 0:
            found.append((False, text[index:]))
            break
        if start > index:
            found.append((False, text[index:start]))
        end = _closing(text, start)
        found.append((True, text[start + 1 : end].strip()))
        index = end + 1
    return found


def _closing(text: str, start: int) -> int:
    quote = ""
    for index in range(start + 1, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "'\"":
            quote = char
        elif char == "}":
            return index
    raise CliError(f"JSONPath {text!r}: an opening brace is never closed")


def _nodes(pieces: list[tuple[bool, str]], index: int, *, inside: bool) -> tuple[list[Any], int | None]:
    """The nodes from a piece on; inside a range, also where its `end` was."""
    made: list[Any] = []
    while index < len(pieces):
        is_expression, text = pieces[index]
        index += 1
        if not is_expression:
            made.append(_Text(text))
        elif text == "end":
            if not inside:
                raise CliError("JSONPath: {end} without {range …}")
            return made, index
        elif text.startswith("range"):
            body, after = _nodes(pieces, index, inside=True)
            assert after is not None
            made.append(_Range(Path(text.removeprefix("range")), body))
            index = after
        elif quoted := _TEXT.fullmatch(text):
            made.append(_Text(_unescape(quoted[1] if quoted[1] is not None else quoted[2])))
        else:
            made.append(Path(text))
    if inside:
        raise CliError("JSONPath: {range …} without {end}")
    return made, None


def _unescape(text: str) -> str:
    known = {"n": "\n", "t": "\t", "r": "\r"}
    return re.sub(r"\\(.)", lambda found: known.get(found[1], found[1]), text)


def _steps(text: str) -> Iterator[Step]:
    index = 0
    while index < len(text):
        if text.startswith("..", index):
            yield _descend
            index += 2
            if index < len(text) and text[index] == "[":
                continue
        elif text[index] == ".":
            index += 1
            if index == len(text):
                return  # a dot alone is the document
        elif text[index] == "[":
            end = _bracket(text, index)
            yield _bracketed(text[index + 1 : end].strip(), text)
            index = end + 1
            continue
        name = _NAME.match(text, index)
        if name is None:
            raise CliError(f"JSONPath {text!r}: can't be read from {text[index:]!r} on")
        yield _all if name[0] == "*" else _field(re.sub(r"\\(.)", r"\1", name[0]))
        index = name.end()


def _bracket(text: str, start: int) -> int:
    depth, quote = 0, ""
    for index in range(start, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return index
    raise CliError(f"JSONPath {text!r}: a bracket is never closed")


def _bracketed(inner: str, text: str) -> Step:
    if inner == "*":
        return _all
    if found := _FILTER.fullmatch(inner):
        return _filter(found)
    if found := _SLICE.fullmatch(inner):
        low, high, step = (int(part) if part else None for part in found.groups())
        return _slice(slice(low, high, step))
    names = _TEXT.findall(inner)
    if names:
        steps = [_field(_unescape(one or two)) for one, two in names]
        return lambda item: (value for step in steps for value in step(item))
    if re.fullmatch(r"-?\d+(\s*,\s*-?\d+)*", inner):
        indexes = [int(part) for part in inner.split(",")]
        return lambda item: (value for index in indexes for value in _at(item, index))
    raise CliError(f"JSONPath {text!r}: [{inner}] can't be read")


def _filter(found: re.Match[str]) -> Step:
    path, operation = Path(found["path"]), found["op"]
    if not operation:
        return lambda item: (value for value in _all(item) if path.values(value))
    quoted = _TEXT.fullmatch(found["value"])
    try:
        wanted = _unescape(quoted[1] or quoted[2] or "") if quoted else json.loads(found["value"])
    except json.JSONDecodeError as error:
        raise CliError(f"JSONPath: {found['value']} is neither a number nor quoted text") from error
    compare = _COMPARE[operation]

    def matches(value: object) -> bool:
        try:
            return any(compare(left, wanted) for left in path.values(value))
        except TypeError:
            return False

    return lambda item: (value for value in _all(item) if matches(value))


def _field(name: str) -> Step:
    def step(item: object) -> Iterator[Any]:
        if isinstance(item, dict) and name in item:
            yield item[name]

    return step


def _all(item: object) -> Iterator[Any]:
    if isinstance(item, dict):
        yield from item.values()
    elif isinstance(item, list):
        yield from item


def _descend(item: object) -> Iterator[Any]:
    yield item
    for value in _all(item):
        yield from _descend(value)


def _slice(which: slice) -> Step:
    return lambda item: iter(item[which] if isinstance(item, list) else ())


def _at(item: object, index: int) -> Iterator[Any]:
    if isinstance(item, list) and -len(item) <= index < len(item):
        yield item[index]
