"""kopf's part: start-up, login, clean-up, and the kinds that come by the handful.

kopf only watches (``on.event`` costs no API write), and a handler only wakes: kopf has no list boundary and loses
deletions on a re-list, so what decisions read are the informers' complete stores.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import kopf

from taskq.cluster.session import Session
from taskq.resources.common import GROUP, VERSION


class _NoDiffs(kopf.DiffBaseStorage):
    """Nothing is compared with an earlier version, so nothing is stored in the users' objects."""

    def fetch(self, *, body: kopf.Body) -> None:
        """Know no earlier version; a malformed annotation of a tenant can't hide an object either."""

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class _NoProgress(kopf.ProgressStorage):
    """No handler is retried by kopf, so no progress is stored in the users' objects."""

    def fetch(self, *, key: str, body: kopf.Body) -> None:
        """Know no progress."""

    def store(self, *, key: str, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Store nothing."""

    def purge(self, *, key: str, body: kopf.Body, patch: kopf.Patch) -> None:
        """Have nothing to purge."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Have nothing to clear."""
        return essence


def registry(session: Session, *, wake: Callable[[], None], stop: Callable[[], Awaitable[None]]) -> Any:
    """The handlers of one operator, in a registry of its own."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.startup(registry=handlers, id="configure")
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.scanning.disabled = True
        settings.posting.enabled = False
        settings.persistence.diffbase_storage = _NoDiffs()
        settings.persistence.progress_storage = _NoProgress()
        settings.process.ultimate_exiting_timeout = 20

    @kopf.on.login(registry=handlers, id="login")
    async def login(**_: Any) -> kopf.AiohttpSession:
        return kopf.AiohttpSession(aiohttp_session=session.aiohttp_session, server=session.server)

    @kopf.on.event(GROUP, VERSION, "taskqueues", registry=handlers, id="wake")
    async def on_queue(**_: Any) -> None:
        wake()

    @kopf.on.cleanup(registry=handlers, id="stop")
    async def clean_up(**_: Any) -> None:
        await stop()

    return handlers


async def run(
    handlers: Any,
    *,
    identity: str,
    namespaces: tuple[str, ...],
    stop_flag: Any,
    memo: MutableMapping[str, Any] | None = None,
) -> None:
    """Run kopf until it is told to stop, by a signal or by the flag (an :class:`asyncio.Event`).

    ``identity`` is this replica's; kopf would make one of the user's name, which not every user has.
    """
    await kopf.operator(
        registry=handlers,
        standalone=True,
        identity=cast("Any", identity),  # kopf has no public name for its type of strings
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=stop_flag,
        memo=memo,
    )
