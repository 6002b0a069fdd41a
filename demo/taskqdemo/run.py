"""The demo from its beginning to its end."""

from __future__ import annotations

import os
import shutil
import sys

from localcluster.processes import wait_until
from localcluster.progress import Stopwatch, say
from taskqdemo import install
from taskqdemo.install import NAMESPACE, SELECTOR, Operator
from taskqdemo.kube import DemoError, Kube
from taskqdemo.scenes import SCENES, TASKS, Scene
from taskqdemo.target import Target, bring_up, short, state_of
from taskqdemo.view import Display, Row, row

PATIENCE_SECONDS = 300
GONE_WITHIN_SECONDS = 90
LOOK_EVERY_SECONDS = 0.25
FIRST_WITHIN_SECONDS = 10
"""For the Tasks of a scene to take their places; when they do not, the table will show why."""


def demo(*, yes: bool) -> int:
    """Play all scenes; 0 when every Task ended as it should."""
    environment = dict(os.environ)
    target = bring_up(environment)
    kube = Kube(target.kubeconfig, target.context)
    install.crds(kube, target, yes=yes)
    install.namespace(kube)
    say(f"CRDs are installed, the demo's namespace is {NAMESPACE}")
    operator = install.start_operator(state_of(environment), target, environment)
    say(f"the operator runs here, as a process: {operator.url}, log in {short(operator.log)}")
    _clear(kube)
    rows = _play(kube)
    _conclude(rows, target, operator)
    return 0


def stop() -> int:
    """Stop the operator of an earlier demo, and leave nothing of it behind."""
    state = state_of(os.environ)
    if install.stop_operator(state):
        say("the demo's operator is stopped")
    shutil.rmtree(state, ignore_errors=True)
    return 0


def api() -> int:
    """Print where the operator of an earlier demo says why Tasks wait."""
    found = install.running_operator(state_of(os.environ)).api
    if not found:
        raise DemoError("no demo's operator runs here: `make demo` starts one")
    print(found)
    return 0


def _clear(kube: Kube) -> None:
    """Delete the Tasks of an earlier demo, with all that they own."""
    if not kube.items("Task", NAMESPACE, SELECTOR):
        return
    say("deleting the Tasks of the last demo")
    kube.delete_all("Task", NAMESPACE, SELECTOR)
    names = f"taskq.dev/task in ({','.join(TASKS)})"

    def gone() -> bool:
        left = (kube.items("Task", NAMESPACE, SELECTOR), kube.items("Job", NAMESPACE, names))
        return not any(left) and not kube.items("Pod", NAMESPACE, names)

    if not wait_until(gone, GONE_WITHIN_SECONDS):
        raise DemoError(f"the last demo's Tasks do not go: see `kubectl get tasks.taskq.dev,jobs,pods -n {NAMESPACE}`")


def _play(kube: Kube) -> list[Row]:
    """Apply the examples and show their Tasks until all have ended."""
    for scene in SCENES:
        _apply(kube, scene)
    watch = Stopwatch()
    display = Display(sys.stdout)
    waiting = [scene for scene in SCENES if scene.cancel]
    rows: list[Row] = []
    while watch.seconds < PATIENCE_SECONDS:
        rows = _look(kube)
        display.show(rows, f"{watch.seconds:.0f} s")
        if all(row.ended for row in rows):
            display.final(rows)
            return rows
        phases = {row.name: row.phase for row in rows}
        for scene in [scene for scene in waiting if phases[scene.first] == "Running"]:
            waiting.remove(scene)
            _cancel(kube, scene)
        wait_until(lambda: False, LOOK_EVERY_SECONDS)
    late = ", ".join(f"{row.name} is {row.phase} ({row.why})" for row in rows if not row.ended)
    raise DemoError(f"not all Tasks have ended after {PATIENCE_SECONDS} s: {late}")


