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
}
