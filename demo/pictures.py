#!/usr/bin/env python3
"""Take the pictures of the command line anew: real commands on a real cluster, in a terminal, with colours.

The cluster is the one that kubectl uses; its nodes must have busybox:1.36, and an operator must run there, as after
`make demo`. A namespace is made for it and removed again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from taskqdemo.kube import DemoError
from taskqdemo.shots import COLUMNS, SCENE, SHOTS, page
from taskqdemo.svg import picture
from taskqdemo.terminal import typed

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
PAGE = ROOT / "docs" / "how-to" / "command-line-pictures.md"
NAMESPACE = "acme"


def shell(command: str, environment: dict[str, str]) -> str:
    """Run a command that is in no picture."""
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def take(environment: dict[str, str]) -> None:
    """All of them, and the page that shows them."""
    PICTURES.mkdir(exist_ok=True)
    for command in SCENE:
        print(command, flush=True)
        shell(command, environment)
    for shot in SHOTS:
        print(shot.command, flush=True)
        said = typed(shot.command, COLUMNS, environment, ROOT, answer=shot.answer)
        prompt = f"\x1b[90m$\x1b[0m \x1b[1m{shot.command}\x1b[0m\n"
        (PICTURES / f"{shot.name}.svg").write_text(picture(shot.command, prompt + said, COLUMNS), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def main() -> int:
    """Exit code 0 when all were taken; what the user can mend is told in one line."""
    own = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TASKQ_OPERATOR_URL"}}
    own["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"  # kubectl finds its plug-in there
    own["TZ"] = "Asia/Kolkata"  # not the Schedule's, so that both can be told apart
    try:
        with tempfile.TemporaryDirectory(prefix="taskq-pictures-") as folder:
            kubeconfig = Path(folder) / "config"
            kubeconfig.touch(mode=0o600)
            kubeconfig.write_text(shell("kubectl config view --raw --minify --flatten", own), encoding="utf-8")
            own["KUBECONFIG"] = str(kubeconfig)
            shell(f"kubectl create namespace {NAMESPACE}", own)
            shell(f"kubectl config set-context --current --namespace={NAMESPACE}", own)
            try:
                take(own)
            finally:
                shell(f"kubectl delete namespace {NAMESPACE} --wait=false", own)
    except DemoError as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
