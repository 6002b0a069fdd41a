"""The commands by name: where each is, and one line about it, so that `--help` imports none of them."""

from __future__ import annotations

from typing import NamedTuple

SEE = "See"
DO = "Do"
WRITE = "Write and check"


class Entry(NamedTuple):
    """A command: `MODULE:ATTRIBUTE` in taskq.cli.commands, its summary, and the section of the help it stands in."""

    target: str
    summary: str
    section: str


CATALOG: dict[str, Entry] = {
    "list": Entry("listing:command", "List Tasks, by any filter", SEE),
    "describe": Entry("describe:command", "Tell all about a Task: attempts, timeline, events, and why it waits", SEE),
    "queues": Entry("queues:command", "List TaskQueues with what waits and runs in them", SEE),
    "schedules": Entry("schedules:command", "List Schedules with their next runs, in your zone and in theirs", SEE),
    "templates": Entry("templates:command", "List TaskTemplates with their parameters", SEE),
    "logs": Entry("logs:command", "Print the logs of a Task, of any attempt", SEE),
    "events": Entry("events:command", "List Events about Tasks, TaskQueues, Schedules and TaskTemplates", SEE),
    "stats": Entry("stats:command", "Sum up throughput, waits, run times and failures", SEE),
    "top": Entry("top:command", "Watch queues and Tasks live", SEE),
    "info": Entry("info:command", "Tell about this program, the cluster and its operator", SEE),
    "doctor": Entry("doctor:command", "Check the installation, and say how to mend it", SEE),
    "run": Entry("run:command", "Create a Task from a TaskTemplate, with parameters", DO),
    "create": Entry("create:command", "Create a Task from an image and a command line", DO),
    "cancel": Entry("cancel:command", "Cancel Tasks; the record stays", DO),
    "retry": Entry("retry:command", "Run Tasks that have ended once more, each as a new Task", DO),
    "replay": Entry("retry:replay", "Run dead letters once more, each as a new Task", DO),
    "suspend": Entry("holding:suspend", "Hold Tasks: no attempt of them starts", DO),
    "resume": Entry("holding:resume", "Let held Tasks go on", DO),
    "prioritize": Entry("prioritize:command", "Change the priority of waiting Tasks", DO),
    "wait": Entry("wait:command", "Wait until Tasks have come so far", DO),
    "delete": Entry("delete:command", "Delete Tasks, with their Jobs, pods and logs", DO),
    "pause": Entry("states:pause", "Start nothing more in TaskQueues; what runs goes on", DO),
    "drain": Entry("states:drain", "Work off what is in TaskQueues; what comes later waits", DO),
    "close": Entry("states:close", "Start and accept nothing in TaskQueues; what runs goes on", DO),
    "open": Entry("states:open_", "Let TaskQueues start their Tasks again", DO),
    "purge": Entry("purge:command", "Empty TaskQueues: cancel all that waits in them", DO),
    "schedule": Entry("schedule:group", "Steer Schedules: run now, suspend, resume, backfill, preview", DO),
    "init": Entry("init:command", "Write a TaskQueue, a TaskTemplate and a Schedule to begin with", WRITE),
    "lint": Entry("lint:command", "Check manifests without a cluster", WRITE),
    "convert": Entry("convert:command", "Convert a CronJob, a crontab or a Celery beat schedule into Schedules", WRITE),
    "explain": Entry("explain:command", "Explain a field: its type, limits, default and rules", WRITE),
    "completion": Entry("completion:command", "Print the completion script of a shell for `taskq`", WRITE),
}
