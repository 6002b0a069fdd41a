"""What users get wrong, on a real API server: each fault is explained where they look, holds up nobody else, and heals.

Every scenario has a healthy Task beside the broken one in the same namespace, and ends with the fault mended.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from kubernetes import client as kubernetes

from cluster_tools import audit
from cluster_tools.desk import Desk, conditions, job_template, retries
from cluster_tools.kubelet import FakeKubelet
from cluster_tools.waiting import until

pytestmark = pytest.mark.usefixtures("operator")

Json = dict[str, Any]

PATIENT: Mapping[str, object] = {"create_timeout_seconds": 30, "lease_duration_seconds": 40}
"""On a busy machine the API server takes more than the default of four seconds to refuse a Job of 5,000 containers."""


@pytest.fixture(scope="module")
def operator_settings() -> Mapping[str, object]:
    """Of the operator of this module's tests."""
    return PATIENT


def neighbour_is_well(desk: Desk, name: str = "neighbour") -> None:
    """A Task beside the broken one runs to its end."""
    desk.task(name)
    assert desk.wait_end(name)["status"]["phase"] == "Succeeded"


def requests_of(desk: Desk, verb: str, resource: str, prefix: str, codes: range) -> list[audit.Event]:
    """Requests about objects whose names begin so."""
    found = audit.requests(desk.audit(), verb, resource, codes=codes)
    return [event for event in found if event["objectRef"].get("name", "").startswith(prefix)]


def assert_told(task: Json, reason: str, *words: str, stalled: bool = True) -> None:
    """The Task says what is wrong, and GitOps tools see that it is stuck."""
    found = conditions(task)
    assert found["Admitted"]["status"] == "False"
    assert found["Admitted"]["reason"] == reason
    assert ("Stalled" in found) is stalled
    for word in words:
        assert word in found["Admitted"]["message"]


def assert_mended(desk: Desk, name: str) -> None:
    """The Task goes on, and nothing is left of the complaint."""
    task = desk.wait_end(name)
    assert task["status"]["phase"] == "Succeeded"
    assert "Stalled" not in conditions(task)
    assert conditions(task)["Admitted"]["status"] == "True"


def test_an_unknown_queue(desk: Desk) -> None:
    """The Task waits for it."""
    desk.task("lost", queueName="nowhere")
    assert_told(desk.wait_condition("lost", "Stalled"), "QueueNotFound", "spec.queueName", "nowhere")
    neighbour_is_well(desk)
    desk.queue("nowhere")
    assert_mended(desk, "lost")


def test_a_queue_deleted_under_its_tasks(desk: Desk, kubelet: FakeKubelet) -> None:
    """What runs goes on, what waits says why."""
    desk.queue("doomed", maxConcurrency=1)
    desk.task("runs", {"hold": True}, queueName="doomed", priority=1)
    desk.task("waits", queueName="doomed")
    desk.wait_pod("runs")
    desk.delete("TaskQueue", "doomed")
    assert_told(desk.wait_condition("waits", "Stalled"), "QueueNotFound", "spec.queueName", "doomed")
    neighbour_is_well(desk)
    kubelet.finish(desk.namespace, "runs")
    assert desk.wait_end("runs")["status"]["phase"] == "Succeeded"
    desk.queue("doomed")
    assert_mended(desk, "waits")


def no_image(pod: Json) -> None:
    pod["containers"][0] |= {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}


def no_number(pod: Json) -> None:
    pod["containers"][0]["ports"] = [{"containerPort": 99999}]


def wrong_type(pod: Json) -> None:
    pod["containers"][0]["command"] = "echo hello"


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (no_image, ("spec.template.spec.containers[0].volumeMounts[0].name", "data")),
        (no_number, ("containerPort", "99999")),
        (wrong_type, ("command",)),
    ],
    ids=["missing-volume", "port-out-of-range", "wrong-type"],
)
def test_a_pod_template_that_the_api_server_refuses(
    desk: Desk, break_it: Callable[[Json], None], words: tuple[str, ...]
) -> None:
    """The message is the API server's, with the path of the field."""
    broken = job_template()
    break_it(broken["spec"]["template"]["spec"])
    desk.task("refused", jobTemplate=broken)
    assert_told(desk.wait_condition("refused", "Stalled"), "JobRefused", "spec.jobTemplate", *words)
    neighbour_is_well(desk)
    spec = {"containers": [{"name": "main", "image": "busybox:1.36"}]}
    desk.change("refused", jobTemplate={"spec": {"template": {"spec": spec}}})
    assert_mended(desk, "refused")
    assert len(desk.jobs("refused")) == 1


