"""Container images without a container engine: a folder becomes a tar that every engine can load."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.build import cache_directory
from localcluster.debian import unpack
from localcluster.errors import ClusterError
from localcluster.progress import Say
from localcluster.shell import run

PAUSE_IMAGE = "taskq.dev/pause:1"
BUSYBOX_TAGS = ("docker.io/library/busybox:1.36", "docker.io/library/busybox:latest")
BUSYBOX_PACKAGE = "busybox-static"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
ELF_INTERPRETER = 3


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts."""

    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Sequence[str] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    user: str = ""
    working_directory: str = "/"

    def as_json(self) -> dict[str, object]:
        """In the words of the image specification."""
        return {
            "Entrypoint": list(self.entrypoint) or None,
            "Cmd": list(self.command) or None,
            "Env": list(self.environment),
            "User": self.user,
            "WorkingDir": self.working_directory,
        }


def full_name(name: str) -> str:
    """The name as the container runtime keeps it: `busybox` is `docker.io/library/busybox:latest`."""
    first, slash, rest = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif not any(mark in first for mark in ".:") and first != "localhost":
        name = f"docker.io/{first}/{rest}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


def write_image(output: Path, tags: Sequence[str], rootfs: Path, config: ImageConfig) -> None:
    """Pack a root folder as an image archive. Owners become root and times zero: same content, same digest."""
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        layer = Path(temporary) / "layer.tar"
        with tarfile.open(layer, "w") as tar:
            for entry in sorted(rootfs.iterdir()):
                tar.add(entry, arcname=entry.name, filter=_without_origin)
        with layer.open("rb") as file:
            layer_digest = hashlib.file_digest(file, "sha256").hexdigest()
        image = {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": config.as_json(),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        }
        encoded = json.dumps(image, sort_keys=True).encode()
        config_name = f"{hashlib.sha256(encoded).hexdigest()}.json"
        index = [{"Config": config_name, "RepoTags": [full_name(tag) for tag in tags], "Layers": ["layer.tar"]}]
        (Path(temporary) / config_name).write_bytes(encoded)
        (Path(temporary) / "manifest.json").write_text(json.dumps(index), encoding="utf-8")
        whole = Path(temporary) / "whole.tar"
        with tarfile.open(whole, "w") as tar:
            for name in ("manifest.json", config_name, "layer.tar"):
                tar.add(Path(temporary) / name, arcname=name, filter=_without_origin)
        whole.replace(output)


def _without_origin(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def pause_archive(programs: Path, folder: Path) -> Path:
    """The image of the process that holds a pod together."""
    return _archive(folder / "pause.tar", [PAUSE_IMAGE], {"pause": programs / "pause"}, ["/pause"])


def busybox_archive(folder: Path, say: Say) -> Path:
    """A shell and the usual small tools, for examples and tests, under the names under which a registry has it."""
    output = folder / "busybox.tar"
    if output.exists():
        return output
    busybox = _static_busybox(say)
    applets = run([busybox, "--list"]).split()
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        root = Path(temporary)
        for name in ("bin", "etc", "home", "root", "tmp", "usr", "var"):
            (root / name).mkdir()
        (root / "tmp").chmod(0o1777)
        (root / "etc/passwd").write_text(
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n", encoding="utf-8"
        )
        (root / "etc/group").write_text("root:x:0:\nnobody:x:65534:\n", encoding="utf-8")
        shutil.copy2(busybox, root / "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                (root / "bin" / applet).symlink_to("busybox")
        write_image(output, BUSYBOX_TAGS, root, ImageConfig(command=["sh"]))
    return output


def _archive(output: Path, tags: Sequence[str], files: dict[str, Path], entrypoint: Sequence[str]) -> Path:
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        for name, source in files.items():
            shutil.copy2(source, Path(temporary) / name)
        write_image(output, tags, Path(temporary), ImageConfig(entrypoint=entrypoint))
    return output


def _static_busybox(say: Say) -> Path:
    """The machine's own when it is static; else out of Debian's package, which is unpacked and not installed."""
    kept = cache_directory() / "busybox"
    installed = shutil.which("busybox")
    for candidate in [kept, *([Path(installed)] if installed else [])]:
        if candidate.exists() and _is_static(candidate):
            return candidate
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ClusterError("a static busybox is needed for the example image: install `busybox-static`")
    say(f"fetching the package {BUSYBOX_PACKAGE}")
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        unpacked = unpack(BUSYBOX_PACKAGE, Path(temporary))
        found = [path for path in unpacked.rglob("busybox") if path.is_file()]
        next(path for path in found if _is_static(path)).replace(kept)
    return kept


def _is_static(program: Path) -> bool:
    """Whether a 64-bit ELF file asks for no loader: only then it runs in an image that has nothing else."""
    content = program.read_bytes()[:4096]
    if content[:5] != b"\x7fELF\x02":
        return False
    offset = int.from_bytes(content[32:40], "little")
    size = int.from_bytes(content[54:56], "little")
    count = int.from_bytes(content[56:58], "little")
    kinds = [int.from_bytes(content[offset + i * size : offset + i * size + 4], "little") for i in range(count)]
    return ELF_INTERPRETER not in kinds
