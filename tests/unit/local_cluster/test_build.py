"""The build's cache: whole or absent, once for all, and clear words when it cannot be had.

A stand-in for `go` takes no minutes; that the real one builds is shown by every integration test.
"""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from localcluster import build
from localcluster.errors import ClusterError
from localcluster.progress import say_nothing

STAND_IN = """#!/bin/sh
echo "$1" >> "{calls}"
case "$1" in
list) echo one; echo two ;;
build)
    while [ "$1" != -o ]; do shift; done
    {before}
    printf '#!/bin/sh\\n' > "$2" && chmod +x "$2" ;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls that the stand-in got, one a line. The cache is an empty one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    install_stand_in(tmp_path)
    return tmp_path / "calls"


def install_stand_in(folder: Path, before: str = ":") -> None:
    (folder / "go").write_text(STAND_IN.format(calls=folder / "calls", before=before), encoding="utf-8")
    (folder / "go").chmod(0o755)


def builds(calls: Path) -> int:
    """How often the cluster was built: each time is the program and the pause image's."""
    return calls.read_text(encoding="utf-8").split().count("build") // 2


def test_programs_are_built_once(go: Path) -> None:
    """A second call finds the first one's work, under every name that is needed."""
    directory = build.ensure_built(say_nothing)
    assert build.ensure_built(say_nothing) == directory
    assert builds(go) == 1
    assert {path.name for path in directory.iterdir()} == {build.PROGRAM_FILE, "pause", *build.PROGRAMS}


def test_half_a_build_is_built_again(go: Path) -> None:
    """Whatever somebody deleted or a full disk swallowed."""
    directory = build.ensure_built(say_nothing)
    (directory / build.PROGRAM_FILE).unlink()
    build.ensure_built(say_nothing)
    assert builds(go) == 2
    assert (directory / "etcd").exists()


def test_failed_build_leaves_nothing_and_says_why(go: Path) -> None:
    """The compiler's own words come through, and the next try starts afresh."""
    install_stand_in(go.parent, before="echo no space left on device >&2; exit 1")
    with pytest.raises(ClusterError, match="no space left on device"):
        build.ensure_built(say_nothing)
    directory = build.cache_directory() / build.cache_key()
    assert not directory.exists()
    assert [path.name for path in directory.parent.iterdir()] == [f"{directory.name}.lock"]
    install_stand_in(go.parent)
    assert build.ensure_built(say_nothing) == directory


def test_second_builder_waits_for_the_first(go: Path, tmp_path: Path) -> None:
    """Two terminals, one build."""
    gate = tmp_path / "gate"
    install_stand_in(tmp_path, before=f'while [ ! -e "{gate}" ]; do sleep 0.02; done')
    said: list[str] = []
    waiting = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        if "waiting" in line:
            waiting.set()

    threads = [threading.Thread(target=build.ensure_built, args=[say]) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert waiting.wait(30), said
    gate.touch()
    for thread in threads:
        thread.join(30)
    assert builds(go) == 1


def test_missing_go_is_named_with_its_version(go: Path) -> None:
    """The one thing that a cluster without a node needs."""
    (go.parent / "go").unlink()
    if shutil.which("go"):
        pytest.skip("Go lies in a system folder here")
    with pytest.raises(ClusterError, match=r"Install Go 1\.26"):
        build.ensure_built(say_nothing)


def test_any_change_of_the_sources_is_another_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running cluster keeps its programs while a changed one is built beside them."""
    sources = tmp_path / "sources"
    shutil.copytree(build.SOURCES, sources, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    before = build.cache_key()
    monkeypatch.setattr(build, "SOURCES", sources)
    assert build.cache_key() == before, "the place of the sources does not matter"
    with (sources / "etcd.go").open("a", encoding="utf-8") as file:
        file.write("// changed\n")
    assert build.cache_key() != before
