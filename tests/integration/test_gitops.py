"""Objects as a real operator writes them on a real API server, judged as Flux, Helm 4 and Argo CD judge them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import localcluster
from cluster_tools.desk import PLURALS, Desk, job_template, retries
from cluster_tools.judge import Judge, Verdict
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until
from localcluster.tools import tool

pytestmark = pytest.mark.usefixtures("operator")

REPO = Path(__file__).resolve().parents[2]
CONFIG_MAP = REPO / "gitops/argocd/argocd-cm.yaml"
REPORTS = REPO / "examples/gitops/reports"

Json = dict[str, Any]
Run = Callable[..., subprocess.CompletedProcess[str]]

GOOD = ("Current", "Healthy")
BAD = ("Failed", "Degraded")
SPECS: dict[str, Json] = {
    "Task": {"suspend": True, "jobTemplate": job_template()},
    "TaskQueue": {},
    "TaskTemplate": {"jobTemplate": job_template()},
    "Schedule": {"everySeconds": 10_000_000, "taskTemplate": {"spec": {"jobTemplate": job_template()}}},
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    """Built when this machine does not have it yet."""
    with Judge() as started:
        yield started


@pytest.fixture
def run(cluster: localcluster.Cluster, namespace: str, tmp_path: Path) -> Run:
    """A program as a user of this namespace calls it: kubectl, or helm."""

    def called(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        program = str(tool("helm")) if command[0] == "helm" else command[0]
        homes = {f"HELM_{name}_HOME": str(tmp_path / "helm") for name in ("CACHE", "CONFIG", "DATA")}
        done = subprocess.run(
            [program, *command[1:], "--namespace", namespace],
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "KUBECONFIG": str(cluster.kubeconfig), **homes},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    return called


def until_judged(judge: Judge, desk: Desk, kind: str, name: str, wanted: tuple[str, str]) -> Verdict:
    """What is said of an object, as soon as it is this."""
    last: list[Any] = []

    def look() -> Verdict | None:
        obj = desk.find(kind, name)
        last[:] = [judge.judge(obj) if obj else None, obj and obj.get("status")]
        return last[0] if last[0] and last[0][:2] == wanted else None

    return until(look, lambda: f"{kind} {name} is {wanted}; it is {last}")


@pytest.mark.parametrize("kind", SPECS)
def test_it_is_in_progress_from_its_creation_on(judge: Judge, desk: Desk, kind: str) -> None:
    """The very answer to the creation, with the defaults of the API server."""
    made = desk.create(kind, "a", SPECS[kind])
    assert made["status"]["observedGeneration"] == -1
    health = "Suspended" if kind == "Task" else "Progressing"
    assert judge.judge(made)[:2] == ("InProgress", health)


@pytest.mark.parametrize("kind", SPECS)
def test_it_is_waited_for_while_it_is_deleted(judge: Judge, desk: Desk, kind: str) -> None:
    """Somebody's finalizer holds it."""
    desk.create(kind, "a", SPECS[kind], finalizers=["example.com/hold"])
    desk.delete(kind, "a")
    assert until_judged(judge, desk, kind, "a", ("Terminating", "Progressing"))
    desk.patch(kind, "a", {"metadata": {"finalizers": None}})
    desk.wait_gone(kind, "a")


def test_a_task_is_judged_by_what_becomes_of_it(judge: Judge, desk: Desk, kubelet: FakeKubelet) -> None:
    """In progress while it waits, runs and is retried; then as it ends."""
    desk.task("long", {"hold": True})
    desk.wait_phase("long", "Running")
    assert judge.judge(desk.get("long"))[:2] == ("InProgress", "Progressing")
    kubelet.finish(desk.namespace, "long")
    assert until_judged(judge, desk, "Task", "long", GOOD)
    patient = {**retries(2), "backoff": {"type": "Fixed", "baseSeconds": 600}}
    desk.task("retried", {"exitCode": 1}, retryPolicy=patient)
    desk.wait_phase("retried", "Retrying")
    assert judge.judge(desk.get("retried"))[:2] == ("InProgress", "Progressing")
    desk.task("bad", {"exitCode": 3, "message": "no such table"})
    assert "no such table" in until_judged(judge, desk, "Task", "bad", BAD).message
    desk.queue("shut", state="Paused")
    desk.task("late", queueName="shut", startingDeadlineSeconds=1)
    assert "startingDeadlineSeconds" in until_judged(judge, desk, "Task", "late", BAD).message
    desk.task("unwanted", queueName="shut", cancellation={})
    assert until_judged(judge, desk, "Task", "unwanted", GOOD).message.startswith("Cancelled")


def test_a_task_without_a_queue_fails_until_there_is_one(judge: Judge, desk: Desk) -> None:
    """The message names the field."""
    desk.task("lost", queueName="reports")
    assert "spec.queueName" in until_judged(judge, desk, "Task", "lost", BAD).message
    desk.queue("reports")
    assert until_judged(judge, desk, "Task", "lost", GOOD)


