"""Who asks, and whether he may: the API server decides both, by TokenReview and SubjectAccessReview.

Its answers are kept for a few seconds, so that who polls does not double the load; a withdrawn right is noticed as
soon. Tokens are kept only as their SHA-256.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from http import HTTPStatus
from typing import Any

import msgspec

from taskq.clock import Clock
from taskq.cluster.session import Api
from taskq.errors import RequestError
from taskq.resources.common import GROUP
from taskq.web.refusal import Refusal

QUESTIONS = 4
"""Questions to the API server at the same time: each takes a connection, and launches must not wait for one."""

KEPT_SECONDS = 10.0
"""How long an answer of the API server holds."""

_KEPT = 1_000
_REVIEW_SECONDS = 5.0
_TOKEN_REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"  # noqa: S105 - a path
_ACCESS_REVIEW = "/apis/authorization.k8s.io/v1/subjectaccessreviews"


class User(msgspec.Struct, frozen=True):
    """Whom a token stands for, as the API server said."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class Question(msgspec.Struct, frozen=True):
    """What somebody wants to do."""

    verb: str
    resource: str
    namespace: str
    name: str = ""


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: User = User()


class _TokenReview(msgspec.Struct):
    status: _TokenStatus = msgspec.field(default_factory=_TokenStatus)


class _AccessStatus(msgspec.Struct):
    allowed: bool = False


class _AccessReview(msgspec.Struct):
    status: _AccessStatus = msgspec.field(default_factory=_AccessStatus)


class Access:
    """Asks the API server, and remembers its answers for a while."""

    def __init__(self, api: Api, clock: Clock, asking: asyncio.Semaphore) -> None:
        """``asking`` bounds the questions under way."""
        self._api = api
        self._clock = clock
        self._asking = asking
        self._kept: OrderedDict[object, tuple[float, Any]] = OrderedDict()

    async def who(self, token: str) -> User:
        """Whom a token stands for; a Refusal with 401 when nobody, with 503 when that can't be found out."""
        key = hashlib.sha256(token.encode()).digest()
        found = self._recall(key)
        if found is None:
            spec = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
            status = (await self._review(_TOKEN_REVIEW, spec, _TokenReview)).status
            found = self._keep(key, status.user if status.authenticated else False)
        if found is False:
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "The API server does not know this token, or it has expired: get a new one, for example with "
                "`kubectl create token SERVICEACCOUNT`",
            )
        assert isinstance(found, User)
        return found

    async def may(self, user: User, question: Question) -> bool:
        """Whether the API server would allow it; a Refusal with 503 when that can't be found out."""
        found = self._recall((user.username, user.uid, user.groups, question))
        if found is None:
            spec = {
                "user": user.username,
                "uid": user.uid,
                "groups": user.groups,
                "extra": user.extra,
                "resourceAttributes": {"group": GROUP, **msgspec.structs.asdict(question)},
            }
            body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
            answer = await self._review(_ACCESS_REVIEW, body, _AccessReview)
            found = self._keep((user.username, user.uid, user.groups, question), answer.status.allowed)
        return bool(found)

    async def require(self, user: User, question: Question) -> None:
        """A Refusal with 403 unless it is allowed; it says nothing of whether the object exists."""
        if not await self.may(user, question):
            raise Refusal(
                HTTPStatus.FORBIDDEN,
                f"{user.username} may not {question.verb} {question.resource}.{GROUP} {question.name} in namespace "
                f"{question.namespace}: ask its administrator for a role that allows it, such as view",
            )

    async def _review(self, path: str, body: object, kind: type[Any]) -> Any:
        try:
            async with self._asking:
                reply = await self._api.request("POST", path, body=msgspec.json.encode(body), timeout=_REVIEW_SECONDS)
            return msgspec.json.decode(reply.checked().body, type=kind)
        except RequestError as error:
            raise Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE,
                f"Whether you may ask can't be found out, the operator's review was answered with «{error}». "
                "It needs to create tokenreviews.authentication.k8s.io and "
                "subjectaccessreviews.authorization.k8s.io",
                retry_after=5,
            ) from error

    def _recall(self, key: object) -> Any:
        until, found = self._kept.get(key, (0.0, None))
        return found if self._clock.uptime() < until else None

    def _keep(self, key: object, found: Any) -> Any:
        self._kept[key] = (self._clock.uptime() + KEPT_SECONDS, found)
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found
