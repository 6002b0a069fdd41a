"""Circles among Tasks that wait for each other, against a reference that looks at everything each time."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from taskq.domain.cycles import Cycles, find
from taskq.domain.model import Key


class Graph:
    """Who waits for whom; edges to nodes that are not there yet count once they are."""

    def __init__(self) -> None:
        self.edges: dict[Key, tuple[Key, ...]] = {}
        self.steps = 0
        self.cycles = Cycles(self.forward, self.backward)

    def forward(self, node: Key) -> Iterable[Key]:
        """What it waits for."""
        for other in self.edges.get(node, ()):
            self.steps += 1
            if other in self.edges:
                yield other

    def backward(self, node: Key) -> Iterable[Key]:
        """What waits for it."""
        for other, wanted in self.edges.items():
            if node in wanted:
                self.steps += 1
                yield other

    def on_circles(self) -> set[Key]:
        """Every node from which a way leads back to it."""
        return {node for node in self.edges if node in self._reached(node)}

    def _reached(self, start: Key) -> set[Key]:
        found: set[Key] = set()
        todo = [start]
        while todo:
            fresh = set(self.forward(todo.pop())) - found
            found |= fresh
            todo += fresh
        return found


def key(number: int) -> Key:
    """A node."""
    return Key("shop", f"t{number}")


EDGES = st.lists(st.integers(0, 7), max_size=3, unique=True)
MOVES = st.lists(st.tuples(st.integers(0, 7), st.one_of(st.none(), EDGES)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_who_is_told_of_a_circle_is_on_one_and_nobody_else(moves: list[tuple[int, list[int] | None]]) -> None:
    """Whatever comes and goes in whatever order; the path that is told is a way round, and news is told once."""
    graph = Graph()
    for number, wanted in moves:
        node = key(number)
        before = {known for known in graph.edges if graph.cycles[known]}
        if wanted is None or node in graph.edges:
            graph.edges.pop(node, None)
            touched = graph.cycles.removed(node)
        else:
            graph.edges[node] = tuple(key(other) for other in wanted if other != number)
            touched = graph.cycles.added(node)
        told = {known for known in graph.edges if graph.cycles[known]}
        assert told == graph.on_circles()
        assert told ^ (before - {node}) <= touched | {node}
        for known in told:
            path = graph.cycles[known]
            assert known in path
            assert path[0] == min(path)
            for one, following in zip(path, (*path[1:], path[0]), strict=True):
                assert following in graph.edges[one]


def test_a_chain_is_not_walked_for_each_of_its_links() -> None:
    """In whatever order a thousand appear: what is looked at grows with their number, not with its square."""
    count = 1000
    middle_out = sorted(range(count), key=lambda n: abs(n - count // 2))
    every_other = [*range(0, count, 2), *range(1, count, 2)]
    for order in (range(count), reversed(range(count)), middle_out, every_other):
        edges: dict[Key, Key] = {}
        dependents: dict[Key, Key] = {}
        steps = 0

        def walk(links: dict[Key, Key], node: Key) -> Iterable[Key]:
            nonlocal steps
            if node in links and links[node] in edges:  # noqa: B023 - called only inside this turn
                steps += 1
                yield links[node]

        for number in order:
            edges[key(number)] = key(number - 1)
            dependents[key(number - 1)] = key(number)
            assert find(key(number), lambda n: walk(edges, n), lambda n: walk(dependents, n)) is None  # noqa: B023
        assert steps < 12 * count
