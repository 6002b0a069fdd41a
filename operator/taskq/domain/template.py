"""Whether a TaskTemplate can be used."""

from __future__ import annotations

from typing import Any

from taskq.domain.jobspec import job_manifest
from taskq.domain.model import QueueSpec, SlimMetadata, Task, Template
from taskq.domain.reasons import Reason
from taskq.domain.status import State, conditions


def trial_manifest(template: Template) -> bytes:
    """The Job of a first Task of this template, for a dry run."""
    meta = template.metadata
    trial = SlimMetadata(meta.name, meta.namespace, meta.uid, meta.resource_version, meta.creation_timestamp)
    return job_manifest(Task(trial), template.raw, QueueSpec())


def template_patch(template: Template, fault: str, now: float) -> dict[str, Any]:
    """The status after a dry run; ``fault`` is what the API server had against the Job, or empty."""
    states: dict[str, State | None] = {
        "Ready": ("False", Reason.JOB_REFUSED, fault) if fault else ("True", Reason.READY, "The Job is valid"),
        "Stalled": ("True", Reason.JOB_REFUSED, fault) if fault else None,
    }
    generation = template.metadata.generation
    return {
        "observedGeneration": generation,
        "conditions": conditions(template.status.conditions, generation, states, now),
    }
