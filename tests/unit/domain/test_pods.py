"""Which pods of a Job are kept at hand."""

from __future__ import annotations

from builders import make_job, make_pod, make_task
from taskq.domain.model import Pod
from taskq.domain.pods import Pods

JOB = make_job(make_task().build()).build()
KEY = JOB.metadata.key


def names(pods: tuple[Pod, ...]) -> list[str]:
    """Their suffixes, in order."""
    return [pod.metadata.name.rsplit("-", 1)[1] for pod in pods]


def test_those_that_succeeded_do_not_gather() -> None:
    """Ten thousand items leave one."""
    pods = Pods()
    for number in range(100):
        pods.put(KEY, make_pod(JOB, str(number), created=number).running().build())
        pods.put(KEY, make_pod(JOB, str(number), created=number).succeeded(number + 1).build())
    assert names(pods.of(KEY)) == names(pods.all_of(KEY)) == ["99"]


def test_a_look_is_spared_the_failed_ones_but_for_one() -> None:
    """All of them are there when the outcome is told."""
    pods = Pods()
    pods.put(KEY, make_pod(JOB, "lives").running().build())
    for number in range(3):
        pods.put(KEY, make_pod(JOB, str(number)).failed(1, 5).build())
    assert names(pods.of(KEY)) == ["lives", "2"]
    assert names(pods.all_of(KEY)) == ["lives", "0", "1", "2"]


def test_a_pod_that_is_gone_leaves_nothing() -> None:
    """Whatever it was."""
    pods = Pods()
    made = [
        make_pod(JOB, "a").running().build(),
        make_pod(JOB, "b").failed(1, 5).build(),
        make_pod(JOB, "c").succeeded(5).build(),
    ]
    for pod in made:
        pods.put(KEY, pod)
    assert pods.any_alive(KEY)
    for pod in made:
        pods.discard(KEY, pod.metadata.uid)
        pods.discard(KEY, pod.metadata.uid)
    assert pods.of(KEY) == pods.all_of(KEY) == ()
    assert not pods.any_alive(KEY)
