"""Tasks that stand for the same work: of one key in a queue, one is unfinished, and the others end at once.

The holder of a key is the Task that has started; before one has, the newest whose mode is Replace, else the oldest.
Whoever is not the holder and has not started loses. A Task with a window also loses against one that ran and ended less
than so long before it was created: a question about times that stand in the objects, so that the answer is always the
same. It needs to know what has ended, which the clean-up's list shows; until that is read, such a Task waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from taskq.domain.actions import FetchTask
from taskq.domain.model import Job, Key, Task, seconds, stamp
from taskq.domain.reasons import DUPLICATE_IN_WINDOW, Reason, message
from taskq.resources.common import DEDUPLICATION_ANNOTATION, LABEL_QUEUE

Group = tuple[Key, str]
"""A queue and a key in it."""


class How(StrEnum):
    """In which way a Task has to stand back."""

    DUPLICATE = "Duplicate"
    REPLACED = "Replaced"
    RECENT = "Recent"
    UNKNOWN = "Unknown"
    """What has ended is still being read."""
    LEAVING = "Leaving"
    """The Job of a Task that was deleted still runs."""


class Rival(NamedTuple):
    """Who stands in a Task's way."""

    how: How
    name: str = ""
    """Of the Task, or of the Job."""
    ended: float = 0.0
    """Epoch seconds, of one that ended."""

    @property
    def is_final(self) -> bool:
        """Whether the Task loses for good; else it waits."""
        return self.how in (How.DUPLICATE, How.REPLACED, How.RECENT)


class Ended(NamedTuple):
    """A Task that ran and has ended; the time is epoch seconds."""

    ended: float
    name: str
    uid: str


def group_of(task: Task) -> Group | None:
    """The work that a Task stands for, if it says so."""
    return (task.queue, task.spec.deduplication.key) if task.spec.deduplication else None


def recorded_group(job: Job) -> Group | None:
    """The work that a Job was made for: its Task may be gone."""
    key = job.metadata.annotations.get(DEDUPLICATION_ANNOTATION)
    return (Key(job.metadata.namespace, job.metadata.labels.get(LABEL_QUEUE, "")), key) if key else None


def end_of(task: Task) -> Ended | None:
    """What a Task's window counts from: only a Task that has started has done any of the work."""
    status = task.status
    if not task.is_terminal or not (status.attempt or status.attempts) or status.completion_time is None:
        return None
    return Ended(seconds(status.completion_time), task.metadata.name, task.metadata.uid)


def note_end(task: Task, latest: dict[Group, Ended]) -> None:
    """Keep the latest end of each key."""
    group, ended = group_of(task), end_of(task)
    if group and ended:
        latest[group] = max(ended, latest.get(group, ended))


def in_words(task: Task, rival: Rival) -> tuple[str, str]:
    """Reason and message."""
    asked = task.spec.deduplication
    facts: dict[str, object] = {"key": asked.key if asked else "", "holder": rival.name, "queue": task.queue.name}
    if rival.how is How.RECENT:
        window = asked.window_seconds if asked else None
        return Reason.DUPLICATE, message(DUPLICATE_IN_WINDOW, **facts, ended=stamp(rival.ended), window=window)
    reason = {How.DUPLICATE: Reason.DUPLICATE, How.REPLACED: Reason.REPLACED}.get(rival.how, Reason.KEY_HELD)
    what = f"Job {rival.name} of a deleted Task has ended" if rival.how is How.LEAVING else "what ended before is known"
    return reason, message(reason, **facts, what=what)


