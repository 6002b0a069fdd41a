"""The README and the pages beside it, as far as no cluster is needed; tests/e2e/test_docs.py runs their commands."""

from __future__ import annotations

import re
import subprocess
from collections import Counter

import pytest
import yaml

from doc_blocks import PAGES, REPO, Block, blocks, demo_table, shows, steady

ALL = [block for page in PAGES for block in blocks(page)]
README = blocks("README.md")


def commands(blocks: list[Block]) -> list[str]:
    """All that is typed."""
    return [command.text for block in blocks if block.language == "console" for command in block.commands()]


def test_the_readme_shows_the_two_commands_that_matter():
    """What a newcomer types first, with the demo's output below it."""
    typed = commands(README)
    assert "make demo" in typed
    assert "make test" in typed
    assert len(demo_table(README[0].text)) == 16


def test_every_block_says_what_it_is():
    """A block without a language would be passed over by the tests that run them."""
    languages = {block.language for block in ALL}
    assert languages <= {"console", "yaml", "sh", "text", "python"}
    assert all(block.commands() for block in ALL if block.language == "console")


def test_every_make_verb_in_the_documents_exists():
    """Of the pages, and of what the demo tells people to type."""
    texts = [(REPO / page).read_text(encoding="utf-8") for page in (*PAGES, "CONTRIBUTING.md", "demo/taskqdemo/run.py")]
    verbs = {verb for text in texts for verb in re.findall(r"(?m)(?:`|^\$ )make ([a-z-]+)", text)}
    assert {"demo", "down", "test"} <= verbs
    for verb in sorted(verbs):
        subprocess.run(["make", "--dry-run", verb], cwd=REPO, check=True, capture_output=True)


@pytest.mark.parametrize("block", [block for block in ALL if block.language == "yaml"], ids=str)
def test_every_manifest_is_of_taskq(block):
    """Whole objects, so that they can be copied and applied."""
    for document in yaml.safe_load_all(block.text):
        assert document["apiVersion"] == "taskq.dev/v1alpha1"
        assert {"kind", "metadata", "spec"} <= set(document)


def test_every_example_that_a_page_names_is_there_and_every_one_that_is_there_is_named():
    """A file that no page speaks of is found by nobody."""
    text = "".join(path.read_text(encoding="utf-8") for path in [REPO / "README.md", *(REPO / "docs").rglob("*.md")])
    named = set(re.findall(r"examples/([\w-]+\.yaml)", text))
    assert named == {path.name for path in (REPO / "examples").glob("*.yaml")}


def test_no_two_examples_make_the_same_object():
    """They can be applied together, and the folder as a whole."""
    names = Counter(
        (document["kind"], document["metadata"]["name"])
        for path in (REPO / "examples").glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    )
    assert not [name for name, times in names.items() if times > 1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hello   default   0     Succeeded   1   3s", "hello default 0 Succeeded 1 AGE"),
        ("job/hello-0dab67f5ef0f   Complete   1m3s", "job/hello-HASH Complete AGE"),
        ("created after 2026-11-23T15:22:25Z; wait", "created after TIME; wait"),
        ("softSeconds 3, 42 rows", "softSeconds 3, 42 rows"),
    ],
)
def test_what_differs_from_run_to_run_is_left_out(line, expected):
    """Times, ages, hashes and widths; other numbers stay."""
    assert steady(line) == expected


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        (("a   3s",), "a 7s\n", True),
        (("a",), "b\n", False),
        (("a", "…", "c"), "a\nb\nb\nc\n", True),
        (("a", "…", "c"), "a\nb\n", False),
        (("a",), "a\nb\n", False),
        (("…",), "", True),
        ((), "whatever", True),
    ],
)
def test_shown_and_said_are_compared(shown, said, same):
    """Line by line; «…» is any number of lines."""
    assert shows(shown, said) is same
