"""Whether a TaskTemplate can be used."""

from __future__ import annotations

from typing import Any

from taskq.domain.admission import Fault
from taskq.domain.jobspec import job_manifest
from taskq.domain.model import QueueSpec, SlimMetadata, Task, TaskSpec, Template
from taskq.domain.parameters import KeyRef, Parameter, ValueFrom, Values, sample
from taskq.domain.reasons import Reason
from taskq.domain.status import State, conditions


def trial_manifest(template: Template) -> bytes:
    """The Job of a first Task of this template, with default or made-up values, for a dry run."""
    meta = template.metadata
    trial = SlimMetadata(meta.name, meta.namespace, meta.uid, meta.resource_version, meta.creation_timestamp)
    spec = template.spec
    task = Task(trial, TaskSpec(timeouts=spec.timeouts, retry_policy=spec.retry_policy))
    return job_manifest(task, template.raw, QueueSpec(), _samples(spec.parameters) if spec.parameters else None)


def _samples(schema: tuple[Parameter, ...]) -> Values:
    by_reference = ValueFrom(secret_key_ref=KeyRef("sample", "sample"))
    return Values(
        known={parameter: sample(parameter) for parameter in schema if not parameter.sensitive},
        referred={parameter: by_reference for parameter in schema if parameter.sensitive},
    )


def template_patch(template: Template, fault: Fault | None, now: float) -> dict[str, Any]:
    """The status after a look and a dry run; ``fault`` is what is wrong with the template, or its Job."""
    states: dict[str, State | None] = {
        "Ready": ("False", *fault) if fault else ("True", Reason.READY, "The Job is valid"),
        "Stalled": ("True", *fault) if fault else None,
    }
    generation = template.metadata.generation
    return {
        "observedGeneration": generation,
        "conditions": conditions(template.status.conditions, generation, states, now),
    }
