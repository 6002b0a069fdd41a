"""A bound on what askers may cost, so that none of them holds up the dispatcher."""

from __future__ import annotations

from taskq.clock import Clock


class Budget:
    """Refills steadily up to a burst; what is spent beyond it is owed."""

    def __init__(self, clock: Clock, *, per_second: float, burst: float) -> None:
        """Start full."""
        self._clock = clock
        self._rate = per_second
        self._burst = burst
        self._left = burst
        self._at = clock.uptime()

    def lacks(self, amount: float = 0.0) -> float:
        """Seconds until so much is there; 0 when it is there now."""
        self._refill()
        return max(0.0, (amount - self._left) / self._rate)

    def spend(self, amount: float) -> None:
        """Take something out."""
        self._refill()
        self._left -= amount

    def _refill(self) -> None:
        now = self._clock.uptime()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
