"""The TaskTemplates that are known, the Tasks that use them, and what these Tasks get from them.

A Task says what it wants, else its template does, else its queue's ``taskDefaults``, else TaskQ. Decisions are made on
a Task that has been merged with its template, so none of them need know that there are templates. The merged Task
shares everything that it does not have of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from taskq.domain import placeholders
from taskq.domain.admission import Fault
from taskq.domain.model import Key, Task, Template
from taskq.domain.parameters import NO_VALUES, Parameter, Values, bind, given_in, schema_faults
from taskq.domain.placeholders import Uses
from taskq.domain.reasons import Reason, message

JOB_TEMPLATE = "spec.jobTemplate"


class Resolved(NamedTuple):
    """A Task as decisions see it, and what keeps it from starting."""

    task: Task
    fault: Fault | None = None


class Unlaunchable(Exception):  # noqa: N818 - it is no error of TaskQ
    """A Task can't be started until somebody mends it, or its template."""

    def __init__(self, reason: str, text: str) -> None:
        """Reason and message, as they go into the Task's conditions."""
        super().__init__(text)
        self.fault = (reason, text)


class _Checked(NamedTuple):
    """A TaskTemplate and what was found in it, once for each of its versions."""

    template: Template
    fault: Fault | None
    uses: dict[str, str]


class Registry:
    """See the module."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[Key, _Checked] = {}
        self._users: dict[Key, set[str]] = {}

    def __contains__(self, key: Key) -> bool:
        """Whether there is a TaskTemplate of this name."""
        return key in self._known

    def changed(self, old: Template | None, new: Template | None) -> frozenset[str] | set[str]:
        """A TaskTemplate appeared, changed or was deleted; returns the uids of the Tasks to decide on again."""
        template = new or old
        if template is None:
            return frozenset()
        key = template.metadata.key
        known = self._known.get(key)
        if new is None:
            self._known.pop(key, None)
        elif known and _version(known.template) == _version(new):
            self._known[key] = known._replace(template=new)
            return frozenset()
        else:
            uses, faults = check(new)
            self._known[key] = _Checked(new, _template_fault(new, faults), uses)
        return self._users.get(key, frozenset())

    def add(self, task: Task) -> None:
        """A Task is there."""
        key = template_key(task)
        if key:
            self._users.setdefault(key, set()).add(task.metadata.uid)

    def discard(self, task: Task) -> None:
        """A Task is gone."""
        key = template_key(task)
        users = self._users.get(key) if key else None
        if key and users:
            users.discard(task.metadata.uid)
            if not users:
                del self._users[key]

    def resolve(self, task: Task, queue: str | None) -> Resolved:
        """Merge a Task with its template; ``queue`` is the one that its attempt has started in, if it has."""
        key = template_key(task)
        if key is None:
            return Resolved(task)
        known = self._known.get(key)
        if queue is None and (task.status.attempt or task.is_terminal):
            queue = task.status.queue_name or None
        if known is None:
            text = message(Reason.TEMPLATE_NOT_FOUND, template=key.name)
            return Resolved(_merged(task, queue_name=queue), (Reason.TEMPLATE_NOT_FOUND, text))
        spec = known.template.spec
        merged = _merged(
            task,
            queue_name=queue or spec.queue_name,
            priority=None if task.spec.priority_level else spec.priority,
            timeouts=spec.timeouts,
            retry_policy=spec.retry_policy,
            on_success=spec.on_success,
            on_failure=spec.on_failure,
        )
        return Resolved(merged, known.fault or _early_fault(task, known))

    def manifest_of(self, task: Task, document: bytes, results: Mapping[str, str]) -> tuple[bytes, Values | None]:
        """The JSON that holds the Job of a Task with a template, and the values for it; ``document`` is the Task's.

        ``results`` are those of the Tasks that it names for them.
        Raises :class:`Unlaunchable`.
        """
        key = template_key(task)
        known = self._known.get(key) if key else None
        if key is None or known is None:
            name = key.name if key else ""
            raise Unlaunchable(Reason.TEMPLATE_NOT_FOUND, message(Reason.TEMPLATE_NOT_FOUND, template=name))
        if known.fault:
            raise Unlaunchable(*known.fault)
        values, wrong = values_for(known.template, known.uses, document, results)
        if wrong:
            raise Unlaunchable(Reason.INVALID_PARAMETERS, message(Reason.INVALID_PARAMETERS, message="; ".join(wrong)))
        return known.template.raw, values if known.template.spec.parameters else None


def template_key(task: Task) -> Key | None:
    """The TaskTemplate that a Task names."""
    ref = task.spec.template_ref
    return Key(task.metadata.namespace, ref.name) if ref else None


def check(template: Template) -> tuple[dict[str, str], list[str]]:
    """What a TaskTemplate's program arguments use, each with its first place, and what is wrong with the template."""
    if template.defect:
        return {}, [f"it can't be read, probably it was written for another version of TaskQ: {template.defect}"]
    try:
        spec: dict[str, Any] = msgspec.json.decode(template.raw)["spec"]
        uses = placeholders.find(spec["jobTemplate"]["spec"]["template"], f"{JOB_TEMPLATE}.spec.template")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        return {}, [f"{JOB_TEMPLATE} can't be read: {error!r}"]
    schema = template.spec.parameters
    faults = [*schema_faults(schema), *uses.faults, *_use_faults(schema, uses)]
    return uses.names, faults