def test_what_can_not_be_followed_fails_until_it_is_mended(judge: Judge, desk: Desk) -> None:
    """A queue, a template and a Schedule, each with the field in the message."""
    desk.queue("child", parent={"name": "parent"})
    wrong = job_template()
    wrong["spec"]["template"]["spec"]["containers"][0]["name"] = "No Name"
    desk.create("TaskTemplate", "kind", {"jobTemplate": wrong})
    desk.create("Schedule", "often", SPECS["Schedule"] | {"everySeconds": None, "schedules": ["0 0 30 2 *"]})
    assert "spec.parent.name" in until_judged(judge, desk, "TaskQueue", "child", BAD).message
    assert "spec.jobTemplate" in until_judged(judge, desk, "TaskTemplate", "kind", BAD).message
    assert "spec.schedules[0]" in until_judged(judge, desk, "Schedule", "often", BAD).message
    desk.queue("parent")
    wrong["spec"]["template"]["spec"]["containers"][0]["name"] = "main"
    desk.change("kind", "TaskTemplate", jobTemplate=wrong)
    desk.change("often", "Schedule", schedules=["0 0 28 2 *"])
    for kind, name in {"TaskQueue": "child", "TaskTemplate": "kind", "Schedule": "often"}.items():
        assert until_judged(judge, desk, kind, name, GOOD)


def test_a_schedule_whose_run_failed_is_degraded_in_argo_cd_alone(judge: Judge, desk: Desk) -> None:
    """Until one succeeds. The runs are asked for by Argo CD's action."""
    desk.schedule("often", {"exitCode": 1}, everySeconds=10_000_000)
    until_judged(judge, desk, "Schedule", "often", GOOD)
    desk.patch("Schedule", "often", judge.act(desk.get("often", "Schedule"), "run-now"))
    assert until_judged(judge, desk, "Schedule", "often", ("Current", "Degraded"))
    desk.change("often", "Schedule", taskTemplate={"spec": {"jobTemplate": job_template()}})
    desk.patch("Schedule", "often", {"metadata": {"annotations": {"taskq.dev/run-now": "once more"}}})
    assert until_judged(judge, desk, "Schedule", "often", GOOD)


def test_the_actions_of_argo_cd_do_what_they_say(judge: Judge, desk: Desk) -> None:
    """The API server takes what they make, and the operator follows."""
    for action, words in {"pause": "starts none", "drain": "Works off", "resume": "starts them"}.items():
        desk.find("TaskQueue", "q") or desk.queue("q")
        desk.patch("TaskQueue", "q", judge.act(desk.get("q", "TaskQueue"), action))
        until(lambda words=words: words in judge.judge(desk.get("q", "TaskQueue")).message, f"{action} was followed")
    desk.schedule("s", everySeconds=10_000_000)
    desk.patch("Schedule", "s", judge.act(desk.get("s", "Schedule"), "suspend"))
    desk.wait_condition("s", "Ready", reason="Suspended", of="Schedule")
    assert until_judged(judge, desk, "Schedule", "s", GOOD)
    desk.task("t", {"hold": True})
    desk.wait_pod("t")
    desk.patch("Task", "t", judge.act(desk.get("t"), "cancel"))
    assert "cancelled in Argo CD" in desk.wait_phase("t", "Cancelled")["status"]["message"]


def test_argo_cd_keeps_its_other_settings(desk: Desk, run: Run) -> None:
    """The file is a patch, typed as its head says."""
    desk.core.create_namespaced_config_map(
        desk.namespace, {"metadata": {"name": "argocd-cm"}, "data": {"url": "https://cd.example.com"}}
    )
    [command] = [line for line in CONFIG_MAP.read_text(encoding="utf-8").splitlines() if "kubectl" in line]
    words = (
        command.removeprefix("#").replace("-n argocd ", "").replace(str(CONFIG_MAP.relative_to(REPO)), str(CONFIG_MAP))
    )
    run(*words.split())
    data = desk.core.read_namespaced_config_map("argocd-cm", desk.namespace).data
    assert data["url"] == "https://cd.example.com"
    assert {f"resource.customizations.health.taskq.dev_{kind}" for kind in SPECS} <= data.keys()


def test_the_example_is_applied_again_and_again(judge: Judge, desk: Desk, run: Run) -> None:
    """By server-side apply, as Flux does: the second time changes nothing, and what people set by hand stays."""

    def apply() -> Json:
        run("kubectl", "apply", "--server-side", "--field-manager=kustomize-controller", "-k", str(REPORTS))
        found = json.loads(run("kubectl", "get", "taskqueues,tasktemplates,schedules", "-o", "json").stdout)
        return {f"{obj['kind']}/{obj['metadata']['name']}": obj["metadata"]["generation"] for obj in found["items"]}

    first = apply()
    assert set(first) == {"TaskQueue/reports", "TaskTemplate/refresh", "Schedule/refresh"}
    for each in first:
        assert until_judged(judge, desk, *each.split("/"), GOOD)
    assert apply() == first
    desk.change("refresh", "Schedule", suspend=True)
    desk.change("reports", "TaskQueue", state="Paused")
    desk.patch("Schedule", "refresh", {"metadata": {"annotations": {"taskq.dev/run-now": "by-hand"}}})
    apply()
    schedule = desk.get("refresh", "Schedule")
    assert schedule["spec"]["suspend"]
    assert schedule["metadata"]["annotations"] == {"taskq.dev/run-now": "by-hand"}
    assert desk.get("reports", "TaskQueue")["spec"]["state"] == "Paused"
    desk.change("reports", "TaskQueue", maxConcurrency=50)
    refused = run(
        "kubectl", "apply", "--server-side", "--field-manager=kustomize-controller", "-k", str(REPORTS), check=False
    )
    assert "spec.maxConcurrency" in refused.stderr


