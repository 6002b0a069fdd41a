"""What `kubectl taskq` can only do with real pods: logs of every attempt, followed while they run."""

from __future__ import annotations

import json

from cluster_tools.desk import Desk, retries
from e2e.conftest import Shell

SCRIPT = 'echo "this is attempt $TASKQ_TASK_ATTEMPT"; sleep 1; echo bye; exit $((TASKQ_TASK_ATTEMPT < 2))'


def job() -> dict[str, object]:
    """A Job that fails once."""
    container = {"name": "main", "image": "busybox:1.36", "imagePullPolicy": "IfNotPresent"}
    return {"spec": {"template": {"spec": {"containers": [container | {"command": ["sh", "-c", SCRIPT]}]}}}}


def test_logs_of_every_attempt(desk: Desk, shell: Shell) -> None:
    """Followed over a retry until the end; the latest one, the one before, or all of them."""
    desk.create("Task", "talks", {"jobTemplate": job(), "retryPolicy": retries(2)})
    followed = shell(f"kubectl taskq -n {desk.namespace} logs -f talks").splitlines()
    assert followed == ["this is attempt 1", "bye", "this is attempt 2", "bye"]
    said = {
        flags: shell(f"kubectl taskq -n {desk.namespace} logs talks {flags}").splitlines()
        for flags in ("", "--previous", "--attempt 1 --tail 1", "--all-attempts")
    }
    assert said[""] == ["this is attempt 2", "bye"]
    assert said["--previous"] == ["this is attempt 1", "bye"]
    assert said["--attempt 1 --tail 1"] == ["bye"]
    assert [line.partition("] ")[2] for line in said["--all-attempts"]] == followed
    assert said["--all-attempts"][0].startswith("[attempt 1/talks-")


def test_the_plug_in_is_found_under_both_names(shell: Shell) -> None:
    """And says how it was called."""
    assert "Usage: kubectl taskq [OPTIONS]" in shell("kubectl taskq --help")
    assert "Usage: taskq [OPTIONS]" in shell("taskq --help")
    assert json.loads(shell("taskq info -o json"))["leader"]