class Deduplication:
    """Who holds which key, kept so that an event touches one key."""

    def __init__(self, has_started: Callable[[Task], bool], again: Callable[[Iterable[str]], None]) -> None:
        """``has_started`` says whether a Task has, or ever had, a Job; ``again`` gets the uids to decide on again."""
        self._has_started = has_started
        self._again = again
        self._groups: dict[Group, dict[str, Task]] = {}
        """The unfinished Tasks of each key."""
        self._holders: dict[Group, str] = {}
        self._group_of: dict[str, Group] = {}
        self._jobs: dict[Group, dict[Key, str]] = {}
        """The Jobs of each key that run or still terminate, and the uids of their Tasks."""
        self._group_of_job: dict[Key, Group] = {}
        self._ended: dict[Group, Ended] = {}
        self._ended_since: dict[Group, Ended] = {}
        """What ended since the list was begun that is being read."""
        self._is_complete = False
        self._unsettled: dict[str, Task] = {}
        """Tasks that have ended and still have something to do, so that the list of finished ones leaves them out."""
        self._vanished: dict[Group, Key] = {}
        """Tasks that had started and left without a word of their end."""
        self._vanished_before: dict[Group, Key] = {}
        self._asking: dict[Key, FetchTask | None] = {}
        """Those of them that are looked up, because somebody needs to know; None before that is begun."""
        self._held: dict[str, None] = {}

    # --- what is seen ----------------------------------------------------------------------------------------------

    def show(self, task: Task) -> None:
        """A Task appeared or changed."""
        group, uid = group_of(task), task.metadata.uid
        before = self._group_of.get(uid)
        if before and before != group:
            self.leave(uid)
        if group is None:
            return
        if task.is_terminal:
            self.leave(uid)
            self._unsettled[uid] = task
            self.end(task)
        elif task.metadata.deletion_timestamp and not self._has_started(task):
            self.leave(uid)
        elif uid in self._group_of:
            self._groups[group][uid] = task
        else:
            self._enter(group, task)

    def end(self, task: Task) -> None:
        """A Task is known to have ended."""
        note_end(task, self._ended)
        note_end(task, self._ended_since)
        group = group_of(task)
        if group and self._vanished.pop(group, None):
            self._again(self._groups.get(group, ()))

    def forget(self, uid: str) -> None:
        """The watch does not show a Task any more."""
        self.leave(uid)
        self._unsettled.pop(uid, None)

    def leave(self, uid: str) -> None:
        """A Task is no more among the unfinished; how it ended may be told before, or after, or not at all."""
        self._held.pop(uid, None)
        group = self._group_of.pop(uid, None)
        if group is None:
            return
        members = self._groups[group]
        task = members.pop(uid)
        if self._has_started(task):
            self._vanished[group] = task.metadata.key
        if not members:
            del self._groups[group], self._holders[group]
        elif self._holders[group] == uid:
            self._holders[group] = self._choose(members.values()).metadata.uid
            self._again(members)

    def occupy(self, group: Group | None, job: Key, owner: str) -> None:
        """A Job is asked for, or something of it may run; ``owner`` is its Task's uid."""
        if group is None:
            return
        self._jobs.setdefault(group, {})[job] = owner
        self._group_of_job[job] = group
        holder = self._holders.get(group)
        if holder and holder != owner and owner in self._groups[group]:
            members = self._groups[group]
            if not self._has_started(members[holder]):
                self._holders[group] = owner
            self._again(members)

    def started(self, uid: str) -> None:
        """A Job of a Task is found, which may have ended: nobody who has not started keeps the key from it."""
        group = self._group_of.get(uid)
        if group is None:
            return
        members = self._groups[group]
        if self._has_started(members[uid]) and not self._has_started(members[self._holders[group]]):
            self._holders[group] = uid
            self._again(members)

    def vacate(self, job: Key) -> None:
        """Nothing of a Job runs any more."""
        group = self._group_of_job.pop(job, None)
        if group is None:
            return
        del self._jobs[group][job]
        if not self._jobs[group]:
            del self._jobs[group]
        self._again(self._groups.get(group, ()))

    # --- what ended before -----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A list of all finished Tasks is being read."""
        self._ended_since = {}
        self._vanished_before = dict(self._vanished)

    def complete(self, found: dict[Group, Ended]) -> None:
        """It is read; what it does not show any more is forgotten."""
        for task in self._unsettled.values():
            note_end(task, found)
        for group, ended in self._ended_since.items():
            found[group] = max(ended, found.get(group, ended))
        for group, key in self._vanished_before.items():
            if self._vanished.get(group) == key:
                del self._vanished[group]
        self._ended = found
        self._is_complete = True
        self._again(self._held)
        self._held = {}

    def take_fetches(self) -> Iterator[FetchTask]:
        """The look-ups to make now; each is to be answered with :meth:`asked`, and before with what it showed."""
        for key in [key for key, fetch in self._asking.items() if fetch is None]:
            fetch = self._asking[key] = FetchTask(key)
            yield fetch

    def found(self, fetch: FetchTask, task: Task | None) -> None:
        """What a look-up showed: a Task that has ended, or none."""
        if self._asking.get(fetch.task) is not fetch:
            return
        if task:
            self.end(task)
        for group in [group for group, key in self._vanished.items() if key == fetch.task]:
            del self._vanished[group]
            self._again(self._groups.get(group, ()))

    def asked(self, fetch: FetchTask) -> None:
        """A look-up is over; if it showed nothing, whoever waits for it asks again."""
        if self._asking.get(fetch.task) is fetch:
            del self._asking[fetch.task]

    # --- what is asked ---------------------------------------------------------------------------------------------

    def rival(self, task: Task) -> Rival | None:
        """Who keeps a Task that has no Job from starting; None when nobody does."""
        asked, group, uid = task.spec.deduplication, group_of(task), task.metadata.uid
        if asked is None or group is None or uid not in self._group_of or self._has_started(task):
            return None
        holder = self._groups[group][self._holders[group]]
        if holder.metadata.uid != uid:
            how = How.REPLACED if _replaces(holder, task) else How.DUPLICATE
            return Rival(how, holder.metadata.name)
        if asked.window_seconds:
            vanished = self._vanished.get(group)
            if vanished:
                self._asking.setdefault(vanished)
            if vanished or not self._is_complete:
                self._held[uid] = None
                return Rival(How.UNKNOWN)
            last = self._ended.get(group)
            if last and task.metadata.created < last.ended + asked.window_seconds:
                return Rival(How.RECENT, last.name, last.ended)
        others = (job.name for job, owner in self._jobs.get(group, {}).items() if owner != uid)
        leaving = next(others, None)
        return Rival(How.LEAVING, leaving) if leaving else None

    # --- bookkeeping -----------------------------------------------------------------------------------------------

    def _enter(self, group: Group, task: Task) -> None:
        members, uid = self._groups.setdefault(group, {}), task.metadata.uid
        members[uid] = task
        self._group_of[uid] = group
        holder = members.get(self._holders.get(group, ""))
        if holder is None:
            self._holders[group] = uid
        elif not self._has_started(holder) and self._choose((holder, task)) is task:
            self._holders[group] = uid
            self._again((holder.metadata.uid,))

    def _choose(self, members: Iterable[Task]) -> Task:
        """The one that holds the key: by what they are, in whatever order they are given."""
        members = list(members)
        started = [task for task in members if self._has_started(task)]
        if started:
            return min(started, key=_age)
        replacing = [task for task in members if _mode(task) == "Replace"]
        return max(replacing, key=_age) if replacing else min(members, key=_age)


def _age(task: Task) -> tuple[float, str, str]:
    return task.metadata.created, task.metadata.name, task.metadata.uid


def _mode(task: Task) -> str:
    return task.spec.deduplication.mode if task.spec.deduplication else ""


def _replaces(holder: Task, task: Task) -> bool:
    return _mode(holder) == "Replace" and _age(holder) > _age(task)
