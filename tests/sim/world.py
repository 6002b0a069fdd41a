"""The users of a walk: they create Tasks, change their minds, and do damage; in the end they mend everything."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sim.faults import Dice
from sim.referee import ENDS
from sim.simcluster import Kept, Object, Refused, Server
from sim.simloop import START
from sim.simnode import OVER, Node
from taskq.domain.model import Key

NAMESPACE = "shop"
QUEUES = ("default", "fast", "night")
SHARING: Object = {
    "parent": {"name": QUEUES[1]},
    "concurrencyLabelKey": "account",
    "maxConcurrencyPerKey": 1,
    "fairShareLabelKey": "tenant",
}
"""What the last queue always says: the room is its parent's, one Task of an account runs, and tenants take turns."""
LEVELS = {"urgent": 7, "usual": 2, "spare": -1}
"""Names of priorities, and what they usually stand for."""
RATES: tuple[Object, ...] = (
    {"maxStarts": 2, "periodSeconds": 30},
    {"maxStarts": 3, "periodSeconds": 60},
    {"maxStarts": 5, "periodSeconds": 120},
)
"""The longer ones outlast a failover, so that a successor must count what its predecessor has started."""
TEMPLATES = ("build", "report")

Found = tuple[Key, Kept]


class World:
    """Every user, and every other controller."""

    def __init__(self, server: Server, node: Node, dice: Dice) -> None:
        """Nothing exists yet."""
        self._server = server
        self._node = node
        self._dice = dice
        self._names = 0
        self._deeds = self._find_deeds()

    def _find_deeds(self) -> dict[str, Callable[[], bool]]:
        return {
            "Job deleted (background)": lambda: self._delete_job("Background"),
            "Job deleted (foreground)": lambda: self._delete_job("Foreground"),
            "Job deleted (orphan)": lambda: self._delete_job("Orphan"),
            "pod deleted": lambda: self._delete_pod({}),
            "pod force-deleted": lambda: self._delete_pod({"gracePeriodSeconds": 0}),
            "Task deleted": self._delete_task,
            "Task made anew": self._renew_task,
            "priority edited": lambda: self._edit(self._open_task(), **self._priority()),
            "Task held": lambda: self._edit(self._open_task(), suspend=True),
            "Task released": lambda: self._edit(self._held_task(), suspend=False),
            "cancelled (IfPending)": lambda: self._cancel("IfPending"),
            "cancelled (Graceful)": lambda: self._cancel("Graceful"),
            "cancelled (Immediate)": lambda: self._cancel("Immediate"),
            "queue deleted": self._delete_queue,
            "queue made anew": self._renew_queue,
            "queue paused": lambda: self._rule(state="Paused"),
            "queue opened": lambda: self._rule(state="Open"),
            "queue drains": lambda: self._rule(state="Draining"),
            "queue closed": lambda: self._rule(state="Closed"),
            "queue only tried": lambda: self._rule(state="DryRun"),
            "queue purged": lambda: self._ask("taskq.dev/purge"),
            "queue cancelled": lambda: self._ask("taskq.dev/cancel-all"),
            "cap raised": lambda: self._cap(+1),
            "cap lowered": lambda: self._cap(-1),
            "order changed": self._reorder,
            "strategy changed": lambda: self._rule(queueingStrategy=self._dice.random.choice(("Strict", "BestEffort"))),
            "levels changed": self._change_levels,
            "limit of the order changed": lambda: self._rule(maxPending=self._dice.random.choice((None, 1, 2, 4))),
            "template deleted": self._delete_template,
            "template made anew": self._renew_template,
            "quota set": self._set_quota,
            "quota lifted": self._lift_quota,
            "name taken": self._take_name,
            "history compacted": self._compact,
            "lease deleted": self._delete_lease,
        }

    # --- the days --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Queues and templates."""
        for name in QUEUES:
            if name != "default" or self._dice.chance(0.7):
                self._make_queue(name)
        for name in TEMPLATES:
            self._make_template(name)
        for policy in ("Allow", "Forbid", "Replace"):
            if self._dice.chance(0.3):
                self._make_schedule(policy)

    async def live(self, seconds: float) -> None:
        """Create Tasks and do deeds for a while."""
        loop, dice = self._server.loop, self._dice
        end = loop.time() + seconds
        burst = 0
        weights = {deed: weight for deed, weight in dice.deeds.items() if deed in self._deeds and weight}
        while loop.time() < end:
            if burst or dice.chance(0.35):
                burst = burst - 1 if burst else (dice.random.randint(2, 6) if dice.chance(0.2) else 0)
                self._make_task()
            elif weights:
                deed = dice.random.choices(list(weights), list(weights.values()))[0]
                if self._deeds[deed]():
                    dice.count(deed)
            await asyncio.sleep(0 if burst else dice.between(0.05, 6))

    def mend(self) -> None:
        """Make it possible for every Task to come to its end."""
        server = self._server
        server.quota.clear()
        for name in QUEUES:
            key = Key(NAMESPACE, name)
            if server.get("taskqueues", key) is None:
                self._make_queue(name)
            spec = {"state": "Open", "maxConcurrency": 3, "priorityLevels": _levels(LEVELS)}
            server.patch("taskqueues", key, {"spec": spec})
        for name in TEMPLATES:
            if server.get("tasktemplates", Key(NAMESPACE, name)) is None:
                self._make_template(name)
        for key, kept in server.every("jobs"):
            if kept.document["metadata"].get("labels", {}).get("foreign"):
                server.delete("jobs", key)
        for key, kept in server.every("tasks"):
            if kept.document["status"]["phase"] not in ENDS:
                server.patch("tasks", key, {"spec": {"suspend": False}})
                if "jobTemplate" in kept.document["spec"]:
                    server.patch("tasks", key, {"spec": {"jobTemplate": _job_template("ok")}})
            elif _is_refused(kept.document["spec"]):
                server.delete("tasks", key)  # another one would run its Job again, and be refused for ever
        self._node.heal()
        self._make_what_is_waited_for()

    def _make_what_is_waited_for(self) -> None:
        for _, kept in list(self._server.every("tasks")):
            original = kept.document["spec"].get("retryOf")
            for one in (*kept.document["spec"].get("dependsOn", ()), *([original] if original else ())):
                if self._server.get("tasks", Key(NAMESPACE, one["name"])) is None:
                    spec = {"jobTemplate": _job_template("ok")}
                    self._server.create("tasks", NAMESPACE, {"metadata": {"name": one["name"]}, "spec": spec}, "user")

    # --- Tasks -----------------------------------------------------------------------------------------------------

    def _make_task(self, name: str = "") -> None:
        dice = self._dice
        self._names += 1
        spec: Object = {"retryPolicy": self._retry_policy()} if dice.chance(0.7) else {}
        if dice.chance(0.8):
            spec["queueName"] = dice.random.choice(QUEUES)
        if dice.chance(0.6):
            spec |= {field: value for field, value in self._priority().items() if value is not None}
        if dice.chance(0.08):
            spec["suspend"] = True
        if dice.chance(0.15):
            spec["notBeforeTime"] = _stamp(self._server.now() + dice.between(-20, 60))
        if dice.chance(0.15):
            spec["startingDeadlineSeconds"] = dice.random.randint(5, 90)
        if dice.chance(0.15):
            spec["ttl"] = {"afterSuccessSeconds": 5, "afterFailureSeconds": 20, "resultSeconds": 2}
        if dice.chance(0.1):
            spec |= self._hooks()
        if dice.chance(0.3):
            spec["timeouts"] = self._timeouts()
        spec |= self._ties(int(name.split("-")[1]) if name.startswith("task-") else self._names)
        original = self._one(self._to_run_again()) if dice.chance(0.1) else None
        if original:
            dice.count("Task run again")
            spec["retryOf"] = {"name": original[0].name}
        elif dice.chance(0.15):
            spec["templateRef"] = {"name": dice.random.choice(TEMPLATES)}
        else:
            bad = dice.chance(0.03)
            if bad:
                dice.count("Job refused (422)")
            spec["jobTemplate"] = _job_template("" if bad else "ok")
            if "timeouts" not in spec and dice.chance(0.05):
                spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] = dice.random.randint(2, 10)
        labels = {"account": dice.random.choice("ab"), "tenant": dice.random.choice("xyz")} if dice.chance(0.7) else {}
        document = {"metadata": {"name": name or f"task-{self._names}", "labels": labels}, "spec": spec}
        try:
            self._server.create("tasks", NAMESPACE, document, "user")
        except Refused:
            pass

    def _hooks(self) -> Object:
        """What is to follow; the templates name nothing that follows in turn."""
        dice = self._dice
        wanted = [{"templateRef": {"name": dice.random.choice(TEMPLATES)}} for _ in range(dice.random.randint(1, 2))]
        return {"onSuccess": {"tasks": wanted}, "onFailure": {"tasks": wanted[:1]}}

    def _to_run_again(self) -> list[Found]:
        return [p for p in self._server.every("tasks") if p[1].document["status"]["phase"] in ENDS]

    def _priority(self) -> Object:
        """A number or a name, and not the other one."""
        if self._dice.chance(0.35):
            return {"priority": None, "priorityLevel": self._dice.random.choice(list(LEVELS))}
        return {"priority": self._dice.random.choice((0, 1, 5, 9)), "priorityLevel": None}

    def _ties(self, number: int) -> Object:
        """Dependencies, on what has a smaller number, so that there are no circles; and a key that others have, too."""
        dice = self._dice
        ties: Object = {}
        if number > 1 and dice.chance(0.2):
            nearby = range(max(1, number - 6), number)
            names = [f"task-{one}" for one in dice.random.sample(nearby, min(len(nearby), dice.random.randint(1, 2)))]
            conditions = ("Succeeded", "Failed", "Finished")
            ties["dependsOn"] = [{"name": name, "condition": dice.random.choice(conditions)} for name in names]
            if dice.chance(0.5):
                ties["onDependencyFailure"] = "Run"
        if dice.chance(0.2):
            mode = dice.random.choice(("Reject", "Replace"))
            ties["queueName"] = QUEUES[1]
            ties["deduplication"] = {"key": dice.random.choice(("red", "red", "blue")), "mode": mode}
            if dice.chance(0.3):
                ties["deduplication"]["windowSeconds"] = 5
        return ties

    def _retry_policy(self) -> Object:
        dice = self._dice
        policy: Object = {
            "maxAttempts": dice.random.randint(1, 4),
            "backoff": {
                "type": dice.random.choice(("Exponential", "Linear", "Fixed")),
                "baseSeconds": dice.random.randint(1, 5),
                "maxSeconds": 20,
                "jitterPercent": 10,
            },
        }
        if dice.chance(0.3):
            policy["priorityBoost"] = dice.random.randint(1, 5)
        if dice.chance(0.2):
            action = dice.random.choice(("Retry", "Fail", "Ignore"))
            policy["rules"] = [{"exitCodes": [2], "action": action}, {"reasons": ["JobDeleted"], "action": "Retry"}]
        return policy

    def _timeouts(self) -> Object:
        dice = self._dice
        soft = dice.random.randint(2, 20)
        limits = dice.random.choice(
            ({"softSeconds": soft}, {"hardSeconds": soft + 5}, {"softSeconds": soft, "hardSeconds": soft + 5}, {})
        )
        return {**limits, "pendingSeconds": dice.random.randint(3, 20)} if dice.chance(0.5) or not limits else limits

    def _one(self, found: list[Found]) -> Found | None:
        return self._dice.random.choice(sorted(found, key=lambda pair: pair[0])) if found else None

    def _open_task(self) -> Found | None:
        return self._one([p for p in self._server.every("tasks") if p[1].document["status"]["phase"] not in ENDS])

    def _held_task(self) -> Found | None:
        tasks = self._server.every("tasks")
        held = [p for p in tasks if p[1].document["spec"].get("suspend")]
        return self._one([p for p in held if p[1].document["status"]["phase"] not in ENDS])

    def _edit(self, found: Found | None, **spec: Any) -> bool:
        if found is None:
            return False
        before = self._server.revision
        self._server.patch("tasks", found[0], {"spec": spec}, who="user")
        return self._server.revision > before

    def _cancel(self, mode: str) -> bool:
        found = self._open_task()
        if found is None or "cancellation" in found[1].document["spec"]:
            return False
        return self._edit(found, cancellation={"mode": mode, "reason": "not needed"})

    def _delete_task(self) -> bool:
        found = self._one(list(self._server.every("tasks")))
        if found is None:
            return False
        policy = self._dice.random.choice(("Background", "Background", "Foreground", "Orphan"))
        self._server.delete("tasks", found[0], {"propagationPolicy": policy}, "user")
        return True

    def _renew_task(self) -> bool:
        found = self._open_task()
        if found is None:
            return False
        self._server.delete("tasks", found[0], {}, "user")
        self._make_task(found[0].name)
        return True

    def _take_name(self) -> bool:
        """A foreign Job where a pending Task's one would be."""
        found = self._open_task()
        if found is None:
            return False
        key, kept = found
        attempts = kept.document["status"].get("attempts") or []
        number = (attempts[-1]["number"] if attempts else 0) + 1
        digest = hashlib.sha256(f"{kept.uid}/{number}".encode()).hexdigest()[:12]
        template = _job_template("ok")["spec"]["template"]
        metadata = {"name": f"{key.name}-{digest}", "labels": {"foreign": "yes"}}
        try:
            self._server.create("jobs", NAMESPACE, {"metadata": metadata, "spec": {"template": template}}, "stranger")
        except Refused:
            return False
        return True

    # --- Jobs and pods ---------------------------------------------------------------------------------------------

    def _delete_job(self, policy: str) -> bool:
        jobs = [p for p in self._server.every("jobs") if "deletionTimestamp" not in p[1].document["metadata"]]
        busy = [p for p in jobs if "completionTime" not in p[1].document["status"]]
        found = self._one(busy if self._dice.chance(0.8) else jobs)
        if found is None:
            return False
        self._server.delete("jobs", found[0], {"propagationPolicy": policy}, "vandal")
        return True

    def _delete_pod(self, options: Object) -> bool:
        found = self._one([p for p in self._server.every("pods") if p[1].document["status"]["phase"] not in OVER])
        if found is None:
            return False
        self._server.delete("pods", found[0], options, "vandal")
        return True

    # --- queues and templates --------------------------------------------------------------------------------------

    def _make_queue(self, name: str) -> None:
        spec: Object = {"maxConcurrency": self._dice.random.randint(1, 4)}
        if name == QUEUES[0]:
            spec["alerts"] = {"stuckSeconds": 8}
            if self._dice.chance(0.5):
                spec["rateLimit"] = self._dice.random.choice(RATES)
        if name == QUEUES[2]:
            spec |= SHARING
        spec |= self._ordering()
        self._server.create("taskqueues", NAMESPACE, {"metadata": {"name": name}, "spec": spec}, "user")

    def _ordering(self) -> Object:
        """Each rule of the order with some chance of its own, so that they meet."""
        dice = self._dice
        spec: Object = {"priority": dice.random.randint(0, 1), "priorityLevels": _levels(LEVELS)}
        if dice.chance(0.3):
            spec["priorityAging"] = {"periodSeconds": 10, "increment": 2, "maxIncrease": 6}
        if dice.chance(0.3):
            spec["queueingStrategy"] = "Strict"
        if dice.chance(0.3):
            spec["fairShareLabelKey"] = SHARING["fairShareLabelKey"]
        if dice.chance(0.4):
            limits = {"maxSucceeded": dice.random.randint(1, 3), "maxFailed": dice.random.randint(1, 3)}
            spec["retention"] = limits | ({"deadLetterSeconds": 45} if dice.chance(0.7) else {})
        if dice.chance(0.3):
            spec["maxPending"] = dice.random.randint(1, 4)
        return spec

    def _rule(self, **spec: Any) -> bool:
        found = self._one(list(self._server.every("taskqueues")))
        if found is None:
            return False
        before = self._server.revision
        self._server.patch("taskqueues", found[0], {"spec": spec}, who="user")
        return self._server.revision > before

    def _ask(self, annotation: str) -> bool:
        """A request on a queue, by a value that it has not had yet."""
        found = self._one(list(self._server.every("taskqueues")))
        if found is None:
            return False
        asked = {"metadata": {"annotations": {annotation: f"request {self._server.revision}"}}}
        self._server.patch("taskqueues", found[0], asked, who="user")
        return True

    def _cap(self, step: int) -> bool:
        found = self._one(list(self._server.every("taskqueues")))
        if found is None:
            return False
        cap = found[1].document["spec"]["maxConcurrency"] + step
        if not 0 < cap < 7:
            return False
        self._server.patch("taskqueues", found[0], {"spec": {"maxConcurrency": cap}}, who="user")
        return True

    def _reorder(self) -> bool:
        lowest = {"priorityOrder": "LowestFirst", "taskDefaults": {"priority": 3}}
        highest = {"priorityOrder": "HighestFirst"}
        time = {"ordering": "TimeThenPriority"}
        priority = {"ordering": "PriorityThenTime"}
        return self._rule(**self._dice.random.choice((lowest, highest, time, priority)))

    def _change_levels(self) -> bool:
        """A level stands for another number, or is taken away, while Tasks wait that name it."""
        dice = self._dice
        levels = {name: dice.random.choice((value, -3, 4, 9)) for name, value in LEVELS.items()}
        if dice.chance(0.5):
            del levels[dice.random.choice(list(levels))]
        return self._rule(priorityLevels=_levels(levels))

    def _delete_queue(self) -> bool:
        found = self._one(list(self._server.every("taskqueues")))
        if found:
            self._server.delete("taskqueues", found[0], {}, "user")
        return found is not None

    def _renew_queue(self) -> bool:
        absent = [name for name in QUEUES if self._server.get("taskqueues", Key(NAMESPACE, name)) is None]
        if absent:
            self._make_queue(self._dice.random.choice(absent))
        return bool(absent)

    def _make_template(self, name: str) -> None:
        document = {"metadata": {"name": name}, "spec": {"jobTemplate": _job_template("ok")}}
        self._server.create("tasktemplates", NAMESPACE, document, "user")

    def _make_schedule(self, policy: str) -> None:
        """It ends by itself before the peace, and makes up for all ticks that it has missed."""
        spec: Object = {
            "everySeconds": self._dice.random.choice((15, 25)),
            "endTime": _stamp(START + 140),
            "concurrencyPolicy": policy,
            "missedRunPolicy": "RunAll",
            "maxCatchUpRuns": 20,
            "taskTemplate": {"spec": {"queueName": QUEUES[0], "templateRef": {"name": TEMPLATES[0]}}},
        }
        self._server.create("schedules", NAMESPACE, {"metadata": {"name": policy.lower()}, "spec": spec}, "user")

    def _delete_template(self) -> bool:
        found = self._one(list(self._server.every("tasktemplates")))
        if found:
            self._server.delete("tasktemplates", found[0], {}, "user")
        return found is not None

    def _renew_template(self) -> bool:
        absent = [name for name in TEMPLATES if self._server.get("tasktemplates", Key(NAMESPACE, name)) is None]
        if absent:
            self._make_template(self._dice.random.choice(absent))
        return bool(absent)

    # --- the cluster -----------------------------------------------------------------------------------------------

    def _set_quota(self) -> bool:
        if NAMESPACE in self._server.quota:
            return False
        self._server.quota[NAMESPACE] = sum(1 for _ in self._server.every("jobs"))
        return True

    def _lift_quota(self) -> bool:
        return self._server.quota.pop(NAMESPACE, None) is not None

    def _compact(self) -> bool:
        self._server.compact()
        return True

    def _delete_lease(self) -> bool:
        for key, _ in self._server.every("leases"):
            self._server.delete("leases", key, {}, "vandal")
            return True
        return False


def _job_template(image: str) -> Object:
    pod = {"containers": [{"name": "main", "image": image}], "terminationGracePeriodSeconds": 5}
    return {"spec": {"template": {"spec": pod}}}


def _is_refused(spec: Object) -> bool:
    job = spec.get("jobTemplate", _job_template("ok"))
    return bool(job["spec"]["template"]["spec"]["containers"][0]["image"] == "")


def _levels(values: dict[str, int]) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _stamp(moment: float) -> str:
    assert moment > START - 1000
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