def test_a_refused_job_is_not_asked_for_in_a_frenzy(desk: Desk) -> None:
    """Nor is its status written again and again."""
    broken = job_template()
    no_image(broken["spec"]["template"]["spec"])
    desk.task("refused", jobTemplate=broken)

    def refusals() -> list[audit.Event]:
        return requests_of(desk, "create", "jobs", "refused", range(400, 500))

    until(lambda: len(refusals()) >= 4, "it is tried again from time to time")
    assert len(requests_of(desk, "patch", "tasks/status", "refused", range(200, 300))) == 1


def test_a_task_of_a_mebibyte(desk: Desk) -> None:
    """It runs like any other."""
    template = job_template({"message": "carried"})
    template["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "BLOB", "value": "x" * 2**20}]
    desk.task("heavy", jobTemplate=template)
    neighbour_is_well(desk)
    assert desk.wait_end("heavy")["status"]["result"] == "carried"


@pytest.mark.parametrize(("many", "filler"), [(0, 1_500), (5_000, 0), (15_000, 0)], ids=["etcd", "grpc", "http"])
def test_a_job_too_large_to_be_stored(desk: Desk, many: int, filler: int) -> None:
    """It grows on its way from the Task: what etcd, its client and the API server take at most is told alike."""
    template = job_template()
    pod = template["spec"]["template"]["spec"]
    if filler:
        pod["containers"] = [{"name": f"c{n}", "image": "busybox:1.36"} for n in range(60)]
        pod["containers"][0]["env"] = [{"name": "BLOB", "value": "x" * (filler * 1024)}]
    else:
        pod["initContainers"] = [{"name": f"c{n}", "image": "x"} for n in range(many)]
    desk.task("huge", jobTemplate=template)
    task = desk.wait_condition("huge", "Stalled")
    assert_told(task, "JobRefused", "spec.jobTemplate", "large")
    neighbour_is_well(desk)
    slim = {"containers": [{"name": "main", "image": "busybox:1.36"}], "initContainers": None}
    desk.change("huge", jobTemplate={"spec": {"template": {"spec": slim}}})
    assert_mended(desk, "huge")


def test_a_task_too_large_for_its_own_status(desk: Desk) -> None:
    """Nothing can be written on it; the operator tries now and then, and nobody else notices."""
    template = job_template()
    blob = {"name": "BLOB", "value": ""}
    template["spec"]["template"]["spec"]["containers"][0]["env"] = [blob]

    def made_of(size: int) -> bool:
        blob["value"] = "x" * size
        try:
            desk.task("fullest", jobTemplate=template, queueName="nowhere")
        except kubernetes.ApiException as error:
            if error.status not in (413, 500):
                raise
            return False
        return True

    size = next(size for size in range(1_572_864, 1_500_000, -200) if made_of(size))
    neighbour_is_well(desk)

    def refusals() -> list[audit.Event]:
        return requests_of(desk, "patch", "tasks/status", "fullest", codes=range(400, 600))

    assert until(refusals, f"a status of a Task with {size} bytes is refused")
    neighbour_is_well(desk, name="second")
    assert len(refusals()) < 10
    desk.change("fullest", jobTemplate=job_template())


def test_a_foreign_job_under_our_name(desk: Desk) -> None:
    """It is left alone, and named."""
    made = desk.task("squatted", suspend=True)
    digest = hashlib.sha256(f"{made['metadata']['uid']}/1".encode()).hexdigest()[:12]
    template = job_template({"hold": True})["spec"] | {"suspend": True}
    template["template"]["spec"]["restartPolicy"] = "Never"
    desk.create("Job", f"squatted-{digest}", template)
    desk.change("squatted", suspend=False)
    assert_told(desk.wait_condition("squatted", "Stalled"), "JobNameTaken", f"squatted-{digest}")
    neighbour_is_well(desk)
    assert desk.find("Job", f"squatted-{digest}")
    desk.delete("Job", f"squatted-{digest}")
    assert_mended(desk, "squatted")


def test_a_quota_that_refuses_the_job(desk: Desk, kubelet: FakeKubelet) -> None:
    """It is tried again, and goes through when the quota is raised."""
    desk.task("neighbour", {"hold": True})
    desk.wait_pod("neighbour")
    quota = {"metadata": {"name": "tight"}, "spec": {"hard": {"count/jobs.batch": "1"}}}
    desk.core.create_namespaced_resource_quota(desk.namespace, quota)

    def counted() -> bool:
        status = desk.core.read_namespaced_resource_quota("tight", desk.namespace).status
        return bool(status and status.used and status.used.get("count/jobs.batch") == "1")

    until(counted, "the quota counts")
    desk.task("excess")
    task = desk.wait_condition("excess", "Admitted", "False")
    assert_told(task, "QuotaExceeded", "ResourceQuota", "count/jobs.batch", "tight", stalled=False)
    kubelet.finish(desk.namespace, "neighbour")
    assert desk.wait_end("neighbour")["status"]["phase"] == "Succeeded"
    desk.core.patch_namespaced_resource_quota("tight", desk.namespace, {"spec": {"hard": {"count/jobs.batch": "2"}}})
    assert_mended(desk, "excess")


def test_a_quota_that_refuses_the_pods(desk: Desk) -> None:
    """The API server takes the Job, and its controller can make no pod: the Task says so, and runs once it may."""
    quota = {"metadata": {"name": "podless"}, "spec": {"hard": {"pods": "0"}}}
    desk.core.create_namespaced_resource_quota(desk.namespace, quota)
    until(
        lambda: desk.core.read_namespaced_resource_quota("podless", desk.namespace).status.hard, "the quota is in force"
    )
    desk.task("podless")
    task = desk.wait_condition("podless", "Reconciling", reason="PodNotCreated")
    assert "ResourceQuota" in conditions(task)["Reconciling"]["message"]
    desk.core.delete_namespaced_resource_quota("podless", desk.namespace)
    assert_mended(desk, "podless")


@pytest.fixture
def no_jobs(desk: Desk, client: kubernetes.ApiClient) -> Iterator[Callable[[str], Callable[[], None]]]:
    """Puts an admission policy in force that refuses Jobs of Tasks named ``banned``; what it returns lifts it."""
    api: Any = kubernetes.AdmissionregistrationV1Api(client)
    name = desk.namespace

    def lift() -> None:
        with contextlib.suppress(kubernetes.ApiException):
            api.delete_validating_admission_policy_binding(name)

    def put(reason: str) -> Callable[[], None]:
        rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
        banned = "object.metadata.name.startsWith('banned')"
        validation = {"expression": f"!{banned}", "message": "team blue may not", "reason": reason}
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation]}
        api.create_validating_admission_policy({"metadata": {"name": name}, "spec": spec})
        where = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
        bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": where}
        api.create_validating_admission_policy_binding({"metadata": {"name": name}, "spec": bound})
        job = job_template()["spec"]
        job["template"]["spec"]["restartPolicy"] = "Never"

        def in_force() -> bool:
            try:
                desk.create("Job", "banned-probe", job)
            except kubernetes.ApiException as error:
                return error.status in (403, 422)
            desk.delete("Job", "banned-probe")
            desk.wait_gone("Job", "banned-probe")
            return False

        until(in_force, "the policy is in force")
        return lift

    yield put
    lift()
    with contextlib.suppress(kubernetes.ApiException):
        api.delete_validating_admission_policy(name)


