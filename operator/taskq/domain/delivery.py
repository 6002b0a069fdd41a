"""How a Task's parameters reach its containers: as environment variables, as a file, and as arguments.

What the operator knows goes all three ways. What comes from a Secret or a ConfigMap goes by reference into the
environment alone: it stands in no Job, no annotation and no argument.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from taskq.domain import placeholders
from taskq.domain.parameters import KeyRef, Values
from taskq.resources.common import PARAMETERS_ANNOTATION, PARAMETERS_FILE

Manifest = dict[str, Any]

VOLUME = "taskq-parameters"


def deliver(pod: Manifest, values: Values) -> list[Manifest]:
    """Give a pod template the file and the arguments; returns the environment variables for its containers."""
    placeholders.fill_in(pod, lambda name: values.text(name) or "")
    _mount(pod, values.document())
    return [
        *({"name": one.variable, "value": placeholders.literal(value)} for one, value in values.known.items()),
        *({"name": one.variable, "valueFrom": _source(where)} for one, where in values.referred.items()),
    ]


def _mount(pod: Manifest, document: str) -> None:
    """The file is a view of an annotation, so it needs no object that somebody would have to clean up."""
    metadata = pod.setdefault("metadata", {})
    metadata["annotations"] = (metadata.get("annotations") or {}) | {PARAMETERS_ANNOTATION: document}
    file = PurePosixPath(PARAMETERS_FILE)
    source = {"fieldPath": f"metadata.annotations['{PARAMETERS_ANNOTATION}']"}
    spec = pod["spec"]
    volume = {"name": VOLUME, "downwardAPI": {"items": [{"path": file.name, "fieldRef": source}]}}
    spec["volumes"] = [*(spec.get("volumes") or ()), volume]
    mount = {"name": VOLUME, "mountPath": str(file.parent), "readOnly": True}
    for kind in placeholders.CONTAINER_LISTS:
        for container in spec.get(kind) or ():
            container["volumeMounts"] = [*(container.get("volumeMounts") or ()), mount]


def _source(where: Any) -> Manifest:
    if where.secret_key_ref:
        return {"secretKeyRef": _key(where.secret_key_ref)}
    return {"configMapKeyRef": _key(where.config_map_key_ref)}


def _key(ref: KeyRef) -> Manifest:
    return {"name": ref.name, "key": ref.key}
