"""The HTTP server, asked over real sockets: probes, scrapes, starting and stopping."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from taskq.domain.model import Key
from taskq.errors import SettingsError
from taskq.observability.metrics import Metrics
from taskq.observability.queue_metrics import QueueFacts
from taskq.observability.server import Server


class Probe:
    """A server with one check of each kind, and a client that asks it."""

    def __init__(self) -> None:
        self.unwell: str | None = None
        self.unready: str | None = None
        self.metrics = Metrics()
        self.server = Server(
            "127.0.0.1:0",
            self.metrics,
            health={"lease": lambda: self.unwell},
            ready={"tasks": lambda: self.unready, "jobs": lambda: None},
        )

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, aiohttp.ClientResponse]:
        url = f"http://127.0.0.1:{self.server.port}{path}"
        async with aiohttp.ClientSession() as client, client.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text(), answer


@pytest.fixture
async def probe() -> AsyncIterator[Probe]:
    made = Probe()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_all_is_well_when_every_check_says_so(probe):
    """One line a check, for the person who looks."""
    assert (await probe.get("/healthz"))[:2] == (200, "lease: ok\n")
    assert (await probe.get("/readyz"))[:2] == (200, "tasks: ok\njobs: ok\n")


async def test_a_problem_is_503_and_its_words(probe):
    """Health and readiness have nothing to do with each other."""
    probe.unready = "the first list has not ended"
    assert (await probe.get("/readyz"))[:2] == (503, "tasks: the first list has not ended\njobs: ok\n")
    assert (await probe.get("/healthz"))[0] == 200
    probe.unready, probe.unwell = None, "not renewed for 40 s"
    assert (await probe.get("/healthz"))[:2] == (503, "lease: not renewed for 40 s\n")
    assert (await probe.get("/readyz"))[0] == 200


def _raising(error: Exception) -> Callable[[], str | None]:
    def check() -> str | None:
        raise error

    return check


async def test_a_check_that_fails_is_503_and_no_crash(caplog):
    """The answer names the check and not the details, which are in the log."""
    checks = {"broken": _raising(KeyError("hunter2")), "fine": lambda: None}
    probe = Probe()
    probe.server = Server("127.0.0.1:0", Metrics(), health=checks, ready={})
    await probe.server.start()
    try:
        with caplog.at_level(logging.ERROR):
            status, text, _ = await probe.get("/healthz")
        assert (status, text) == (503, "broken: the check itself failed with KeyError\nfine: ok\n")
        assert "the check broken failed" in caplog.text
        assert (await probe.get("/readyz"))[:2] == (200, "ok\n")
    finally:
        await probe.server.stop()


async def test_a_scrape_shows_the_metrics_as_they_are_now(probe):
    """In the text format, unless asked otherwise."""
    gpu = Key("a", "gpu")
    probe.metrics.queues.add(gpu)
    probe.metrics.feed(queues=lambda: [QueueFacts(gpu, Counter(pending=5), Counter(), Counter(), 0.0, 10)])
    status, text, answer = await probe.get("/metrics")
    assert status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'taskq_tasks{namespace="a",queue="gpu",state="pending"} 5.0' in text


async def test_openmetrics_is_negotiated(probe):
    """As Prometheus asks for it."""
    _, text, answer = await probe.get("/metrics", Accept="application/openmetrics-text;version=1.0.0,*/*;q=0.1")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_a_failing_scrape_is_500_and_the_next_one_is_answered(probe):
    """Somebody's fault in a figure must not take the probes along."""
    probe.metrics.feed(queues=_raising(RuntimeError("no")))  # type: ignore[arg-type]
    assert (await probe.get("/metrics"))[0] == 500
    assert (await probe.get("/healthz"))[0] == 200
    probe.metrics.feed(queues=list)
    assert (await probe.get("/metrics"))[0] == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/nothing"])
async def test_answers_are_not_cached_and_tell_no_versions(probe, path):
    """Headers that any scanner looks for."""
    headers = (await probe.get(path))[2].headers
    assert headers["Server"] == "taskq"
    if path != "/nothing":
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/healthz", 405), ("DELETE", "/metrics", 405), ("GET", "/", 404), ("HEAD", "/healthz", 200)],
)
async def test_nothing_else_is_served(probe, method, path, status):
    """Three paths, and only for reading."""
    assert (await probe.get(path, method))[0] == status


async def test_scrapes_at_the_same_time_all_get_an_answer(probe):
    """Two Prometheis are usual."""
    probe.metrics.feed(
        queues=lambda: [
            QueueFacts(Key("a", f"q{n}"), Counter(pending=1), Counter(), Counter(), 0.0, 1) for n in range(50)
        ]
    )
    answers = await asyncio.gather(*(probe.get("/metrics") for _ in range(10)))
    assert {status for status, _, _ in answers} == {200}


async def test_an_address_in_use_is_an_error_that_names_the_setting():
    """Two operators on one laptop: say which knob to turn."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = Server(address, Metrics(), health={}, ready={})
        with pytest.raises(SettingsError, match="--http-address") as error:
            await server.start()
        assert f"cannot listen on {address}" in str(error.value)
        assert "in use" in str(error.value)
        await server.stop()


async def test_a_host_that_is_not_ours_is_an_error_that_names_the_setting():
    """An address of another machine can't be listened on."""
    server = Server("192.0.2.1:0", Metrics(), health={}, ready={})
    with pytest.raises(SettingsError, match="TASKQ_HTTP_ADDRESS"):
        await server.start()


async def test_stopping_frees_the_port_and_may_be_repeated():
    """A restart in the same process finds it free; cleaning up needs no bookkeeping."""
    first = Probe()
    await first.server.stop()
    await first.server.start()
    port = first.server.port
    await first.server.stop()
    await first.server.stop()
    second = Server(f"127.0.0.1:{port}", Metrics(), health={}, ready={})
    await second.start()
    assert second.port == port
    await second.stop()


async def test_stopping_does_not_wait_for_idle_connections(probe):
    """A keep-alive connection of Prometheus must not hold up the end."""
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{probe.server.port}/healthz") as answer:
            await answer.read()
        async with asyncio.timeout(3):
            await probe.server.stop()
