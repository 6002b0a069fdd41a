"""The logs of a Task's pods: of one attempt or of all, followed while they run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

from taskq.cli import tasks
from taskq.cli.api import Api, lines
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.kinds import POD, Object, name_of, namespace_of
from taskq.cli.output import note
from taskq.cli.text import local, one_line
from taskq.cli.waiting import changes
from taskq.resources.common import LABEL_ATTEMPT, LABEL_TASK, Phase

NOT_YET = 400
"""The kubelet's answer for a container that has not started."""


class How(NamedTuple):
    """What kubectl's flags of the same names say."""

    container: str = ""
    tail: int | None = None
    since: float | None = None
    timestamps: bool = False
    prefix: bool = False

    def query(self, *, follow: bool) -> list[tuple[str, str]]:
        """As the API server takes it."""
        asked = [("follow", "true")] * follow + [("timestamps", "true")] * self.timestamps
        asked += [("container", self.container)] * bool(self.container)
        asked += [("tailLines", str(self.tail))] * (self.tail is not None)
        return asked + ([("sinceSeconds", str(max(1, round(self.since))))] if self.since is not None else [])


def pods_of(api: Api, task: Object, attempt: int | None = None) -> list[Object]:
    """The pods of a Task's Jobs, by attempt and creation; those that another Task of that name had are left out."""
    labels = f"{LABEL_TASK}={name_of(task)}" + (f",{LABEL_ATTEMPT}={attempt}" if attempt else "")
    found = api.list(POD, namespace_of(task), labels=labels)
    created = task["metadata"]["creationTimestamp"]
    ours = [pod for pod in found if pod["metadata"]["creationTimestamp"] >= created]
    return sorted(ours, key=lambda pod: (attempt_of(pod), pod["metadata"]["creationTimestamp"], name_of(pod)))


def attempt_of(pod: Object) -> int:
    """The attempt that a pod belongs to."""
    return int((pod["metadata"].get("labels") or {}).get(LABEL_ATTEMPT, 0))


def containers_of(pod: Object, how: How) -> list[str]:
    """The containers to print: the one asked for, else all that are no init containers."""
    return [how.container] if how.container else [one["name"] for one in pod["spec"]["containers"]]


def print_pod(api: Api, pod: Object, how: How, *, follow: bool) -> bool:
    """Print the logs of a pod's containers; False when there is nothing to print yet."""
    printed = False
    names = containers_of(pod, how)
    for name in names:
        mark = ""
        if how.prefix or len(names) > 1:
            mark = f"[attempt {attempt_of(pod)}/{name_of(pod)}/{name}] "
        try:
            for line in _lines(api, pod, how._replace(container=name), follow=follow):
                sys.stdout.write(mark + line.decode("utf-8", "replace") + "\n")
                if follow:
                    sys.stdout.flush()
        except ApiRefused as error:
            if error.status != NOT_YET:
                raise
            continue
        printed = True
    return printed


def _lines(api: Api, pod: Object, how: How, *, follow: bool) -> Iterator[bytes]:
    path = f"{POD.path(namespace_of(pod), name_of(pod))}/log"
    return lines(api.open("GET", path, query=how.query(follow=follow), accept="*/*", endless=follow), whole=True)


def follow_task(api: Api, task: Object, how: How | None = None, *, until: float | None = None) -> None:
    """Print the logs of every attempt as it runs, from the latest one on, until the Task has ended."""
    asked = how or How()
    printed: set[str] = set()
    for seen in changes(api, task, until=until):
        for pod in pods_of(api, seen, seen.get("status", {}).get("attempt")):
            uid = pod["metadata"]["uid"]
            ready = pod.get("status", {}).get("phase") not in {None, "Pending"}
            if uid not in printed and ready and print_pod(api, pod, asked, follow=True):
                printed.add(uid)
        if tasks.ended(seen):
            if not printed and tasks.attempts(seen):
                note(ending(seen))
            return


def ending(task: Object, attempt: int | None = None) -> str:
    """What is left when pods are gone: what the status keeps of each attempt, or of this one."""
    known = [one for one in tasks.attempts(task) if attempt in {None, one["number"]}]
    if not known:
        what = f"attempt {attempt}" if attempt else "it"
        return f"The pods of {name_of(task)} are gone, and its status says nothing of {what}"
    said = [f"The logs of {name_of(task)} are gone with its pods; its status keeps what was said last:"]
    for one in known:
        code = one.get("exitCode")
        head = f"attempt {one['number']}, ended {local(one.get('completionTime'))}, {one.get('reason') or 'unknown'}"
        head += f", exit code {code}" if code is not None else ""
        said.append(f"  {head}: {one_line(one.get('message') or '(nothing)')}")
    return "\n".join(said)


def no_pod_yet(task: Object) -> CliError:
    """Why there are no logs: nothing has started."""
    phase = tasks.phase(task)
    if phase in {Phase.PENDING, Phase.RETRYING}:
        return CliError(f"{name_of(task)} is {phase} and has no pod yet; --follow waits, `describe` says why it waits")
    return CliError(f"{name_of(task)} is {phase} and has no pod; `describe {name_of(task)}` tells what happened")
