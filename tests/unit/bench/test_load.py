"""What the bench asks a cluster for."""

import asyncio

import msgspec
import pytest
from bench import load
from bench.finisher import complete_status

from taskq.domain.model import Job, Task


@pytest.mark.parametrize("size", [2048, 100_000])
def test_tasks_have_the_size_that_the_page_claims(size):
    """To the byte."""
    assert len(load.encode(load.task_manifest("a", "task-000001", size))) == size


def test_the_bare_loop_posts_what_the_operator_would():
    """The same template, labels and owner."""
    raw = load.encode(load.task_manifest("a", "one"))
    stored = msgspec.json.decode(raw)
    stored["metadata"] |= {"uid": "u-1", "resourceVersion": "7", "creationTimestamp": "2026-01-02T03:04:05Z"}
    task = msgspec.json.decode(load.encode(stored), type=Task)
    task.raw = raw
    job = msgspec.json.decode(load.job_bodies([task])[0])
    assert job["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert job["metadata"]["labels"]["taskq.dev/task"] == "one"


def test_a_finished_job_is_finished_for_the_operator():
    """Only Complete frees a slot."""
    metadata = {
        "name": "a",
        "namespace": "a",
        "uid": "u",
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
    }
    job = msgspec.convert({"metadata": metadata, "status": complete_status(0, 1)}, type=Job)
    assert job.finished


async def test_in_parallel_bounds_what_runs_at_once():
    """And does everything once, in order of beginning."""
    running, most, begun = 0, 0, []

    async def work(item: int) -> None:
        nonlocal running, most
        begun.append(item)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    await load.in_parallel(range(10), work, 3)
    assert (begun, most) == (list(range(10)), 3)
