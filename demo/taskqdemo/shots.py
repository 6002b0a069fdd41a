"""What the command line is pictured with: commands in their order, typed into a namespace with the scene's objects."""

from __future__ import annotations

from typing import NamedTuple

COLUMNS = 110
SCENE = (
    "kubectl apply -f demo/pictures.yaml",
    "kubectl wait --for=condition=Ready tasktemplates.taskq.dev --all --timeout=60s",
    "kubectl taskq run email -p customer=ada --name mail-ada --wait",
    "kubectl taskq run email -p customer=grace --name mail-grace --wait",
    "kubectl taskq run report -p region=latam -p pages=1 --name latam --wait || true",
    "kubectl taskq run report -p region=emea -p pages=300 --name emea",
    "kubectl taskq run report -p region=apac -p pages=400 --name apac",
    "kubectl taskq wait emea apac --for running --timeout 60s",
    "kubectl taskq run report -p region=apac --name apac-again",
    "kubectl taskq run report -p region=emea --name board --priority urgent",
    "for n in 1 2 3; do kubectl taskq create --image busybox:1.36 -q imports --name load-$n -- true; done",
)
"""What is done before, off the pictures."""


class Shot(NamedTuple):
    """A picture: the file's name, what is typed, what the page says beside it, and what is answered to a question."""

    name: str
    command: str
    caption: str
    answer: str = ""


SHOTS = (
    Shot("list", "kubectl taskq list", "Tasks, with phase, waiting time and reason"),
    Shot("describe", "kubectl taskq describe apac-again", "One Task: why it waits, its place, and when it starts"),
    Shot("describe-failed", "kubectl taskq describe latam", "One that failed: attempts, timeline, events"),
    Shot("queues", "kubectl taskq queues", "Queues, with what waits and what runs of how many"),
    Shot("templates", "kubectl taskq templates", "Types of Tasks and their parameters"),
    Shot("schedules", "kubectl taskq schedules nightly --next 3", "Next runs, in your zone and in the Schedule's"),
    Shot("top", "kubectl taskq top --once", "Queues and Tasks; without `--once`, live"),
    Shot("stats", "kubectl taskq stats", "Throughput, failures, waits and run times"),
    Shot("events", "kubectl taskq events --warnings", "What went wrong, by itself"),
    Shot("logs", "kubectl taskq logs latam --all-attempts", "Logs of every attempt"),
    Shot("run", "kubectl taskq run report -p region=emea -p pages=9000",
         "Parameters are checked before there is a Task"),
    Shot("create", "kubectl taskq create --image busybox:1.36 --pull-policy IfNotPresent --name hi --follow -- echo hi",
         "A Task from a command line, followed to its end"),
    Shot("prioritize", "kubectl taskq prioritize apac-again --to urgent", "Moved ahead"),
    Shot("cancel", "kubectl taskq cancel --queue imports --phase waiting",
         "Several at once: counted, shown, and asked about", answer="y"),
    Shot("retry", "kubectl taskq retry latam -p region=emea -p pages=1", "Once more, with another parameter"),
    Shot("preview", "kubectl taskq schedule preview '30 2 * * 1-5' --zone Europe/Madrid --count 4",
         "A cron expression, before anybody writes it down"),
    Shot("lint", "sed 's/maxConcurrency/maxConcurency/; s/1-5/1-9/' demo/pictures.yaml"
         " | kubectl taskq lint -", "Manifests, checked without a cluster"),
    Shot("explain", "kubectl taskq explain task.spec.retryPolicy.backoff", "A field, with its limits and rules"),
    Shot("doctor", "kubectl taskq doctor", "The installation, with what to do about it"),
)  # fmt: skip
"""In the order in which they are taken: later ones see what earlier ones did."""


def page() -> str:
    """The page that shows them."""
    head = (
        "# The command line in pictures\n\n"
        "Made by `.venv/bin/python demo/pictures.py` from real runs on a real cluster, with the objects of\n"
        "[demo/pictures.yaml](../../demo/pictures.yaml); not edited by hand. "
        "[The command line](command-line.md) explains them,\n"
        "[the reference](../reference/cli.md) has every option.\n\n"
        "| | |\n|---|---|\n"
    )
    rows = (
        f"| {shot.caption}<br>`{shot.command.replace('|', chr(92) + '|')}` "
        f"| ![{shot.caption}](../pictures/{shot.name}.svg) |"
        for shot in SHOTS
    )
    return head + "\n".join(rows) + "\n"
