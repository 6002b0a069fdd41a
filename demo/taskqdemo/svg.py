"""What a terminal shows, as an SVG picture: text that can be searched and copied, and no font of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import NamedTuple

COLUMN, ROW, MARGIN, SIZE = 7.8, 18, 14, 13
"""In pixels; every run of characters is stretched to its columns, whatever font the reader's machine has."""
BACKGROUND, FOREGROUND = "#1b1f27", "#d7dae0"
FONTS = "ui-monospace, Menlo, Consolas, monospace"
COLOURS = {
    "31": "#f07178", "32": "#a5d16f", "33": "#f2c15c", "34": "#6cb6ff", "36": "#64d3d3", "90": "#8b93a1",
}  # fmt: skip

_CODE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


class Run(NamedTuple):
    """Characters of one look."""

    text: str
    colour: str = ""
    bold: bool = False


def rows(said: str, columns: int) -> list[list[Run]]:
    """The rows that a terminal of so many columns shows; a line that is too long goes on in the next row."""
    shown: list[list[Run]] = [[]]
    used = 0
    for run in _runs(said.replace("\r\n", "\n").rstrip("\n")):
        for number, line in enumerate(run.text.split("\n")):
            if number:
                shown.append([])
                used = 0
            for character in line:
                if used == columns:
                    shown.append([])
                    used = 0
                if not shown[-1] or shown[-1][-1][1:] != run[1:]:
                    shown[-1].append(run._replace(text=""))
                shown[-1][-1] = run._replace(text=shown[-1][-1].text + character)
                used += 1
    return shown


def _runs(said: str) -> Iterator[Run]:
    """Text and the look that it has. Codes other than those for colours move nothing that we print."""
    look, at = Run(""), 0
    for found in _CODE.finditer(said):
        if found.start() > at:
            yield look._replace(text=said[at : found.start()])
        at = found.end()
        for code in found[1].split(";") if found[2] == "m" else ():
            if code in {"", "0"}:
                look = Run("")
            elif code == "1":
                look = look._replace(bold=True)
            elif code in COLOURS:
                look = look._replace(colour=COLOURS[code])
    if at < len(said):
        yield look._replace(text=said[at:])


def picture(title: str, said: str, columns: int) -> str:
    """The SVG document."""
    lines = rows(said, columns)
    width, height = round(columns * COLUMN + 2 * MARGIN), len(lines) * ROW + 2 * MARGIN
    made = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
        f'<g font-family="{FONTS}" font-size="{SIZE}" fill="{FOREGROUND}" xml:space="preserve">',
    ]
    for number, line in enumerate(lines):
        made += _row(line, MARGIN + number * ROW + SIZE)
    return "\n".join([*made, "</g>", "</svg>", ""])


def _row(line: list[Run], y: int) -> Iterator[str]:
    """Word by word, each at its column: what stands in a column of a table stays below its header."""
    column = 0
    for run in line:
        style = f' fill="{run.colour}"' * bool(run.colour) + ' font-weight="bold"' * run.bold
        for word in re.finditer(r"\S+(?: \S+)*", run.text):
            x, length = MARGIN + (column + word.start()) * COLUMN, len(word[0]) * COLUMN
            yield f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}"{style}>{escape(word[0])}</text>'
        column += len(run.text)
