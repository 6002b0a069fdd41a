"""Leader election: one coordination.k8s.io Lease, and a clock that counts suspends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from taskq.clock import Clock
from taskq.cluster.session import Api


class Lease:
    """One replica's claim to be the only writer.

    `identity` must be new for every process (pod name and a random part): a restarted process is not
    the holder that it was before.
    """

    def __init__(
        self,
        api: Api,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        jitter: Callable[[], float],
        duration_seconds: float = 8.0,
        renew_every_seconds: float = 2.0,
        renew_deadline_seconds: float = 3.0,
        standby_poll_seconds: float = 1.0,
    ) -> None:
        """Nothing is requested before `run`."""
        self.lost = asyncio.Event()
        """Set once, for good, when the lease was held and is not any more: the process should end."""

    @property
    def is_holder(self) -> bool:
        """Whether the lease was acquired and neither lost nor released since."""
        raise NotImplementedError

    @property
    def holder(self) -> str:
        """Identity of the last holder that was seen, empty for none: for logs and metrics."""
        raise NotImplementedError

    @property
    def age(self) -> float:
        """Seconds since the START of the last renewal that succeeded; infinite when never held."""
        raise NotImplementedError

    def may_write(self) -> bool:
        """Whether a write begun now comes before any other holder's; ask at every POST."""
        raise NotImplementedError

    async def run(self, on_elected: Callable[[], Awaitable[None]]) -> None:
        """Stand by until the lease is ours, start `on_elected`, renew; returns when lost or released.

        `on_elected` may be short or last as long as the term; it is cancelled when the term ends,
        and what it raises is raised here.
        """
        raise NotImplementedError

    async def release(self) -> None:
        """Stop renewing and give the lease back, so that the next one need not wait for it to expire.

        Call it when every write has been answered: another holder may write the moment this returns.
        """
        raise NotImplementedError
