"""The table of requirements is complete, and what it claims can be run: docs/reference/requirements.md."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "docs/reference/requirements.md"
SOURCES: dict[str, dict[str, object]] = yaml.safe_load((REPO / "tests/repo/requirement_lines.yaml").read_text())


class Row(NamedTuple):
    """One row of the page."""

    lines: tuple[str, ...]
    served_by: str
    tests: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        return self.served_by.startswith("Open:")


def numbers(text: str) -> Iterator[str]:
    """`S1.3-5, S2.7` are S1.3, S1.4, S1.5 and S2.7."""
    for part in text.split(", "):
        source, span = part.split(".")
        first, _, last = span.partition("-")
        yield from (f"{source}.{number}" for number in range(int(first), int(last or first) + 1))


def rows() -> list[Row]:
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| S") else []
        if cells:
            shown = cells[3] if len(cells) > 3 else ""
            found.append(Row(tuple(numbers(cells[0])), cells[2], tuple(re.findall(r"`([^`]+)`", shown))))
    return found


ROWS = rows()
LINES = [f"{source}.{number}" for source, says in SOURCES.items() for number in range(1, int(str(says["lines"])) + 1)]
CORE = {
    line
    for source, says in SOURCES.items()
    for part in str(says["core"]).split(", ")
    for line in numbers(f"{source}.{part}")
}


@cache
def functions_of(file: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, functions)}


def test_every_line_stands_in_exactly_one_row() -> None:
    """Nothing that was asked for is passed over in silence."""
    told = Counter(line for row in ROWS for line in row.lines)
    assert [line for line, count in told.items() if count > 1] == []
    assert set(told) == set(LINES)
    assert len(CORE) == 285


@pytest.mark.parametrize("row", [row for row in ROWS if not row.is_open and CORE & set(row.lines)], ids=str)
def test_a_core_line_names_a_test(row: Row) -> None:
    """What queues are about is shown, not only told."""
    assert row.tests


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.tests}))
def test_a_named_test_exists(test: str) -> None:
    """It is run with all the others."""
    file, _, name = test.partition("::")
    assert (REPO / "tests" / file).is_file()
    assert name in functions_of(REPO / "tests" / file)


def test_the_open_lines_are_counted_and_listed() -> None:
    """At the top, where a reader who decides looks first."""
    text = PAGE.read_text(encoding="utf-8")
    lines = [line for row in ROWS if row.is_open for line in row.lines]
    assert f"**Open: {len(lines)} of {len(LINES)} lines.**" in text
    listed = re.findall(r"^- (S[^:]+):", text.split("\n## ")[0], re.MULTILINE)
    assert [line for entry in listed for line in numbers(entry)] == lines
