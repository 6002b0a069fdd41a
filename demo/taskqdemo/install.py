"""What the demo puts into a cluster, and beside it: CRDs, a namespace, and the operator as a local process."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from localcluster.files import read_json, write_json
from localcluster.processes import Processes, Program, wait_until
from localcluster.settings import free_port
from taskqdemo.kube import DemoError, Json, Kube
from taskqdemo.target import Target, confirm

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "taskq-demo"
OPERATOR = "operator"
SERVED_WITHIN_SECONDS = 30
LEADING_WITHIN_SECONDS = 60
STOP_SECONDS = 20
MARK = {"app.kubernetes.io/managed-by": "taskq-demo"}
SELECTOR = "app.kubernetes.io/managed-by=taskq-demo"


class Operator(NamedTuple):
    """The operator's process."""

    url: str
    api: str
    """Where it says why Tasks wait; on this machine, so without a token."""
    log: Path


def crds(kube: Kube, target: Target, *, yes: bool) -> None:
    """Install the CustomResourceDefinitions and wait until they are served."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    if not target.ours:
        confirm(
            f"Install or replace {len(documents)} CustomResourceDefinitions of taskq.dev and run the demo in namespace "
            f"{NAMESPACE} of {kube.server}?",
            yes=yes,
        )
    for document in documents:
        kube.apply(document)
    names = [document["metadata"]["name"] for document in documents]
    if not wait_until(lambda: all(_is_established(kube, name) for name in names), SERVED_WITHIN_SECONDS):
        raise DemoError(
            f"the CRDs are not served after {SERVED_WITHIN_SECONDS} s: see `kubectl describe crd {names[0]}`"
        )


def namespace(kube: Kube) -> None:
    """The demo's own namespace; one of that name that somebody else made is left alone."""
    present = kube.get("Namespace", NAMESPACE)
    if present and present["metadata"].get("labels", {}).items().isdisjoint(MARK.items()):
        raise DemoError(f"namespace {NAMESPACE} was not made by the demo: delete or rename it, then run the demo again")
    if present.get("status", {}).get("phase") == "Terminating":
        wait_until(lambda: not kube.get("Namespace", NAMESPACE), SERVED_WITHIN_SECONDS)
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": MARK}})


def start_operator(state: Path, target: Target, environment: Mapping[str, str]) -> Operator:
    """Start the operator of this checkout, in place of the one that an earlier demo started."""
    stop_operator(state)
    processes = Processes(state)
    address, api = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    flags = [f"--http-address={address}", f"--api-address={api}", "--api-anonymous"]
    if target.kubeconfig and os.pathsep not in target.kubeconfig:
        flags.append(f"--kubeconfig={target.kubeconfig}")
    if target.context:
        flags.append(f"--context={target.context}")
    if not target.ours:
        flags += [f"--namespaces={NAMESPACE}", f"--lease-namespace={NAMESPACE}", "--lease-name=taskq-demo"]
    for name in [name for name in environment if name.startswith("TASKQ_")]:
        os.environ.pop(name)  # choices of this cluster and of this demo; to the operator they would be settings
    answers = {"url": f"http://{address}", "api": f"http://{api}", "namespaced": not target.ours}
    write_json(state / "operator.json", answers)
    processes.log(OPERATOR).unlink(missing_ok=True)
    processes.start(Program(OPERATOR, [sys.executable, "-m", "taskq", *flags], {"PYTHONUNBUFFERED": "1"}))
    found = running_operator(state)
    processes.wait_until_ready(OPERATOR, lambda: _leads(found.url), LEADING_WITHIN_SECONDS)
    return found


def running_operator(state: Path) -> Operator:
    """Where the operator of the last start answers and writes."""
    found = read_json(state / "operator.json")
    return Operator(str(found.get("url", "")), str(found.get("api", "")), Processes(state).log(OPERATOR))


def stop_operator(state: Path) -> bool:
    """Whether there was one to stop."""
    processes = Processes(state)
    running = processes.pid(OPERATOR) is not None
    processes.stop(OPERATOR, grace_seconds=STOP_SECONDS)
    return running


def _leads(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
            return b"\ntaskq_leader 1.0\n" in answer.read()
    except (urllib.error.URLError, OSError):
        return False


def _is_established(kube: Kube, name: str) -> bool:
    status = kube.get("CustomResourceDefinition", name).get("status", {})
    conditions: list[Json] = status.get("conditions") or []  # null for a moment after the creation
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)
