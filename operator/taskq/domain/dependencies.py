"""Which Tasks wait for which, and what became of those that are waited for.

A Task that has ended leaves the watch. What it became is known from having seen it end, or is read once for each name
that somebody depends on and that no unfinished Task has. A dependent writes the outcome into its own status as soon as
it knows it: from then on neither a deletion nor a new Task of that name changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from taskq.domain.actions import FetchTask
from taskq.domain.cycles import Cycles
from taskq.domain.model import Key, Task
from taskq.domain.reasons import Reason, enumerated, message, shortened
from taskq.domain.ties import Dependency, DependencyOutcome

FETCHES = 16
"""Names that are looked up at once: a start with ten thousand of them must not flood the API server."""

NOT_FOUND_GRACE_SECONDS = 10
"""Tools that apply a folder create its Tasks in any order: one that is not there yet is not worth a word at once."""

_RETRY_SECONDS = 1.0


class Wait(StrEnum):
    """Why the outcome of a dependency is not known."""

    UNFINISHED = "Unfinished"
    NOT_FOUND = "NotFound"
    UNKNOWN = "Unknown"
    """It is being looked up."""


class Waiting(NamedTuple):
    """One Task that is waited for."""

    name: str
    condition: str
    why: Wait


class Standing(NamedTuple):
    """How a Task's dependencies stand."""

    ended: tuple[DependencyOutcome, ...]
    """Those that have ended, in the order of the spec."""
    is_news: bool
    """Whether the Task's status does not have all of them yet."""
    failed: tuple[Dependency, DependencyOutcome] | None
    """The first one that ended so that its condition can never hold."""
    waits: tuple[Waiting, ...]
    """Those that have not ended."""
    cycle: tuple[str, ...]
    """The names of a circle that it is on: each waits for the next one, the last for the first."""


def holds(condition: str, phase: str) -> bool:
    """Whether a dependency that ended in this phase is what its dependent waits for."""
    if condition == "Finished":
        return True
    return (phase == "Succeeded") == (condition == "Succeeded")


def fault_of(task: Task, on: Standing, now: float) -> tuple[tuple[str, str] | None, float | None]:
    """What a person may have to mend, and when that is worth a word if it is not yet (epoch seconds)."""
    if on.cycle:
        path = shortened((*on.cycle, on.cycle[0]))
        return (Reason.DEPENDENCY_CYCLE, message(Reason.DEPENDENCY_CYCLE, path=path)), None
    missing = [wait.name for wait in on.waits if wait.why is Wait.NOT_FOUND]
    noteworthy = task.metadata.created + NOT_FOUND_GRACE_SECONDS
    if not missing or now < noteworthy:
        return None, noteworthy if missing else None
    return (Reason.DEPENDENCY_NOT_FOUND, message(Reason.DEPENDENCY_NOT_FOUND, names=enumerated(missing))), None


def in_words(waits: tuple[Waiting, ...]) -> str:
    """What a Task waits for, for people."""
    ends = {"Succeeded": "has succeeded", "Failed": "has failed", "Finished": "has ended"}
    return enumerated([f"{wait.name} {ends[wait.condition]}" for wait in waits])


def outcome_of(task: Task, name: str) -> DependencyOutcome | None:
    """What stands in a Task's status about one of its dependencies: from then on it is final."""
    return next((outcome for outcome in task.status.dependencies if outcome.name == name), None)


