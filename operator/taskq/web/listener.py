"""Where the answers can be had: at an address of this machine, or with TLS at any."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from aiohttp import web

from taskq.errors import SettingsError
from taskq.settings import Settings, say, split_address

log = logging.getLogger(__name__)

RELOAD_SECONDS = 60.0
"""How often the certificate's files are looked at: whoever renews them does so days before they expire."""

_KEEPALIVE_SECONDS = 15.0


class Listener:
    """Serves one application at ``api_address``; nothing listens before :meth:`start`."""

    def __init__(self, settings: Settings, app: web.Application) -> None:
        """The settings say where and how."""
        self._settings = settings
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, keepalive_timeout=_KEEPALIVE_SECONDS)
        self._files = [Path(name) for name in (settings.api_tls_cert_file, settings.api_tls_key_file) if name]
        self._tls: ssl.SSLContext | None = None
        self._loaded: tuple[int, ...] = ()
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; SettingsError when that is impossible at this address, or with this certificate."""
        if self._files:
            self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            self._load()
            self._watching = asyncio.create_task(self._watch())
        host, port = split_address(self._settings.api_address)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self.stop()
            reason = error.strerror or str(error)
            where = self._settings.api_address
            raise SettingsError(f"{say('api_address')}: cannot listen on {where}: {reason}") from error

    async def stop(self) -> None:
        """Stop listening; may be called twice, and without :meth:`start`."""
        if self._watching:
            self._watching.cancel()
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._runner.addresses[0][1])

    def _load(self) -> None:
        assert self._tls is not None
        try:
            self._loaded = tuple(path.stat().st_mtime_ns for path in self._files)
            self._tls.load_cert_chain(self._files[0], self._files[1])
        except (OSError, ssl.SSLError) as error:
            names = f"{say('api_tls_cert_file')}, {say('api_tls_key_file')}"
            raise SettingsError(f"{names}: {', '.join(map(str, self._files))} can't be used: {error}") from error

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                if tuple(path.stat().st_mtime_ns for path in self._files) != self._loaded:
                    self._load()
                    log.info("the certificate of the API was read again")
            except (OSError, SettingsError) as error:
                log.warning("the certificate of the API stays as it is: %s", error)
