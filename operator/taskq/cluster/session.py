"""One pooled HTTP session to the API server, and the protocol that hides it from everything above."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from yarl import URL

from taskq import __version__
from taskq.clock import Clock
from taskq.cluster.credentials import Cluster, Credential, KeyPair, show_certificate, tls_context
from taskq.errors import ApiError, CredentialsError, NotSent, RequestError, Unanswered

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
"""How long one connection may take to stand, TLS included: an API server across the world answers in 1."""

IDLE_SECONDS = 30.0
"""How long an unused connection is kept: less than the 90 s after which the API server closes it."""

WATCHES = 16
"""Connections beyond the pool's limit: each watch holds one for minutes, launchers must not wait for it."""

WATCH_BUFFER = 256 * 1024
"""Bytes read at once from a watch: a burst of a hundred Task events comes in one piece."""

LINE_LIMIT = 32 * 1024 * 1024
"""Bytes of one watch event: ten times what etcd takes; more is not an API server speaking."""


class Reply(NamedTuple):
    """An HTTP answer, whatever its status; `retry_after` is in seconds, when the server sent one."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the server did as asked."""
        return self.status < 300

    @property
    def uncertain(self) -> bool:
        """Whether a write so answered may have been applied all the same, now or a little later.

        A server that gives up waiting for etcd answers 504 (after `server_timeout`, too) or 500; etcd may
        still carry out the transaction when it wakes. Repeating the write is the only certain answer.
        """
        return self.status >= 500

    def error(self) -> ApiError:
        """The same answer as an exception, for callers that treat this status as a failure."""
        return ApiError.from_answer(self.status, self.body, self.retry_after)

    def checked(self) -> Reply:
        """This answer if it is a good one; raises it as `ApiError` if not."""
        if not self.ok:
            raise self.error()
        return self


class Api(Protocol):
    """What informers, lease and effects need of a cluster; the simulation implements it in memory."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
        server_timeout: float | None = None,
    ) -> Reply:
        """Send one request and return the answer, whatever its status.

        `timeout` bounds the whole exchange, in seconds. `server_timeout` asks the server to give up
        on a write after so many seconds of its own: a late one is not begun after that, but one that
        was handed to a stalled etcd may still be applied (see `Reply.uncertain`).
        Raises `NotSent` when nothing left this process, `Unanswered` when that is not certain.
        """

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, one JSON event each; ends when the server ends it.

        The query is the caller's (resourceVersion, allowWatchBookmarks, timeoutSeconds, selectors);
        `watch=true` is added here. Raises `ApiError` on an answer other than 200, `NotSent` or
        `Unanswered` on a connection that fails, breaks, or stays silent for too long. Close the
        generator (`aclose`) to end the watch early.
        """


Observe = Callable[[str, str, str, float], None]
"""Told of every request: verb (create, list, …), resource (jobs, tasks/status, …), code, seconds."""


@dataclass(slots=True)
class _Progress:
    """How far one request came."""

    connected: bool = False


_progress: ContextVar[_Progress | None] = ContextVar("_progress", default=None)
"""That of the request which this task is sending; kopf's requests have none."""


class _NotRepeated(aiohttp.ClientConnectionError):
    """A connection that broke under a write: of a class which aiohttp does not answer by sending again."""


