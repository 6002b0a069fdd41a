"""Writes the status of an object of which there are few: a TaskQueue, a Schedule, a TaskTemplate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from taskq.cluster.effects import MERGE_PATCH, TASKS
from taskq.cluster.session import Api
from taskq.cluster.store import Known, Store

T = TypeVar("T", bound=Known)

_encode = msgspec.json.Encoder().encode


async def write_status(
    api: Api, store: Store[T], decode: Callable[[bytes], T], plural: str, obj: T, patch: Mapping[str, object]
) -> bool:
    """Patch the status of the very version that was decided on, take in what the answer shows, say whether it stands.

    An object that is gone or changed meanwhile is left alone: the watch tells, and the next round writes. Raises
    :class:`taskq.errors.RequestError` on anything else.
    """
    meta = obj.metadata
    body = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "status": patch}
    path = f"{TASKS}/namespaces/{meta.namespace}/{plural}/{meta.name}/status"
    reply = await api.request("PATCH", path, body=_encode(body), content_type=MERGE_PATCH)
    if reply.status in (404, 409):
        return False
    store.apply(decode(reply.checked().body))
    return True
