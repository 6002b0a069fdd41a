"""The shape of the code: who may import whom, how long things may get, and who may look at a clock."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPERATOR = ROOT / "operator"
SOURCES = sorted(path for path in OPERATOR.rglob("*.py"))
FUNCTION_LINES = 70
MODULE_LINES = 550  # about 500, with some air so that nobody squeezes a module to fit
CLOCKS = {"now", "utcnow", "today", "perf_counter", "monotonic", "clock_gettime", "time_ns"}


def name_of(path: Path) -> str:
    """A source as it is called in a report."""
    return str(path.relative_to(ROOT))


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """The contracts of pyproject.toml, held against the packages in `tree`/operator."""
    code = "import sys, importlinter.cli as cli; sys.exit(cli.lint_imports('pyproject.toml', no_cache=True))"
    env = {**os.environ, "PYTHONPATH": str(tree / "operator")}
    return subprocess.run([sys.executable, "-c", code], cwd=tree, env=env, text=True, capture_output=True, check=False)


def test_imports_keep_to_the_contracts():
    """Layers point downwards, the domain is pure, kopf stays at the edge."""
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("domain/ordering.py", "import asyncio", "The domain is pure"),
        ("domain/ordering.py", "import taskq.cluster.session", "Layers point downwards only"),
        ("cluster/lease.py", "import kopf", "kopf stays at the edge"),
    ],
)
def test_the_contracts_report_a_planted_violation(tmp_path, module, line, contract):
    """A contract that nothing can break would guard nothing."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(OPERATOR, tmp_path / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    planted = tmp_path / "operator" / "taskq" / module
    planted.write_text(planted.read_text() + f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    assert re.search(rf"{re.escape(contract)}.* BROKEN", done.stdout), done.stdout


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """The functions of a module with the lines they take, decorators apart."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield f"{name_of(path)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_functions_fit_on_a_page():
    """What is longer does more than one thing."""
    long = {where: lines for path in SOURCES for where, lines in functions(path) if lines > FUNCTION_LINES}
    assert not long


def test_modules_stay_readable():
    """What is longer holds two ideas."""
    sizes = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {name: lines for name, lines in sizes.items() if lines > MODULE_LINES}


def test_the_folder_operator_is_no_package():
    """It would be imported in place of the standard library's `operator`, and nothing would start."""
    assert not (OPERATOR / "__init__.py").exists()


def test_the_interpreter_starts_in_the_repository():
    """With every folder that tests and tools put on the path."""
    folders = [ROOT, OPERATOR, ROOT / "tests", ROOT / "local-cluster", ROOT / "bench"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    code = "import operator, collections, queue, logging, taskq; print(operator.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, text=True, capture_output=True, check=True)
    assert not done.stdout.startswith(str(ROOT / "operator"))


def test_nothing_on_the_path_is_called_like_a_part_of_the_standard_library():
    """A `queue.py` in one of these folders would break whoever imports `queue`."""
    folders = [OPERATOR, ROOT / "tests", ROOT / "local-cluster", ROOT / "bench"]
    entries = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    importable = [path for path in entries if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert not [name_of(path) for path in importable if path.stem in sys.stdlib_module_names]


def test_only_one_module_reads_clocks():
    """Time is an argument everywhere else, or no test could own it."""
    readers = {
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if path.name != "clock.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if reads_clock(node)
    }
    assert not readers


def reads_clock(node: ast.AST) -> bool:
    """Whether this is an import of `time`, or a call such as datetime.now() or loop.time()."""
    if isinstance(node, ast.Import):
        return any(alias.name == "time" for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "time"
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    owner = ast.unparse(node.func.value).rsplit(".", 1)[-1].strip("_")
    if owner.endswith("clock"):  # our own, which was handed in
        return False
    return node.func.attr in CLOCKS or (node.func.attr == "time" and not node.args)


@pytest.mark.parametrize(
    ("code", "reads"),
    [
        ("import time", True),
        ("from time import monotonic", True),
        ("datetime.now(UTC)", True),
        ("datetime.datetime.utcnow()", True),
        ("date.today()", True),
        ("asyncio.get_running_loop().time()", True),
        ("self._clock.now()", False),
        ("clock.uptime()", False),
        ("moment.time", False),
    ],
)
def test_a_look_at_a_clock_is_recognised(code, reads):
    """Also one in disguise; a clock that was handed in is fine."""
    assert any(reads_clock(node) for node in ast.walk(ast.parse(code))) is reads