class Dependencies:
    """All of them, kept so that an event touches only those whom it concerns."""

    def __init__(self) -> None:
        """Know no Task."""
        self._tasks: dict[str, dict[str, Task]] = {}
        """By namespace and name: unfinished ones, and ended ones for as long as the watch shows them."""
        self._dependents: dict[Key, dict[str, str]] = {}
        """The unfinished Tasks that name it in dependsOn: name and uid."""
        self._fates: dict[Key, DependencyOutcome | None] = {}
        """Of names that somebody depends on and no Task of the watch has; None: there is no such Task at all."""
        self._unknown: dict[Key, None] = {}
        self._asking: dict[Key, FetchTask] = {}
        self._failed: dict[Key, None] = {}
        self._ask_again_at: float | None = None
        self._cycles = Cycles(self._needed_by, self._waiting_for)

    # --- what is seen ----------------------------------------------------------------------------------------------

    def on_task(self, old: Task | None, new: Task | None) -> set[str]:
        """A Task appeared, changed or left; returns the uids of those to decide on again."""
        again: set[str] = set()
        if old and (new is None or new.metadata.uid != old.metadata.uid):
            again |= self._leave(old)
        if new is None:
            return again
        meta = new.metadata
        tasks = self._tasks.setdefault(meta.namespace, {})
        before = tasks.get(meta.name)
        tasks[meta.name] = new
        if before is None:
            again |= self._appear(new)
        if new.is_terminal and not (before and before.is_terminal):
            again |= self._end(new)
        return again

    def end(self, task: Task) -> set[str]:
        """A Task is known to have ended, whether the watch still shows it or not."""
        key = task.metadata.key
        if key not in self._dependents or key.name in self._tasks.get(key.namespace, ()):
            return set()
        self._forget_fate(key)
        self._fates[key] = _outcome(task)
        return self._uids(key)

    def found(self, fetch: FetchTask, task: Task | None) -> set[str]:
        """What a look-up showed: a Task that has ended, or none; returns the uids of those to decide on again."""
        if self._asking.get(fetch.task) is not fetch:  # a Task of that name has appeared meanwhile
            return set()
        del self._asking[fetch.task]
        self._fates[fetch.task] = _outcome(task) if task else None
        return self._uids(fetch.task)

    def asked(self, fetch: FetchTask, now: float) -> None:
        """A look-up is over; one that showed nothing is made again a little later."""
        if self._asking.get(fetch.task) is not fetch:
            return
        del self._asking[fetch.task]
        self._failed[fetch.task] = None
        self._ask_again_at = self._ask_again_at or now + _RETRY_SECONDS

    # --- what is asked ---------------------------------------------------------------------------------------------

    def standing(self, task: Task) -> Standing | None:
        """How the dependencies of a Task stand; None when it has none, or has started already."""
        if not task.spec.depends_on or task.settled_attempt:
            return None
        ended, waits, failed = [], [], None
        for dependency in task.spec.depends_on:
            outcome = outcome_of(task, dependency.name) or self._look(Key(task.metadata.namespace, dependency.name))
            if isinstance(outcome, Wait):
                waits.append(Waiting(dependency.name, dependency.condition, outcome))
                continue
            ended.append(outcome)
            if failed is None and not holds(dependency.condition, outcome.phase):
                failed = (dependency, outcome)
        cycle = tuple(key.name for key in self._cycles[task.metadata.key])
        return Standing(tuple(ended), len(ended) > len(task.status.dependencies), failed, tuple(waits), cycle)

    def is_needed(self, key: Key, uid: str) -> bool:
        """Whether an unfinished Task depends on this one, which must not be cleaned up then."""
        tasks = self._tasks.get(key.namespace, {})
        outcomes = (outcome_of(tasks[name], key.name) for name in self._dependents.get(key, ()))
        return any(outcome is None or outcome.uid == uid for outcome in outcomes)

    def take_fetches(self, now: float) -> Iterator[FetchTask]:
        """The look-ups to make now; each is to be answered with :meth:`found` or :meth:`asked`."""
        if self._ask_again_at is not None and now >= self._ask_again_at:
            self._ask_again_at = None
            self._unknown.update(self._failed)
            self._failed.clear()
        for key in list(islice(self._unknown, max(0, FETCHES - len(self._asking)))):
            del self._unknown[key]
            fetch = self._asking[key] = FetchTask(key)
            yield fetch

    def next_wake(self) -> float | None:
        """When :meth:`take_fetches` has something without any event, epoch seconds."""
        return self._ask_again_at

    # --- bookkeeping -----------------------------------------------------------------------------------------------

    def _look(self, key: Key) -> DependencyOutcome | Wait:
        task = self._tasks.get(key.namespace, {}).get(key.name)
        if task:
            return _outcome(task) if task.is_terminal else Wait.UNFINISHED
        if key in self._fates:
            return self._fates[key] or Wait.NOT_FOUND
        return Wait.UNKNOWN

    def _appear(self, task: Task) -> set[str]:
        key = task.metadata.key
        again: set[str] = self._uids(key) if key in self._fates else set()
        if key in self._dependents:
            self._forget_fate(key)
        if task.is_terminal or not task.spec.depends_on:
            return again
        for name in _names(task):
            wanted = Key(key.namespace, name)
            self._dependents.setdefault(wanted, {})[key.name] = task.metadata.uid
            if not outcome_of(task, name):
                self._want_to_know(wanted)
        if key in self._dependents:
            again |= self._uids_of(self._cycles.added(key))
        return again

    def _end(self, task: Task) -> set[str]:
        key = task.metadata.key
        self._release(task)
        return self._uids(key) | self._uids_of(self._cycles.removed(key))

    def _leave(self, task: Task) -> set[str]:
        key = task.metadata.key
        last = self._tasks.get(key.namespace, {}).pop(key.name, task)
        if not self._tasks.get(key.namespace, True):
            del self._tasks[key.namespace]
        self._release(last)
        again = self._uids(key) | self._uids_of(self._cycles.removed(key))
        if last.is_terminal and key in self._dependents:
            self._fates[key] = _outcome(last)
        elif key in self._dependents:
            self._want_to_know(key)
        return again

    def _release(self, task: Task) -> None:
        """A dependent has ended or is gone."""
        for name in _names(task):
            key = Key(task.metadata.namespace, name)
            dependents = self._dependents.get(key, {})
            if dependents.get(task.metadata.name) == task.metadata.uid:
                del dependents[task.metadata.name]
            if not dependents:
                self._dependents.pop(key, None)
                self._forget_fate(key)

    def _want_to_know(self, key: Key) -> None:
        """Look a name up, unless its outcome is known, or a Task of that name is."""
        known = key in self._fates or key in self._asking or key in self._failed
        if not known and self._look(key) is Wait.UNKNOWN:
            self._unknown[key] = None

    def _forget_fate(self, key: Key) -> None:
        self._fates.pop(key, None)
        for waiting in (self._unknown, self._asking, self._failed):
            waiting.pop(key, None)

    def _uids(self, key: Key) -> set[str]:
        return set(self._dependents.get(key, {}).values())

    def _uids_of(self, keys: Iterable[Key]) -> set[str]:
        tasks = (self._tasks.get(key.namespace, {}).get(key.name) for key in keys)
        return {task.metadata.uid for task in tasks if task}

    # --- the graph of unfinished Tasks -----------------------------------------------------------------------------

    def _needed_by(self, key: Key) -> Iterator[Key]:
        """The unfinished Tasks that this one waits for."""
        tasks = self._tasks.get(key.namespace, {})
        task = tasks.get(key.name)
        for name in _names(task) if task and not task.is_terminal else ():
            other = tasks.get(name)
            if task and other and not other.is_terminal and not outcome_of(task, name):
                yield other.metadata.key

    def _waiting_for(self, key: Key) -> Iterator[Key]:
        """The unfinished Tasks that wait for this one."""
        tasks = self._tasks.get(key.namespace, {})
        for name in self._dependents.get(key, ()):
            if not outcome_of(tasks[name], key.name):
                yield Key(key.namespace, name)


def _names(task: Task) -> Iterator[str]:
    return (dependency.name for dependency in task.spec.depends_on)


def _outcome(task: Task) -> DependencyOutcome:
    return DependencyOutcome(task.metadata.name, task.metadata.uid, task.status.phase)
