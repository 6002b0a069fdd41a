"""`make demo` from its first line to its last, and everything else in examples/: each ends as its comment says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client as kubernetes

import localcluster
from cluster_tools.desk import Desk
from e2e.conftest import REPO, Demo, Shell

pytestmark = pytest.mark.slow

EXAMPLES = REPO / "examples"
NAMESPACE = "taskq-demo"

# By file and Task: phase, number of attempts, reason.
PLAYED = {
    "priorities.yaml": {
        "urgent": ("Succeeded", 1, "Succeeded"),
        "hourly": ("Succeeded", 1, "Succeeded"),
        "daily": ("Succeeded", 1, "Succeeded"),
        "batch": ("Succeeded", 1, "Succeeded"),
        "someday": ("Succeeded", 1, "Succeeded"),
    },
    "retries.yaml": {
        "third-time-lucky": ("Succeeded", 3, "Succeeded"),
        "hopeless": ("Failed", 2, "RetriesExhausted"),
        "bad-input": ("Failed", 1, "NonRetriable"),
    },
    "timeouts.yaml": {
        "soft-timeout": ("Failed", 1, "RetriesExhausted"),
        "hard-timeout": ("Failed", 1, "RetriesExhausted"),
        "slow-image": ("Failed", 1, "RetriesExhausted"),
    },
    "expiry.yaml": {
        "occupies": ("Succeeded", 1, "Succeeded"),
        "in-time": ("Succeeded", 1, "Succeeded"),
        "too-late": ("Expired", 0, "StartingDeadlineExceeded"),
    },
    "cancel.yaml": {
        "runs": ("Cancelled", 1, "Cancelled"),
        "waits": ("Cancelled", 0, "Cancelled"),
    },
}
COPIED: dict[str, dict[str, tuple[str, int, str]]] = {
    "hello.yaml": {"hello": ("Succeeded", 1, "Succeeded")},
    "why-pending.yaml": dict.fromkeys(("long", "next", "last"), ("Succeeded", 1, "Succeeded")),
    "batch.yaml": {"resize": ("Succeeded", 1, "Succeeded"), "import": ("Failed", 1, "RetriesExhausted")},
    "deduplication.yaml": {
        "refresh-1": ("Succeeded", 1, "Succeeded"),
        "refresh-2": ("Cancelled", 0, "Duplicate"),
        "draft-1": ("Cancelled", 0, "Replaced"),
        "draft-2": ("Succeeded", 1, "Succeeded"),
    },
    "chain.yaml": {
        "extract": ("Succeeded", 1, "Succeeded"),
        "count-lines": ("Succeeded", 1, "Succeeded"),
        "count-words": ("Failed", 1, "RetriesExhausted"),
        "publish": ("Cancelled", 0, "DependencyFailed"),
        "tell-somebody": ("Succeeded", 1, "Succeeded"),
        "tidy-up": ("Succeeded", 1, "Succeeded"),
    },
    "result.yaml": {"adds-up": ("Succeeded", 1, "Succeeded")},
    "queue-defaults.yaml": {
        "plain": ("Succeeded", 2, "Succeeded"),
        "special": ("Failed", 1, "RetriesExhausted"),
    },
    "sharing.yaml": dict.fromkeys(
        (
            *("red-1", "red-2", "red-3", "red-urgent", "blue-1", "migrate-1", "migrate-2"),
            *("reports-1", "reports-2", "imports-1", "imports-2"),
        ),
        ("Succeeded", 1, "Succeeded"),
    ),
    "command-line.yaml": {},  # no Task either: docs/how-to/command-line.md makes some
    "alerts.yaml": {},  # a queue without Tasks: tests/integration/test_metrics.py shows its metrics
    # Schedules: they are applied; what they do is for tests/integration/test_schedules.py.
    "nightly-report.yaml": {},
    "every-30-seconds.yaml": {},
    "business-days.yaml": {},
    "monthly.yaml": {},
    "parameters.yaml": {"mondays": ("Succeeded", 1, "Succeeded")},
    "hooks.yaml": {"backup": ("Failed", 1, "RetriesExhausted")},
    "dead-letters.yaml": {"import-monday": ("Failed", 1, "RetriesExhausted")},
    "replay.yaml": {"import-monday-again": ("Succeeded", 1, "Succeeded")},
    "template.yaml": {"greets": ("Succeeded", 1, "Succeeded"), "greets-too": ("Succeeded", 1, "Succeeded")},
}
End = tuple[str, int, str]


@pytest.fixture(scope="module")
def demo_desk(demo: Demo, client: kubernetes.ApiClient, cluster: localcluster.Cluster) -> Desk:
    """The demo's namespace, once the demo is over."""
    demo.wait()
    return Desk(client, NAMESPACE, cluster.audit_log)


def end(task: dict[str, Any]) -> End:
    """How a Task ended."""
    status = task["status"]
    return status["phase"], len(status.get("attempts", ())), status["reason"]


def tasks_of(file: str) -> set[str]:
    """The Tasks of an example."""
    documents = yaml.safe_load_all((EXAMPLES / file).read_text(encoding="utf-8"))
    return {document["metadata"]["name"] for document in documents if document["kind"] == "Task"}


def test_every_example_is_tried() -> None:
    """Each file, and in it each Task, stands in one of the tables above."""
    found = {path.name: tasks_of(path.name) for path in EXAMPLES.glob("*.yaml")}
    assert found == {file: set(ends) for file, ends in (PLAYED | COPIED).items()}


