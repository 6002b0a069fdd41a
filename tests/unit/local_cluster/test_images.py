"""Images that are made without an engine."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from localcluster.images import ImageConfig, full_name, write_image


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/tool", "docker.io/me/tool:latest"),
        ("taskq.dev/pause:1", "taskq.dev/pause:1"),
        ("localhost/x", "localhost/x:latest"),
        ("registry:5000/x", "registry:5000/x:latest"),
    ],
)
def test_names_are_completed_as_a_runtime_does(short: str, full: str) -> None:
    """Otherwise a pod would ask a registry for an image that is there."""
    assert full_name(short) == full


def make_root(folder: Path) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "bin" / "alias").symlink_to("tool")
    return folder


def read_archive(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        files = {entry.name: tar.extractfile(entry) for entry in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file is not None}


def test_archive_says_what_it_holds(tmp_path: Path) -> None:
    """Every digest fits, or a runtime refuses the image."""
    write_image(tmp_path / "i.tar", ["tool:1"], make_root(tmp_path / "r"), ImageConfig(["/bin/tool"], user="65534"))
    files = read_archive(tmp_path / "i.tar")
    (index,) = json.loads(files["manifest.json"])
    config = json.loads(files[index["Config"]])
    assert index["RepoTags"] == ["docker.io/library/tool:1"]
    assert index["Config"] == hashlib.sha256(files[index["Config"]]).hexdigest() + ".json"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(files["layer.tar"]).hexdigest()]
    assert (config["config"]["Entrypoint"], config["config"]["User"]) == (["/bin/tool"], "65534")


def test_layer_keeps_modes_and_links_but_no_owner(tmp_path: Path) -> None:
    """Who built the image must not decide who owns its files."""
    write_image(tmp_path / "i.tar", ["tool:1"], make_root(tmp_path / "r"), ImageConfig())
    with tarfile.open(fileobj=io.BytesIO(read_archive(tmp_path / "i.tar")["layer.tar"])) as layer:
        entries = {entry.name: entry for entry in layer.getmembers()}
    assert entries["bin/tool"].mode & 0o777 == 0o755
    assert entries["bin/alias"].linkname == "tool"
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries.values()} == {(0, 0, "", 0)}


def test_same_content_is_the_same_image(tmp_path: Path) -> None:
    """So that importing twice changes nothing."""
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.tar", ["tool:1"], make_root(tmp_path / name), ImageConfig())
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_static_programs_are_told_from_others() -> None:
    """Only a static one runs in an image that holds nothing else; this interpreter is not."""
    from localcluster.images import _is_static

    assert not _is_static(Path(sys.executable).resolve())
