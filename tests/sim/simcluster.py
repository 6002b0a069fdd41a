"""An API server in memory: what the operator, the controllers and the users of a walk talk to.

It keeps to what the contract suite (tests/integration/test_api_contract.py) shows of the real one: revisions, pages,
watches with selectors, the kinds of 409, preconditions, the status subresource, merge patches, garbage collection.
All of it is synchronous; time and trouble happen between it and its clients, in :mod:`sim.simapi`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from sim.faults import Dice
from sim.simloop import START, SimLoop
from taskq.cluster.session import Reply
from taskq.domain.model import Key

Object = dict[str, Any]

KINDS = {
    "tasks": ("taskq.dev/v1alpha1", "Task"),
    "taskqueues": ("taskq.dev/v1alpha1", "TaskQueue"),
    "tasktemplates": ("taskq.dev/v1alpha1", "TaskTemplate"),
    "schedules": ("taskq.dev/v1alpha1", "Schedule"),
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "events": ("v1", "Event"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
}
WITH_STATUS = {"tasks", "taskqueues", "tasktemplates", "schedules", "jobs", "pods"}

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Kept(NamedTuple):
    """An object at one revision; never changed, only replaced."""

    document: Object
    raw: bytes

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.document["metadata"]["uid"])

    @property
    def revision(self) -> int:
        """Its resourceVersion."""
        return int(self.document["metadata"]["resourceVersion"])


class Change(NamedTuple):
    """One line of the history; `old` or `new` is None at the beginning and the end of an object's life."""

    revision: int
    time: float
    key: Key
    old: Kept | None
    new: Kept | None


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """An answer of 400 or above."""

    def __init__(self, status: int, reason: str, message: str = "", retry_after: float | None = None) -> None:
        """Say why."""
        self.status, self.reason, self.message, self.retry_after = status, reason, message, retry_after
        super().__init__(f"{status} {reason}: {message}")

    def reply(self) -> Reply:
        """The answer, as the API server words it."""
        words = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "code": self.status,
            "reason": self.reason,
            "message": self.message or self.reason,
        }
        return Reply(self.status, _encode(words), self.retry_after)


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def selector(labels: str = "", fields: str = "") -> Callable[[Object], bool]:
    """What `labelSelector` and `fieldSelector` let through."""
    tests: list[Callable[[Object], bool]] = []
    if labels:
        name, _, value = labels.partition("=")
        tests.append(lambda document: _label_is(document, name, value))
    if fields:
        path, differs, wanted = fields.partition("!=") if "!=" in fields else fields.partition("=")
        steps = path.split(".")
        tests.append(lambda document: (_field(document, steps) == wanted) == (differs == "="))
    return lambda document: all(test(document) for test in tests)


def _label_is(document: Object, name: str, value: str) -> bool:
    labels = document["metadata"].get("labels") or {}
    return labels.get(name) == value if value else name in labels


def _field(document: Object, steps: list[str]) -> str:
    found: Any = document
    for step in steps:
        found = (found or {}).get(step)
    return "" if found is None else str(found)


class Referee:
    """Told of everything that changes, right after it did, and of what is about to be refused or allowed."""

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """An object was created, changed or removed."""