@pytest.mark.parametrize("file", PLAYED)
def test_the_demos_tasks_end_as_their_examples_say(demo_desk: Desk, file: str) -> None:
    """Phase, attempts and reason of each."""
    assert {name: end(demo_desk.get(name)) for name in PLAYED[file]} == PLAYED[file]


def test_the_demos_queue_starts_by_priority(demo_desk: Desk) -> None:
    """It was opened when all waited in it: they started in the order of their priorities, not of the file."""
    started = [name for name in demo_desk.started() if name in PLAYED["priorities.yaml"]]
    assert started[:5] == ["urgent", "hourly", "daily", "batch", "someday"]


def test_the_demo_shows_every_end_and_where_to_look_next(demo: Demo) -> None:
    """The last table has each Task's phase; the commands below it name this cluster and this operator."""
    output = demo.wait()
    shown = dict(re.findall(r"(?m)^(\S+) +\S+ +-?\d+ +(Succeeded|Failed|Cancelled|Expired)\b", output))
    assert shown == {name: ends[0] for file in PLAYED.values() for name, ends in file.items()}
    assert "kubectl -n taskq-demo get tasks.taskq.dev,taskqueues" in output
    assert re.search(r"curl -s http://127\.0\.0\.1:\d+/metrics", output)


@pytest.fixture(scope="module")
def applied(desk: Desk, shell: Shell) -> Desk:
    """The other examples, applied as their comments say."""
    for file in COPIED:
        shell(f"kubectl apply -n {desk.namespace} -f examples/{file}")
    return desk


@pytest.mark.parametrize("file", COPIED)
def test_an_example_ends_as_its_comment_says(applied: Desk, file: str) -> None:
    """Phase, attempts and reason of each Task."""
    assert {name: end(applied.wait_end(name)) for name in COPIED[file]} == COPIED[file]


def test_the_queues_defaults_reach_their_tasks(applied: Desk) -> None:
    """What a Task does not say, its queue does; nothing is written into its spec."""
    plain = applied.wait_end("plain")
    assert plain["status"]["effectivePriority"] == 5
    assert "priority" not in plain["spec"]
    assert applied.wait_end("special")["status"]["effectivePriority"] == 50


def test_the_results_example_hands_back_its_sum(applied: Desk) -> None:
    """As its comment says."""
    assert applied.wait_end("adds-up")["status"]["result"] == '{"sum": 5050}\n'


def test_the_batch_example_counts_its_items(applied: Desk) -> None:
    """Real pods of a real Indexed Job; the failed one's message is the first failed item's."""
    done = applied.wait_end("resize")["status"]["progress"]
    assert (done["completed"], done["total"], done["percent"]) == (6, 6, 100)
    partly = applied.wait_end("import")["status"]
    assert (partly["progress"]["completed"], partly["progress"]["failedIndexes"]) == (4, "2,4")
    (attempt,) = partly["attempts"]
    assert attempt["exitCode"] == 65
    assert re.fullmatch(
        r"2 of 6 items failed \(indexes 2,4\); index ([24]): file \1 is empty", attempt["message"].strip()
    )


# --- the demo and a cluster that it did not make ------------------------------------------------------------------


@pytest.fixture
def foreign(shell: Shell, cluster: localcluster.Cluster, tmp_path: Path) -> Shell:
    """The same cluster by a kubeconfig that does not lie beside its state: somebody's own, for all that is known."""
    kubeconfig = tmp_path / "config"
    kubeconfig.write_bytes(cluster.kubeconfig.read_bytes())
    kept = {name: value for name, value in shell.environment.items() if name != "TASKQ_CLUSTER"}
    return Shell({**kept, "KUBECONFIG": str(kubeconfig), "XDG_STATE_HOME": str(tmp_path)})


def test_the_demo_asks_before_it_installs_into_somebodys_cluster(foreign: Shell) -> None:
    """Nobody is there to answer, so it changes nothing and says in one line how to consent."""
    said = foreign(".venv/bin/python demo/demo.py", code=1)
    assert said.startswith("demo: Install or replace 4 CustomResourceDefinitions of taskq.dev")
    assert said.endswith("run `.venv/bin/python demo/demo.py --yes` if so\n")
    assert said.count("\n") == 1


def test_the_demo_says_in_one_line_that_a_cluster_does_not_answer(foreign: Shell, tmp_path: Path) -> None:
    """It names the address and asks the right question."""
    config = (tmp_path / "config").read_text(encoding="utf-8")
    (tmp_path / "config").write_text(re.sub(r"https://\S+", "https://127.0.0.1:9", config), encoding="utf-8")
    said = foreign(".venv/bin/python demo/demo.py --yes", code=1)
    assert said.startswith("demo: the API server at https://127.0.0.1:9 does not answer: is its cluster up?")
    assert said.count("\n") == 1


def test_stopping_an_operator_that_does_not_run_is_no_error(foreign: Shell) -> None:
    """`make down` calls it whether there was a demo or not."""
    assert foreign(".venv/bin/python demo/demo.py --stop") == ""


def test_the_makefile_has_the_verbs_that_the_demo_names() -> None:
    """It tells people to type them."""
    for verb in ("demo", "down"):
        subprocess.run(["make", "--dry-run", verb], cwd=REPO, check=True, capture_output=True)
