"""Every exception of TaskQ, drawn:

    TaskQError
    ├── SettingsError        a knob has a value that cannot work
    ├── CredentialsError     no usable way to log in to a cluster; names the file and the field
    └── RequestError         a call to the API server did not succeed
        ├── ApiError         the server answered, with a status of 400 or above
        ├── NotSent          not one byte of the request left: certain that nothing was applied
        └── Unanswered       it may have been applied, or may still be: repeating it tells

What third-party libraries raise is wrapped where it is called, so no layer above has to know them.
"""

from __future__ import annotations

import msgspec

BODY_LIMIT = 256
"""Characters of an answer kept for a log line: enough to recognise a proxy's error page."""

MESSAGE_LIMIT = 2048
"""Characters of the server's own message kept: a refused pod template names many fields at once."""


class TaskQError(Exception):
    """The root of what this package raises on purpose."""


class SettingsError(TaskQError):
    """A setting has a value that cannot work; the message names the setting and what would."""


class CredentialsError(TaskQError):
    """No usable way to log in to a cluster; the message names the file and the field to mend."""


class RequestError(TaskQError):
    """A call to the API server did not succeed; which subclass says what is known about its effect."""


class NotSent(RequestError):  # noqa: N818 - a state of knowledge, not a kind of error
    """The request did not leave this process: certain that the server did not apply it."""


class Unanswered(RequestError):  # noqa: N818 - same
    """The request may have left, and no whole answer came: unknown whether the server applied it.

    To read the object is no proof that it will not be there a moment later: a store that stalled may
    still carry the write out. To repeat a write that can only succeed once (a name, a resourceVersion) is.
    """


class _Cause(msgspec.Struct, gc=False, frozen=True):
    field: str = ""
    message: str = ""


class _Details(msgspec.Struct, gc=False, frozen=True):
    causes: tuple[_Cause, ...] | None = None


class _Status(msgspec.Struct, gc=False, frozen=True):
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


_decode_status = msgspec.json.Decoder(_Status, strict=False).decode


class ApiError(RequestError):
    """The server's answer of 400 or above, as its `Status` object tells it.

    `reason` is the CamelCase word of the Status (empty when a proxy answered instead), `fields` the
    paths that it complained about, `body` the first characters of the answer, `retry_after` seconds.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        *,
        body: str = "",
        fields: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        """Keep the facts of one answer; use `from_answer` to read them out of a body."""
        self.status = status
        self.reason = reason
        self.message = message[:MESSAGE_LIMIT]
        self.body = body[:BODY_LIMIT]
        self.fields = fields
        self.retry_after = retry_after
        super().__init__(f"{status} {reason}: {self.message or self.body}".strip(" :"))

    @classmethod
    def from_answer(cls, status: int, body: bytes, retry_after: float | None = None) -> ApiError:
        """Read the Status object of an answer; whatever else came is kept as text."""
        text = body[: 4 * BODY_LIMIT].decode("utf-8", "replace")
        try:
            said = _decode_status(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls(status, body=text, retry_after=retry_after)
        causes = (said.details.causes if said.details else None) or ()
        return cls(
            status,
            said.reason or "",
            said.message or "",
            body=text,
            fields=tuple(cause.field for cause in causes if cause.field),
            retry_after=retry_after,
        )

    @property
    def is_unauthorized(self) -> bool:
        """The credentials were not accepted, also after they were refreshed once."""
        return self.status == 401

    @property
    def is_forbidden(self) -> bool:
        """Refused by RBAC, an admission plug-in or a ResourceQuota."""
        return self.status == 403

    @property
    def is_not_found(self) -> bool:
        """The object, or its namespace or kind, does not exist."""
        return self.status == 404

    @property
    def is_already_exists(self) -> bool:
        """A POST met an object of that name."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def is_conflict(self) -> bool:
        """The resourceVersion or the uid of a precondition is no longer the object's."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def is_gone(self) -> bool:
        """The resourceVersion or the continue token is too old: only a new list helps."""
        return self.status == 410

    @property
    def is_invalid(self) -> bool:
        """The object broke its schema or a validation rule (422), or could not be read at all (400)."""
        return self.status in {400, 422}

    @property
    def is_throttled(self) -> bool:
        """The server asks for patience: `retry_after` says how many seconds, when it said so."""
        return self.status == 429

    @property
    def is_transient(self) -> bool:
        """The same request may succeed later without anybody changing anything."""
        return self.status in {408, 429} or self.status >= 500
