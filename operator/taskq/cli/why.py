"""Why a Task does not run, its place in the queue, and when it is likely to start.

The operator's API answers when its address is given. Else the same code answers here, from the lists that the user may
see: it does not know the cluster-wide limit, nor Jobs that were refused a moment ago.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import JOB, POD, QUEUE, TASK, TEMPLATE, Kind, Object, name_of, namespace_of
from taskq.cli.options import CLUSTER
from taskq.cli.text import age, local, parsed
from taskq.resources.common import LABEL_TASK

URL_VARIABLE = "TASKQ_API_URL"
MOST = 20_000
"""Objects of a kind that are read for an answer; with more of them, ask the operator."""
SECONDS = 10.0
LOCAL = {"localhost", "127.0.0.1", "::1"}


def _url(api_url: str) -> str:
    return (api_url or os.environ.get(URL_VARIABLE, "")).rstrip("/")


answered = bundle(
    "api_url",
    _url,
    option(
        "--api-url",
        default="",
        metavar="URL",
        section=CLUSTER,
        help=f"Ask the operator at its api_address why a Task waits; else {URL_VARIABLE}; else it is computed here.",
    ),
)
"""Gives a command `api_url: str`."""


def explanation(api: Api, task: Object, api_url: str = "") -> Object:
    """The answer as the operator's API gives it; CliError, in words for people, when there is none."""
    return _asked(api, task, api_url) if api_url else _computed(api, task)


def _computed(api: Api, task: Object) -> Object:
    import msgspec

    from taskq.domain.explain import explain
    from taskq.domain.snapshot import board_of_documents, task_of

    namespace, now = namespace_of(task), api.clock.now()
    board = board_of_documents(
        tasks=_some(api, TASK, namespace, fields="status.settled!=True"),
        jobs=_some(api, JOB, namespace, labels=LABEL_TASK),
        pods=_some(api, POD, namespace, labels=f"{LABEL_TASK}={name_of(task)}"),
        queues=_some(api, QUEUE, namespace),
        templates=_some(api, TEMPLATE, namespace),
        now=now,
    )
    found: Object = msgspec.to_builtins(explain(board, task_of(task), now))
    return found


def _some(api: Api, kind: Kind, namespace: str, *, labels: str = "", fields: str = "") -> Iterator[Object]:
    for number, obj in enumerate(islice(api.list(kind, namespace, labels=labels, fields=fields), MOST + 1)):
        if number == MOST:
            words = f"namespace {namespace} has more than {MOST} {kind.plural}"
            raise CliError(f"{words}: too many to find the position here; ask the operator, with --api-url")
        yield obj


def _asked(api: Api, task: Object, url: str) -> Object:
    import urllib3

    where = urlsplit(url)
    token = api.bearer_token
    if token and where.scheme != "https" and where.hostname not in LOCAL:
        raise CliError(f"--api-url {url}: a token must not cross a network in the clear; use https, or a port-forward")
    path = f"{url}/v1/namespaces/{namespace_of(task)}/tasks/{name_of(task)}/why"
    headers = {"Authorization": token} if token else {}
    try:
        answer = urllib3.request("GET", path, headers=headers, timeout=SECONDS, retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise CliError(f"nobody answers at {url}; --api-url names the operator's api_address") from error
    if answer.status >= 400:
        text = answer.data.decode("utf-8", "replace").strip()[:300]
        raise ApiRefused(f"{url} answers {answer.status}: {text}", status=answer.status)
    found: Object = json.loads(answer.data)
    return found


def lines(found: Object, now: float) -> Iterator[str]:
    """The answer in words."""
    yield f"{found['reason']}: {found['message']}"
    if found.get("notBefore"):
        yield f"Not before {_time(found['notBefore'], now)}"
    ahead: dict[str, Any] = found.get("ahead") or {}
    if found.get("position") is not None:
        first = ", ".join(f"{one['name']} (priority {one['effectivePriority']})" for one in ahead.get("first") or ())
        more = ", …" if ahead.get("count", 0) > len(ahead.get("first") or ()) else ""
        yield f"Position {found['position']} in queue {found['queue']}" + (f", after {first}{more}" if first else "")
    elif ahead:
        yield f"More than {ahead['count']} Tasks start before it"
    for limit in found.get("limits") or ():
        if limit["message"] not in found["message"]:
            yield f"Also {limit['reason']}: {limit['message']}"
    estimate: dict[str, Any] | None = found.get("estimate")
    if estimate and estimate.get("startTime"):
        yield f"Likely to start {_time(estimate['startTime'], now)}: {estimate['why']}"
    elif estimate:
        yield f"When it starts can't be said: {estimate['why']}"
    if found.get("unsettled"):
        yield f"{found['unsettled']} Tasks changed a moment ago: the position may be off by so many"


def _time(text: str, now: float) -> str:
    moment = parsed(text)
    assert moment is not None
    left = moment.timestamp() - now
    return f"{local(moment)}, in {age(left)}" if left > 0 else "now"