def _apply(kube: Kube, scene: Scene) -> None:
    say(f"kubectl apply -n {NAMESPACE} -f examples/{scene.file}    # {scene.title}")
    selector = f"taskq.dev/task={scene.first}"
    for document in scene.documents():
        kube.apply(document, NAMESPACE)
        if document["metadata"]["name"] == scene.first:
            wait_until(lambda: bool(kube.items("Job", NAMESPACE, selector)), FIRST_WITHIN_SECONDS)
        elif document["metadata"]["name"] == scene.opens:  # after an earlier demo it is open until that is heard of
            _wait_for_status(kube, scene.opens, observedGeneration=_generation(kube, scene.opens))
    if scene.opens:
        _wait_for_status(kube, scene.opens, pending=len(scene.ends))
        kube.merge("TaskQueue", scene.opens, NAMESPACE, {"spec": {"state": "Open"}})


def _wait_for_status(kube: Kube, queue: str, **wanted: int) -> None:
    def stands() -> bool:
        return wanted.items() <= kube.get("TaskQueue", queue, NAMESPACE).get("status", {}).items()

    wait_until(stands, FIRST_WITHIN_SECONDS)


def _generation(kube: Kube, queue: str) -> int:
    return int(kube.get("TaskQueue", queue, NAMESPACE)["metadata"]["generation"])


def _cancel(kube: Kube, scene: Scene) -> None:
    for name, reason in scene.cancel:
        kube.merge("Task", name, NAMESPACE, {"spec": {"cancellation": {"reason": reason}}})


def _look(kube: Kube) -> list[Row]:
    found = {task["metadata"]["name"]: row(task) for task in kube.items("Task", NAMESPACE, SELECTOR)}
    if lost := [name for name in TASKS if name not in found]:
        raise DemoError(f"somebody deleted the Tasks {', '.join(lost)} while the demo ran: run it again")
    return [found[name] for name in TASKS]


def _conclude(rows: list[Row], target: Target, operator: Operator) -> None:
    """What happened, what to type next; an error when a Task ended otherwise than its example says."""
    kubectl = f"{target.kubectl} -n {NAMESPACE}"
    left = "cluster and operator stay up; `make down` removes them"
    if not target.ours:
        left = f"`make down` stops the operator, `{target.kubectl} delete namespace {NAMESPACE}` removes its Tasks"
    lines = [
        "",
        "What happened",
        "  priorities.yaml  five waited in a paused queue; once it was open they started by priority, one at a time",
        "  retries.yaml     third-time-lucky succeeded at attempt 3; hopeless used up its attempts; bad-input exits",
        "                   with a code that a rule makes final",
        "  timeouts.yaml    soft-timeout tidied up and said how far it came; hard-timeout was killed; slow-image",
        "                   never got its image",
        "  expiry.yaml      too-late had three seconds to start, and the queue's only place was taken",
        "  cancel.yaml      waits never ran; runs got SIGTERM and time to tidy up",
        "",
        f"Look around ({left})",
        *([f"  {target.export}"] if target.export else []),
        f"  {kubectl} get tasks.taskq.dev,taskqueues",
        f"  {kubectl} describe tasks.taskq.dev third-time-lucky",
        f"  {kubectl} logs -l taskq.dev/task=third-time-lucky --prefix",
        f"  {kubectl} apply -f examples/hello.yaml",
        f"  curl -s {operator.url}/metrics | grep ^taskq_tasks",
        f"  curl -s {operator.api}/v1/namespaces/{NAMESPACE}/tasks/hello/why",
        "  docs/quickstart.md goes on from here; examples/ has more to copy",
    ]
    print("\n".join(lines))
    if not shutil.which("kubectl"):
        say("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/ says how")
    wrong = [f"{row.name} ended as {row.phase} ({row.why})" for row in rows if row.phase != TASKS[row.name]]
    if wrong:
        raise DemoError(f"not as the examples say: {'; '.join(wrong)}; the operator's log is {short(operator.log)}")
