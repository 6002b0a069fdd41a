"""An event loop on simulated time, and processes in it that can be frozen, thawed and killed.

Nothing sleeps and nothing touches a socket: when the loop has nothing to do, time jumps to its next timer. With the
same seed the same callbacks run in the same order.
"""

from __future__ import annotations

import asyncio
import contextvars
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

START = 1_800_000_000.0
"""Wall time at which every walk begins, in epoch seconds."""

_process: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class Deadlock(Exception):  # noqa: N818 - a state of the loop
    """Everything waits for something that nobody will do."""


class _JumpingSelector(selectors.SelectSelector):
    """Has no events; waiting only moves the time."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("no timer is set and no callback is ready")
        self.now += max(timeout, 0.0)
        return []


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number, so that sets of tasks have the same order in every run."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self._number = number  # first: the constructor puts it into a set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class Process:
    """What crashes and freezes as a whole: everything started in its context belongs to it.

    Frozen, none of its callbacks runs, and its timers that come due wait, as those of a process under SIGSTOP do.
    Killed, its coroutines are unwound, and its connections let nothing out any more.
    """

    def __init__(self, name: str) -> None:
        """A process that runs nothing yet."""
        self.name = name
        self.frozen = False
        self.dead = False
        self.thaws = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: list[Callable[[], None]] = []
        self._context = contextvars.copy_context()
        self._context.run(_process.set, self)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in this process."""
        return asyncio.get_running_loop().create_task(coroutine, context=self._context.copy())

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Called for every task that is made in this process."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def defer(self, again: Callable[[], None]) -> None:
        """Keep a callback until the thaw."""
        self._waiting.append(again)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True

    def thaw(self) -> None:
        """SIGCONT: all that came due meanwhile runs now, in its order."""
        self.frozen = False
        self.thaws += 1
        waiting, self._waiting = self._waiting, []
        for again in waiting:
            again()

    async def kill(self) -> None:
        """kill -9, as far as the API server can tell: from now on nothing leaves this process."""
        self.dead = True
        if self.frozen:
            self.thaw()
        tasks = sorted(self._tasks, key=hash)
        for task in tasks:
            task.cancel()
        if tasks:
            _, hanging = await asyncio.wait(tasks, timeout=60)
            if hanging:
                raise Deadlock(f"{self.name} does not unwind: {[task.get_coro() for task in hanging]}")
            for task in tasks:
                if not task.cancelled():
                    task.exception()  # looked at, so that nobody complains that it was not


class SimLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        """Time starts at 0."""
        self._jumping = _JumpingSelector()
        self._tasks_made = 0
        self.broken: list[BaseException] = []
        super().__init__(self._jumping)
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Simulated seconds."""
        return self._jumping.now

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        self._tasks_made += 1
        task = _Task(self._tasks_made, coro, loop=loop, **options)
        context = options.get("context")
        owner = context.get(_process) if context is not None else _process.get()
        if owner is not None:
            owner.adopt(task)
        return task

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.broken.append(context.get("exception") or RuntimeError(str(context.get("message"))))

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        """Run a callback, when its process is not frozen."""
        if context is None:
            context = contextvars.copy_context()
        owner = context.get(_process)
        if owner is None:
            return super().call_soon(callback, *args, context=context)
        guarded = _Guarded(self, owner, callback, args, context)
        guarded.handle = super().call_soon(guarded, context=context)
        return guarded.handle

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback at a time, or after its process was thawed."""
        if context is None:
            context = contextvars.copy_context()
        owner = context.get(_process)
        if owner is None:
            return super().call_at(when, callback, *args, context=context)
        guarded = _Guarded(self, owner, callback, args, context)
        handle = super().call_at(when, guarded, context=context)
        guarded.handle = handle
        return handle

    def unguarded(self, callback: Any, context: contextvars.Context) -> None:
        """Run what is guarded already."""
        super().call_soon(callback, context=context)

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Call back in no process: what the server does goes on whatever its clients do."""
        super().call_at(self.time() + delay, callback, *args, context=contextvars.Context())


class _Guarded:
    """A callback of a process."""

    __slots__ = ("args", "callback", "context", "handle", "loop", "owner")

    def __init__(self, loop: SimLoop, owner: Process, callback: Any, args: Any, context: Any) -> None:
        self.loop, self.owner, self.callback, self.args, self.context = loop, owner, callback, args, context
        self.handle: asyncio.Handle | None = None

    def __call__(self) -> None:
        if self.handle is not None and self.handle.cancelled():  # while it was deferred
            return
        if self.owner.frozen:
            self.owner.defer(self._again)
        else:
            self.callback(*self.args)

    def _again(self) -> None:
        self.loop.unguarded(self, self.context)


class SimClock:
    """The clocks of one machine: the wall clock steps with `skew`, uptime never does."""

    def __init__(self, loop: SimLoop) -> None:
        """In step with the world."""
        self._loop = loop
        self.skew = 0.0

    def now(self) -> float:
        """Wall time of this machine, epoch seconds."""
        return START + self._loop.time() + self.skew

    def uptime(self) -> float:
        """Seconds since the beginning."""
        return self._loop.time()
