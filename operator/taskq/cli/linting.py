"""Files of manifests: each document of ours checked as the API server and then the operator would."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path as File
from typing import NamedTuple

from taskq.cli import celrules, schemas, semantics
from taskq.cli.errors import CliError
from taskq.cli.kinds import OURS, TEMPLATE, Object
from taskq.cli.manifests import Document, Fault, Path, Unreadable, read
from taskq.resources.common import API_VERSION, GROUP

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
_KINDS = tuple(kind.name for kind in OURS)


class Finding(NamedTuple):
    """A fault with its place."""

    file: str
    line: int
    subject: str
    fault: Fault

    def __str__(self) -> str:
        """`FILE:LINE: Kind/name: field: what is wrong`, as editors read it."""
        parts = (f"{self.file}:{self.line}", self.subject, path_text(self.fault.path), self.fault.message)
        return ": ".join(part for part in parts if part)


def path_text(path: Path) -> str:
    """`spec.schedules[0]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


class Summary(NamedTuple):
    """What was looked at."""

    files: int
    objects: int
    others: int
    findings: list[Finding]


def files_of(names: Iterable[str]) -> Iterator[str]:
    """The files, and those with a manifest's suffix in the folders; CliError for one that is not there."""
    for name in names:
        file = File(name)
        if name != STDIN and file.is_dir():
            yield from (str(found) for found in sorted(file.rglob("*")) if found.suffix in SUFFIXES and found.is_file())
        else:
            yield name


def text_of(name: str) -> str:
    """The text of a file, `-` being stdin; CliError when it can't be read."""
    try:
        return sys.stdin.read() if name == STDIN else File(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CliError(f"{name} is no text in UTF-8: {error.reason}") from error
    except OSError as error:
        raise CliError(f"{name} can't be read: {error.strerror}") from error


def lint(names: Iterable[str]) -> Summary:
    """All files together: a Task in one of them may refer to a TaskTemplate in another."""
    read_in: list[tuple[str, Document]] = []
    findings: list[Finding] = []
    files = list(files_of(names))
    for name in files:
        try:
            read_in += [(name, part) for document in read(text_of(name)) for part in document.parts()]
        except Unreadable as error:
            findings.append(Finding(name, error.line, "", Fault((), f"no YAML: {error}")))
    templates = {
        (one.value["metadata"].get("namespace", ""), one.value["metadata"]["name"]): one.value
        for _, one in read_in
        if not list(_shape(one)) and one.value["kind"] == TEMPLATE.name and not list(_rules(one))
        if "name" in one.value["metadata"]
    }
    others = 0
    for name, document in read_in:
        if is_foreign(document):
            others += 1
            continue
        findings += (
            Finding(name, document.line(fault.path), _subject(document), fault)
            for fault in _faults(document, templates)
        )
    findings.sort(key=lambda one: (files.index(one.file), one.line))
    return Summary(len(files), len(read_in) - others, others, findings)


def faults_of(value: Object) -> list[Fault]:
    """What is wrong with one object by itself."""
    return list(_faults(Document(value, {}), {}))


def is_foreign(document: Document) -> bool:
    """Whether it is an object of somebody else's group."""
    if not isinstance(document.value, dict):
        return False
    version, kind = document.value.get("apiVersion"), document.value.get("kind")
    return isinstance(version, str) and version.partition("/")[0] != GROUP and kind is not None and kind not in _KINDS


def _subject(document: Document) -> str:
    if not isinstance(document.value, dict):
        return ""
    metadata = document.value.get("metadata")
    name = (metadata.get("name") or metadata.get("generateName")) if isinstance(metadata, dict) else None
    return f"{document.value.get('kind') or '?'}/{name or '?'}"


def _faults(document: Document, templates: semantics.Templates) -> Iterator[Fault]:
    """First the shape, then the rules, then the meaning: each needs that what comes before is in order."""
    yield from document.faults
    for stage in (_shape, _rules, lambda one: semantics.check(one.value, templates)):
        if found := list(stage(document)):
            yield from found
            return


def _shape(document: Document) -> Iterator[Fault]:
    value = document.value
    if not isinstance(value, dict):
        yield Fault((), "is no object: it needs apiVersion, kind, metadata and spec")
        return
    kind = value.get("kind")
    if value.get("apiVersion") != API_VERSION:
        yield Fault(("apiVersion",), f"must be {API_VERSION}")
    if kind not in _KINDS:
        yield Fault(("kind",), f"must be one of {', '.join(_KINDS)}{schemas.near(str(kind), _KINDS)}")
        return
    yield from schemas.check(value, schemas.of_kind(kind))


def _rules(document: Document) -> Iterator[Fault]:
    return celrules.check(document.value, schemas.of_kind(document.value["kind"]))