@pytest.mark.parametrize(("reason", "told"), [("Forbidden", "Forbidden"), ("Invalid", "JobRefused")])
def test_an_admission_policy_that_refuses_the_job(
    desk: Desk, no_jobs: Callable[[str], Callable[[], None]], reason: str, told: str
) -> None:
    """Its own words are quoted; the Task is tried again, and goes through when the policy is gone."""
    lift = no_jobs(reason)
    desk.task("banned")
    assert_told(desk.wait_condition("banned", "Stalled"), told, "team blue may not", desk.namespace)
    neighbour_is_well(desk)
    lift()
    assert_mended(desk, "banned")


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_a_job_deleted_by_hand(desk: Desk, kubelet: FakeKubelet, policy: str) -> None:
    """Its attempt ends as JobDeleted when its pods are gone, and the next one starts then."""
    desk.queue("single", maxConcurrency=1)
    step = {"hold": True, "stopSeconds": 1}
    desk.task("robbed", step, {"message": "second"}, queueName="single", retryPolicy=retries(2))
    desk.wait_pod("robbed")
    desk.delete("Job", desk.jobs("robbed")[0]["metadata"]["name"], policy)
    neighbour_is_well(desk)
    if policy == "Orphan":
        assert len(desk.jobs("robbed")) == 0, "its pod still runs, so it holds its place"
        kubelet.finish(desk.namespace, "robbed")
    assert_mended(desk, "robbed")
    status = desk.get("robbed")["status"]
    assert [attempt["reason"] for attempt in status["attempts"]] == ["JobDeleted", "Succeeded"]
    assert status["result"] == "second"
    assert audit.overruns(desk.audit(), {(desk.namespace, "single"): 1}) == []


