"""Makes the root folder of the operator's image: this Python, the locked dependencies, the operator, and nothing else.

    python image/rootfs.py FOLDER

`Dockerfile` copies the folder onto an empty image; `image/build.py` packs it without a container engine. So both have
the same content, given the same Python: no shell, no package manager, no library that nothing needs. Standard library
only, apart from pip: it runs before anything is installed.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LOCK = REPO / "requirements-operator.lock"
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
PREFIX = Path("usr/local")
APP = Path("app")
USER = 65532
"""The user that images without one of their own commonly take: neither root nor anybody of the node."""

UNUSED = (
    "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "turtle.py", "ensurepip", "pydoc_data", "pydoc.py",
    "distutils", "site-packages", "dist-packages", "__pycache__", "config-*", "curses", "dbm", "sqlite3", "venv",
    "sitecustomize.py", "LICENSE.txt",
)  # fmt: skip
"""Of the standard library: tests, windows, terminals, databases, and what installs packages."""

UNUSED_EXTENSIONS = re.compile(
    r"^(_test|_xxtest|xxlimited|_ctypes_test|_tkinter|_curses|readline|_dbm|_gdbm|_sqlite3|nis|ossaudiodev|_crypt|audioop)"
)
"""Compiled modules that would only bring libraries along."""

ENVIRONMENT = {
    "PATH": "/usr/local/bin",
    "PYTHONPATH": f"/{APP}",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONNOUSERSITE": "1",
    "SSL_CERT_FILE": f"/{APP}/certifi/cacert.pem",
    "MALLOC_MMAP_THRESHOLD_": "262144",
}
"""Of the container. Dockerfile has the same; a test compares them.

The last is glibc's: a page of a list is larger and goes back to the system when it has been read, instead of leaving
holes between what is kept of it. With Tasks of 100 KB that is 14 KB of each.
"""

ENTRYPOINT = ("/usr/local/bin/python3", "-m", "taskq")


def make(root: Path) -> None:
    """Fill an empty folder."""
    _python(root)
    _dependencies(root / APP)
    shutil.copytree(REPO / "operator/taskq", root / APP / "taskq", ignore=shutil.ignore_patterns("__pycache__"))
    _accounts(root)
    _libraries(root)
    _strip(root)
    _compile(root)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    (root / "tmp").chmod(0o1777)


def _python(root: Path) -> None:
    """The interpreter and its library, below /usr/local wherever they are here: Python finds one beside the other."""
    program = root / PREFIX / "bin" / VERSION
    program.parent.mkdir(parents=True)
    shutil.copy(Path(sys.base_prefix) / "bin" / VERSION, program)
    (program.parent / "python3").symlink_to(VERSION)

    def unused(folder: str, names: list[str]) -> set[str]:
        found = shutil.ignore_patterns(*UNUSED)(folder, names)
        return found | {name for name in names if name.endswith((".so", ".a")) and UNUSED_EXTENSIONS.match(name)}

    shutil.copytree(sysconfig.get_path("stdlib"), root / PREFIX / "lib" / VERSION, ignore=unused)


def _dependencies(folder: Path) -> None:
    """The packages of the lock file and no others, each with the hash that stands there."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
         "--only-binary=:all:", "--no-deps", "--no-compile", "--target", str(folder), "--requirement", str(LOCK)],
        check=True,
    )  # fmt: skip
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for record in folder.glob("*.dist-info/RECORD"):
        record.unlink()  # names the files that were removed


def _accounts(root: Path) -> None:
    """Names for the user, for those who ask for them, and where a folder to write to may be mounted."""
    for name in ("etc", "tmp"):
        (root / name).mkdir()
    (root / "etc/passwd").write_text(f"root:x:0:0:root:/:\ntaskq:x:{USER}:{USER}:taskq:/:\n", encoding="utf-8")
    (root / "etc/group").write_text(f"root:x:0:\ntaskq:x:{USER}:\n", encoding="utf-8")


def _libraries(root: Path) -> None:
    """The shared libraries that programs and modules ask for, in the folder that the loader looks into."""
    needed = {
        name: path
        for file in _binaries(root)
        for name, path in _needs(file)
        if not path.resolve().is_relative_to(root.resolve())
    }
    looked_into = next(path for name, path in needed.items() if name.startswith("libc.")).parent
    for name, path in needed.items():
        target = root / str(path if name.startswith("/") else looked_into / name).lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.resolve(), target)
        target.chmod(0o755)


def _binaries(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == b"\x7fELF":
                    yield path


def _needs(file: Path) -> Iterator[tuple[str, Path]]:
    """What `ldd` tells of a file: names as the file asks for them (the loader by its path), and where they are."""
    said = subprocess.run(["ldd", str(file)], capture_output=True, text=True, check=False).stdout
    for name, path in re.findall(r"(?m)^\s+(\S+)(?: => (\S+))? \(0x", said):
        if path or name.startswith("/"):
            yield name, Path(path or name)
    if missing := re.findall(r"(?m)^\s+(\S+) => not found", said):
        raise SystemExit(f"{file} needs {', '.join(missing)}, which this machine does not have")


def _strip(root: Path) -> None:
    """Without debug symbols the folder is a third smaller; where binutils are missing, it is only larger."""
    if strip := shutil.which("strip"):
        for file in _binaries(root):
            subprocess.run([strip, "--strip-unneeded", str(file)], check=True)


def _compile(root: Path) -> None:
    """Byte code beforehand, since the container can't write any, bound to nothing that differs from build to build."""
    compileall.compile_dir(
        root,
        quiet=2,
        force=True,
        maxlevels=20,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python image/rootfs.py FOLDER")
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    make(target)
