"""The API server's audit log: who asked for what, and when, by the server's own clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
OPERATOR = "taskq-operator/"


class _User(msgspec.Struct):
    username: str = ""


class _Object(msgspec.Struct):
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class _Status(msgspec.Struct):
    code: int = 0


class Entry(msgspec.Struct, rename="camel"):
    """One request that was answered, or one watch that began."""

    stage: str
    verb: str
    request_received_timestamp: datetime
    stage_timestamp: datetime
    user: _User = msgspec.field(default_factory=_User)
    user_agent: str = ""
    object_ref: _Object = msgspec.field(default_factory=_Object)
    response_status: _Status = msgspec.field(default_factory=_Status)

    @property
    def received(self) -> float:
        """When the request arrived, epoch seconds."""
        return self.request_received_timestamp.timestamp()

    @property
    def answered(self) -> float:
        """When it was answered, epoch seconds."""
        return self.stage_timestamp.timestamp()

    @property
    def resource(self) -> str:
        """The resource as RBAC names it: `tasks/status`."""
        ref = self.object_ref
        return f"{ref.resource}/{ref.subresource}" if ref.subresource else ref.resource

    @property
    def succeeded(self) -> bool:
        """Whether the server did as asked."""
        return 200 <= self.response_status.code < 300

    def is_job_created(self, namespace: str) -> bool:
        """Whether a Job came to be in this namespace."""
        return (
            self.verb == "create"
            and self.object_ref.namespace == namespace
            and self.resource == "jobs"
            and self.response_status.code == 201
        )


_decode = msgspec.json.Decoder(Entry).decode


class AuditLog:
    """Reads what was appended since the last call."""

    def __init__(self, path: Path) -> None:
        """Begin at the end of what is there."""
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new(self) -> list[Entry]:
        """The complete lines written since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            lines = file.read().splitlines(keepends=True)
        whole = [line for line in lines if line.endswith(b"\n")]
        self._offset += sum(map(len, whole))
        return [_decode(line) for line in whole]


def writes_of_operator(entries: Iterable[Entry]) -> Counter[str]:
    """The operator's writes that the server carried out, by `verb resource`."""
    return Counter(
        f"{entry.verb} {entry.resource}"
        for entry in entries
        if entry.user_agent.startswith(OPERATOR)
        and entry.verb in WRITES
        and entry.stage == "ResponseComplete"
        and entry.succeeded
    )