def test_a_finished_job_deleted_by_hand(desk: Desk) -> None:
    """Its Task has ended, and stays so."""
    desk.task("done", {"message": "kept"})
    desk.wait_end("done")
    desk.delete("Job", desk.jobs("done")[0]["metadata"]["name"])
    neighbour_is_well(desk)
    assert desk.get("done")["status"]["result"] == "kept"
    assert len(audit.starts(desk.audit())) == 2


@pytest.mark.parametrize(("attempts", "phase"), [(1, "Failed"), (2, "Succeeded")])
def test_a_pod_deleted_by_hand(desk: Desk, attempts: int, phase: str) -> None:
    """Its attempt ends as PodDeleted, and counts."""
    desk.task("shot", {"hold": True, "stopSeconds": 1}, {}, retryPolicy=retries(attempts))
    pod = desk.wait_pod("shot")
    desk.core.delete_namespaced_pod(pod["metadata"]["name"], desk.namespace)
    neighbour_is_well(desk)
    status = desk.wait_end("shot")["status"]
    assert status["phase"] == phase
    assert (status["attempts"][0]["reason"], status["failedAttempts"]) == ("PodDeleted", 1)


# --- objects that no schema has seen ------------------------------------------------------------------------------


NUMBER_OR_WORD = {"x-kubernetes-int-or-string": True}
ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}


@contextlib.contextmanager
def loosened(client: kubernetes.ApiClient, name: str, field: str, schema: Json = NUMBER_OR_WORD) -> Iterator[None]:
    """A CRD with another schema of one field of the spec, as that of another version may have."""
    api: Any = kubernetes.ApiextensionsV1Api(client)
    before = client.sanitize_for_serialization(api.read_custom_resource_definition(name))
    loose = copy.deepcopy(before["spec"])
    version = loose["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][field] = schema
    replace(api, name, loose)
    try:
        yield
    finally:
        replace(api, name, before["spec"])


def replace(api: Any, name: str, spec: Json) -> None:
    body = [{"op": "replace", "path": "/spec", "value": spec}]
    api.patch_custom_resource_definition(name, body, _content_type="application/json-patch+json")


def smuggle(desk: Desk, make: Callable[[], object]) -> None:
    """Create something as soon as the API server has taken notice of the loosened schema."""

    def made() -> bool:
        try:
            make()
        except kubernetes.ApiException as error:
            if error.status != 422:
                raise
            return False
        return True

    until(made, "the loosened schema is in force")


def test_a_task_that_cannot_be_read(desk: Desk, client: kubernetes.ApiClient) -> None:
    """It says which field; the operator reads all others; mended, it runs."""
    with loosened(client, "tasks.taskq.dev", "priority"):
        smuggle(desk, lambda: desk.task("poison", priority="high"))
    assert_told(desk.wait_condition("poison", "Stalled"), "InvalidTask", "priority")
    neighbour_is_well(desk)
    desk.change("poison", priority=1)
    assert_mended(desk, "poison")


def test_a_queue_that_cannot_be_read(desk: Desk, client: kubernetes.ApiClient) -> None:
    """Its Tasks wait and say so; other queues go on; mended, it serves them."""
    with loosened(client, "taskqueues.taskq.dev", "maxConcurrency"):
        smuggle(desk, lambda: desk.queue("poison", maxConcurrency="many"))
    desk.task("waits", queueName="poison")
    assert_told(desk.wait_condition("waits", "Stalled"), "InvalidQueue", "poison", "maxConcurrency")
    queue = desk.wait_condition("poison", "Ready", "False", "InvalidQueue", of="TaskQueue")
    assert "maxConcurrency" in conditions(queue)["Stalled"]["message"]
    neighbour_is_well(desk)
    desk.change("poison", "TaskQueue", maxConcurrency=1)
    assert_mended(desk, "waits")
    desk.wait_condition("poison", "Ready", "True", of="TaskQueue")


def test_a_task_with_fields_of_a_later_version(desk: Desk, client: kubernetes.ApiClient) -> None:
    """What the operator does not know does not hold it up."""
    with loosened(client, "tasks.taskq.dev", "magic", ANYTHING):

        def make() -> bool:
            made = desk.task("modern", magic={"wand": 1}, suspend=True)
            if "magic" in made["spec"]:
                return True
            desk.delete("Task", "modern")
            desk.wait_gone("Task", "modern")
            return False

        until(make, "the loosened schema is in force")
        desk.change("modern", suspend=False)
        assert desk.wait_end("modern")["status"]["phase"] == "Succeeded"
