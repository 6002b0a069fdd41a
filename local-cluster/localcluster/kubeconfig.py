"""Kubeconfig files with the certificates inside, so that one can be copied anywhere on its own."""

from __future__ import annotations

import base64
from pathlib import Path

_TEMPLATE = """\
apiVersion: v1
kind: Config
current-context: {context}
clusters:
- name: {context}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
contexts:
- name: {context}
  context:
    cluster: {context}
    user: {user}
users:
- name: {user}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"""


def render(context: str, server: str, pki: Path, user: str) -> str:
    """The kubeconfig of one user, whose certificate `pki` holds."""

    def data(name: str) -> str:
        return base64.b64encode((pki / name).read_bytes()).decode()

    return _TEMPLATE.format(
        context=context,
        server=server,
        user=user,
        authority=data("ca.crt"),
        certificate=data(f"{user}.crt"),
        key=data(f"{user}.key"),
    )
