"""Calls webhooks: the targets stand in a file of the operator's, and a Task only says which of them.

So who writes a Task can't make the operator reach what only the operator can reach. No redirect is followed, for the
same reason, and nothing of an answer is read but its status.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import ssl
from pathlib import Path
from typing import Annotated, Self

import aiohttp
import yaml
from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from taskq import __version__
from taskq.clock import Clock
from taskq.errors import SettingsError
from taskq.resources.common import SUBDOMAIN_PATTERN

logger = logging.getLogger(__name__)

CONNECTIONS = 64

Name = Annotated[str, StringConstraints(pattern=SUBDOMAIN_PATTERN, max_length=63)]


class Target(BaseModel):
    """One address to call."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)

    name: Name
    url: AnyHttpUrl
    hmac_key: SecretStr | None = None
    hmac_key_file: Path | None = None
    """Read at each call, so that a key can be changed; relative to the file of the targets."""
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10
    """For one call, from the look-up of its name to the status of its answer."""
    namespaces: frozenset[Name] | None = None
    """Whose Tasks may call it; all, unless given."""
    allow_http: bool = False
    ca_file: Path | None = None
    """Certificates to trust instead of the system's; relative to the file of the targets."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.hmac_key is None) == (self.hmac_key_file is None):
            raise ValueError("exactly one of hmacKey and hmacKeyFile must be set")
        if self.hmac_key is not None and not self.hmac_key.get_secret_value():
            raise ValueError("hmacKey is empty: anybody could sign with it")
        if self.url.scheme != "https" and not self.allow_http:
            raise ValueError("url must begin with https://, unless allowHttp is true")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    targets: list[Target]

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [target.name for target in self.targets]
        if len(names) != len(set(names)):
            raise ValueError("two targets have the same name")
        return self


class Webhooks:
    """The targets, read again when their file changes."""

    def __init__(self, path: str, clock: Clock) -> None:
        """``path`` is empty when there are none. Raises SettingsError when the file can't be used."""
        self._path = Path(path) if path else None
        self._clock = clock
        self._changed: int | None = None
        self._targets: dict[str, Target] = {}
        self._session: aiohttp.ClientSession | None = None
        if self._path:
            self._changed = self._path.stat().st_mtime_ns if self._path.exists() else None
            self._targets = _read(self._path)

    def target(self, name: str, namespace: str) -> Target | None:
        """The target of this name, if Tasks of this namespace may call it."""
        self._follow()
        found = self._targets.get(name)
        return found if found and (found.namespaces is None or namespace in found.namespaces) else None

    async def call(self, target: Target, call_id: str, body: bytes) -> str:
        """Call it once; why that failed, or an empty string when the answer was 2xx."""
        try:
            headers = self._headers(target, call_id, body)
        except OSError as error:
            logger.error("webhook %s: %s", target.name, error)  # noqa: TRY400 - a mistake in a file
            return f"the operator can't read the key of its target {target.name} (hmacKeyFile)"
        except ValueError as error:
            logger.error("webhook %s: %s", target.name, error)  # noqa: TRY400 - a mistake in a file
            return f"the operator's key of its target {target.name} is empty (hmacKeyFile)"
        try:
            async with self._client().post(
                str(target.url),
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=target.timeout_seconds),
                ssl=self._trust(target),
            ) as answer:
                return "" if 200 <= answer.status < 300 else f"the target {target.name} answered {answer.status}"
        except TimeoutError:
            return f"the target {target.name} did not answer within {target.timeout_seconds:g} s"
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            logger.warning("webhook %s: %s", target.name, error)  # the address is the operator's business alone
            return f"the target {target.name} can't be reached ({type(error).__name__})"

    async def close(self) -> None:
        """Drop the connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS), cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _headers(self, target: Target, call_id: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock.now()))
        return {
            "Content-Type": "application/json",
            "User-Agent": f"taskq-operator/{__version__}",
            "X-TaskQ-Id": call_id,
            "X-TaskQ-Timestamp": timestamp,
            "X-TaskQ-Signature": f"sha256={signature(self._key(target), timestamp, body)}",
        }

    def _key(self, target: Target) -> bytes:
        if target.hmac_key is not None:
            return target.hmac_key.get_secret_value().encode()
        assert target.hmac_key_file is not None, "a target has a key"
        path = self._beside(target.hmac_key_file)
        key = path.read_bytes().rstrip(b"\r\n")
        if not key:  # as while somebody writes it: the call is tried again later
            raise ValueError(f"hmacKeyFile {path} is empty: anybody could sign with its key")
        return key

    def _trust(self, target: Target) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=str(self._beside(target.ca_file))) if target.ca_file else True

    def _beside(self, path: Path) -> Path:
        return self._path.parent / path if self._path else path

    def _follow(self) -> None:
        """Read the file again if it has changed; a wrong one changes nothing but the log."""
        if self._path is None:
            return
        try:
            changed = self._path.stat().st_mtime_ns
            if changed == self._changed:
                return
            self._changed = changed
            self._targets = _read(self._path)
            logger.info("%s is read again: %d webhook targets", self._path, len(self._targets))
        except (OSError, SettingsError) as error:
            logger.error("webhook targets stay as they were: %s", error)  # noqa: TRY400 - a mistake in a file


def signature(key: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over timestamp, a full stop and the body: an old call can't be sent again with a new time."""
    return hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def _read(path: Path) -> dict[str, Target]:
    try:
        content = _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"webhooks_file {path} can't be read: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in error.errors())
        raise SettingsError(f"webhooks_file {path}: {wrong}") from error
    return {target.name: target for target in content.targets}
