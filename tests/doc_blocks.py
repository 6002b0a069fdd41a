"""The code blocks of the documents, and whether what commands really say is what the documents show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

REPO = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "docs/quickstart.md",
    "docs/how-to/priorities.md",
    "docs/how-to/retries.md",
    "docs/how-to/timeouts.md",
    "docs/how-to/cancel.md",
    "docs/how-to/results.md",
    "docs/how-to/templates.md",
    "docs/how-to/pause-and-drain.md",
    "docs/how-to/clean-up.md",
    "docs/how-to/command-line.md",
    "docs/how-to/why-pending.md",
    "docs/how-to/batch.md",
    "docs/how-to/dependencies.md",
    "docs/how-to/stuck-work.md",
    "docs/how-to/deduplication.md",
    "docs/how-to/after-it-ends.md",
    "docs/how-to/dead-letters.md",
)
"""Pages whose commands are run as they stand, each in a namespace of its own."""

ANYTHING = "…"
ENDS = "Succeeded|Failed|Cancelled|Expired"


class Command(NamedTuple):
    """A command of a console block, and what the page shows after it."""

    text: str
    shown: tuple[str, ...]

    @property
    def make(self) -> str:
        """The verb of a `make`, else an empty string."""
        found = re.match(r"make\s+([a-z-]+)", self.text)
        return found[1] if found else ""


class Block(NamedTuple):
    """One fenced block."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        """Where it stands, for test names."""
        return f"{self.page}:{self.line}"

    def commands(self) -> list[Command]:
        """What is typed in a console block: what follows a dollar sign, and lines that end with a backslash."""
        found: list[tuple[list[str], list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append(([line[2:]], []))
            elif found and found[-1][0][-1].endswith("\\"):
                found[-1][0].append(line)
            elif found:
                found[-1][1].append(line)
            else:
                raise ValueError(f"{self}: output before the first command")
        return [Command("\n".join(typed), tuple(shown)) for typed, shown in found]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    text = (REPO / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], match[2])
        for match in re.finditer(r"(?ms)^```([a-z]*)\n(.*?)^```$", text)
    ]


def steady(line: str) -> str:
    """A line without what differs from run to run: times, ages, hashes, widths of columns."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    line = re.sub(r"-[0-9a-f]{12}(-[a-z0-9]{5})?\b", "-HASH", line)
    line = re.sub(r"(?<!\S)(\d+[dhms])+(?!\S)", "AGE", line)
    return " ".join(line.split())


def shows(shown: tuple[str, ...], said: str) -> bool:
    """Whether a command said what its page shows; a line of «…» stands for any number of lines."""
    if not any(line.strip() for line in shown):
        return True
    patterns = [
        r"(?:.*\n)*?" if line.strip() == ANYTHING else re.escape(steady(line)) + r"\n" for line in shown if line.strip()
    ]
    actual = "".join(f"{steady(line)}\n" for line in said.splitlines() if line.strip())
    return re.fullmatch("".join(patterns), actual) is not None


def demo_table(text: str) -> dict[str, tuple[str, str, str]]:
    """Queue, priority and phase of every Task in the demo's last table."""
    rows = re.findall(rf"(?m)^(\S+) +(\S+) +(-?\d+) +({ENDS})\b", text)
    return {name: (queue, priority, phase) for name, queue, priority, phase in rows}


def demo_words(text: str) -> str:
    """What the demo says happened."""
    return " ".join(text.partition("What happened")[2].partition("Look around")[0].split())
