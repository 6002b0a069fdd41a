"""An admission webhook that is slow or away, on a real API server: no Job can be created, and the Task says why."""

from __future__ import annotations

import base64
import contextlib
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as kubernetes

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions
from cluster_tools.operator_process import OperatorProcess, free_port
from cluster_tools.receiver import Receiver

pytestmark = pytest.mark.usefixtures("operator")

HASTY: Mapping[str, object] = {"create_timeout_seconds": 1, "launchers": 1}
"""The webhook's own timeout is longer, so the API server gives up first; and one launch could hold up all others."""


@pytest.fixture(scope="module")
def operator_settings() -> Mapping[str, object]:
    """Of the operator of this module's tests."""
    return HASTY


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for localhost, and what a server needs to show it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 1"
    alternative = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command.split(), *alternative, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    return cert, tls


@contextlib.contextmanager
def asked_first(desk: Desk, client: kubernetes.ApiClient, url: str, cert: Path) -> Iterator[Callable[[], None]]:
    """The API server asks a webhook about the Job of the Task `held`; yields what ends that."""
    api: Any = kubernetes.AdmissionregistrationV1Api(client)
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    webhook = {
        "name": "slow.example.com",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(cert.read_bytes()).decode()},
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": desk.namespace}},
        "objectSelector": {"matchLabels": {"taskq.dev/task": "held"}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 20,
        "failurePolicy": "Fail",
    }
    name = desk.namespace
    api.create_validating_webhook_configuration({"metadata": {"name": name}, "webhooks": [webhook]})
    try:
        yield lambda: api.delete_validating_webhook_configuration(name)
    finally:
        with contextlib.suppress(kubernetes.ApiException):
            api.delete_validating_webhook_configuration(name)


@pytest.mark.parametrize("how", ["slow", "away"])
def test_a_job_that_can_not_be_created(
    operator: OperatorProcess, desk: Desk, client: kubernetes.ApiClient, tmp_path: Path, how: str
) -> None:
    """The Task says so and what may be the cause; others go on, an operator may stop; once mended there is one Job."""
    desk.queue("pair", maxConcurrency=2)
    over = threading.Event()

    def answer(_: object) -> int:
        over.wait(60)
        return 500

    cert, tls = certificate(tmp_path)
    with Receiver(answer, tls=tls) as receiver:
        url = receiver.url if how == "slow" else f"https://127.0.0.1:{free_port()}"
        with asked_first(desk, client, url, cert) as lift:
            desk.task("held", queueName="pair", priority=9)
            told = conditions(desk.wait_condition("held", "Admitted", "False", "JobNotCreated"))
            assert "Stalled" not in told
            for word in ("admission webhook", "--create-timeout-seconds", "tried again"):
                assert word in told["Admitted"]["message"]
            assert ("slow.example.com" in told["Admitted"]["message"]) is (how == "away")
            for name in ("one", "another"):
                desk.task(name, queueName="pair")
                assert desk.wait_end(name)["status"]["phase"] == "Succeeded"
            assert operator.terminate() == 0
            assert "without an answer" not in operator.tail(), "it waited for what waits itself"
            operator.start().wait_leading()
            lift()
        over.set()
        held = desk.wait_end("held")
    assert held["status"]["phase"] == "Succeeded"
    assert conditions(held)["Admitted"]["status"] == "True"
    assert len(desk.jobs("held")) == 1
    assert audit.repeated_attempts(audit.starts(desk.audit())) == []
