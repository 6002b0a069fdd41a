"""CronJobs of batch/v1."""

from __future__ import annotations

import copy
import re
from typing import Any

from taskq.cli.conversion.made import Made, Wanted, schedule
from taskq.cli.errors import CliError
from taskq.cli.kinds import Object
from taskq.cli.text import whole_seconds

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BACKOFF_LIMIT = 6
"""The default of batch/v1."""
_SAME = ("suspend", "startingDeadlineSeconds")
_LIMITS = {
    "successfulJobsHistoryLimit": "successfulTasksHistoryLimit",
    "failedJobsHistoryLimit": "failedTasksHistoryLimit",
}


def is_cronjob(document: Any) -> bool:
    """Whether a document is one."""
    return isinstance(document, dict) and document.get("kind") == "CronJob"


def convert(document: Object, wanted: Wanted) -> Made:
    """The Schedule of a CronJob; CliError when it is none that could run."""
    try:
        name, given = document["metadata"]["name"], document["spec"]
        job = copy.deepcopy(given["jobTemplate"])
        pod = job["spec"]["template"]["spec"]
        when = str(given["schedule"])
    except (KeyError, TypeError) as error:
        raise CliError(f"a CronJob without {error} can't be converted") from error
    notes: list[str] = []
    spec = _when(when, given.get("timeZone"), notes, zone_given=bool(wanted.zone))
    spec["concurrencyPolicy"] = given.get("concurrencyPolicy") or "Allow"
    spec |= {field: given[field] for field in _SAME if given.get(field)}
    spec |= {ours: given[theirs] for theirs, ours in _LIMITS.items() if given.get(theirs) is not None}
    task = _attempts(job["spec"], pod)
    if isinstance(job.get("metadata"), dict):
        job["metadata"] = {key: job["metadata"][key] for key in ("labels", "annotations") if job["metadata"].get(key)}
        if not job["metadata"]:
            del job["metadata"]
    if (job["spec"].get("completions") or 1) > 1:
        notes.append("a Job of several completions fails with its first pod here; see batch in docs/how-to/batch.md")
    task["jobTemplate"] = job
    return Made(schedule(_metadata(document["metadata"], name), spec, task, wanted), notes)


def _metadata(given: Object, name: str) -> Object:
    kept: Object = {"name": name}
    if given.get("namespace"):
        kept["namespace"] = given["namespace"]
    if given.get("labels"):
        kept["labels"] = given["labels"]
    annotations = {key: value for key, value in (given.get("annotations") or {}).items() if key != LAST_APPLIED}
    return kept | ({"annotations": annotations} if annotations else {})


def _when(text: str, zone: str | None, notes: list[str], *, zone_given: bool) -> Object:
    inside = re.match(r"(?:CRON_)?TZ=(\S+)\s+", text)
    if inside:
        text, zone = text[inside.end() :], inside[1]
    every = re.fullmatch(r"@every\s+(\S+)", text)
    if every:
        return {"everySeconds": whole_seconds(every[1])}
    if zone is None and not zone_given:
        notes.append("it has no timeZone, so it ran by the controller-manager's clock; the Schedule runs in Etc/UTC")
    return {"schedules": [text]} | ({"timeZone": zone} if zone else {})


def _attempts(job: Object, pod: Object) -> Object:
    """Retries and the time for all of them, which are the Task's here; the Job keeps the rest."""
    limit = job.pop("backoffLimit", None)
    deadline = job.pop("activeDeadlineSeconds", None)
    for owned in ("ttlSecondsAfterFinished", "suspend"):  # Tasks are kept by the history limits, held by suspend
        job.pop(owned, None)
    pod.pop("restartPolicy", None)
    task: Object = {"retryPolicy": {"maxAttempts": (BACKOFF_LIMIT if limit is None else limit) + 1}}
    if deadline is not None:
        task["timeouts"] = {"totalSeconds": deadline}
    return task
