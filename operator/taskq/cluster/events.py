"""Kubernetes Events: for people who run ``kubectl describe``; never needed for correctness, so never waited for."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from typing import Any

import msgspec

from taskq.clock import Clock
from taskq.cluster.session import Api
from taskq.cluster.store import Known
from taskq.cluster.waker import Waker
from taskq.domain.model import stamp
from taskq.errors import RequestError
from taskq.resources.common import API_VERSION

logger = logging.getLogger(__name__)

BACKLOG = 1000
"""Events that wait to be sent; in a storm of failures the oldest are dropped, since the statuses say the same."""

MESSAGE_MAX = 1024
IDLE_SECONDS = 60.0
COMPONENT = "taskq-operator"

_encode = msgspec.json.Encoder().encode


class Events:
    """Sends Events one after the other, not faster than the limit."""

    def __init__(self, api: Api, clock: Clock, *, per_second: float) -> None:
        """``per_second`` 0 sends none."""
        self._api = api
        self._clock = clock
        self._per_second = per_second
        self._waiting: deque[dict[str, Any]] = deque(maxlen=BACKLOG)
        self._waker = Waker()
        self._sent = 0

    def emit(self, about: Known, reason: str, message: str, *, warning: bool, kind: str = "Task") -> None:
        """Tell about an object of TaskQ."""
        if not self._per_second:
            return
        now = self._clock.now()
        meta = about.metadata
        self._sent += 1
        digest = hashlib.sha256(f"{meta.uid}/{now}/{self._sent}".encode()).hexdigest()[:16]
        self._waiting.append(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{meta.name}.{digest}", "namespace": meta.namespace},
                "involvedObject": {
                    "apiVersion": API_VERSION,
                    "kind": kind,
                    "name": meta.name,
                    "namespace": meta.namespace,
                    "uid": meta.uid,
                },
                "reason": reason,
                "message": message[:MESSAGE_MAX],
                "type": "Warning" if warning else "Normal",
                "source": {"component": COMPONENT},
                "firstTimestamp": stamp(now),
                "lastTimestamp": stamp(now),
                "count": 1,
            }
        )
        self._waker.wake()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            while self._waiting:
                event = self._waiting.popleft()
                path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
                try:
                    (await self._api.request("POST", path, body=_encode(event), timeout=10)).checked()
                except RequestError as error:
                    logger.debug("an Event was not taken: %s", error)
                await asyncio.sleep(1 / self._per_second)
            await self._waker.rest(IDLE_SECONDS)
