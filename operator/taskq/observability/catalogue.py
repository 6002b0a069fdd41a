"""How metrics are defined: each once, for the registry that a scrape reads and for the reference page alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Row = tuple[tuple[str, ...], float]
"""The values of a metric's labels, and its value."""


@dataclass(frozen=True, slots=True)
class Family:
    """What the reference page says of one metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


class Catalogue:
    """All metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Nothing is defined yet."""
        self.families: list[Family] = []
        self._registry = registry
        self._standing = _Standing()
        registry.register(self._standing)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Something that happens and is counted; without labels it begins at 0."""
        self.families.append(Family(name, "counter", labels, meaning))
        return Counter(name, meaning, labels, registry=self._registry)

    def gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        """Something that is set when it changes."""
        self.families.append(Family(name, "gauge", labels, meaning))
        return Gauge(name, meaning, labels, registry=self._registry)

    def histogram(self, name: str, meaning: str, buckets: Iterable[float], *labels: str) -> Histogram:
        """Something that is measured each time it happens."""
        bounds = tuple(float(bound) for bound in buckets)
        self.families.append(Family(name, "histogram", labels, meaning, bounds))
        return Histogram(name, meaning, labels, buckets=bounds, registry=self._registry)

    def info(self, name: str, meaning: str, values: dict[str, str]) -> None:
        """Something that never changes, told in labels."""
        self.families.append(Family(f"{name}_info", "gauge", tuple(values), meaning))
        Info(name, meaning, registry=self._registry).info(values)

    def asked(
        self, name: str, kind: str, meaning: str, labels: tuple[str, ...], rows: Callable[[], Iterable[Row]]
    ) -> None:
        """Something that stands somewhere else; ``rows`` is called in the thread that writes the page."""
        family = Family(name, kind, labels, meaning)
        self.families.append(family)
        self._standing.rows.append((family, rows))


class _Standing(Collector):
    """The metrics that say how things stand, as rows that were gathered for the scrape."""

    def __init__(self) -> None:
        self.rows: list[tuple[Family, Callable[[], Iterable[Row]]]] = []

    def collect(self) -> Iterator[Metric]:
        """The families, for the registry; called in the thread that writes the page."""
        for family, rows in self.rows:
            kind = GaugeMetricFamily if family.kind == "gauge" else CounterMetricFamily
            metric = kind(family.name, family.meaning, labels=family.labels)
            for labels, value in rows():
                metric.add_metric(labels, value)
            yield metric


def bounded(word: str, known: Iterable[str]) -> str:
    """The word if it is one of the known, else ``Other``: what comes from outside must not become a label."""
    return word if word in known else "Other"


def listed(words: Iterable[str]) -> str:
    """Words for a meaning."""
    return ", ".join(words)
