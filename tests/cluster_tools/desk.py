"""One namespace of a cluster, as a user works with it: create, change, look, wait."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kubernetes import client as kubernetes

from cluster_tools import audit
from cluster_tools.kubelet import script
from cluster_tools.waiting import until

Json = dict[str, Any]

PLURALS = {
    "Task": ("taskq.dev", "v1alpha1", "tasks"),
    "TaskQueue": ("taskq.dev", "v1alpha1", "taskqueues"),
    "TaskTemplate": ("taskq.dev", "v1alpha1", "tasktemplates"),
    "Schedule": ("taskq.dev", "v1alpha1", "schedules"),
    "Job": ("batch", "v1", "jobs"),
}
ENDS = ("Succeeded", "Failed", "Cancelled", "Expired")


def job_template(*steps: Json, **pod: Any) -> Json:
    """The Job of a Task whose attempts do these steps; ``pod`` are fields of the pod's spec."""
    spec = {"containers": [{"name": "main", "image": "busybox:1.36"}], **pod}
    return {"spec": {"template": {"metadata": {"annotations": script(*steps or ({},))}, "spec": spec}}}


def retries(attempts: int, **policy: Any) -> Json:
    """A retry policy without waiting."""
    return {"maxAttempts": attempts, "backoff": {"type": "Fixed", "baseSeconds": 0, "jitterPercent": 0}, **policy}


