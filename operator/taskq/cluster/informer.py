"""Keeps a store equal to what the API server has of one kind: list, watch, list again when in doubt."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from taskq.clock import Clock
from taskq.cluster.session import Api

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """The store of one kind. Called on the loop, never concurrently; must not block nor await."""

    def apply(self, obj: T_contra) -> None:
        """Take an object in, unless a newer resourceVersion of its uid is already there."""

    def remove(self, namespace: str, name: str, uid: str, resource_version: int) -> None:
        """Drop an object, unless what is stored is newer than `resource_version` or has another uid."""

    def sweep(self, namespace: str | None, seen: AbstractSet[str], resource_version: int) -> None:
        """A full list ended: of that namespace (None: of all), what is not in `seen` (uids) and
        has a resourceVersion up to this one is gone.
        """


@dataclass(frozen=True, slots=True)
class Source:
    """Where the objects of one kind are: `Source("/apis/batch/v1", "jobs")` are all Jobs."""

    prefix: str
    plural: str
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""


@dataclass(frozen=True, slots=True)
class ObjectId:
    """What could still be read of an object that could not be decoded; empty and 0 where nothing could."""

    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: int = 0


class Informer(Generic[T]):
    """List, sweep, watch; forever, whatever the API server or a single object does."""

    def __init__(
        self,
        api: Api,
        source: Source,
        decode: Callable[[bytes], T],
        sink: Sink[T],
        *,
        clock: Clock,
        jitter: Callable[[], float],
        on_poison: Callable[[ObjectId, Exception], None],
        chunk_size: int = 500,
        resync_seconds: float = 600.0,
        backoff_seconds: tuple[float, float] = (1.0, 30.0),
        request_timeout_seconds: float = 60.0,
    ) -> None:
        """Nothing is requested before `run`; `jitter` returns [0, 1) (random.random, or a seeded one)."""
        self.events: dict[str, int] = {}
        """Watch events so far, by type."""
        self.restarts: dict[str, int] = {}
        """Lists and watches begun again, by reason."""
        self.poisoned: int = 0
        """Objects that could not be decoded or applied, each version counted."""

    @property
    def synced(self) -> bool:
        """Whether the store has been complete at least once."""
        raise NotImplementedError

    async def wait_synced(self) -> None:
        """Wait until the first full list has been swept."""
        raise NotImplementedError

    @property
    def resource_version(self) -> int:
        """The newest revision the store is known to reflect; 0 before the first list."""
        raise NotImplementedError

    @property
    def silence(self) -> float:
        """Seconds since the server was last heard of (a list, an event or a bookmark)."""
        raise NotImplementedError

    async def run(self) -> None:
        """Keep the store fresh until cancelled; no answer and no object ends it."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Return once a full quorum list begun after this call has been swept; the watch goes on."""
        raise NotImplementedError
