"""The operator of a cluster, as seen from outside: its Lease, its Service, what its HTTP server says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode

from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import LEASE, SERVICE, Object, name_of, namespace_of
from taskq.cli.options import CLUSTER
from taskq.cli.text import parsed

LEASE_NAME = "taskq-operator"
"""The default of the operator's setting --lease-name."""
LABELS = "app.kubernetes.io/part-of=taskq"
"""What the chart puts on all that it makes."""
URL_VARIABLE = "TASKQ_OPERATOR_URL"
LOCAL_SECONDS = 10.0


class Leader(NamedTuple):
    """Who leads, by the Lease; times are epoch seconds, durations seconds."""

    namespace: str
    holder: str
    renewed: float
    duration: float


class Operator:
    """The operator, reached at a URL that was given, or by its Service through the API server."""

    def __init__(self, api: Api, url: str, lease_name: str) -> None:
        """Nothing is asked yet."""
        self._api = api
        self._url = url.rstrip("/")
        self.lease_name = lease_name

    def leaders(self) -> list[Leader]:
        """The Leases of operators: several when they serve different namespaces. ApiRefused without the right."""
        found = self._api.list(LEASE, None, fields=f"metadata.name={self.lease_name}")
        return [leader for lease in found if (leader := _leader(lease)) is not None]

    @cached_property
    def services(self) -> list[Object]:
        """The Services of the chart, by which the API server reaches the operator's HTTP server."""
        return list(self._api.list(SERVICE, None, labels=LABELS))

    def ask(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        """What the operator answers; CliError when it can't be reached, with how it could."""
        if self._url:
            return self._ask_url(path, query)
        if not self.services:
            hint = f"name its address with --operator or {URL_VARIABLE}"
            raise CliError(f"no Service has the label {LABELS}, so the operator can't be asked; {hint}")
        service = self.services[0]
        port = service["spec"]["ports"][0]
        name = f"{name_of(service)}:{port.get('name') or port['port']}"
        base = SERVICE.path(namespace_of(service), name)
        return self._api.text(f"{base}/proxy{path}", query=query)

    def _ask_url(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        import urllib3

        url = f"{self._url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            answer = urllib3.request("GET", url, timeout=LOCAL_SECONDS, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise CliError(f"nobody answers at {self._url}; --operator names the operator's http_address") from error
        text = answer.data.decode("utf-8", "replace")
        if answer.status >= 400:
            raise ApiRefused(f"{url} answers {answer.status}: {text.strip()[:200]}", status=answer.status)
        return text

    def json(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Any:
        """An answer that is JSON."""
        try:
            return json.loads(self.ask(path, query))
        except ValueError as error:
            raise CliError(f"the operator's answer at {path} is no JSON: {error}") from error

    def metrics(self) -> list[tuple[str, dict[str, str], float]]:
        """Its metrics: name, labels, value."""
        return list(series(self.ask("/metrics")))


def series(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """The samples of a page of metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield sample.name, dict(sample.labels), float(sample.value)


def _leader(lease: Object) -> Leader | None:
    spec = lease.get("spec") or {}
    renewed = parsed(spec.get("renewTime"))
    if renewed is None:
        return None
    holder = str(spec.get("holderIdentity") or "")
    return Leader(namespace_of(lease), holder, renewed.timestamp(), float(spec.get("leaseDurationSeconds") or 0))


def _reach(operator_url: str, lease_name: str) -> Callable[[Api], Operator]:
    url = operator_url or os.environ.get(URL_VARIABLE, "")
    return lambda api: Operator(api, url, lease_name)


reached = bundle(
    "reach",
    _reach,
    option(
        "--operator",
        "operator_url",
        default="",
        metavar="URL",
        section=CLUSTER,
        help=f"Where the operator's HTTP server is; else {URL_VARIABLE}, else its Service, through the API server.",
    ),
    option("--lease-name", default=LEASE_NAME, metavar="NAME", section=CLUSTER, help="The operator's --lease-name."),
)
"""Gives a command `reach: Callable[[Api], Operator]`."""
