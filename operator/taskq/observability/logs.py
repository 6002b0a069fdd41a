"""Logs on stderr: text for people or JSON for collectors, with facts bound to the lines that they belong to.

    log = logs.bind(logging.getLogger(__name__), namespace="team-a", task="report")
    log.info("launched")                          … launched namespace=team-a task=report
    log.bind(attempt=2).warning("refused")        … refused namespace=team-a task=report attempt=2

What may stand in a line is kept small on purpose: a fact is a word or a number, never an object, so that no
manifest (and no secret in one) gets into the logs; what looks like a token is blotted out wherever it is.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

Fact = str | int | float | bool | None

FACT_LIMIT = 256
"""Characters of one fact: names and reasons are shorter, somebody's termination message is not."""

MESSAGE_LIMIT = 4096
"""Characters of a message and of each line of a traceback: some log collectors cut or split above 16 KB."""

QUIET = {"kopf.objects": logging.WARNING, "aiohttp.access": logging.WARNING}
"""Loggers that would write a line for each object or request."""

SECRET = re.compile(r"(?i:\bbearer)\s+[\w.~+/=-]{16,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
"""An Authorization header's value, or a JSON web token such as those of service accounts."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that would let a text from outside begin a line of its own, or steer a terminal."""

FACTS = "taskq_facts"
RESERVED = frozenset({"ts", "level", "logger", "message", "exception"})


class Bound(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds its facts to every line."""

    def __init__(self, logger: logging.Logger, facts: Mapping[str, Fact]) -> None:
        """Use `bind`, which checks the names."""
        super().__init__(logger, None)
        self.facts = facts

    def bind(self, **facts: Fact) -> Bound:
        """The same with more facts; a name bound again takes the new one."""
        return Bound(self.logger, {**self.facts, **_checked(facts)})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Called by every logging method: hand the facts on to the formatter."""
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), FACTS: self.facts}}


def bind(logger: logging.Logger, /, **facts: Fact) -> Bound:
    """A logger that adds these facts to every line; None leaves a fact out."""
    return Bound(logger, _checked(facts))


def _checked(facts: dict[str, Fact]) -> dict[str, Fact]:
    if taken := RESERVED & facts.keys():
        raise ValueError(f"{', '.join(sorted(taken))}: every line has that already, bind another name")
    return facts


def configure(log_format: Literal["text", "json"] = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Let the whole process log to `stream` (stderr), and nowhere else. May be called again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    logging.captureWarnings(capture=True)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII, so that no encoding on its way can harm it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Fact] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(_message(record), MESSAGE_LIMIT),
            **_facts(record),
        }
        if exception := _exception(self, record):
            line["exception"] = exception
        return json.dumps(line)


class TextFormatter(logging.Formatter):
    """`time LEVEL logger: message fact=value …`; a traceback follows on lines that are indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        facts = "".join(f" {name}={_quoted(value)}" for name, value in _facts(record).items())
        message = _escaped(_clean(_message(record), MESSAGE_LIMIT))
        line = f"{_timestamp(record)} {record.levelname:<7} {record.name}: {message}{facts}"
        exception = _exception(self, record)
        return line + "".join(f"\n    {_escaped(part)}" for part in exception.splitlines())


def _timestamp(record: logging.LogRecord) -> str:
    """When the record was made, RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a call with the wrong arguments still says what it can
        return str(record.msg)


def _facts(record: logging.LogRecord) -> dict[str, Fact]:
    """The bound facts; from kopf's loggers, which object the line is about."""
    facts: Mapping[str, Any] = getattr(record, FACTS, None) or {}
    reference = getattr(record, "k8s_ref", None)
    if isinstance(reference, Mapping):
        facts = {name: reference.get(name) for name in ("kind", "namespace", "name")} | dict(facts)
    return {name: _fact(value) for name, value in facts.items() if value is not None}


def _fact(value: object) -> Fact:
    """A fact as it is written: anything but words and numbers is replaced by the name of its type."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)  # JSON has no infinity
    if isinstance(value, int):
        return value
    return _clean(str(value), FACT_LIMIT) if isinstance(value, str) else f"<{type(value).__name__}>"


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The traceback and its message, "" when there is none."""
    if not record.exc_info or record.exc_info[0] is None:
        return ""
    lines = formatter.formatException(record.exc_info).splitlines()
    return "\n".join(_clean(line, MESSAGE_LIMIT) for line in lines)


def _clean(text: str, limit: int) -> str:
    """Without secrets, and no longer than `limit` characters."""
    text = SECRET.sub("[secret]", text)
    return text if len(text) <= limit else text[:limit] + "…"


def _escaped(text: str) -> str:
    return CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def _quoted(value: Fact) -> str:
    """A fact in text: in quotes when it would not be one word otherwise."""
    text = str(value).lower() if isinstance(value, bool) else _escaped(str(value))
    return text if text and not re.search(r'[\s"=]', text) else json.dumps(text, ensure_ascii=False)
