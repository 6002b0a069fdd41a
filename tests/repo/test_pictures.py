"""The pictures of the command line show commands that exist, and the page shows all of them and no other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest

from taskq.cli.main import root
from taskqdemo.shots import SCENE, SHOTS, Shot, page

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "pictures"
SVG = "{http://www.w3.org/2000/svg}"


def taskq_calls(command: str) -> list[list[str]]:
    """The words after each `kubectl taskq` of a shell's line."""
    parts = re.split(r"\||;|&&|\bdo\b", re.sub(r"'[^']*'", lambda quoted: quoted[0].replace(";", ","), command))
    words = [shlex.split(part) for part in parts]
    return [found[2:] for found in words if found[:2] == ["kubectl", "taskq"]]


@pytest.mark.parametrize("command", [*SCENE, *(shot.command for shot in SHOTS)])
def test_what_is_pictured_can_be_typed(command: str) -> None:
    """The command is there, and takes these options."""
    calls = taskq_calls(command)
    assert calls or "kubectl taskq" not in command
    for words in calls:
        context = click.Context(root)
        found: click.Command | None = root
        while isinstance(found, click.Group):
            found = found.get_command(context, words.pop(0))
        assert found is not None, command
        found.make_context(found.name, words, parent=context)


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_a_picture_is_of_its_command(shot: Shot) -> None:
    """It was taken after the command was last changed, and something was answered."""
    picture = ET.parse(PICTURES / f"{shot.name}.svg").getroot()
    title = picture.find(f"{SVG}title")
    assert title is not None
    assert title.text == shot.command
    said = [text.text or "" for text in picture.iter(f"{SVG}text")]
    assert said[:2] == ["$", shot.command] or "".join(said).startswith("$" + shot.command[:80])
    assert len(said) > 2
    assert not any("Traceback" in text for text in said)


def test_every_picture_is_shown() -> None:
    """And the page is what the program makes of the list."""
    assert {file.stem for file in PICTURES.iterdir()} == {shot.name for shot in SHOTS}
    shown = (ROOT / "docs/how-to/command-line-pictures.md").read_text(encoding="utf-8")
    assert shown == page(), "run demo/pictures.py"