class Server:
    """The objects, their history, and the rules."""

    def __init__(self, loop: SimLoop, dice: Dice) -> None:
        """An empty cluster."""
        self.loop = loop
        self.dice = dice
        self.revision = 100
        self.compacted = 0
        self.objects: dict[str, dict[Key, Kept]] = {resource: {} for resource in KINDS}
        self.history: dict[str, list[Change]] = {resource: [] for resource in KINDS}
        self.referees: list[Referee] = []
        self.quota: dict[str, int] = {}
        self.created = 0
        self._uids: set[str] = set()
        self._owned: dict[str, set[tuple[str, Key]]] = {}
        self._tokens = 0
        self._pages: dict[str, tuple[int, list[Kept]]] = {}
        self._listeners: dict[str, list[asyncio.Future[None]]] = {resource: [] for resource in KINDS}

    def now(self) -> float:
        """The server's wall time, epoch seconds."""
        return START + self.loop.time()

    def stamp(self) -> str:
        """The same, in whole seconds as Kubernetes writes it."""
        return datetime.fromtimestamp(int(self.now()), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- reading ---------------------------------------------------------------------------------------------------

    def get(self, resource: str, key: Key) -> Kept | None:
        """An object, or None."""
        return self.objects[resource].get(key)

    def find(self, resource: str, key: Key) -> Kept:
        """An object; refuses with 404."""
        found = self.get(resource, key)
        if found is None:
            raise Refused(404, "NotFound", f'{resource} "{key.name}" not found')
        return found

    def every(self, resource: str, namespace: str | None = None) -> Iterator[tuple[Key, Kept]]:
        """The objects of a kind, as they are now."""
        return ((key, kept) for key, kept in list(self.objects[resource].items()) if namespace in (None, key.namespace))

    def list_page(self, resource: str, namespace: str | None, query: dict[str, str]) -> tuple[bytes, list[Kept]]:
        """One page; all pages of a list show the same revision, and an old token is 410."""
        limit = int(query.get("limit", "0"))
        token = query.get("continue", "")
        if token:
            if token not in self._pages:
                raise Refused(410, "Expired", "the provided continue parameter is too old")
            revision, rest = self._pages.pop(token)
        else:
            wanted = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
            revision = self.revision
            rest = [kept for key, kept in sorted(self.every(resource, namespace)) if wanted(kept.document)]
        page, rest = (rest[:limit], rest[limit:]) if limit else (rest, [])
        metadata: Object = {"resourceVersion": str(revision)}
        if rest:
            self._tokens += 1
            metadata |= {"continue": f"page-{self._tokens}", "remainingItemCount": len(rest)}
            self._pages[metadata["continue"]] = (revision, rest)
        version, kind = KINDS[resource]
        items = [msgspec.Raw(kept.raw) for kept in page]
        body = _encode({"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": items})
        return body, page

    def expire_pages(self) -> None:
        """Forget every continue token."""
        self._pages.clear()

    def compact(self) -> None:
        """Forget the history so far: watches from before get 410."""
        self.compacted = self.revision
        self.expire_pages()
        for resource, changes in self.history.items():
            self.history[resource] = [change for change in changes if change.revision > self.compacted]

    async def news(self, resource: str, timeout: float) -> None:
        """Wait until something of a kind changes, or so many seconds."""
        future = asyncio.get_running_loop().create_future()
        self._listeners[resource].append(future)
        await asyncio.wait([future], timeout=timeout)

    # --- writing ---------------------------------------------------------------------------------------------------

    def create(self, resource: str, namespace: str, document: Object, who: Any = None) -> Kept:
        """Create an object; refuses with 409 AlreadyExists, or what admission says."""
        metadata = dict(document.get("metadata") or {})
        name = metadata.get("name") or f"{metadata.get('generateName', 'x-')}{self.revision}"
        key = Key(namespace, name)
        if key in self.objects[resource]:
            raise Refused(409, "AlreadyExists", f'{resource} "{name}" already exists')
        self.admit(resource, key, document)
        self.created += 1
        metadata |= {
            "name": name,
            "namespace": namespace,
            "uid": str(uuid.UUID(int=self.dice.random.getrandbits(128))),
            "generation": 1,
            "creationTimestamp": self.stamp(),
        }
        version, kind = KINDS[resource]
        made = {**document, "apiVersion": version, "kind": kind, "metadata": metadata}
        made.pop("status", None)
        if resource == "tasks":
            made["status"] = {"observedGeneration": -1, "phase": "Pending"}
        elif resource in WITH_STATUS:
            made["status"] = dict(document.get("status") or {}) if resource == "pods" else {}
        return self._keep(resource, key, made, who)

    def admit(self, resource: str, key: Key, document: Object) -> None:
        """Quota and validation."""
        if resource != "jobs":
            return
        used = sum(1 for other, _ in self.every("jobs", key.namespace))
        if key.namespace in self.quota and used >= self.quota[key.namespace]:
            raise Refused(403, "Forbidden", f'jobs.batch "{key.name}" is forbidden: exceeded quota: small')
        containers = document["spec"]["template"]["spec"].get("containers") or []
        if not containers or containers[0].get("image") == "":
            raise Refused(422, "Invalid", "spec.template.spec.containers[0].image: Required value")

    def update(self, resource: str, key: Key, document: Object, who: Any = None) -> Kept:
        """Replace an object, at the revision that the new one names."""
        old = self.find(resource, key)
        wanted = document["metadata"].get("resourceVersion")
        if wanted and wanted != old.document["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest")
        metadata = {**old.document["metadata"], **document["metadata"]}
        return self._change(resource, key, old, {**document, "metadata": metadata}, who)

    def patch(self, resource: str, key: Key, patch: Object, *, status: bool = False, who: Any = None) -> Kept:
        """Merge into an object, or into its status only; uid and resourceVersion are preconditions.

        But for a uid in a patch of a status: the real server ignores it, too.
        """
        old = self.find(resource, key)
        meta = old.document["metadata"]
        named = patch.get("metadata") or {}
        if named.get("resourceVersion") not in (None, meta["resourceVersion"]):
            raise Refused(409, "Conflict", "the object has been modified; please apply your changes to the latest")
        if named.get("uid") not in (None, meta["uid"]) and not status:
            raise Refused(422, "Invalid", "metadata.uid: Invalid value: field is immutable")
        new = merged(old.document, patch)
        for name in named.get("annotations") or ():
            owned = {"f:metadata": {"f:annotations": {f"f:{name}": {}}}}
            others = [entry for entry in new["metadata"].get("managedFields", ()) if entry["fieldsV1"] != owned]
            new["metadata"]["managedFields"] = [*others, {"time": self.stamp(), "fieldsV1": owned}]
        if status:
            new = {**old.document, "status": new.get("status", {})}
        elif resource in WITH_STATUS:
            new["status"] = old.document.get("status", {})
        return self._change(resource, key, old, new, who)

    def _change(self, resource: str, key: Key, old: Kept, new: Object, who: Any) -> Kept:
        if new == old.document:
            return old
        if new.get("spec") != old.document.get("spec"):
            new["metadata"] = {**new["metadata"], "generation": old.document["metadata"].get("generation", 0) + 1}
        return self._keep(resource, key, new, who)

    def set_status(self, resource: str, key: Key, **fields: Any) -> None:
        """What a controller or a kubelet reports; nothing, when the object is gone."""
        if self.get(resource, key):
            self.patch(resource, key, {"status": fields}, status=True)

    def set_meta(self, resource: str, key: Key, **fields: Any) -> None:
        """Change the metadata as the server itself does."""
        old = self.find(resource, key)
        self._keep(resource, key, merged(old.document, {"metadata": fields}), None)

    def delete(self, resource: str, key: Key, options: Object | None = None, who: Any = None) -> Kept:
        """Delete an object as the options ask: a uid precondition, a grace period, a propagation policy."""
        old = self.find(resource, key)
        options = options or {}
        for field, wanted in (options.get("preconditions") or {}).items():
            if wanted != old.document["metadata"][field]:
                raise Refused(409, "Conflict", f"Precondition failed: {field} in precondition: {wanted}")
        if resource == "pods":
            return self._delete_pod(key, old, options)
        policy = options.get("propagationPolicy", "Background")
        if policy == "Foreground":
            if "deletionTimestamp" not in old.document["metadata"]:
                finalizers = ["foregroundDeletion"]
                self.set_meta(resource, key, deletionTimestamp=self.stamp(), finalizers=finalizers)
                self.loop.outside(self.dice.between(0.05, 2), self._collect_foreground, resource, key, old.uid)
            return self.find(resource, key)
        if policy == "Orphan":
            for dependent, place in list(self._owned.get(old.uid, ())):
                self.set_meta(dependent, place, ownerReferences=None)
        self.remove(resource, key, who)
        return old

    def _delete_pod(self, key: Key, old: Kept, options: Object) -> Kept:
        grace = options.get("gracePeriodSeconds", old.document["spec"].get("terminationGracePeriodSeconds", 30))
        meta = old.document["metadata"]
        if grace == 0:
            self.remove("pods", key)
            return old
        if "deletionTimestamp" in meta and grace >= meta["deletionGracePeriodSeconds"]:
            return old
        end = datetime.fromtimestamp(int(self.now()) + grace, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.set_meta("pods", key, deletionTimestamp=end, deletionGracePeriodSeconds=grace)
        return self.find("pods", key)

    def remove(self, resource: str, key: Key, who: Any = None) -> None:
        """An object's end; what it owned is collected a little later."""
        old = self.objects[resource].pop(key)
        self.revision += 1
        last = {**old.document, "metadata": {**old.document["metadata"], "resourceVersion": str(self.revision)}}
        kept = Kept(last, _encode(last))
        self._uids.discard(old.uid)
        self._note(resource, Change(self.revision, self.loop.time(), key, kept, None), who)
        for owner in self._owners(old.document):
            self._owned.get(owner, set()).discard((resource, key))
        for dependent, place in sorted(self._owned.get(old.uid, ())):
            self._orphaned(dependent, place)

    def _keep(self, resource: str, key: Key, document: Object, who: Any) -> Kept:
        self.revision += 1
        document = {**document, "metadata": {**document["metadata"], "resourceVersion": str(self.revision)}}
        raw = _encode(document)
        kept = Kept(_decode(raw), raw)
        old = self.objects[resource].get(key)
        self.objects[resource][key] = kept
        self._uids.add(kept.uid)
        before, after = (set(self._owners(found.document)) if found else set() for found in (old, kept))
        for owner in sorted(before - after):
            self._owned[owner].discard((resource, key))
        for owner in sorted(after - before):
            self._owned.setdefault(owner, set()).add((resource, key))
            if owner not in self._uids:
                self._orphaned(resource, key)
        self._note(resource, Change(self.revision, self.loop.time(), key, old, kept), who)
        return kept

    def _note(self, resource: str, change: Change, who: Any) -> None:
        self.history[resource].append(change)
        kept = change.new or change.old
        assert kept is not None
        verb = "removed" if change.new is None else "changed" if change.old else "created"
        if resource not in ("leases", "events"):
            name = getattr(who, "name", who) or "cluster"
            self.dice.say(f"{name}: {resource[:-1]} {change.key.name} {verb} r{change.revision} {_gist(kept.document)}")
        listeners, self._listeners[resource] = self._listeners[resource], []
        for listener in listeners:
            if not listener.done():
                listener.set_result(None)
        for referee in self.referees:
            referee.changed(resource, change, who)

    # --- garbage collection ----------------------------------------------------------------------------------------

    def owned(self, uid: str, resource: str) -> list[Key]:
        """What an object owns."""
        return sorted(key for kind, key in self._owned.get(uid, ()) if kind == resource)

    def _owners(self, document: Object) -> list[str]:
        return [owner["uid"] for owner in document["metadata"].get("ownerReferences") or ()]

    def _orphaned(self, resource: str, key: Key) -> None:
        kept = self.objects[resource].get(key)
        if kept:
            self.loop.outside(self.dice.between(0.02, 3), self._collect, resource, key, kept.uid)

    def _collect(self, resource: str, key: Key, uid: str) -> None:
        kept = self.get(resource, key)
        if kept and kept.uid == uid and (owners := self._owners(kept.document)) and not self._uids & set(owners):
            self.delete(resource, key)

    def _collect_foreground(self, resource: str, key: Key, uid: str) -> None:
        kept = self.get(resource, key)
        if kept is None or kept.uid != uid:
            return
        pods = self.owned(uid, "pods")  # only they block: their Job owns them with blockOwnerDeletion
        for pod in pods:
            if "deletionTimestamp" not in self.find("pods", pod).document["metadata"]:
                self.delete("pods", pod)
        if pods:
            self.loop.outside(self.dice.between(0.05, 1), self._collect_foreground, resource, key, uid)
        else:
            self.remove(resource, key)


def _gist(document: Object) -> str:
    """What a reader of a trace wants to know of an object."""
    status, spec = document.get("status") or {}, document.get("spec") or {}
    said = [c["type"] for c in status.get("conditions") or () if c["status"] == "True"]
    facts = {
        "phase": status.get("phase"),
        "reason": status.get("reason"),
        "attempt": status.get("attempt"),
        "attempts": [f"{a['number']}:{a.get('reason')}" for a in status.get("attempts") or ()] or None,
        "active": status.get("active"),
        "terminating": status.get("terminating"),
        "said": said or None,
        "suspend": spec.get("suspend") or None,
        "state": spec.get("state"),
        "cap": spec.get("maxConcurrency"),
        "priority": spec.get("priority"),
        "cancel": (spec.get("cancellation") or {}).get("mode"),
        "deleting": document["metadata"].get("deletionTimestamp"),
    }
    return " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