class _Connector(aiohttp.TCPConnector):
    """A pool that tells a request when it has its connection (nothing was sent before), and that does not
    use a connection again which was made before our certificate changed.
    """

    def __init__(self, limit: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(limit=limit, keepalive_timeout=IDLE_SECONDS, ssl=True if tls is None else tls)
        self.epoch = 0
        self._made: WeakKeyDictionary[object, int] = WeakKeyDictionary()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if self._made.setdefault(connection.protocol, self.epoch) == self.epoch:
                break
            connection.close()
        progress = _progress.get()
        if progress is not None:
            progress.connected = True
        return connection


class Session(Api):
    """The API server over HTTP/1.1: one pool of connections, TLS, credentials that renew themselves.

    Make it on the running loop, and close it. kopf is lent `aiohttp_session` and `server`: its requests
    then get the same credentials, the same TLS and a place in the same pool.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        *,
        pool_limit: int = 32,
        inactivity_seconds: float = 90.0,
        observe: Observe | None = None,
    ) -> None:
        """Connect to nothing yet. `inactivity_seconds`: a watch silent for so long is broken (the
        server sends a bookmark about each minute).
        """
        self.server = cluster.server
        self._cluster = cluster
        self._clock = clock
        self._inactivity = inactivity_seconds
        self._observe = observe
        self._tls: ssl.SSLContext | None = tls_context(cluster)
        self._shown: KeyPair | None = None
        self._connector = _Connector(pool_limit + WATCHES, self._tls)
        self._http = self._client()
        self._lent: list[aiohttp.ClientSession] = []

    @property
    def aiohttp_session(self) -> aiohttp.ClientSession:
        """A new client on the same connections, for others to use and to close.

        kopf closes what it was given after any 401, and takes none that it was given before: so the
        login handler asks here each time, and our own requests never depend on what kopf closed.
        """
        self._lent = [client for client in self._lent if not client.closed]
        self._lent.append(self._client())
        return self._lent[-1]

    def _client(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # gzip costs both sides more CPU than a local network gains
                "User-Agent": f"taskq-operator/{__version__}",
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(self._authorize,),
            proxy=self._cluster.proxy_url or None,
        )

    async def __aenter__(self) -> Self:
        """Log in once, so that a wrong kubeconfig is reported at start and not by every request."""
        try:
            self._show(await self._cluster.login.current())
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection."""
        await self.close()

    async def close(self) -> None:
        """Close every connection; requests in flight end as `Unanswered`."""
        for client in (*self._lent, self._http):
            await client.close()
        await self._connector.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 30.0,
        server_timeout: float | None = None,
    ) -> Reply:
        """Send one request, see `Api.request`; only a GET is ever sent twice without being told to."""
        if server_timeout is not None:
            query = {**(query or {}), "timeout": f"{server_timeout:g}s"}
        progress, started, code = self._begin(), self._clock.uptime(), "cancelled"
        try:
            async with self._http.request(
                method,
                self._url(path, query),
                data=body,
                headers={"Accept": accept} if body is None else {"Accept": accept, "Content-Type": content_type},
                timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, CONNECT_SECONDS)),
                allow_redirects=False,
            ) as response:
                content = await response.read()
                code = str(response.status)
                return Reply(response.status, content, _retry_after(response))
        except (aiohttp.ClientError, OSError, CredentialsError) as error:  # OSError includes TimeoutError
            failure = _failure(error, progress, f"{method} {path}")
            code = type(failure).__name__
            raise failure from error
        finally:
            if self._observe is not None:
                verb, resource = describe(method, path)
                self._observe(verb, resource, code, self._clock.uptime() - started)

    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, see `Api.watch`; the time observed is that of its beginning."""
        progress, started = self._begin(), self._clock.uptime()
        try:
            async with self._http.get(
                self._url(path, {**query, "watch": "true"}),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=self._inactivity),
                allow_redirects=False,
                read_bufsize=WATCH_BUFFER,
            ) as response:
                if self._observe is not None:
                    resource = describe("GET", path)[1]
                    self._observe("watch", resource, str(response.status), self._clock.uptime() - started)
                if response.status != 200:
                    raise ApiError.from_answer(response.status, await response.read(), _retry_after(response))
                async for line in _lines(response.content):
                    yield line
        except (aiohttp.ClientError, OSError, CredentialsError) as error:
            raise _failure(error, progress, f"watch of {path}") from error

    def _begin(self) -> _Progress:
        if self._http.closed:
            raise NotSent("the session is closed")
        progress = _Progress()
        _progress.set(progress)
        return progress

    def _url(self, path: str, query: Mapping[str, str] | None) -> URL:
        asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return URL(f"{self.server}{quote(path, safe=_PATH_SAFE)}{asked}", encoded=True)

    async def _authorize(
        self,
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        """Middleware of every request, kopf's too: credentials, and no second sending of a write."""
        if self._cluster.tls_server_name:
            request.server_hostname = self._cluster.tls_server_name
        login = self._cluster.login
        credential = await login.current()
        response = await self._send_as(credential, request, send)
        if response.status != 401:
            return response
        try:
            renewed = await login.renew(credential)
        except CredentialsError as error:
            logger.warning("refused with 401, and there are no newer credentials: %s", error)
            return response
        if renewed is credential:
            return response
        response.close()
        return await self._send_as(renewed, request, send)

    async def _send_as(
        self,
        credential: Credential,
        request: aiohttp.ClientRequest,
        send: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        self._show(credential)
        request.headers.pop("Authorization", None)  # a renewed credential need not be of the same kind
        if credential.token:
            request.headers["Authorization"] = f"Bearer {credential.token}"
        try:
            return await send(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if request.method == "GET":
                raise  # the server may have closed a kept connection meanwhile: aiohttp tries once more
            raise _NotRepeated(str(error) or type(error).__name__) from error

    def _show(self, credential: Credential) -> None:
        pair = credential.key_pair
        if pair is None or pair is self._shown or self._tls is None:
            return
        show_certificate(self._tls, pair, self._cluster.origin)
        self._shown = pair
        self._connector.epoch += 1


_PATH_SAFE = "/:@!$&'()*+,;=~"
"""What may stand unescaped in a path (RFC 3986): names of RBAC objects have colons."""

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def describe(method: str, path: str) -> tuple[str, str]:
    """Return the verb and the resource of a request, as RBAC calls them; no names: they are metric labels."""
    parts = path.strip("/").split("/")
    if parts[0] not in {"api", "apis"}:
        return _VERBS.get(method, "get"), parts[0]
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    resource = "/".join((rest[0] if rest else "", *rest[2:3]))
    return _VERBS.get(method, "get" if len(rest) > 1 else "list"), resource


def _failure(error: Exception, progress: _Progress, what: str) -> RequestError:
    """Say what is known after a request failed: from the moment it had a connection, nothing is."""
    text = f"{what}: {str(error) or type(error).__name__}"
    return Unanswered(text) if progress.connected else NotSent(text)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None  # Kubernetes sends whole seconds, never a date


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Split a stream at its newlines, in time linear in its length however long a line is."""
    parts: list[bytes] = []
    length = 0
    async for chunk in content.iter_any():
        first, *others = chunk.split(b"\n")
        parts.append(first)
        length += len(first)
        if length > LINE_LIMIT:
            raise aiohttp.ClientPayloadError(f"a line of more than {LINE_LIMIT} bytes")
        if not others:
            continue
        whole = b"".join(parts)
        if whole:
            yield whole
        for line in others[:-1]:
            if line:
                yield line
        parts, length = [others[-1]], len(others[-1])
