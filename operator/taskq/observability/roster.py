"""Which objects have series of their own."""

from __future__ import annotations

from collections.abc import Callable

from taskq.domain.model import Key

OTHER = "__other__"
"""The label of all objects that have no series of their own. Nothing can be called so."""


class Roster:
    """The first so many that exist have series of their own; when one goes, the one that waited longest follows."""

    def __init__(self, most: int, *, enter: Callable[[Key], None], leave: Callable[[Key], None]) -> None:
        """``enter`` and ``leave`` make and remove the series of one."""
        self._most = most
        self._enter = enter
        self._leave = leave
        self._own: set[Key] = set()
        self._crowd: dict[Key, None] = {}  # above the limit, in the order they came

    def add(self, key: Key) -> None:
        """One exists from now on, and gets series of its own if there is room; else when there is."""
        if key in self._own:
            return
        if len(self._own) < self._most:
            self._own.add(key)
            self._enter(key)
        else:
            self._crowd[key] = None

    def remove(self, key: Key) -> None:
        """One is gone, and its series with it. What still happens to it counts as `__other__`."""
        self._crowd.pop(key, None)
        if key not in self._own:
            return
        self._own.remove(key)
        self._leave(key)
        if self._crowd:
            following = next(iter(self._crowd))
            del self._crowd[following]
            self.add(following)

    def labels(self, key: Key) -> Key:
        """The values of the labels under which it counts."""
        return key if key in self._own else _OTHERS


_OTHERS = Key(OTHER, OTHER)