class Desk:
    """Objects go in and out as the plain documents that users write."""

    def __init__(self, client: kubernetes.ApiClient, namespace: str, audit_log: Path) -> None:
        self.namespace = namespace
        self._audit_log = audit_log
        self._client = client
        self._custom: Any = kubernetes.CustomObjectsApi(client)
        self.core: Any = kubernetes.CoreV1Api(client)

    # --- create ----------------------------------------------------------------------------------------------------

    def create(self, kind: str, name: str, spec: Json, **metadata: Any) -> Json:
        """Create an object; ApiException when it is refused."""
        group, version, plural = PLURALS[kind]
        body = {
            "apiVersion": f"{group}/{version}",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec,
        }
        made: Json = self._custom.create_namespaced_custom_object(group, version, self.namespace, plural, body)
        return made

    def task(self, name: str, *steps: Json, **spec: Any) -> Json:
        """Create a Task whose attempts do these steps."""
        if not spec.keys() & {"templateRef", "retryOf"}:
            spec.setdefault("jobTemplate", job_template(*steps))
        return self.create("Task", name, copy.deepcopy(spec))

    def queue(self, name: str, **spec: Any) -> Json:
        """Create a TaskQueue."""
        return self.create("TaskQueue", name, spec)

    def schedule(self, name: str, *steps: Json, **spec: Any) -> Json:
        """Create a Schedule of Tasks whose attempts do these steps."""
        spec.setdefault("taskTemplate", {"spec": {"jobTemplate": job_template(*steps)}})
        return self.create("Schedule", name, copy.deepcopy(spec))

    # --- look and change -------------------------------------------------------------------------------------------

    def find(self, kind: str, name: str) -> Json | None:
        """The object, or None."""
        group, version, plural = PLURALS[kind]
        try:
            found: Json = self._custom.get_namespaced_custom_object(group, version, self.namespace, plural, name)
        except kubernetes.ApiException as error:
            if error.status == 404:
                return None
            raise
        return found

    def get(self, name: str, kind: str = "Task") -> Json:
        """The object, which must be there."""
        found = self.find(kind, name)
        assert found, f"{kind} {self.namespace}/{name} is not there"
        return found

    def list(self, kind: str, selector: str = "", fields: str = "") -> list[Json]:
        """All of a kind, or those that the selectors of labels and fields leave."""
        group, version, plural = PLURALS[kind]
        listed = self._custom.list_namespaced_custom_object(
            group, version, self.namespace, plural, label_selector=selector, field_selector=fields
        )
        items: list[Json] = listed["items"]
        return items

    def patch(self, kind: str, name: str, body: Json) -> Json:
        """Change an object by a merge patch."""
        group, version, plural = PLURALS[kind]
        patched: Json = self._custom.patch_namespaced_custom_object(
            group, version, self.namespace, plural, name, body, _content_type="application/merge-patch+json"
        )
        return patched

    def change(self, name: str, kind: str = "Task", **spec: Any) -> Json:
        """Change fields of a spec."""
        return self.patch(kind, name, {"spec": spec})

    def delete(self, kind: str, name: str, policy: str = "Background") -> None:
        """Delete an object; ``policy`` is what becomes of what it owns."""
        group, version, plural = PLURALS[kind]
        self._custom.delete_namespaced_custom_object(
            group, version, self.namespace, plural, name, body={"propagationPolicy": policy}
        )

    def jobs(self, task: str) -> list[Json]:
        """The Jobs of a Task by attempt."""
        found = self.list("Job", f"taskq.dev/task={task}")
        return sorted(found, key=lambda job: int(job["metadata"]["labels"]["taskq.dev/attempt"]))

    def tasks_of(self, schedule: str) -> list[Json]:
        """The Tasks of a Schedule by name, which is by tick."""
        found = self.list("Task", f"taskq.dev/schedule={schedule}")
        return sorted(found, key=lambda task: str(task["metadata"]["name"]))

    def pods(self, task: str) -> list[Json]:
        """The pods of a Task."""
        found = self.core.list_namespaced_pod(self.namespace, label_selector=f"taskq.dev/task={task}")
        items: list[Json] = self._client.sanitize_for_serialization(found)["items"]
        return items

    def events(self, task: str) -> list[Json]:
        """The Events of a Task."""
        found = self.core.list_namespaced_event(self.namespace, field_selector=f"involvedObject.name={task}")
        items: list[Json] = self._client.sanitize_for_serialization(found)["items"]
        return items

    # --- wait ------------------------------------------------------------------------------------------------------

    def wait(self, name: str, probe: Callable[[Json], object], what: str, kind: str = "Task") -> Json:
        """The object, as soon as the probe is happy with it."""
        last: list[Json | None] = [None]

        def look() -> Json | None:
            last[0] = self.find(kind, name)
            return last[0] if last[0] is not None and probe(last[0]) else None

        return until(look, lambda: f"{kind} {name}: {what}; it is {_brief(last[0])}")

    def wait_phase(self, name: str, *phases: str) -> Json:
        """The Task, as soon as it is in one of these phases."""
        return self.wait(name, lambda task: task["status"].get("phase") in phases, f"phase {' or '.join(phases)}")

    def wait_end(self, name: str) -> Json:
        """The Task, as soon as it has ended somehow."""
        return self.wait_phase(name, *ENDS)

    def wait_condition(self, name: str, kind: str, status: str = "True", reason: str = "", of: str = "Task") -> Json:
        """The object, as soon as a condition of it says so."""

        def says(obj: Json) -> bool:
            found = conditions(obj).get(kind)
            return bool(found) and found["status"] == status and reason in ("", found["reason"])

        return self.wait(name, says, f"condition {kind}={status} {reason}", of)

    def wait_gone(self, kind: str, name: str, uid: str = "") -> None:
        """Until no object has this name, or another one has it."""

        def gone() -> bool:
            found = self.find(kind, name)
            return found is None or (uid != "" and found["metadata"]["uid"] != uid)

        until(gone, f"{kind} {name} is gone")

    def wait_job(self, task: str, attempt: int = 1) -> Json:
        """The Job of an attempt, as soon as it is there."""
        selector = f"taskq.dev/task={task},taskq.dev/attempt={attempt}"
        return until(lambda: self.list("Job", selector), f"the Job of attempt {attempt} of {task}")[0]

    def wait_pod(self, task: str, phase: str = "Running") -> Json:
        """A pod of a Task, as soon as it is in this phase."""

        def look() -> Json | None:
            return next((pod for pod in self.pods(task) if pod["status"].get("phase") == phase), None)

        return until(look, f"a pod of {task} is {phase}")

    # --- the record ------------------------------------------------------------------------------------------------

    def audit(self) -> list[audit.Event]:
        """What the API server saw in this namespace."""
        return audit.read(self._audit_log, [self.namespace])

    def started(self) -> list[str]:
        """The names of the Tasks in the order in which their attempts were started."""
        return [start.task for start in audit.starts(self.audit())]


def conditions(obj: Mapping[str, Any]) -> dict[str, Json]:
    """The conditions of an object by type."""
    return {condition["type"]: condition for condition in obj.get("status", {}).get("conditions", ())}


def _brief(obj: Json | None) -> str:
    if obj is None:
        return "not there"
    status = {name: value for name, value in obj.get("status", {}).items() if name != "conditions"}
    return f"{status} with {[(c['type'], c['status'], c['reason'], c['message']) for c in conditions(obj).values()]}"
