"""A real API server for the integration ring: one for the session, a namespace for every test.

Nothing runs in it but the control plane (no node, no scheduler): Jobs get their Pods as objects, and nothing starts.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes
from kubernetes import config

import localcluster
from cluster_tools.command_line import CommandLine
from cluster_tools.desk import Desk
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.operator_process import PROMPT, OperatorProcess

REPO = Path(__file__).resolve().parents[2]
CRDS = tuple(sorted((REPO / "crds").glob("*.yaml")))
ESTABLISHED_WITHIN_SECONDS = 30


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[localcluster.Cluster]:
    """A nodeless cluster with the CRDs applied; stopped at the end of the session, whatever happened."""
    started = localcluster.start(nodeless=True, directory=tmp_path_factory.mktemp("integration") / "cluster")
    try:
        with connected(started.kubeconfig) as api_client:
            apply_crds(api_client)
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def client(cluster: localcluster.Cluster) -> Iterator[kubernetes.ApiClient]:
    """The official client, as a cluster administrator."""
    with connected(cluster.kubeconfig) as api_client:
        yield api_client


@pytest.fixture
def namespace(client: kubernetes.ApiClient) -> Iterator[str]:
    """A fresh namespace; its removal is asked for afterwards, not waited for."""
    core: Any = kubernetes.CoreV1Api(client)
    name: str = core.create_namespace({"metadata": {"generateName": "test-"}}).metadata.name
    yield name
    core.delete_namespace(name)


@pytest.fixture
def desk(client: kubernetes.ApiClient, cluster: localcluster.Cluster, namespace: str) -> Desk:
    """A fresh namespace, as a user works with it."""
    return Desk(client, namespace, cluster.audit_log)


@pytest.fixture(scope="module")
def kubelet(cluster: localcluster.Cluster) -> Iterator[FakeKubelet]:
    """Pods of Jobs run, so to speak, while the tests of a module do."""
    with FakeKubelet(cluster.kubeconfig) as running:
        yield running


@pytest.fixture(scope="module")
def operator_settings() -> Mapping[str, object]:
    """Beside those of every test; a module with settings of its own has a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def operator(
    cluster: localcluster.Cluster,
    kubelet: FakeKubelet,
    operator_settings: Mapping[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """The operator, serving the whole cluster while the tests of a module run."""
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    with OperatorProcess(cluster.kubeconfig, log, **PROMPT, **operator_settings) as process:
        process.wait_leading()
        yield process
        assert process.terminate() == 0, process.tail()


@pytest.fixture
def taskq(cluster: localcluster.Cluster, namespace: str) -> CommandLine:
    """The command line in a fresh namespace."""
    return CommandLine(cluster.kubeconfig, namespace)


@contextlib.contextmanager
def connected(kubeconfig: Path) -> Iterator[kubernetes.ApiClient]:
    """The official client for a kubeconfig; its connections are closed afterwards."""
    api_client: Any = config.new_client_from_config(config_file=str(kubeconfig))  # type: ignore[no-untyped-call]
    with api_client:
        yield api_client
        api_client.rest_client.pool_manager.clear()


def apply_crds(api_client: kubernetes.ApiClient) -> None:
    """Create the CRDs of this checkout and wait until the API server serves them."""
    api: Any = kubernetes.ApiextensionsV1Api(api_client)
    for path in CRDS:
        api.create_custom_resource_definition(yaml.safe_load(path.read_text(encoding="utf-8")))
    deadline = time.monotonic() + ESTABLISHED_WITHIN_SECONDS
    while waiting := [crd.metadata.name for crd in _ours(api) if not _is(crd, "Established")]:
        if time.monotonic() > deadline:
            pytest.fail(f"not established after {ESTABLISHED_WITHIN_SECONDS} s: {', '.join(waiting)}")
        time.sleep(0.05)


def _ours(api: Any) -> list[Any]:
    return [crd for crd in api.list_custom_resource_definition().items if crd.spec.group == "taskq.dev"]


def _is(crd: Any, wanted: str) -> bool:
    conditions = crd.status.conditions or []
    return any(condition.type == wanted and condition.status == "True" for condition in conditions)
