"""The pods of every Job, kept so that a look at those that live costs the same after ten thousand that have ended."""

from __future__ import annotations

from taskq.domain.model import Key, Pod


class _OfOneJob:
    __slots__ = ("failed", "living", "succeeded")

    def __init__(self) -> None:
        self.living: dict[str, Pod] = {}
        self.failed: dict[str, Pod] = {}
        self.succeeded: Pod | None = None
        """The latest; what the others said nobody asks for."""


class Pods:
    """See the module."""

    def __init__(self) -> None:
        """Start empty."""
        self._jobs: dict[Key, _OfOneJob] = {}

    def put(self, job: Key, pod: Pod) -> None:
        """A pod appeared or changed."""
        known = self._jobs.setdefault(job, _OfOneJob())
        uid = pod.metadata.uid
        if pod.alive:
            known.living[uid] = pod
            return
        known.living.pop(uid, None)
        if pod.status.phase == "Failed":
            known.failed[uid] = pod
        elif known.succeeded is None or known.succeeded.metadata.created <= pod.metadata.created:
            known.succeeded = pod

    def discard(self, job: Key, uid: str) -> None:
        """A pod is gone."""
        known = self._jobs.get(job)
        if known is None:
            return
        known.living.pop(uid, None)
        known.failed.pop(uid, None)
        if known.succeeded and known.succeeded.metadata.uid == uid:
            known.succeeded = None
        if not (known.living or known.failed or known.succeeded):
            del self._jobs[job]

    def of(self, job: Key) -> tuple[Pod, ...]:
        """Those that live, and one of those that have ended: a failed one before one that succeeded."""
        known = self._jobs.get(job)
        if known is None:
            return ()
        ended = next(reversed(known.failed.values()), known.succeeded)
        return (*known.living.values(), *((ended,) if ended else ()))

    def all_of(self, job: Key) -> tuple[Pod, ...]:
        """Those that live, all that failed, and the latest that succeeded."""
        known = self._jobs.get(job)
        if known is None:
            return ()
        return (*known.living.values(), *known.failed.values(), *((known.succeeded,) if known.succeeded else ()))

    def any_alive(self, job: Key) -> bool:
        """Whether a container of one of them may still run."""
        known = self._jobs.get(job)
        return known is not None and bool(known.living)
