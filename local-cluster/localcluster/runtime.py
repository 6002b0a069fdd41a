"""containerd as a process of the cluster's own: its configuration, its images, and what it leaves behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from localcluster import images
from localcluster.errors import ClusterError
from localcluster.files import write_whole
from localcluster.processes import Processes, Program, wait_until
from localcluster.progress import Say
from localcluster.shell import run, succeeds

READY_SECONDS = 60.0
SHIM = "containerd-shim-runc-v2"

# containerd 1.6 and later. `restrict_oom_score_adj`: a machine may forbid to lower the score, and runc then fails.
_CONFIG = """\
version = 2
root = "{directory}/containerd/root"
state = "{directory}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{socket}"

[debug]
  level = "warn"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    snapshotter = "{snapshotter}"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{directory}/runc"

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{directory}/cni/net.d"
"""


class Runtime:
    """The container runtime of the cluster in one folder."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self._directory = directory
        self._processes = processes

    @property
    def socket(self) -> Path:
        """Where the kubelet finds it."""
        return self._directory / "containerd.sock"

    def start(self, cni_folder: Path) -> None:
        """Start it and wait until it answers."""
        config = self._directory / "containerd.toml"
        write_whole(
            config,
            _CONFIG.format(
                directory=self._directory,
                socket=self.socket,
                pause=images.PAUSE_IMAGE,
                snapshotter=_snapshotter(self._directory),
                cni_folder=cni_folder,
            ),
        )
        self._processes.start(Program(name="containerd", argv=["containerd", "--config", str(config)], environment={}))
        self._processes.wait_until_ready("containerd", lambda: succeeds([*self._ctr(), "version"]), READY_SECONDS)

    def import_image(self, archive: Path) -> None:
        """Make an image archive known to the kubelet. Importing the same one again does nothing new."""
        run([*self._ctr(), "--namespace", "k8s.io", "images", "import", archive])

    def has_images(self, names: list[str]) -> bool:
        """Whether all of these were imported."""
        listed = run([*self._ctr(), "--namespace", "k8s.io", "images", "list", "--quiet"]).split()
        return set(names) <= set(listed)

    def import_basics(self, programs: Path, say: Say) -> None:
        """The two images that every cluster has."""
        if self.has_images([images.PAUSE_IMAGE, *images.BUSYBOX_TAGS]):
            return
        self.import_image(images.pause_archive(programs, self._directory))
        self.import_image(images.busybox_archive(self._directory, say))

    def kill_shims(self) -> None:
        """Shims outlive containerd on purpose, and are told apart by the socket that they serve."""

        def none_left() -> bool:
            pids = self._shims()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids

        if not wait_until(none_left, 10.0):
            raise ClusterError(f"container shims do not end: processes {self._shims()}")
        for file in self._directory.glob("containerd/state/io.containerd.runtime.v2.task/*/*/address"):
            address = file.read_text(encoding="utf-8").strip()
            if address.startswith("unix:///run/containerd/s/"):
                Path(address.removeprefix("unix://")).unlink(missing_ok=True)

    def _shims(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue  # it ended
            if words[0].endswith(SHIM.encode()) and str(self.socket).encode() in words:
                found.append(int(process.name))
        return found

    def _ctr(self) -> list[str]:
        return ["ctr", "--address", str(self.socket), "--connect-timeout", "5s"]


def _snapshotter(directory: Path) -> str:
    """overlayfs cannot lie on overlayfs, which is what a container's own files are on; copying always works."""
    best = ("", "")
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        if directory.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, right.split()[0])
    return "native" if best[1] == "overlay" else "overlayfs"
