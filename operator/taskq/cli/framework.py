"""What click does not do by itself: commands that are imported when they are called, and options in sections."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import update_wrapper
from inspect import signature
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from taskq.cli.catalog import Entry

HELP_WIDTH = 110

F = TypeVar("F", bound=Callable[..., Any])


class Option(click.Option):
    """An option with the section of the help that it stands in."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        """As click's, with a section."""
        super().__init__(*args, **kwargs)
        self.section = section


class Command(click.Command):
    """A command whose help shows its options by section, and examples at the end."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        """`examples` are command lines without the program's name."""
        kwargs.setdefault("context_settings", {"max_content_width": HELP_WIDTH})
        super().__init__(*args, **kwargs)
        self.examples = examples

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One list a section, in the order in which the sections first appear."""
        write_options(self, ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{ctx.find_root().info_name} {example}\n")


def sections_of(command: click.Command) -> dict[str, list[click.Parameter]]:
    """The options of a command by section; hidden ones are left out."""
    found: dict[str, list[click.Parameter]] = {}
    for param in command.params:
        if isinstance(param, click.Option) and not param.hidden:
            found.setdefault(getattr(param, "section", "Options"), []).append(param)
    return found


def write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The options of a command, by section."""
    for section, params in sections_of(command).items():
        rows = [row for param in params if (row := param.get_help_record(ctx)) is not None]
        with formatter.section(section):
            formatter.write_dl(rows)


def option(*names: str, section: str = "Options", **how: Any) -> Callable[[F], F]:
    """A click option in a section of the help."""
    return click.option(*names, cls=Option, section=section, **how)


def bundle(keyword: str, make: Callable[..., Any], *options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Options that many commands share, handed to a command as one value: what `make` makes of them.

    `make` has a parameter for each option, of the same name.
    """
    names = tuple(signature(make).parameters)

    def decorate(function: F) -> F:
        def wrapper(**given: Any) -> Any:
            mine = {name: given.pop(name) for name in names}
            return function(**{keyword: make(**mine)}, **given)

        made: Any = update_wrapper(wrapper, function)
        for add in reversed(options):
            made = add(made)
        return made  # type: ignore[no-any-return]

    return decorate


class LazyGroup(click.Group):
    """Commands by a catalog: imported when they are called, not to be listed."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], package: str, **kwargs: Any) -> None:
        """`package` is where the modules of the entries are."""
        kwargs.setdefault("context_settings", {"max_content_width": HELP_WIDTH})
        super().__init__(*args, **kwargs)
        self.entries = entries
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the catalog's order."""
        return [*self.entries, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = self.entries.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = entry.target.partition(":")
        found: click.Command = getattr(importlib.import_module(f"{self._package}.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a hint at what was probably meant."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"unknown command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands first: who asks for help wants those."""
        self.format_commands(ctx, formatter)
        write_options(self, ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """The catalog by sections; nothing is imported."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, entry in self.entries.items():
            sections.setdefault(entry.section, []).append((name, entry.summary))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names of commands; nothing is imported."""
        found = [
            CompletionItem(name, help=entry.summary)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)
