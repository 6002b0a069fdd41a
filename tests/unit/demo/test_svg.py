"""What a terminal shows becomes a picture: its colours, its columns, and nothing else of its codes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from taskqdemo.svg import COLOURS, COLUMN, MARGIN, Run, picture, rows


def test_colours_are_kept_and_other_codes_are_not() -> None:
    """A screen that is cleared and a cursor that is hidden leave nothing behind."""
    said = "\x1b[?25l\x1b[31mFailed\x1b[0m ok\x1b[K\r\n\x1b[1mbold\x1b[0m\n"
    assert rows(said, 80) == [[Run("Failed", COLOURS["31"]), Run(" ok")], [Run("bold", bold=True)]]


def test_a_long_line_goes_on_below() -> None:
    """As in the terminal; one that just fits does not."""
    assert [[run.text for run in row] for row in rows("abcdefg\nxyz", 3)] == [["abc"], ["def"], ["g"], ["xyz"]]


def test_columns_stand_below_each_other() -> None:
    """Whatever font there is; and what a text contains is no markup."""
    drawn = ET.fromstring(picture("a < b", "NAME   AGE\na<b    \x1b[32m3s\x1b[0m", 40))
    texts = [(text.text, text.get("x"), text.get("fill")) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    left, right = f"{MARGIN:.1f}", f"{MARGIN + 7 * COLUMN:.1f}"
    assert texts == [
        ("NAME", left, None), ("AGE", right, None), ("a<b", left, None), ("3s", right, COLOURS["32"]),
    ]  # fmt: skip
