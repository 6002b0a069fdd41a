"""A ServiceAccount with exactly some permissions, and a kubeconfig with its token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client as kubernetes

Json = dict[str, Any]


def account(client: kubernetes.ApiClient, namespace: str, name: str, rules: list[Json], admin: Path, file: Path) -> str:
    """Create it with a Role of these rules in its namespace, and write its kubeconfig; the name that the API knows."""
    core: Any = kubernetes.CoreV1Api(client)
    rbac: Any = kubernetes.RbacAuthorizationV1Api(client)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
    rbac.create_namespaced_role(namespace, {"metadata": {"name": name}, "rules": rules})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
    )
    token = core.create_namespaced_service_account_token(name, namespace, {"spec": {"expirationSeconds": 3600}})
    config = yaml.safe_load(admin.read_text(encoding="utf-8"))
    for user in config["users"]:
        user["user"] = {"token": token.status.token}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    return f"system:serviceaccount:{namespace}:{name}"


class Requests:
    """What one user asked the API server from now on, by the audit log."""

    def __init__(self, log: Path, user: str) -> None:
        self._log = log
        self._mark = json.dumps({"username": user})[1:-1].replace(": ", ":").encode()
        self._read_to = log.stat().st_size
        self._codes: dict[tuple[str, str], set[int]] = {}

    def codes(self) -> dict[tuple[str, str], set[int]]:
        """The answers to each (resource, verb) so far; a resource may have a subresource: `tasks/status`."""
        with self._log.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read_to += len(line)
                if self._mark in line:
                    self._take(json.loads(line))
        return self._codes

    def refused(self) -> set[tuple[str, str]]:
        """What was answered with 403."""
        return {request for request, codes in self.codes().items() if 403 in codes}

    def granted(self) -> set[tuple[str, str]]:
        """What was answered otherwise, if only that there is no such object."""
        return {request for request, codes in self.codes().items() if codes - {403}}

    def _take(self, event: Json) -> None:
        reference = event.get("objectRef", {})
        resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
        self._codes.setdefault((resource, event["verb"]), set()).add(event.get("responseStatus", {}).get("code", 0))