def test_a_task_is_applied_again_when_it_has_ended(desk: Desk, run: Run, tmp_path: Path) -> None:
    """The unchanged manifest changes nothing; another one is refused, since the record of an end does not change."""

    def apply(**spec: Any) -> str:
        manifest = thing("Task", "once", {"jobTemplate": job_template(), "retryPolicy": {"maxAttempts": 2}, **spec})
        (tmp_path / "task.json").write_text(json.dumps(manifest), encoding="utf-8")
        return run("kubectl", "apply", "--server-side", "-f", str(tmp_path / "task.json"), check=False).stderr

    assert apply() == ""
    generation = desk.wait_phase("once", "Succeeded")["metadata"]["generation"]
    assert apply() == ""
    assert desk.get("once")["metadata"]["generation"] == generation
    assert "immutable once the Task has ended" in apply(priority=5)


def test_no_tool_takes_children_for_its_own(desk: Desk) -> None:
    """What a tool writes on a Schedule or a Task stays there; what a Schedule creates has an owner instead."""
    marks = {
        "labels": {"app.kubernetes.io/instance": "app"},
        "annotations": {"argocd.argoproj.io/tracking-id": "app:x"},
    }
    desk.create("Schedule", "often", SPECS["Schedule"], **marks)
    desk.patch("Schedule", "often", {"metadata": {"annotations": {"taskq.dev/run-now": "one"}}})
    [task] = until(lambda: desk.tasks_of("often"), "the Schedule's Task")
    desk.patch("Task", task["metadata"]["name"], {"metadata": marks})
    for child in (task, desk.wait_job(task["metadata"]["name"])):
        assert child["metadata"]["ownerReferences"]
        for kind, mark in marks.items():
            assert not mark.keys() & child["metadata"].get(kind, {}).keys()


def chart_of(folder: Path, *objects: Json) -> Path:
    """A chart with these objects."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("{apiVersion: v2, name: things, version: 0.1.0}", encoding="utf-8")
    for number, obj in enumerate(objects):
        (folder / f"templates/{number}.yaml").write_text(json.dumps(obj), encoding="utf-8")
    return folder


def thing(kind: str, name: str, spec: Json) -> Json:
    """A manifest."""
    group, version, _ = PLURALS[kind]
    return {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": name}, "spec": spec}


def test_helm_waits_for_every_kind(judge: Judge, desk: Desk, run: Run, tmp_path: Path) -> None:
    """With `--wait` it returns when all are good, Tasks included."""
    things = [thing(kind, "a", spec | ({"suspend": False} if kind == "Task" else {})) for kind, spec in SPECS.items()]
    run("helm", "install", "good", str(chart_of(tmp_path / "good", *things)), "--wait", "--timeout", "90s")
    assert [judge.judge(desk.get("a", kind))[:2] for kind in SPECS] == [GOOD] * len(SPECS)


@pytest.mark.parametrize("kind", SPECS)
def test_helm_gives_up_at_once(desk: Desk, run: Run, tmp_path: Path, kind: str) -> None:
    """And not at the end of its time, when an object waits for a person."""
    refused = {"spec": {"template": {"spec": {"containers": [{"name": "No Name", "image": "x"}]}}}}
    wrong: dict[str, Json] = {
        "Task": {"queueName": "nowhere", "jobTemplate": job_template()},
        "TaskQueue": {"parent": {"name": "nobody"}},
        "TaskTemplate": {"jobTemplate": refused},
        "Schedule": {"schedules": ["0 0 30 2 *"], "taskTemplate": SPECS["Schedule"]["taskTemplate"]},
    }
    folder = chart_of(tmp_path / "bad", thing(kind, "b", wrong[kind]))
    done = run("helm", "install", "bad", str(folder), "--wait", "--timeout", "10m", check=False)
    assert done.returncode != 0
    assert f"{kind}/{desk.namespace}/b" in done.stderr
    assert "deadline exceeded" not in done.stderr


def test_helm_does_not_wait_for_a_task_that_is_a_hook(desk: Desk, run: Run, tmp_path: Path) -> None:
    """Of hooks it waits for Jobs and Pods alone; the page for users says so."""
    hook = thing("Task", "hook", SPECS["Task"])
    hook["metadata"]["annotations"] = {"helm.sh/hook": "post-install"}
    run("helm", "install", "hooked", str(chart_of(tmp_path / "hooked", hook)), "--wait", "--timeout", "90s")
    assert desk.get("hook")["status"]["phase"] == "Pending"
