"""The JSON API over real sockets: who is asked about whom, what a slow API server costs, and what is refused."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from builders import T0, make_queue, make_task
from taskq.clock import SystemClock
from taskq.cluster.session import Reply
from taskq.cluster.store import Store
from taskq.domain.board import Board, Limits
from taskq.domain.model import Task
from taskq.errors import SettingsError, Unanswered
from taskq.settings import Settings
from taskq.web import listener as module
from taskq.web.access import QUESTIONS
from taskq.web.budget import Budget
from taskq.web.listener import Listener
from taskq.web.why import Why

PATH = "/v1/namespaces/shop/tasks/one/why"


class ApiServer:
    """Knows the token `good`, whose user may do what `allowed` says (verb and name); counts what it is asked."""

    def __init__(self) -> None:
        self.allowed = {("get", "one"), ("get", "absent"), ("list", "")}
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.gate: asyncio.Event | None = None
        self.broken: Reply | Exception | None = None

    async def request(self, method: str, path: str, *, body: bytes | None = None, **_: Any) -> Reply:
        self.asked.append(path.rpartition("/")[2])
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        try:
            if self.gate:
                await self.gate.wait()
            if isinstance(self.broken, Exception):
                raise self.broken
            return self.broken or self._answer(path, msgspec.json.decode(body or b"{}"))
        finally:
            self.at_once -= 1

    def _answer(self, path: str, body: Any) -> Reply:
        if path.endswith("tokenreviews"):
            good = body["spec"]["token"].startswith("good")
            user = {"username": "jane", "uid": "7", "groups": ["staff"], "extra": {"scopes": ["x"]}}
            return _reply(201, {"status": {"authenticated": good, "user": user}})
        if path.endswith("subjectaccessreviews"):
            spec = body["spec"]
            assert (spec["user"], spec["groups"], spec["extra"]) == ("jane", ["staff"], {"scopes": ["x"]})
            wanted = spec["resourceAttributes"]
            assert (wanted["group"], wanted["namespace"]) == ("taskq.dev", "shop")
            return _reply(201, {"status": {"allowed": (wanted["verb"], wanted["name"]) in self.allowed}})
        return _reply(404, {"kind": "Status", "reason": "NotFound", "code": 404})

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError


def _reply(status: int, document: object) -> Reply:
    return Reply(status, msgspec.json.encode(document))


class Desk:
    """One Task in a paused queue, and the answers about it."""

    def __init__(self, **settings: Any) -> None:
        self.api, self.problem = ApiServer(), ""
        self.settings = Settings(**({"api_address": "127.0.0.1:0"} | settings))
        board = Board(Limits())
        board.on_queue(None, make_queue(state="Paused").build())
        tasks: Store[Task] = Store(board.on_task)
        tasks.apply(make_task("one").build())
        board.observe(T0)
        why = Why(
            self.api,
            board,
            tasks,
            SystemClock(),
            standing=lambda: self.problem or None,
            anonymous=self.settings.api_anonymous,
            requests_per_second=self.settings.api_requests_per_second,
            namespaces=self.settings.namespaces,
        )
        self.listener = Listener(self.settings, why.app())

    async def ask(
        self,
        path: str = PATH,
        token: str = "good",
        method: str = "GET",
        tls: ssl.SSLContext | None = None,
        **headers: str,
    ) -> tuple[int, Any, Mapping[str, str]]:
        url = f"{'https' if tls else 'http'}://127.0.0.1:{self.listener.port}{path}"
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            aiohttp.ClientSession() as client,
            client.request(method, url, headers=headers, ssl=tls or True) as answer,
        ):
            return answer.status, await answer.json(), answer.headers


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    await made.listener.start()
    yield made
    await made.listener.stop()


async def test_who_polls_costs_three_reviews_and_no_more(desk: Desk) -> None:
    """Who he is, whether he may, and whether he may see the others; then the answers are remembered."""
    for _ in range(3):
        status, body, _ = await desk.ask()
        assert (status, body["reason"]) == (200, "QueuePaused")
    assert desk.api.asked == ["tokenreviews", "subjectaccessreviews", "subjectaccessreviews"]


async def test_a_bad_token_is_asked_about_once(desk: Desk) -> None:
    """And whoever has none is asked for one."""
    for _ in range(2):
        assert (await desk.ask(token="bad"))[0] == 401
    assert desk.api.asked == ["tokenreviews"]
    assert (await desk.ask(token=""))[0] == 401
    assert (await desk.ask(token="", Authorization="Basic Z29vZDpnb29k"))[0] == 401


async def test_a_refusal_comes_before_any_look(desk: Desk) -> None:
    """Whether it is there is nobody's business who may not get it; and a stand-by tells that only to those who may."""
    desk.problem = "ask the leader"
    desk.api.allowed = set()
    assert (await desk.ask())[0] == 403
    assert "tasks" not in desk.api.asked
    desk.api.allowed = {("get", "absent")}
    status, body, _ = await desk.ask(PATH.replace("one", "absent"))
    assert (status, body["message"], body["code"]) == (503, "ask the leader", 503)


