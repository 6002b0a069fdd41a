"""What is known of one kind: the newest version wins, whoever brings it (a list, a watch, an answer to a write)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Generic, Protocol, TypeVar

from taskq.domain.model import Key, Metadata, SlimMetadata

GRAVES = 4096
"""Removed objects that are remembered: an answer to a write may arrive after the watch has told of the removal."""


class Known(Protocol):
    """Anything with metadata."""

    @property
    def metadata(self) -> Metadata | SlimMetadata:
        """Name, uid and version."""


T = TypeVar("T", bound=Known)


class Store(Generic[T]):
    """Objects of one kind by namespace and name; a listener is told of every change as (before, after)."""

    def __init__(self, listener: Callable[[T | None, T | None], None]) -> None:
        """The listener is called synchronously and must not change this store."""
        self._objects: dict[Key, T] = {}
        self._graves: OrderedDict[str, int] = OrderedDict()
        self._listener = listener

    def __len__(self) -> int:
        """How many objects are known."""
        return len(self._objects)

    def __iter__(self) -> Iterator[T]:
        """All objects, in no order."""
        return iter(self._objects.values())

    def get(self, key: Key, uid: str | None = None) -> T | None:
        """The object of this name, if it is known and has this uid."""
        found = self._objects.get(key)
        return found if found and uid in (None, found.metadata.uid) else None

    def knows(self, namespace: str, name: str, uid: str, resource_version: int) -> bool:
        """Whether this object is here, in this version or a newer one."""
        found = self.get(Key(namespace, name), uid)
        return found is not None and found.metadata.version >= resource_version

    def apply(self, obj: T) -> None:
        """Take an object in, unless it is older than what is known, or known to be gone."""
        meta = obj.metadata
        old = self._objects.get(meta.key)
        if self._graves.get(meta.uid, -1) >= meta.version:
            return
        if old and old.metadata.version >= meta.version:
            return
        self._objects[meta.key] = obj
        if old and old.metadata.uid != meta.uid:
            self._bury(old.metadata.uid, meta.version)
        self._listener(old, obj)

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        """Drop an object, unless a newer version, or another object of its name, is known."""
        key = Key(namespace, name)
        old = self._objects.get(key)
        self._bury(uid, resource_version)
        if old and old.metadata.uid == uid and old.metadata.version <= resource_version:
            del self._objects[key]
            self._listener(old, None)

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        """Drop what a full list of this version does not have."""
        gone = [
            obj
            for obj in self._objects.values()
            if obj.metadata.uid not in seen
            and obj.metadata.version <= resource_version
            and namespace in (None, obj.metadata.namespace)
        ]
        for obj in gone:
            meta = obj.metadata
            self.remove(meta.namespace, meta.name, meta.uid, max(meta.version, resource_version))

    def _bury(self, uid: str, version: int) -> None:
        self._graves[uid] = max(version, self._graves.pop(uid, -1))
        if len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
