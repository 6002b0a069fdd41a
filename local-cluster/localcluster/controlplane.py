"""etcd, kube-apiserver, kube-controller-manager: the part of Kubernetes that is enough for everything but real pods."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

from localcluster import audit, kubeconfig
from localcluster.errors import ClusterError
from localcluster.files import write_whole
from localcluster.processes import Processes, Program
from localcluster.settings import Settings

HOST = "127.0.0.1"
READY_SECONDS = 120.0
NODELESS_SERVICES = "10.96.0.0/16"

# Sockets in the cluster's folder, where every one of its processes runs: no other user of the machine can reach etcd,
# no port is taken, and the length of the folder's name does not matter. etcd wants the form host:port all the same.
ETCD_CLIENT_SOCKET = "etcd-client:1"
ETCD_PEER_SOCKET = "etcd-peer:1"

# What Jobs, their pods, quotas, clean-up and a Helm-installed operator need; nothing that wants a cloud or volumes.
CONTROLLERS = (
    "clusterrole-aggregation-controller",  # without it the roles view, edit and admin are empty
    "cronjob-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
)


class ControlPlane:
    """The control plane of the cluster in one folder."""

    def __init__(self, directory: Path, programs: Path, settings: Settings, processes: Processes) -> None:
        self._directory = directory
        self._programs = programs
        self._settings = settings
        self._processes = processes
        self._pki = directory / "pki"

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://{HOST}:{self._settings.api_port}"

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        self._write_files()
        self._start_etcd()
        self.start_apiserver()
        if self._settings.controller_manager is not None:
            self._processes.start(self._controller_manager())
            # Proof that controllers work, and what pods need to be created at all.
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._processes.wait_until_ready(
                "kube-controller-manager", lambda: self.get(account)[0] == http.client.OK, READY_SECONDS
            )

    def start_apiserver(self) -> None:
        """Start the API server alone, for tests that stopped it."""
        self._processes.start(self._apiserver())
        self._processes.wait_until_ready("kube-apiserver", self.is_ready, READY_SECONDS)

    def is_ready(self) -> bool:
        """Whether the API server answers that it is."""
        return bool(self.get("/readyz")[0] == http.client.OK)

    def get(self, path: str) -> tuple[int, Any]:
        """Status and answer for an administrator; status 0 means that nobody answered."""
        context = ssl.create_default_context(cafile=str(self._pki / "ca.crt"))
        context.load_cert_chain(self._pki / "starter.crt", self._pki / "starter.key")
        connection = http.client.HTTPSConnection(HOST, self._settings.api_port, timeout=10, context=context)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()
        try:
            return response.status, json.loads(body)
        except json.JSONDecodeError:
            return response.status, body.decode(errors="replace")

    def _start_etcd(self) -> None:
        socket = self._directory / ETCD_CLIENT_SOCKET
        if self._processes.pid("etcd") is None:
            socket.unlink(missing_ok=True)  # a killed etcd leaves it
        self._processes.start(self._etcd())
        self._processes.wait_until_ready("etcd", socket.exists, READY_SECONDS)

    def _write_files(self) -> None:
        write_whole(self._directory / "audit-policy.json", audit.policy_file())
        if not (self._pki / "complete").exists():
            self._make_certificates()
        for user in ("admin", "controller-manager", "scheduler", "kubelet"):
            file = self._directory / ("kubeconfig" if user == "admin" else f"{user}.kubeconfig")
            write_whole(file, kubeconfig.render(self._settings.name, self.server, self._pki, user))

    def _make_certificates(self) -> None:
        shutil.rmtree(self._pki, ignore_errors=True)
        self._pki.mkdir(parents=True, mode=0o700)
        network = self._settings.network
        addresses = [network.node_address, network.api_service_address] if network else []
        names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
        made = subprocess.run(
            [
                self._programs / "pki",
                *("-dir", self._pki),
                *("-serve", f"apiserver={','.join([HOST, *names, *addresses])}"),
                *("-serve", f"kubelet-server={','.join([self._settings.name, *addresses[:1]])}"),
                *("-client", "admin=admin=system:masters"),
                *("-client", f"starter={audit.STARTER}=system:masters"),
                *("-client", "apiserver-to-kubelet=apiserver-to-kubelet=system:masters"),
                *("-client", "controller-manager=system:kube-controller-manager"),
                *("-client", "scheduler=system:kube-scheduler"),
                *("-client", f"kubelet=system:node:{self._settings.name}=system:nodes"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise ClusterError(f"the certificates cannot be made: {made.stderr}")
        write_whole(self._pki / "complete", "")

    def _etcd(self) -> Program:
        # Waiting for the disk would protect from a power cut, which a throw-away cluster need not survive.
        return self._program(
            "etcd", "-data-dir=etcd",
            f"-client-url=unix://{ETCD_CLIENT_SOCKET}",
            f"-peer-url=unix://{ETCD_PEER_SOCKET}", "-unsafe-no-fsync",
        )  # fmt: skip

    def _apiserver(self) -> Program:
        network = self._settings.network
        return self._program(
            "kube-apiserver",
            *(
                f"--etcd-servers=unix://{ETCD_CLIENT_SOCKET}",
                f"--bind-address={HOST}",
                f"--secure-port={self._settings.api_port}",
            ),
            "--tls-cert-file=pki/apiserver.crt",
            "--tls-private-key-file=pki/apiserver.key",
            "--client-ca-file=pki/ca.crt",
            "--anonymous-auth=false",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=pki/sa.pub",
            "--service-account-signing-key-file=pki/sa.key",
            f"--service-cluster-ip-range={network.services if network else NODELESS_SERVICES}",
            f"--advertise-address={network.node_address if network else HOST}",
            "--endpoint-reconciler-type=none",  # nothing forwards to Service endpoints here
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-certificate-authority=pki/ca.crt",
            "--kubelet-client-certificate=pki/apiserver-to-kubelet.crt",
            "--kubelet-client-key=pki/apiserver-to-kubelet.key",
            "--profiling=false",
            *audit.flags("audit-policy.json", "audit.log"),
        )

    def _controller_manager(self) -> Program:
        manager = self._settings.controller_manager
        assert manager is not None  # the caller asked
        return self._program(
            "kube-controller-manager",
            "--kubeconfig=controller-manager.kubeconfig",
            f"--controllers={','.join(CONTROLLERS)}",
            "--use-service-account-credentials=true",
            "--service-account-private-key-file=pki/sa.key",
            "--root-ca-file=pki/ca.crt",
            "--leader-elect=false",
            "--secure-port=0",
            f"--kube-api-qps={manager.qps}",
            f"--kube-api-burst={manager.burst}",
            f"--concurrent-job-syncs={manager.concurrent_job_syncs}",
        )

    def _program(self, name: str, *arguments: str) -> Program:
        return Program(name=name, argv=[str(self._programs / name), *arguments], environment={})
