"""What the operator says of an object that the API server takes: times, parameters, and what both refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import msgspec

from taskq.cli.errors import CliError
from taskq.cli.kinds import SCHEDULE, TASK, TEMPLATE, Object
from taskq.cli.manifests import Fault, Path
from taskq.cli.plans import spec_of
from taskq.domain.decoding import decode_template
from taskq.domain.model import Template
from taskq.domain.registry import check as check_template
from taskq.domain.registry import values_for
from taskq.domain.schedules.cron import ScheduleFieldError, parse
from taskq.domain.schedules.ticks import compile_plan, time_of_day

Templates = Mapping[tuple[str, str], Object]
"""The TaskTemplates of all files, by namespace and name."""


def check(document: Object, templates: Templates) -> Iterator[Fault]:
    """The faults of a document that its schema and its rules find in order."""
    kind, spec = document["kind"], document["spec"]
    if kind == SCHEDULE.name:
        yield from _schedule(spec)
        task = spec["taskTemplate"]["spec"]
        yield from _parameters(task, ("spec", "taskTemplate"), document, templates)
    elif kind == TASK.name:
        yield from _parameters(spec, (), document, templates)
    elif kind == TEMPLATE.name:
        yield from _template(document)


def _schedule(spec: Object) -> Iterator[Fault]:
    """Every expression and time of day by itself, then all of it: what compiles it ends at the first fault."""
    faults = []
    for number, text in enumerate(spec.get("schedules") or ()):
        faults += _field_faults(lambda: parse(text, f"spec.schedules[{number}]"))  # noqa: B023 - called at once
    for number, text in enumerate(spec.get("dailyTimes") or ()):
        faults += _field_faults(lambda: time_of_day(text, number))  # noqa: B023
    yield from faults or _field_faults(lambda: compile_plan(spec_of(spec), 0))


def _field_faults(attempt: Callable[[], object]) -> list[Fault]:
    try:
        attempt()
    except ScheduleFieldError as error:
        return [Fault(path_of(error.field), error.fault)]
    except CliError as error:
        return [Fault(("spec",), str(error))]
    return []


def _template(document: Object) -> Iterator[Fault]:
    for sentence in check_template(_decoded(document))[1]:
        yield _fault(sentence, (), document)


def _decoded(template: Object) -> Template:
    metadata = dict.fromkeys(("name", "namespace", "uid", "resourceVersion"), "x")
    metadata["creationTimestamp"] = "2000-01-01T00:00:00Z"
    return decode_template(msgspec.json.encode({"metadata": metadata, "spec": template["spec"]}))


def _parameters(task: Object, above: Path, document: Object, templates: Templates) -> Iterator[Fault]:
    """The values against the TaskTemplate, if one of the files has it."""
    name = (task.get("templateRef") or {}).get("name")
    template = templates.get((document["metadata"].get("namespace", ""), name or ""))
    if template is None:
        return
    known = _decoded(template)
    _, wrong = values_for(known, check_template(known)[0], msgspec.json.encode({"spec": task}))
    for sentence in wrong:
        yield _fault(sentence, above, {"spec": task})


def _fault(sentence: str, above: Path, document: Object) -> Fault:
    """A sentence of the domain, which begins with the field: `spec.parameters[NAME].default: …`."""
    field, colon, message = sentence.partition(": ")
    if not colon or not field.startswith("spec"):
        return Fault(above, sentence)
    named = re.match(r"spec\.parameters\[([^\]]*)\](.*)", field)
    if not named:
        return Fault((*above, *path_of(field)), message)
    given = document["spec"].get("parameters") or ()
    index = [number for number, one in enumerate(given) if one.get("name") == named[1]]
    if not index:  # one that is missing
        return Fault((*above, "spec", "parameters"), f"{named[1]}: {message}")
    return Fault((*above, "spec", "parameters", index[0], *path_of(named[2].lstrip("."))), message)


def path_of(field: str) -> Path:
    """`spec.schedules[0]` as a path."""
    parts = re.findall(r"[^.\[\]]+", field)
    return tuple(int(part) if part.isdecimal() else part for part in parts)