async def test_what_is_absent_is_404_in_the_api_servers_words(desk: Desk) -> None:
    """A Status, as clients of Kubernetes read them."""
    status, body, headers = await desk.ask(PATH.replace("one", "absent"))
    assert (status, body["kind"], body["reason"]) == (404, "Status", "NotFound")
    assert headers["X-Content-Type-Options"] == "nosniff"
    for path, method, code in (("/v1/other", "GET", 404), (PATH, "POST", 405), ("/metrics", "GET", 404)):
        assert (await desk.ask(path, method=method))[0] == code


@pytest.mark.parametrize("broken", [_reply(403, {"kind": "Status", "reason": "Forbidden"}), Unanswered("gone")])
async def test_a_review_that_fails_is_503_and_says_what_the_operator_needs(
    desk: Desk, broken: Reply | Exception
) -> None:
    """It is no word about the asker, and nothing of it is remembered."""
    desk.api.broken = broken
    status, body, headers = await desk.ask()
    assert status == 503
    assert "tokenreviews.authentication.k8s.io" in body["message"]
    assert headers["Retry-After"] == "5"
    desk.api.broken = None
    assert (await desk.ask())[0] == 200


async def test_slow_reviews_take_a_few_connections_only(desk: Desk) -> None:
    """However many ask at once."""
    desk.api.gate = asyncio.Event()
    asking = [asyncio.create_task(desk.ask(token=f"good{n}")) for n in range(3 * QUESTIONS)]
    async with asyncio.timeout(10):
        while len(desk.api.asked) < QUESTIONS:
            await asyncio.sleep(0.01)
    desk.api.gate.set()
    assert {status for status, _, _ in await asyncio.gather(*asking)} == {200}
    assert desk.api.most_at_once == QUESTIONS
    desk.api.gate, desk.api.most_at_once = None, 0
    absent = PATH.replace("one", "absent")
    assert {status for status, _, _ in await asyncio.gather(*(desk.ask(absent) for _ in range(8)))} == {404}
    assert desk.api.most_at_once <= QUESTIONS


async def test_more_requests_than_allowed_are_told_to_wait() -> None:
    """Twice the rate at once, then 429."""
    desk = Desk(api_requests_per_second=0.5)
    await desk.listener.start()
    try:
        assert (await desk.ask())[0] == 200
        status, body, headers = await desk.ask()
        assert (status, body["reason"]) == (429, "TooManyRequests")
        assert "--api-requests-per-second" in body["message"]
        assert int(headers["Retry-After"]) >= 1
    finally:
        await desk.listener.stop()


async def test_a_namespace_that_is_not_served_is_404() -> None:
    """Its Tasks may be in good order with another operator."""
    desk = Desk(namespaces=("elsewhere",))
    await desk.listener.start()
    try:
        status, body, _ = await desk.ask()
        assert (status, body["message"]) == (404, "Namespace shop is not served by this operator")
    finally:
        await desk.listener.stop()


async def test_without_a_token_only_this_machine_under_its_own_name_is_answered() -> None:
    """A web page that has its own name resolve to 127.0.0.1 is not."""
    desk = Desk(api_anonymous=True)
    await desk.listener.start()
    try:
        assert (await desk.ask(token=""))[0] == 200
        assert (await desk.ask(token="", Host="evil.example:80"))[0] == 401
        assert desk.api.asked == []
    finally:
        await desk.listener.stop()


class _Clock:
    now_at = 0.0

    def now(self) -> float:
        return self.now_at

    uptime = now


def test_a_budget_refills_and_remembers_what_is_owed() -> None:
    """What an answer took is known only afterwards."""
    clock = _Clock()
    budget = Budget(clock, per_second=0.1, burst=0.5)
    assert budget.lacks() == 0
    budget.spend(1.5)
    assert budget.lacks() >= 10
    clock.now_at = 11
    assert budget.lacks() == 0
    clock.now_at = 1000
    budget.spend(0.6)
    assert budget.lacks() > 0


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signs itself, and its key."""
    cert, key = folder / "tls.crt", folder / "tls.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    files = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return cert, key


async def test_with_a_certificate_it_speaks_tls_and_follows_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewed certificate needs no restart."""
    monkeypatch.setattr(module, "RELOAD_SECONDS", 0.02)
    cert, key = certificate(tmp_path, "first")
    desk = Desk(api_tls_cert_file=str(cert), api_tls_key_file=str(key))
    await desk.listener.start()
    try:
        first = ssl.create_default_context(cafile=str(cert))
        assert (await desk.ask(tls=first))[0] == 200
        certificate(tmp_path, "second")
        second = ssl.create_default_context(cafile=str(cert))
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await desk.ask(tls=second))[0] == 200
                    break
                except aiohttp.ClientConnectorCertificateError:
                    await asyncio.sleep(0.02)
    finally:
        await desk.listener.stop()


async def test_an_address_or_a_certificate_that_cannot_be_used_names_its_setting(desk: Desk, tmp_path: Path) -> None:
    """At start, in one line."""
    taken = Desk(api_address=f"127.0.0.1:{desk.listener.port}")
    with pytest.raises(SettingsError, match="--api-address"):
        await taken.listener.start()
    (tmp_path / "x").write_text("no certificate")
    wrong = Desk(api_tls_cert_file=str(tmp_path / "x"), api_tls_key_file=str(tmp_path / "x"))
    with pytest.raises(SettingsError, match="--api-tls-cert-file"):
        await wrong.listener.start()
    await wrong.listener.stop()
