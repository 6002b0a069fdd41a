"""Tasks that wait for each other in a circle: found when the Task that closes it appears, by walking little.

A new node can only close a circle that leads through itself. Two walks look for it, along what it waits for and along
what waits for it, one edge each in turn: as soon as either has nowhere left to go, there is none. So a chain costs next
to nothing in whatever order its Tasks appear, since one of the two ends at once, or is the shorter part of the chain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable

from taskq.domain.model import Key

Step = Callable[[Key], Iterable[Key]]
"""The nodes one edge away."""

Path = tuple[Key, ...]
"""A circle without its repeated end: each waits for the next one, the last for the first."""


def find(start: Key, forward: Step, backward: Step) -> Path | None:
    """A circle through this node, beginning with it; ``backward`` are the same edges from their other ends."""
    ahead, behind = _walk(start, forward), _walk(start, backward)
    while True:
        for walk in (ahead, behind):
            try:
                next(walk)
            except StopIteration as end:
                path = end.value
                if path is None:
                    return None
                return tuple(path) if walk is ahead else (start, *reversed(path[1:]))


def _walk(start: Key, step: Step) -> Generator[None, None, list[Key] | None]:
    """Walk breadth first, an edge a turn; the value at the end is the way from the start round to it, or None."""
    came_from = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for other in step(node):
            if other == start:
                return _way(came_from, node)
            if other not in came_from:
                came_from[other] = node
                queue.append(other)
            yield
    return None


def _way(came_from: dict[Key, Key], node: Key) -> list[Key]:
    way = [node]
    while came_from[node] != node:
        node = came_from[node]
        way.append(node)
    return way[::-1]


def _reached(start: Key, step: Step) -> set[Key]:
    found, queue = {start}, [start]
    while queue:
        for other in step(queue.pop()):
            if other not in found:
                found.add(other)
                queue.append(other)
    return found


class Cycles:
    """The circles that are known, each told to every Task on it; a Task on several is told one of them."""

    def __init__(self, forward: Step, backward: Step) -> None:
        """The edges of the graph as it is whenever they are asked for."""
        self._forward = forward
        self._backward = backward
        self._told: dict[Key, Path] = {}
        self._through: dict[Key, dict[Path, None]] = {}
        """The circles that lead through a node, as long as anybody is told of them."""

    def __getitem__(self, node: Key) -> Path:
        """The circle that a Task is on, or an empty path."""
        return self._told.get(node, ())

    def added(self, node: Key) -> set[Key]:
        """A node came with its edges; returns those for which that closed a circle."""
        path = find(node, self._forward, self._backward)
        if path is None:
            return set()
        on_it = self._tell(path)
        # Others may be on another circle through the same node: all that it leads to and that leads to it.
        for other in sorted(_reached(node, self._forward) & _reached(node, self._backward)):
            if other not in self._told and (path := find(other, self._forward, self._backward)):
                on_it |= self._tell(path)
        return on_it

    def removed(self, node: Key) -> set[Key]:
        """A node is gone, and its edges are; returns the others that were told of a circle through it."""
        freed: set[Key] = set()
        for path in self._through.pop(node, {}):
            for member in path:
                self._through.get(member, {}).pop(path, None)
                if self._told.get(member) == path:
                    del self._told[member]
                    freed.add(member)
                if not self._through.get(member, True):
                    del self._through[member]
        freed.discard(node)
        for member in sorted(freed):
            if member not in self._told and (found := find(member, self._forward, self._backward)):
                self._tell(found)
        return freed

    def _tell(self, path: Path) -> set[Key]:
        first = path.index(min(path))
        path = path[first:] + path[:first]
        untold = {node for node in path if node not in self._told}
        for node in path:
            self._through.setdefault(node, {})[path] = None
        self._told.update(dict.fromkeys(untold, path))
        return untold
