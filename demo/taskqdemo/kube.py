"""The few requests that the demo sends."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3
from kubernetes import config

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "taskq-demo"
TIMEOUT_SECONDS = 30
PATHS = {
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "Namespace": "/api/v1/namespaces",
    "Pod": "/api/v1/namespaces/{namespace}/pods",
    "Job": "/apis/batch/v1/namespaces/{namespace}/jobs",
    "Task": "/apis/taskq.dev/v1alpha1/namespaces/{namespace}/tasks",
    "TaskQueue": "/apis/taskq.dev/v1alpha1/namespaces/{namespace}/taskqueues",
    "TaskTemplate": "/apis/taskq.dev/v1alpha1/namespaces/{namespace}/tasktemplates",
}


class DemoError(Exception):
    """The demo can't go on; the message says why and what to do, in one line."""


class Kube:
    """One API server, by a kubeconfig; without one, by what `kubectl` would use."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its retries are not the user's business
        try:
            self._client: Any = config.new_client_from_config(config_file=kubeconfig, context=context)  # type: ignore[no-untyped-call]
        except (config.ConfigException, OSError) as error:
            raise DemoError(f"{error}; mend KUBECONFIG or TASKQ_CONTEXT, or unset both for a local cluster") from error

    @property
    def server(self) -> str:
        """Its address."""
        return str(self._client.configuration.host)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        missing_ok: bool = False,
    ) -> Json:
        """The answer, or an empty one where nothing is there; DemoError for every other refusal."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        prepared = self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            answer = self._client.call_api(*prepared, _request_timeout=TIMEOUT_SECONDS)
            answer.read()
        except urllib3.exceptions.HTTPError as error:
            raise DemoError(
                f"the API server at {self.server} does not answer: is its cluster up? ({type(error).__name__})"
            ) from error
        content: Json = json.loads(answer.data or b"{}") if _is_json(answer) else {}
        if answer.status < 300:
            return content
        if missing_ok and answer.status == 404:
            return {}
        raise DemoError(f"{method} {path} was refused ({answer.status}): {content.get('message') or answer.reason}")

    def apply(self, document: Json, namespace: str = "") -> Json:
        """Make the object as the document says, whatever it was before."""
        path = f"{self.path(document['kind'], namespace)}/{document['metadata']['name']}"
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return self.request("PATCH", path, body=document, query=query, content_type=APPLY)

    def get(self, kind: str, name: str, namespace: str = "") -> Json:
        """An object, or an empty answer when it is not there."""
        return self.request("GET", f"{self.path(kind, namespace)}/{name}", missing_ok=True)

    def items(self, kind: str, namespace: str, selector: str) -> Sequence[Json]:
        """Objects by their labels."""
        found = self.request("GET", self.path(kind, namespace), query={"labelSelector": selector})
        items: Sequence[Json] = found["items"]
        return items

    def merge(self, kind: str, name: str, namespace: str, change: Json) -> Json:
        """Change some fields of an object."""
        return self.request("PATCH", f"{self.path(kind, namespace)}/{name}", body=change, content_type=MERGE)

    def delete_all(self, kind: str, namespace: str, selector: str) -> None:
        """Delete objects by their labels, and what they own."""
        body: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        self.request("DELETE", self.path(kind, namespace), body=body, query={"labelSelector": selector})

    @staticmethod
    def path(kind: str, namespace: str) -> str:
        """Where objects of a kind are."""
        return PATHS[kind].format(namespace=namespace)


def _is_json(answer: Any) -> bool:
    return "json" in str(answer.headers.get("Content-Type", ""))
