"""A sleep that ends early when something happens."""

from __future__ import annotations

import asyncio


class Waker:
    """What a loop rests on between two rounds; a :meth:`wake` during a round makes the next rest end at once."""

    def __init__(self) -> None:
        """Nothing has happened yet."""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something happened."""
        self._woken.set()

    async def rest(self, seconds: float) -> None:
        """Sleep for so long or until woken, and forget the wake-up; always gives way to other tasks once."""
        if seconds <= 0 or self._woken.is_set():
            await asyncio.sleep(0)
        else:
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                pass
        self._woken.clear()
