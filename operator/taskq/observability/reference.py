"""Writes the reference page of metrics, docs/reference/metrics.md."""

from __future__ import annotations

import sys
from pathlib import Path

from taskq.observability.catalogue import Family
from taskq.observability.metrics import Metrics

HEAD = """\
# Metrics

<!-- Made by `python -m taskq.observability.reference --docs FILE`; do not edit. -->

The operator answers at `/metrics` of [`--http-address`](settings.md), as OpenMetrics to whoever accepts it
and as Prometheus text to others. Beside the metrics below there are the usual `process_…` ones (CPU, memory,
file descriptors). [Monitoring](../how-to/monitoring.md) says how to scrape them, and what dashboards and alerts there
are.

Labels are bounded: never a Task, a pod, a user or an error's text. A queue has series of its own as long as
it exists, up to [`--metrics-max-queues`](settings.md); a Schedule, up to [`--metrics-max-schedules`](settings.md).
Those above that, and Tasks whose queue does not exist, are counted together under `namespace="__other__"` and
`queue="__other__"` or `schedule="__other__"`: counts are added, ages and times are the worst of them. How queues,
Schedules and the dispatcher stand (gauges) only the leader says; counters are each process's own: sum them over
replicas.

The three histograms of Tasks carry exemplars, `task="namespace/name"` of the last Task in each bucket: that is how to
find a slow one. Prometheus keeps them with `--enable-feature=exemplar-storage`.
"""


def _part(family: Family) -> str:
    """The part of the page that a metric stands in."""
    if "queue" in family.labels:
        return "queue"
    return "schedule" if family.name.startswith("taskq_schedule_") else "operator"


def reference() -> str:
    """The page."""
    lines = [HEAD]
    families = Metrics().families
    for title, wanted in (("Queues and Tasks", "queue"), ("Schedules", "schedule"), ("The operator", "operator")):
        lines += [f"## {title}", "", "| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
        for family in families:
            if _part(family) == wanted:
                labels = ", ".join(f"`{label}`" for label in family.labels)
                bounds = f" Buckets: {', '.join(f'{b:g}' for b in family.buckets)}." if family.buckets else ""
                lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.meaning}{bounds} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--docs":
        sys.exit("usage: python -m taskq.observability.reference --docs FILE")
    Path(sys.argv[2]).write_text(reference(), encoding="utf-8")
