"""The program: its names, its help, and what it imports for them."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskq import __version__
from taskq.cli.catalog import CATALOG
from taskq.cli.main import main, program
from taskq.cli.reference import reference

REPO = Path(__file__).parents[3]
HEAVY = ("kubernetes", "urllib3", "pydantic", "aiohttp", "kopf", "yaml", "croniter", "taskq.cli.commands")


def command(name):
    """A command, imported."""
    module, _, attribute = CATALOG[name].target.partition(":")
    return getattr(importlib.import_module(f"taskq.cli.commands.{module}"), attribute)


@pytest.mark.parametrize(
    ("args", "allowed"), [(["--help"], ()), (["--version"], ()), (["list", "--help"], ("taskq.cli.commands",))]
)
def test_help_imports_nothing_that_takes_long(args, allowed):
    """The official client alone takes five times as long as all the rest."""
    code = f"import sys; from taskq.cli.main import main; main({args!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert not [name for name in HEAVY if name not in allowed and name in loaded]
    assert done.stdout


@pytest.mark.parametrize("name", CATALOG)
def test_the_catalog_says_what_the_command_says(name):
    """`--help` prints the catalog's line without importing the command: the two must not drift apart."""
    found = command(name)
    assert found.name == name
    assert (found.help or "").splitlines()[0].rstrip(".") == CATALOG[name].summary
    assert getattr(found, "examples", ()) or getattr(found, "commands", None), "an example helps more than options"


@pytest.mark.parametrize("name", CATALOG)
def test_every_option_is_explained(name):
    """A flag without a word is not help."""
    unexplained = [param.name for param in command(name).params if param.param_type_name == "option" and not param.help]
    assert not unexplained


def test_it_is_called_as_the_user_called_it():
    """kubectl runs a plug-in by its file's name."""
    assert program("/usr/bin/kubectl-taskq") == "kubectl taskq"
    assert program("/usr/bin/taskq") == "taskq"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nonsense"], "unknown command 'nonsense'"),
        (["qeues"], "did you mean 'queues'?"),
        (["list", "--nope"], "no such option"),
        (["create"], "--image"),
        (["cancel", "--now", "--if-pending", "x"], "give one of them"),
    ],
)
def test_a_mistake_is_one_line(capsys, args, words):
    """With exit code 1, as kubectl has it, and nothing on stdout."""
    assert main(args) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err


def test_the_reference_page_is_current():
    """`make generate` writes it."""
    assert (REPO / "docs" / "reference" / "cli.md").read_text(encoding="utf-8") == reference()


def test_without_its_extra_it_says_what_to_install(tmp_path):
    """The scripts come with the operator's package, the official client only with the extra."""
    code = "import sys; sys.modules['kubernetes'] = None; from taskq.cli.main import main; sys.exit(main(['list']))"
    (tmp_path / "config").write_text("{}")
    own = {**os.environ, "KUBECONFIG": str(tmp_path / "config")}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "taskq-operator[cli]" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "Usage: "),
        (["schedule"], "run-now"),
        (["help"], "Usage: "),
        (["help", "list"], "--sort-by"),
        (["help", "schedule", "preview"], "--zone"),
        (["version"], __version__),
    ],
)
def test_help_and_version_are_commands_too(capsys, args, words):
    """As kubectl has them; a group by itself tells what is in it, on stdout and without an error."""
    assert main(args) == 0
    said = capsys.readouterr()
    assert words in said.out
    assert said.err == ""
