"""The session says honestly what it knows, sends a write once, and splits a watch into its lines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from taskq.clock import SystemClock
from taskq.cluster.credentials import Cluster, Credential, FileLogin, Login
from taskq.cluster.session import WATCHES, Session, describe
from taskq.errors import ApiError, CredentialsError, NotSent, Unanswered

Talk = Callable[["Peer", "Request"], Awaitable[bool]]


class Request:
    """What arrived, as it arrived."""

    def __init__(self, head: bytes, body: bytes) -> None:
        line, *headers = head.decode().split("\r\n")
        self.method, self.target, _ = line.split(" ")
        self.headers = {k.lower(): v for k, _, v in (header.partition(": ") for header in headers)}
        self.body = body


class Peer:
    """One connection, seen from the server; what it says is bytes, so that it may say anything."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hear(self) -> Request:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(Request(head[:-4], b"").headers.get("content-length", 0))
        return Request(head[:-4], await self.reader.readexactly(length))

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"{}", *headers: str) -> bool:
        lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers)
        await self.say("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True

    async def stream(self, *chunks: bytes) -> None:
        await self.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for data in chunks:
            await self.say(b"%x\r\n%s\r\n" % (len(data), data))

    async def end(self) -> bool:
        await self.say(b"0\r\n\r\n")
        return True


class Server:
    """An HTTP server that does to each request what the test says; False ends the connection."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.heard: list[Request] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                request = await peer.hear()
                self.heard.append(request)
                if not await self.talk(peer, request):
                    break
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def serving(talk: Talk) -> AsyncIterator[Server]:
    server = Server(talk)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, limit=2**24)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


@asynccontextmanager
async def session_to(url: str, login: Login | None = None, **settings: Any) -> AsyncIterator[Session]:
    clock = SystemClock()
    async with Session(Cluster(url, login or FileLogin(clock)), clock, **settings) as session:
        yield session


async def fine(peer: Peer, _request: Request) -> bool:
    return await peer.answer(200)


async def hang(_peer: Peer, _request: Request) -> bool:
    await asyncio.sleep(1e6)
    return False


async def cut(_peer: Peer, _request: Request) -> bool:
    return False


async def test_paths_and_selectors_arrive_as_they_were_meant() -> None:
    async with serving(fine) as server, session_to(server.url) as session:
        await session.request("GET", "/apis/x/y:z", query={"labelSelector": "a in (b,c),!d,e=f g+h&i"})
        assert server.heard[0].target == ("/apis/x/y:z?labelSelector=a%20in%20%28b%2Cc%29%2C%21d%2Ce%3Df%20g%2Bh%26i")
        assert server.heard[0].headers["accept-encoding"] == "identity"
        assert server.heard[0].headers["user-agent"].startswith("taskq-operator/")


async def test_body_content_type_and_server_timeout_are_sent() -> None:
    async with serving(fine) as server, session_to(server.url) as session:
        await session.request(
            "PATCH", "/x", body=b'{"a":1}', content_type="application/merge-patch+json", server_timeout=4.0
        )
        await session.request("POST", "/x", query={"dryRun": "All"}, body=b"{}", server_timeout=0.5)
        first, second = server.heard
        assert (first.target, first.body) == ("/x?timeout=4s", b'{"a":1}')
        assert first.headers["content-type"] == "application/merge-patch+json"
        assert second.target == "/x?dryRun=All&timeout=0.5s"


async def test_every_status_is_a_reply() -> None:
    async def busy(peer: Peer, request: Request) -> bool:
        return await peer.answer(int(request.target[1:]), b'{"reason":"Why"}', "Retry-After: 7")

    async with serving(busy) as server, session_to(server.url) as session:
        for status in (200, 201, 302, 404, 409, 422, 429, 500):
            reply = await session.request("GET", f"/{status}")
            assert reply == (status, b'{"reason":"Why"}', 7.0)
        with pytest.raises(ApiError, match="500 Why"):
            reply.checked()


async def test_a_refused_connection_is_not_sent() -> None:
    async with serving(fine) as server:
        url = server.url
    async with session_to(url) as session:
        with pytest.raises(NotSent):
            await session.request("POST", "/x", body=b"{}")
        with pytest.raises(NotSent):
            await anext(session.watch("/x", {}))


async def test_a_failed_tls_handshake_is_not_sent() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, session_to(f"https://127.0.0.1:{port}") as session:
        with pytest.raises(NotSent):
            await session.request("POST", "/x", body=b"{}")


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_a_write_whose_connection_breaks_is_unanswered_and_never_sent_again(method: str) -> None:
    async with serving(cut) as server, session_to(server.url) as session:
        with pytest.raises(Unanswered):
            await session.request(method, "/x", body=b"{}")
        assert len(server.heard) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
async def test_a_write_on_a_kept_connection_that_the_server_closes_is_unanswered_and_sent_once(method: str) -> None:
    async def once(peer: Peer, _request: Request) -> bool:
        return len(server.heard) == 1 and await peer.answer(200)

    async with serving(once) as server, session_to(server.url) as session:
        await session.request("GET", "/first")
        with pytest.raises(Unanswered):
            await session.request(method, "/x", body=b"{}")
        assert [request.method for request in server.heard] == ["GET", method]


async def test_a_read_on_a_closed_connection_is_sent_once_more() -> None:
    async def second(peer: Peer, _request: Request) -> bool:
        return len(server.heard) == 2 and await peer.answer(200)

    async with serving(second) as server, session_to(server.url) as session:
        assert (await session.request("GET", "/x")).ok
        assert len(server.heard) == 2


async def test_a_late_answer_is_unanswered() -> None:
    async with serving(hang) as server, session_to(server.url) as session:
        with pytest.raises(Unanswered):
            await session.request("POST", "/x", body=b"{}", timeout=0.1)


async def test_an_answer_cut_short_is_unanswered() -> None:
    async def short(peer: Peer, _request: Request) -> bool:
        await peer.say(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{")
        return False

    async with serving(short) as server, session_to(server.url) as session:
        with pytest.raises(Unanswered):
            await session.request("POST", "/x", body=b"{}")


async def test_no_place_in_the_pool_in_time_is_not_sent() -> None:
    async with serving(hang) as server, session_to(server.url, pool_limit=1) as session:
        holders = [asyncio.create_task(session.request("GET", "/x")) for _ in range(1 + WATCHES)]
        while len(server.heard) < len(holders):
            await asyncio.sleep(0.01)
        with pytest.raises(NotSent):
            await session.request("POST", "/x", body=b"{}", timeout=0.1)
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)


async def test_a_closed_session_sends_nothing() -> None:
    async with serving(fine) as server:
        async with session_to(server.url) as session:
            pass
        with pytest.raises(NotSent):
            await session.request("GET", "/x")


async def test_a_watch_yields_whole_lines_however_they_arrive() -> None:
    long = b'{"blob":"' + b"x" * 3_000_000 + b'"}'
    stream = b'{"a":1}\n{"b":2}\n\n' + long + b"\n" + b'{"c":3}\n'

    async def pieces(peer: Peer, _request: Request) -> bool:
        await peer.stream(stream[:3], stream[3:20], *(stream[n : n + 50_000] for n in range(20, len(stream), 50_000)))
        return await peer.end()

    async with serving(pieces) as server, session_to(server.url) as session:
        lines = [line async for line in session.watch("/x", {"resourceVersion": "7"})]
        assert lines == [b'{"a":1}', b'{"b":2}', long, b'{"c":3}']
        assert server.heard[0].target == "/x?resourceVersion=7&watch=true"


async def test_a_watch_that_is_refused_raises_what_the_server_said() -> None:
    async def expired(peer: Peer, _request: Request) -> bool:
        return await peer.answer(410, json.dumps({"reason": "Expired", "message": "too old"}).encode())

    async with serving(expired) as server, session_to(server.url) as session:
        with pytest.raises(ApiError) as caught:
            await anext(session.watch("/x", {}))
        assert caught.value.is_gone
        assert caught.value.message == "too old"


async def test_a_watch_that_breaks_is_unanswered_after_the_lines_that_came() -> None:
    async def broken(peer: Peer, _request: Request) -> bool:
        await peer.stream(b'{"a":1}\n{"b"')
        return False

    async with serving(broken) as server, session_to(server.url) as session:
        watch = session.watch("/x", {})
        assert await anext(watch) == b'{"a":1}'
        with pytest.raises(Unanswered):
            await anext(watch)


async def test_a_silent_watch_is_unanswered() -> None:
    async def silent(peer: Peer, _request: Request) -> bool:
        await peer.stream(b'{"a":1}\n')
        await asyncio.sleep(1e6)
        return False

    async with serving(silent) as server, session_to(server.url, inactivity_seconds=0.2) as session:
        watch = session.watch("/x", {})
        assert await anext(watch) == b'{"a":1}'
        with pytest.raises(Unanswered):
            await anext(watch)


async def test_a_watch_that_is_closed_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def endless(peer: Peer, _request: Request) -> bool:
        await peer.stream(b'{"a":1}\n')
        await peer.reader.read()
        gone.set()
        return False

    async with serving(endless) as server, session_to(server.url) as session:
        async with aclosing(session.watch("/x", {})) as watch:
            await anext(watch)
        await asyncio.wait_for(gone.wait(), 5)


class Tokens:
    """A login with a list of tokens; the last one stays."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = [Credential(token) for token in tokens]
        self.renewals = 0

    async def current(self) -> Credential:
        return self.tokens[0]

    async def renew(self, refused: Credential) -> Credential:
        self.renewals += 1
        if refused is self.tokens[0] and len(self.tokens) > 1:
            self.tokens.pop(0)
        return self.tokens[0]


async def only_new(peer: Peer, request: Request) -> bool:
    good = request.headers["authorization"] == "Bearer new"
    return await peer.answer(201 if good else 401, request.body)


async def test_401_renews_the_credentials_and_sends_again_once() -> None:
    login = Tokens("old", "new")
    async with serving(only_new) as server, session_to(server.url, login) as session:
        assert await session.request("POST", "/x", body=b'{"a":1}') == (201, b'{"a":1}', None)
        assert (await session.request("GET", "/x")).status == 201
        assert login.renewals == 1
        assert [request.headers["authorization"] for request in server.heard] == [
            "Bearer old",
            "Bearer new",
            "Bearer new",
        ]


async def test_401_again_is_a_reply() -> None:
    async with serving(only_new) as server, session_to(server.url, Tokens("old", "older")) as session:
        assert (await session.request("GET", "/x")).status == 401
        assert len(server.heard) == 2


async def test_401_without_newer_credentials_is_a_reply_at_once() -> None:
    async with serving(only_new) as server, session_to(server.url, Tokens("old")) as session:
        assert (await session.request("GET", "/x")).status == 401
        with pytest.raises(ApiError) as caught:
            await anext(session.watch("/x", {}))
        assert caught.value.is_unauthorized
        assert len(server.heard) == 2


async def test_a_login_that_fails_means_not_sent() -> None:
    class Broken(Tokens):
        async def current(self) -> Credential:
            if self.tokens:
                return self.tokens.pop()
            raise CredentialsError("the plug-in is gone")

    async with serving(fine) as server, session_to(server.url, Broken("first")) as session:
        with pytest.raises(NotSent, match="the plug-in is gone"):
            await session.request("GET", "/x")
        assert server.heard == []


async def test_a_login_that_fails_at_the_start_is_told_as_it_is() -> None:
    class Broken(Tokens):
        async def current(self) -> Credential:
            raise CredentialsError("the plug-in is gone")

    with pytest.raises(CredentialsError):
        async with session_to("http://127.0.0.1:1", Broken()):
            pass


async def test_others_that_borrow_the_session_get_the_credentials_too() -> None:
    async with serving(only_new) as server, session_to(server.url, Tokens("old", "new")) as session:
        async with session.aiohttp_session.get(f"{session.server}/x") as response:
            assert response.status == 201
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.aiohttp_session.get("http://127.0.0.1:1/")


async def test_others_may_close_what_they_borrowed_and_borrow_again() -> None:
    async with serving(fine) as server, session_to(server.url) as session:
        first = session.aiohttp_session
        async with first.get(f"{server.url}/x") as response:
            assert response.status == 200
        await first.close()
        assert (await session.request("GET", "/x")).ok
        second = session.aiohttp_session
        assert second is not first
        async with second.get(f"{server.url}/x") as response:
            assert response.status == 200
    assert second.closed


async def test_every_request_is_observed_with_verb_resource_and_code() -> None:
    seen: list[tuple[str, str, str]] = []

    async def talk(peer: Peer, request: Request) -> bool:
        if "watch" in request.target:
            await peer.stream(b"{}\n")
            return await peer.end()
        return request.method != "DELETE" and await peer.answer(201)

    def observe(verb: str, resource: str, code: str, seconds: float) -> None:
        assert 0 <= seconds < math.inf
        seen.append((verb, resource, code))

    async with serving(talk) as server, session_to(server.url, observe=observe) as session:
        await session.request("POST", "/apis/batch/v1/namespaces/ns/jobs", body=b"{}")
        with pytest.raises(Unanswered):
            await session.request("DELETE", "/apis/batch/v1/namespaces/ns/jobs/x")
        async for _ in session.watch("/apis/batch/v1/jobs", {}):
            pass
    assert seen == [("create", "jobs", "201"), ("delete", "jobs", "Unanswered"), ("watch", "jobs", "200")]


@pytest.mark.parametrize(
    ("method", "path", "names"),
    [
        ("GET", "/apis/batch/v1/jobs", ("list", "jobs")),
        ("GET", "/apis/batch/v1/namespaces/ns/jobs", ("list", "jobs")),
        ("GET", "/api/v1/namespaces/ns/pods/x", ("get", "pods")),
        ("GET", "/api/v1/namespaces/ns/pods/x/log", ("get", "pods/log")),
        ("PATCH", "/apis/taskq.dev/v1alpha1/namespaces/ns/tasks/x/status", ("patch", "tasks/status")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/x", ("update", "leases")),
        ("POST", "/api/v1/namespaces", ("create", "namespaces")),
        ("GET", "/api/v1/namespaces/ns", ("get", "namespaces")),
        ("GET", "/version", ("get", "version")),
        ("GET", "/apis", ("list", "")),
    ],
)
def test_requests_are_described_without_the_names_of_objects(method: str, path: str, names: tuple[str, str]) -> None:
    assert describe(method, path) == names
