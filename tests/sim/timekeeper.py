"""Schedules: each tick has one Task, not before its time, through crashes and failovers; who may run beside whom."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sim.order import moment
from sim.referee import ENDS, Broken
from sim.simapi import Call
from sim.simcluster import Change, Kept, Referee, Server
from taskq.domain.model import Key


class Timekeeper(Referee):
    """Knows every Task that was made for a Schedule with `everySeconds`, which is never changed."""

    def __init__(self, server: Server, tallies: Counter[str]) -> None:
        """Judge the Schedules of this cluster."""
        self._server = server
        self._tallies = tallies
        self._clock_was_set = False
        self._made: Counter[str] = Counter()
        server.referees.append(self)

    def clock_set(self) -> None:
        """A clock has jumped: ticks may come early, or be missed."""
        self._clock_was_set = True

    def changed(self, resource: str, change: Change, who: Any) -> None:
        """Judge the making of a Schedule's Task."""
        if resource == "tasks" and change.new and change.old is None and isinstance(who, Call):
            owners = change.new.document["metadata"].get("ownerReferences") or ()
            for owner in owners:
                self._task_made(change.key, change.new, self._server.find("schedules", Key("shop", owner["name"])), who)

    def _task_made(self, key: Key, task: Kept, schedule: Kept, call: Call) -> None:
        self._made[key.name] += 1
        if self._made[key.name] > 1:
            raise Broken(f"Task {key} was made before, for the same tick")
        tick = int(key.name.rpartition("-")[2])
        anchor, every, last = _times(schedule)
        is_due = tick <= self._server.now() or self._clock_was_set
        if (tick - anchor) % every or not anchor < tick <= last or not is_due:
            raise Broken(f"Task {key} is for no tick of its Schedule that is due")
        self._tallies["a tick's Task made"] += 1
        if schedule.document["spec"]["concurrencyPolicy"] != "Allow":
            self._alone(key, task, schedule)

    def _alone(self, key: Key, task: Kept, schedule: Kept) -> None:
        """Forbid and Replace: no other Task of the Schedule is unfinished."""
        for other, kept in self._server.every("tasks", key.namespace):
            owners = {owner["uid"] for owner in kept.document["metadata"].get("ownerReferences") or ()}
            if schedule.uid in owners and kept.uid != task.uid and kept.document["status"]["phase"] not in ENDS:
                raise Broken(f"Task {key} was made while {other} of the same Schedule is unfinished")
        self._tallies["a tick's Task made alone"] += 1

    def finish(self) -> None:
        """When all is over, each tick of a Schedule that makes up for all that it missed has had its Task."""
        for key, schedule in self._server.every("schedules"):
            anchor, every, last = _times(schedule)
            for tick in range(anchor + every, last + 1, every):
                if schedule.document["spec"]["concurrencyPolicy"] != "Allow" or self._clock_was_set:
                    break
                if not self._made[f"{key.name}-{tick}"]:
                    raise Broken(f"Schedule {key} has made no Task for its tick {tick}")
                self._tallies["a tick accounted for"] += 1


def _times(schedule: Kept) -> tuple[int, int, int]:
    """When it begins, how often it comes, and when it ends."""
    spec = schedule.document["spec"]
    created = moment(schedule.document["metadata"]["creationTimestamp"])
    return int(created), spec["everySeconds"], int(moment(spec["endTime"]))
