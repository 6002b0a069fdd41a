"""Lists of the kinds that come by the handful: TaskQueues, Schedules, TaskTemplates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from taskq.cli.api import Api
from taskq.cli.kinds import SCHEDULE, Kind, Object
from taskq.cli.masking import Masked
from taskq.cli.output import Column, Format, Table, batches, note, print_documents


def list_kind(
    api: Api,
    kind: Kind,
    names: Sequence[str],
    form: Format,
    columns: Callable[..., Sequence[Column]],
    *,
    all_namespaces: bool,
) -> None:
    """Print the objects of a kind, those with these names or all; `columns` as in `taskq.cli.columns`."""
    namespace = None if all_namespaces else api.namespace
    found: Iterable[Object]
    found = [api.get(kind, api.namespace, name) for name in names] if names else api.list(kind, namespace)
    if not form.is_table:
        if kind == SCHEDULE:
            found = map(Masked(api).schedule, found)
        print_documents(kind, found, form, single=len(names) == 1)
        return
    now = api.clock.now()
    table = Table(columns(now, namespaced=all_namespaces), wide=form.name == "wide", headers=form.headers)
    count = 0
    for batch in batches(found):
        table.print(table.row(obj) for obj in batch)
        count += len(batch)
    if not count:
        note(f"No {kind.name}s found in {namespace} namespace." if namespace else f"No {kind.name}s found.")
