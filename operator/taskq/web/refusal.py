"""Answers that are no: JSON of the shape that the API server uses, with what to do in the message."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from aiohttp import web


class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """Ends a request with this status and message."""

    def __init__(self, status: HTTPStatus, message: str, *, retry_after: int | None = None) -> None:
        """``retry_after`` in seconds."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def answer(self) -> web.Response:
        """As a Kubernetes Status, which clients of the API server can read already."""
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "".join(word.capitalize() for word in self.status.phrase.split()),
            "message": self.message,
            "code": int(self.status),
        }
        headers = {}
        if self.status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        return json(body, status=self.status, headers=headers)


def json(body: object, *, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> web.Response:
    """A document, indented for people: it is short, and `curl` shows it as it is."""
    text = msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n"
    return web.Response(status=status, body=text, content_type="application/json", headers=headers)
