"""Programs of others by name: found in the go.mod files, built once. A stand-in for `go` takes no minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster import tools
from localcluster.errors import ClusterError

STAND_IN = """#!/bin/sh
echo "$1" >> "{calls}"
[ "$1" = build ] || exit 0
while [ "$1" != -o ]; do shift; done
mkdir -p "$(dirname "$2")" && printf '#!/bin/sh\n' > "$2" && chmod +x "$2"
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The calls that the stand-in got, one a line; the cache is an empty one, and the tools are two modules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tools, "TOOLS", tmp_path / "tools")
    (tmp_path / "go").write_text(STAND_IN.format(calls=tmp_path / "calls"), encoding="utf-8")
    (tmp_path / "go").chmod(0o755)
    for name, text in {
        "one": "module one\n\ntool example.org/x/cmd/lint\n",
        "two": "module two\n\ntool (\n\texample.org/y/serve\n\texample.org/y/ask\n)\n",
    }.items():
        (tmp_path / "tools" / name).mkdir(parents=True)
        (tmp_path / "tools" / name / "go.mod").write_text(text, encoding="utf-8")
        (tmp_path / "tools" / name / "go.sum").touch()
    return tmp_path / "calls"


@pytest.mark.parametrize("name", ["lint", "serve", "ask"])
def test_a_program_is_built_once(go: Path, name: str) -> None:
    """Whichever form its go.mod has; the second call finds what the first made."""
    made = tools.tool(name)
    assert made.name == name
    assert tools.tool(name) == made
    assert go.read_text(encoding="utf-8").split() == ["list", "build"]


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_another_version_is_another_program(go: Path, file: str) -> None:
    """The cache goes by what is pinned, and by the module's own code."""
    (go.parent / "tools/one/main.go").touch()
    before = tools.tool("lint")
    with (go.parent / "tools/one" / file).open("a", encoding="utf-8") as changed:
        changed.write("// changed\n")
    assert tools.tool("lint") != before
    assert before.exists()


def test_what_is_not_pinned_is_not_built(go: Path) -> None:
    """The message says what there is."""
    with pytest.raises(ClusterError, match="there are lint, serve, ask"):
        tools.tool("nothing")
