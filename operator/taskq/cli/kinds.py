"""The kinds that the command line reads and writes, and where the API server has them."""

from __future__ import annotations

from typing import Any, NamedTuple

from taskq.resources.common import GROUP, VERSION

Object = dict[str, Any]
"""An object of the API as a plain document."""


class Kind(NamedTuple):
    """A kind; `group` is empty for the core API."""

    name: str
    plural: str
    group: str = GROUP
    version: str = VERSION
    namespaced: bool = True

    @property
    def qualified(self) -> str:
        """As kubectl names its resource in messages: `task.taskq.dev`."""
        return f"{self.name.lower()}.{self.group}" if self.group else self.name.lower()

    @property
    def api_version(self) -> str:
        """What stands in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "") -> str:
        """The URL path of an object, or of the list of a namespace, or of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{place}/{self.plural}" + (f"/{name}" if name else "")


TASK = Kind("Task", "tasks")
QUEUE = Kind("TaskQueue", "taskqueues")
SCHEDULE = Kind("Schedule", "schedules")
TEMPLATE = Kind("TaskTemplate", "tasktemplates")
JOB = Kind("Job", "jobs", "batch", "v1")
POD = Kind("Pod", "pods", "", "v1")
EVENT = Kind("Event", "events", "", "v1")
SERVICE = Kind("Service", "services", "", "v1")
LEASE = Kind("Lease", "leases", "coordination.k8s.io", "v1")
CRD = Kind("CustomResourceDefinition", "customresourcedefinitions", "apiextensions.k8s.io", "v1", namespaced=False)

OURS = (TASK, QUEUE, SCHEDULE, TEMPLATE)


def name_of(obj: Object) -> str:
    """`metadata.name`."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    """`metadata.namespace`; empty for what has none."""
    return str(obj["metadata"].get("namespace", ""))


def condition(obj: Object, kind: str) -> Object | None:
    """A condition of an object by its type."""
    conditions = obj.get("status", {}).get("conditions", ())
    return next((found for found in conditions if found["type"] == kind), None)
