"""The small HTTP server: /metrics for Prometheus, /healthz and /readyz for the kubelet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from aiohttp import web

from taskq.errors import SettingsError
from taskq.observability.metrics import Metrics
from taskq.settings import say, split_address

log = logging.getLogger(__name__)

Checks = Mapping[str, Callable[[], str | None]]
"""By name, what to ask: None when all is well, else the problem in a few words. Must not block."""

SHUTDOWN_SECONDS = 1.0
"""For scrapes under way when the process ends; a scraper asks again."""


class Server:
    """Answers as long as the event loop does, which is itself the first thing that /healthz tells.

    `health`: a failing check means that only a restart helps. `ready`: that this process can't do its work
    yet; a standby that could take over is ready.
    """

    def __init__(self, address: str, metrics: Metrics, *, health: Checks, ready: Checks) -> None:
        """`address` as in the setting http_address. Nothing listens before `start`."""
        self._address = address
        self._metrics = metrics
        self._health = health
        self._ready = ready
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/readyz", self._serve_readiness)
        app.on_response_prepare.append(_add_headers)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Listen; SettingsError when that is impossible at this address."""
        host, port = split_address(self._address)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            reason = error.strerror or str(error)
            raise SettingsError(f"{say('http_address')}: cannot listen on {self._address}: {reason}") from error

    async def stop(self) -> None:
        """Stop listening and end what is under way. May be called twice, and without `start`."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that it listens on: the one asked for, or the free one that was found for port 0."""
        return int(self._runner.addresses[0][1])

    async def _serve_metrics(self, request: web.Request) -> web.Response:
        body, content_type = await self._metrics.page(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _serve_health(self, _request: web.Request) -> web.Response:
        return _answer(self._health)

    async def _serve_readiness(self, _request: web.Request) -> web.Response:
        return _answer(self._ready)


def _answer(checks: Checks) -> web.Response:
    """One line a check, and 503 if one of them found a problem."""
    problems = {name: _problem(name, check) for name, check in checks.items()}
    lines = [f"{name}: {problem or 'ok'}\n" for name, problem in problems.items()]
    return web.Response(status=503 if any(problems.values()) else 200, text="".join(lines) or "ok\n")


def _problem(name: str, check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except Exception as error:  # a check that fails has found something, if only itself
        log.exception("the check %s failed", name)
        return f"the check itself failed with {type(error).__name__}"


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Nothing here is worth caching, guessing a type for, or telling versions by."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "taskq"
