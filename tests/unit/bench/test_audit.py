"""How the bench reads the API server's audit log."""

import json

from bench.audit import AuditLog, writes_of_operator

AT = "2026-01-02T03:04:05.250000Z"


def line(
    verb: str, resource: str, *, code: int = 201, agent: str = "taskq-operator/0.1", stage: str = "ResponseComplete"
):
    """One line of the log."""
    name, _, subresource = resource.partition("/")
    return json.dumps(
        {
            "kind": "Event",
            "stage": stage,
            "verb": verb,
            "userAgent": agent,
            "user": {"username": "admin"},
            "objectRef": {"resource": name, "subresource": subresource, "namespace": "a", "name": "x"},
            "responseStatus": {"code": code},
            "requestReceivedTimestamp": AT,
            "stageTimestamp": AT,
        }
    )


def test_only_whole_new_lines_are_read(tmp_path):
    """The server may be in the middle of one."""
    path = tmp_path / "audit.log"
    path.write_text(line("create", "jobs") + "\n")
    log = AuditLog(path)
    assert log.new() == []
    half = line("patch", "tasks/status")
    with path.open("a") as file:
        file.write(line("create", "jobs") + "\n" + half[:40])
    assert [entry.is_job_created("a") for entry in log.new()] == [True]
    with path.open("a") as file:
        file.write(half[40:] + "\n")
    (entry,) = log.new()
    assert entry.resource == "tasks/status"
    assert entry.answered % 1 == 0.25


def test_writes_of_others_and_refused_ones_do_not_count(tmp_path):
    """Neither do reads, nor a watch that begins."""
    path = tmp_path / "audit.log"
    path.touch()
    log = AuditLog(path)
    lines = [
        line("create", "jobs"),
        line("create", "jobs", code=409),
        line("patch", "tasks/status", code=200),
        line("patch", "tasks/status", code=200, agent="taskq-bench"),
        line("list", "tasks", code=200),
        line("watch", "tasks", code=200, stage="ResponseStarted"),
    ]
    path.write_text("\n".join(lines) + "\n")
    assert writes_of_operator(log.new()) == {"create jobs": 1, "patch tasks/status": 1}