def values_for(
    template: Template, uses: dict[str, str], document: bytes, results: Mapping[str, str] | None = None
) -> tuple[Values, list[str]]:
    """The values of the Task with this JSON for a template, and what is wrong with them; see :func:`bind`."""
    try:
        given = given_in(document)
    except msgspec.DecodeError as error:
        return NO_VALUES, [f"spec.parameters can't be read: {error}"]
    if not given and not template.spec.parameters:
        return NO_VALUES, []
    values, wrong = bind(template.spec.parameters, given, results)
    wrong += [
        f"spec.parameters[{parameter.name}]: valueFrom is not possible, since the template uses "
        f"$(params.{parameter.name}) in {uses[parameter.name]}, and the operator does not read the value; give a value"
        for parameter in values.referred
        if parameter.name in uses
    ]
    return values, wrong


def _early_fault(task: Task, known: _Checked) -> Fault | None:
    """What is wrong with the parameters, as far as it can be told before the launch reads a large Task again."""
    if not task.raw:
        return None
    _, wrong = values_for(known.template, known.uses, task.raw)
    if not wrong:
        return None
    return Reason.INVALID_PARAMETERS, message(Reason.INVALID_PARAMETERS, message="; ".join(wrong))


def _use_faults(schema: tuple[Parameter, ...], uses: Uses) -> list[str]:
    by_name = {parameter.name: parameter for parameter in schema}
    faults = []
    for name, place in uses.names.items():
        parameter = by_name.get(name)
        if parameter is None:
            faults.append(f"{place}: $(params.{name}) is not among spec.parameters")
        elif parameter.sensitive:
            faults.append(
                f"{place}: $(params.{name}) must not be used, since a sensitive parameter stands in the environment "
                f"only, as {parameter.variable}"
            )
        elif not parameter.required and parameter.default is None:
            faults.append(f"{place}: $(params.{name}) may be without a value; set required: true or a default for it")
    return faults


def _template_fault(template: Template, faults: list[str]) -> Fault | None:
    if not faults:
        return None
    text = message(Reason.INVALID_TEMPLATE, template=template.metadata.name, message="; ".join(faults))
    return Reason.INVALID_TEMPLATE, text


def _version(template: Template) -> tuple[str, int]:
    return template.metadata.uid, template.metadata.generation


def _merged(task: Task, **offered: Any) -> Task:
    """The Task with what it does not say itself; the very same Task when nothing is added."""
    spec = task.spec
    added = {name: value for name, value in offered.items() if value is not None and getattr(spec, name) is None}
    return msgspec.structs.replace(task, spec=msgspec.structs.replace(spec, **added)) if added else task
