"""Builds the operator's image without a container engine: an archive in the form of `docker save`.

    python image/build.py [ARCHIVE] [--tag NAME:TAG]

`docker load`, `ctr images import`, `skopeo copy docker-archive:…` and `local-cluster/cluster.py image` take it.
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
import tarfile
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "image"), str(REPO / "local-cluster"), str(REPO / "operator")]

import rootfs
from localcluster.images import ImageConfig, write_image
from taskq import __version__

TAG = f"taskq.dev/operator:{__version__}"
CONFIG = ImageConfig(
    entrypoint=rootfs.ENTRYPOINT,
    environment=[f"{name}={value}" for name, value in rootfs.ENVIRONMENT.items()],
    user=f"{rootfs.USER}:{rootfs.USER}",
)


def build(archive: Path, tag: str = TAG) -> None:
    """Write the archive. The same sources, Python and machine make the same bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "root"
        root.mkdir()
        rootfs.make(root)
        write_image(archive, [tag], root, CONFIG)


def sizes(archive: Path) -> tuple[int, int]:
    """Bytes of the image's content: as it lies on a node, and as a registry sends it (gzip)."""
    with tarfile.open(archive) as tar:
        layer = tar.extractfile("layer.tar")
        assert layer is not None  # write_image puts it there
        content = layer.read()
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as stream:
        stream.write(content)
    return len(content), packed.tell()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="build.py", description="Build the operator's image as an archive.")
    parser.add_argument("archive", nargs="?", type=Path, default=REPO / "dist/taskq-operator.tar")
    parser.add_argument("--tag", default=TAG, help="the image's name (default: %(default)s)")
    given = parser.parse_args()
    build(given.archive, given.tag)
    whole, packed = sizes(given.archive)
    print(f"{given.archive}: {given.tag}, {whole / 1e6:.0f} MB, {packed / 1e6:.0f} MB packed")


if __name__ == "__main__":
    main()
