"""The reference page of the command line, made from the commands themselves: docs/reference/cli.md."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from taskq.cli.catalog import CATALOG
from taskq.cli.framework import sections_of
from taskq.cli.options import CLUSTER, OUTPUT, WRITING
from taskq.cli.selection import FILTERS

PROGRAM = "kubectl taskq"
SHARED = (CLUSTER, FILTERS, OUTPUT, WRITING)
"""Sections that many commands have: their common options stand on the page once."""

HEAD = f"""\
# kubectl taskq

<!-- Made by `python -m taskq.cli.reference --docs FILE`; do not edit. -->

Every command, with its options. `{PROGRAM} COMMAND --help` says the same; the program may be called `taskq`, too.
[The command line](../how-to/command-line.md) shows them at work.

| Exit code | Meaning |
|---|---|
| 0 | all is well |
| 1 | an error, also in how the command was typed; a `wait` in vain; a fault that `doctor` found |
| the container's | of a Task that was waited for (`--wait`, `--follow`); 1 where it failed without one |
| 124 | the `--timeout` of `--wait` or `--follow` was over first |
| 130 | interrupted |

Times are written like `30s`, `15m`, `1h30m`, `2d`; instants like `2026-03-01T14:00:00Z`, `2026-03-01 14:00` or `14:00`,
in your own zone unless they say another. Colours appear on a terminal only, and never when `NO_COLOR` is set.
"""


def commands() -> Iterator[tuple[str, click.Command, str]]:
    """Every command with its full name and its section; those of groups as well."""
    for name, entry in CATALOG.items():
        module, _, attribute = entry.target.partition(":")
        found: click.Command = getattr(importlib.import_module(f"taskq.cli.commands.{module}"), attribute)
        if isinstance(found, click.Group):
            for inner in found.commands.values():
                yield f"{name} {inner.name}", inner, entry.section
        else:
            yield name, found, entry.section


def common_options() -> dict[str, dict[str, str]]:
    """By section, the options that at least three commands have in the same words, and what they mean."""
    counts: dict[tuple[str, str, str], int] = {}
    for _, command, _ in commands():
        for section, params in sections_of(command).items():
            for param in params:
                if section in SHARED:
                    key = (section, *_row(param))
                    counts[key] = counts.get(key, 0) + 1
    found: dict[str, dict[str, str]] = {section: {} for section in SHARED}
    for (section, flags, meaning), number in counts.items():
        if number >= 3:
            found[section][flags] = meaning
    return found


def _row(param: click.Parameter) -> tuple[str, str]:
    """An option as it is written, and its meaning."""
    assert isinstance(param, click.Option)
    flags = ", ".join(f"`{flag}`" for flag in sorted(param.opts, key=len))
    if not param.is_flag and (value := _value(param)):
        flags += f" {value}"
    return flags, (param.help or "").replace("|", "\\|")


def _value(param: click.Option) -> str:
    if isinstance(param.type, click.Choice):
        return " \\| ".join(map(str, param.type.choices))
    return (param.metavar or "N").replace("|", "\\|")


def reference() -> str:
    """The page."""
    common = common_options()
    lines = [HEAD, "## Common options", ""]
    for section, rows in common.items():
        lines += [f"### {section}", "", "| Option | Meaning |", "|---|---|"]
        lines += [f"| {flags} | {meaning} |" for flags, meaning in rows.items()]
        lines.append("")
    before = ""
    for name, command, section in commands():
        if section != before:
            lines += [f"## {section}", ""]
            before = section
        lines += _command(name, command, common)
    return "\n".join(lines).rstrip() + "\n"


def _command(name: str, command: click.Command, common: dict[str, dict[str, str]]) -> list[str]:
    context = click.Context(command, info_name=f"{PROGRAM} {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    help_text = "\n".join(line.strip() for line in (command.help or "").splitlines())
    lines = [f"### {name}", "", f"`{PROGRAM} {name} {usage}`", "", help_text.strip(), ""]
    own, shared = [], []
    for section, params in sections_of(command).items():
        rows = [_row(param) for param in params]
        known = common.get(section, {})
        own += [row for row in rows if row[0] not in known]
        if any(row[0] in known for row in rows):
            shared.append(section)
    if own:
        lines += ["| Option | Meaning |", "|---|---|", *(f"| {flags} | {meaning} |" for flags, meaning in own), ""]
    if shared:
        links = ", ".join(f"[{section}](#{section.lower()})" for section in shared)
        lines += [f"Common options: {links}.", ""]
    if examples := getattr(command, "examples", ()):
        lines += ["```sh", *(f"{PROGRAM} {example}" for example in examples), "```", ""]
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--docs":
        sys.exit("usage: python -m taskq.cli.reference --docs FILE")
    Path(sys.argv[2]).write_text(reference(), encoding="utf-8")
