"""The routes that say why a Task, or a queue, does not run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus

from aiohttp import web

from taskq.clock import Clock
from taskq.cluster.session import Api
from taskq.cluster.store import Store
from taskq.domain.board import Board
from taskq.domain.decoding import TaskDecoder
from taskq.domain.explain import explain_in_steps
from taskq.domain.explain_queue import explain_queue_in_steps
from taskq.domain.forecast import Steps
from taskq.domain.model import Key, Task
from taskq.errors import ApiError, RequestError
from taskq.resources.common import DEFAULT_QUEUE, GROUP, VERSION
from taskq.web.access import QUESTIONS, Access, Question, User
from taskq.web.budget import Budget
from taskq.web.refusal import Refusal, json

SHARE = 0.1
"""Of the event loop's time, what answers may take: an answer about a queue of 100,000 takes some ten milliseconds."""

_BURST_SECONDS = 0.5
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LOOPBACK = ("127.0.0.1", "::1")
_LOCAL_HOSTS = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Why:
    """Answers from the leader's board; who asks must be allowed to get the object itself."""

    def __init__(
        self,
        api: Api,
        board: Board,
        tasks: Store[Task],
        clock: Clock,
        *,
        standing: Callable[[], str | None],
        anonymous: bool,
        requests_per_second: float,
        namespaces: Collection[str] = (),
    ) -> None:
        """``standing`` says why this replica can't answer, or None; ``anonymous``: this machine needs no token.

        ``namespaces`` are those that this operator serves; none is all.
        """
        self._namespaces = frozenset(namespaces)
        self._api = api
        self._board = board
        self._tasks = tasks
        self._clock = clock
        self._standing = standing
        self._anonymous = anonymous
        self._asking = asyncio.Semaphore(QUESTIONS)
        self._access = Access(api, clock, self._asking)
        self._decode = TaskDecoder(0)
        self._requests = Budget(clock, per_second=requests_per_second, burst=2 * requests_per_second)
        self._telling = asyncio.Lock()
        self._time = Budget(clock, per_second=SHARE, burst=_BURST_SECONDS)

    def app(self) -> web.Application:
        """An application with these routes and no others."""
        app = web.Application(middlewares=[self._refuse], client_max_size=1024)
        app.router.add_get("/v1/namespaces/{namespace}/tasks/{name}/why", self._task)
        app.router.add_get("/v1/namespaces/{namespace}/queues/{name}/why", self._queue)
        app.on_response_prepare.append(_add_headers)
        return app

    # --- the routes ------------------------------------------------------------------------------------------------

    async def _task(self, request: web.Request) -> web.Response:
        key = _key(request)
        names = await self._admit(request, Question("get", "tasks", key.namespace, key.name))
        self._check_standing(key)
        task = self._tasks.get(key) or await self._fetch(key)
        return await self._tell(explain_in_steps(self._board, task, self._clock.now(), names=names))

    async def _queue(self, request: web.Request) -> web.Response:
        key = _key(request)
        names = await self._admit(request, Question("get", "taskqueues", key.namespace, key.name))
        self._check_standing(key)
        state = self._board.queues.find(key)
        implicit = self._board.limits.implicit_default_queue and key.name == DEFAULT_QUEUE
        if not implicit and (state is None or state.queue is None):
            text = f"Namespace {key.namespace} has no TaskQueue named {key.name}, or it is not served by this operator"
            raise Refusal(HTTPStatus.NOT_FOUND, text)
        return await self._tell(explain_queue_in_steps(self._board, key, self._clock.now(), names=names))

    async def _fetch(self, key: Key) -> Task:
        """A Task that has ended is not kept in memory."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{key.namespace}/tasks/{key.name}"
        try:
            async with self._asking:
                reply = await self._api.request("GET", path, timeout=5)
            return self._decode(reply.checked().body)
        except RequestError as error:
            if isinstance(error, ApiError) and (error.is_not_found or error.is_forbidden):
                text = f"Namespace {key.namespace} has no Task named {key.name}, or it is not served by this operator"
                raise Refusal(HTTPStatus.NOT_FOUND, text) from error
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"The API server: {error}", retry_after=5) from error

    async def _tell(self, steps: Steps[object]) -> web.Response:
        """Compute one answer at a time, in steps of a few milliseconds, between which the dispatcher goes on."""
        async with self._telling:
            wait = self._time.lacks()
            if wait:
                raise _too_many(wait, "Answers have taken their share of the operator's time")
            while True:
                started = self._clock.uptime()
                try:
                    next(steps)
                except StopIteration as end:
                    return json(end.value)
                finally:
                    self._time.spend(self._clock.uptime() - started)
                await asyncio.sleep(0)

    # --- who may ask -----------------------------------------------------------------------------------------------

    async def _admit(self, request: web.Request, question: Question) -> bool:
        """Let nobody in who may not get the object; returns whether to name other Tasks to him."""
        token = _token(request)
        if not token:
            if self._anonymous and _is_local(request):
                return True
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "Send a token of the cluster: `Authorization: Bearer …`, for example from "
                "`kubectl create token SERVICEACCOUNT`",
            )
        user: User = await self._access.who(token)
        await self._access.require(user, question)
        return await self._access.may(user, Question("list", "tasks", question.namespace))

    def _check_standing(self, key: Key) -> None:
        if self._namespaces and key.namespace not in self._namespaces:
            raise Refusal(HTTPStatus.NOT_FOUND, f"Namespace {key.namespace} is not served by this operator")
        problem = self._standing()
        if problem:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, problem, retry_after=2)

    @web.middleware
    async def _refuse(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Bound the number of requests, and tell every refusal in one shape."""
        try:
            wait = self._requests.lacks(1)
            if wait:
                raise _too_many(wait, "More requests than --api-requests-per-second allows")
            self._requests.spend(1)
            return await handler(request)
        except Refusal as refusal:
            return refusal.answer()
        except web.HTTPException as error:
            return Refusal(HTTPStatus(error.status), f"{request.path}: {error.reason}").answer()


def _key(request: web.Request) -> Key:
    key = Key(request.match_info["namespace"], request.match_info["name"])
    if not all(_NAME.fullmatch(part) for part in key):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{request.path}: no name that an object of Kubernetes could have")
    return key


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _is_local(request: web.Request) -> bool:
    """Whether it comes from this machine, and not from a web page that this machine shows under another name."""
    return request.remote in _LOOPBACK and _LOCAL_HOSTS.fullmatch(request.host) is not None


def _too_many(wait: float, what: str) -> Refusal:
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, f"{what}; ask again later", retry_after=int(wait) + 1)


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "taskq"
