"""One pooled HTTP session to the API server, and the protocol that hides it from everything above."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple, Protocol

from taskq.errors import ApiError


class Reply(NamedTuple):
    """An HTTP answer, whatever its status; `retry_after` is in seconds, when the server sent one."""

    status: int
    body: bytes
    retry_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the server did as asked."""
        return self.status < 300

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
        timeout: float = 30.0,
        server_timeout: float | None = None,
    ) -> Reply:
        """Send one request and return the answer, whatever its status.

        `timeout` bounds the whole exchange, in seconds. `server_timeout` asks the server to give up
        on a write after so many seconds of its own, so that a late one cannot be applied after that.
        Raises `NotSent` when nothing left this process, `Unanswered` when that is not certain.
        """

    def watch(self, path: str, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, one JSON event each; ends when the server ends it.

        The query is the caller's (resourceVersion, allowWatchBookmarks, timeoutSeconds, selectors);
        `watch=true` is added here. Raises `ApiError` on an answer other than 200, `NotSent` or
        `Unanswered` on a connection that fails, breaks, or stays silent for too long. Close the
        generator (`aclose`) to end the watch early.
        """
