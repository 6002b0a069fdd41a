"""The little statistics that a table of measurements needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import median as median

Buckets = dict[str, float]
"""A histogram as Prometheus exposes it: cumulative counts by upper bound, `+Inf` included."""

_BUCKET = re.compile(r'^(?P<name>\w+)_bucket\{(?:.*,)?le="(?P<le>[^"]+)"[^}]*\} (?P<count>\S+)$', re.MULTILINE)


def spread(values: Sequence[float]) -> str:
    """Lowest to highest, for a reader who wonders how far to trust a median."""
    return f"{min(values):.2f} to {max(values):.2f}"


def histogram(exposition: str, name: str) -> Buckets:
    """The buckets of one histogram in a scrape, its label sets added up; empty when it is not there."""
    found: Buckets = {}
    for match in _BUCKET.finditer(exposition):
        if match["name"] == name:
            found[match["le"]] = found.get(match["le"], 0.0) + float(match["count"])
    return found


def since(before: Mapping[str, float], after: Mapping[str, float]) -> Buckets:
    """What a histogram counted between two scrapes."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def bucket_of_quantile(buckets: Mapping[str, float], share: float) -> tuple[float, float]:
    """The bounds, in the histogram's unit, between which a quantile lies: that much a histogram knows."""
    bounds = sorted(buckets, key=float)
    total = buckets["+Inf"]
    low = 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            return low, float(bound)
        low = float(bound)
    return low, float("inf")


def estimated_quantile(buckets: Mapping[str, float], share: float) -> float:
    """The quantile, values taken as evenly spread inside their bucket, as Prometheus' histogram_quantile does."""
    bounds = sorted(buckets, key=float)
    wanted = share * buckets["+Inf"]
    low, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= wanted:
            if float(bound) == float("inf") or count == below:
                return low
            return low + (float(bound) - low) * (wanted - below) / (count - below)
        low, below = float(bound), count
    return low
