"""The chart's admission policies on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes import client as kubernetes

from cluster_tools import chart
from localcluster.tools import tool

Json = dict[str, Any]

_GROUP = "admissionregistration.k8s.io"
_KINDS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


@contextmanager
def installed(client: kubernetes.ApiClient, name: str, **values: Any) -> Iterator[None]:
    """One policy of the chart and its binding, for as long as the context lasts; the API server takes a moment."""
    rendered = chart.render(tool("helm"), **values)
    custom: Any = kubernetes.CustomObjectsApi(client)
    for kind, plural in _KINDS.items():
        custom.create_cluster_custom_object(_GROUP, "v1", plural, rendered.one(kind, name))
    try:
        yield
    finally:
        for plural in _KINDS.values():
            custom.delete_cluster_custom_object(_GROUP, "v1", plural, name)


def refusal(*arguments: Any, **keywords: Any) -> str:
    """What the API server says to a call that it refuses."""
    call, *rest = arguments
    with pytest.raises(kubernetes.ApiException) as caught:
        call(*rest, **keywords)
    assert caught.value.status == 403
    return str(caught.value.body)
