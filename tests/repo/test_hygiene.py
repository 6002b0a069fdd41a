"""What may not stand in the repository: traces of the machine it was made on, large binaries, links to nowhere."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
BINARY_BYTES = 200_000
LINKED = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")

# None of these patterns matches its own text, so that this file need not be left out.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:root|work|home/[a-z]+)/")
OF_A_MACHINE = re.compile(r"--(?:extra-)?index-ur[l]|--trusted-hos[t]|--find-link[s]|/pypi/simpl[e]")
OF_A_TOOL = re.compile(
    r"(?i)\b(?:assistan[t]s?\b|chatgp[t]|opena[i]|anthropi[c]|claud[e]|copilo[t]|language mode[l]|ai[- ]generate[d]|"
    r"co-authored-b[y]|(?:this|earlier|previous|last) sessio[n]\b|context windo[w]|sub-?agen[t])"
)
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "NPM_CONFIG_REGISTRY", "GOPROXY")
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org", "proxy.golang.org", "sum.golang.org", "registry.npmjs.org"}


def tracked() -> list[Path]:
    """The files that a clone would have."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / name for name in listed.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def is_binary(content: bytes) -> bool:
    """As git sees it: a zero byte near the beginning."""
    return b"\0" in content[:8000]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Where a pattern stands in a tracked text."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}"
        for path in tracked()
        if not is_binary(content := path.read_bytes())
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_paths_of_a_machine():
    """They work nowhere else."""
    assert not lines_with(MACHINE_PATH)


def test_no_package_index_of_a_machine():
    """Whoever installs has his own configuration for that."""
    assert not lines_with(OF_A_MACHINE)


def test_no_host_of_this_machines_package_configuration():
    """Mirrors that this machine is set up with are nobody else's business; which, only the machine knows."""
    places = [place for name in INDEXES for place in re.split(r"[\s,|]+", os.environ.get(name, ""))]
    config = subprocess.run(["pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    places += re.findall(r"https?://[^'\"\s]+", config)
    hosts = {host for place in places if (host := urlsplit(place).hostname)} - PUBLIC_HOSTS - {"localhost", "127.0.0.1"}
    if hosts:
        assert not lines_with(re.compile("|".join(map(re.escape, hosts))))


def test_no_words_about_the_tools_it_was_written_with():
    """The repository is about TaskQ."""
    assert not lines_with(OF_A_TOOL)


def test_no_large_binaries():
    """A clone stays small for ever only if they never come in."""
    binaries = {path.name: len(content) for path in tracked() if is_binary(content := path.read_bytes())}
    assert not {name: size for name, size in binaries.items() if size > BINARY_BYTES}


def pages() -> list[Path]:
    """All that people read: the documents in docs/ and at the top."""
    paths = [ROOT / name for name in LINKED]
    return sorted(
        page for path in paths for page in (path.rglob("*.md") if path.is_dir() else [path]) if page.is_file()
    )


def without_code(text: str) -> str:
    """A page without its code, in which brackets mean something else."""
    return re.sub(r"`[^`\n]*`", "code", re.sub(r"(?ms)^ *(```+|~~~+).*?^ *\1", "", text))


def anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    text = re.sub(r"(?ms)^ *(```+|~~~+).*?^ *\1", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#{1,6} +(.+?)(?: +#+)? *$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    """The links of a page to files or headings that are not there."""
    dead = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", without_code(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    """To a file that is there, and to a heading that it has."""
    assert not dead_links(page)


def test_a_dead_link_is_noticed(tmp_path):
    """The check can fail: for a missing file and a missing heading, not for code or the web."""
    (tmp_path / "b.md").write_text("# Two words, `x`\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[1](b.md) [2](b.md#two-words-x) [3](c.md) [4](b.md#no) [5](https://example.org/x) `[6](d.md)` [7](#no)\n"
        "```\n[8](e.md)\n```\n"
    )
    assert dead_links(page) == ["c.md", "b.md#no", "#no"]


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        (MACHINE_PATH, "cd /" + "root/x", True),
        (MACHINE_PATH, "cd '/" + "work/main'", True),
        (MACHINE_PATH, "proc/root/etc, artwork/x, /workdir/x", False),
        (OF_A_TOOL, "as an AI language " + "model", True),
        (OF_A_TOOL, "one pooled session, an assisted start", False),
        (OF_A_MACHINE, "pip install --index-" + "url https://x", True),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern, text, found):
    """And leave ordinary words alone."""
    assert bool(pattern.search(text)) is found
