"""What `doctor` looks at: each check is a function that says what it found, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from taskq import __version__
from taskq.cli.api import Api
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.install import Leader, Operator
from taskq.cli.kinds import CRD, OURS, POD, TASK, Kind, Object, condition, name_of
from taskq.cli.text import age, plural
from taskq.resources.common import GROUP

OK, WARNING, FAULT, UNKNOWN = "ok", "warning", "fault", "unknown"

LEAST_MINOR = 32
"""Kubernetes 1.32: the first with selectable fields in CRDs."""
MOST_SKEW_SECONDS = 5.0
STOCK_QPS = 20.0
STOCK_RATE = 3.5
"""Tasks a second that a controller-manager with stock limits carried, measured: docs/reference/figures.md."""
INSTALL = "install the chart: `helm upgrade --install taskq helm/taskq -n taskq-system --create-namespace`"


class Finding(NamedTuple):
    """What a check found; `mend` is empty when nothing has to be done."""

    check: str
    state: str
    found: str
    mend: str = ""


Check = Callable[[Api, Operator], Iterator[Finding]]


def server(api: Api, _: Operator) -> Iterator[Finding]:
    """The API server answers, and is new enough."""
    version = api.request("GET", "/version")
    minor = int(re.sub(r"\D.*", "", str(version.get("minor") or 0)) or 0)
    said = f"Kubernetes {version.get('gitVersion')} at {api.host}"
    if (int(version.get("major") or 1), minor) < (1, LEAST_MINOR):
        yield Finding(
            "API server", FAULT, said, f"TaskQ needs Kubernetes 1.{LEAST_MINOR} or newer: upgrade the cluster"
        )
    else:
        yield Finding("API server", OK, said)


def crds(api: Api, _: Operator) -> Iterator[Finding]:
    """The four CRDs are there, established, and of this version."""
    for kind in OURS:
        name = f"{kind.plural}.{GROUP}"
        try:
            found = api.find(CRD, "", name)
        except ApiRefused as error:
            if error.status != 403:
                raise
            yield _served(api, kind)
            continue
        if found is None:
            yield Finding(f"CRD {kind.plural}", FAULT, "not installed", INSTALL)
        elif (established := condition(found, "Established")) is None or established["status"] != "True":
            names = condition(found, "NamesAccepted") or established or {}
            why = names.get("message") or "not established yet"
            yield Finding(
                f"CRD {kind.plural}", FAULT, str(why), "another CRD may have taken its names: remove that one"
            )
        elif not _is_current(found, kind):
            mend = f"client and cluster are of different versions; this is {__version__}: upgrade the older of the two"
            yield Finding(f"CRD {kind.plural}", WARNING, "differs from this client's", mend)
        else:
            yield Finding(f"CRD {kind.plural}", OK, "installed, as this client knows it")


def _served(api: Api, kind: Kind) -> Finding:
    """For those who may not read CRDs: whether the kind is served."""
    served = {one["name"] for one in api.request("GET", f"/apis/{kind.group}/{kind.version}").get("resources", ())}
    if kind.plural in served:
        return Finding(f"CRD {kind.plural}", OK, "served; you may not read the CRD itself")
    return Finding(f"CRD {kind.plural}", FAULT, "not served", INSTALL)


def _is_current(found: Object, kind: Kind) -> bool:
    from taskq.resources.crd import KINDS, manifest

    ours = next(manifest(one) for one in KINDS if one.plural == kind.plural)
    return bool(_schema(found) == _schema(ours))


def _schema(crd: Object) -> object:
    """The names of all fields: what servers add or reorder does not matter."""

    def names(schema: Object) -> object:
        inner = schema.get("properties") or {}
        items = names(schema["items"]) if isinstance(schema.get("items"), dict) else None
        return {name: names(value) for name, value in inner.items()}, items

    return [names(version["schema"]["openAPIV3Schema"]) for version in crd["spec"]["versions"] if version["served"]]


RIGHTS = (
    ("see Tasks", TASK.group, TASK.plural, "", ("list", "watch")),
    ("create, change and delete Tasks", TASK.group, TASK.plural, "", ("create", "patch", "delete")),
    ("see queues, schedules, templates", TASK.group, "taskqueues", "", ("list",)),
    ("change queues", TASK.group, "taskqueues", "", ("patch",)),
    ("change schedules", TASK.group, "schedules", "", ("patch",)),
    ("read logs", "", POD.plural, "log", ("get",)),
    ("see Events", "", "events", "", ("list",)),
)


def rights(api: Api, _: Operator) -> Iterator[Finding]:
    """What you may do in the namespace."""
    for words, group, resource, sub, verbs in RIGHTS:
        missing = [verb for verb in verbs if not _may(api, group, resource, sub, verb)]
        check = f"You may {words}"
        if missing:
            what = f"{resource}{f'/{sub}' if sub else ''}{f'.{group}' if group else ''}"
            mend = (
                f"ask for a Role with {', '.join(missing)} on {what}; the ClusterRoles view, edit and admin have them"
            )
            yield Finding(check, WARNING, f"not in namespace {api.namespace}", mend)
        else:
            yield Finding(check, OK, f"in namespace {api.namespace}")


def _may(api: Api, group: str, resource: str, sub: str, verb: str) -> bool:
    attributes = {"namespace": api.namespace, "verb": verb, "group": group, "resource": resource, "subresource": sub}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    said = api.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
    return bool(said["status"].get("allowed"))


def leader(api: Api, operator: Operator) -> Iterator[Finding]:
    """Some operator leads, and renewed its Lease lately, by the server's clock."""
    leaders = operator.leaders()
    if not leaders:
        mend = f"{INSTALL}; one with another --lease-name is found by `doctor --lease-name NAME`"
        yield Finding("Leader", FAULT, f"no Lease named {operator.lease_name}: no operator ever led here", mend)
    now = _server_time(api) or api.clock.now()
    for one in leaders:
        yield _judged(one, now)


def _judged(one: Leader, now: float) -> Finding:
    ago = now - one.renewed
    said = f"{one.holder or 'nobody'} in {one.namespace}, renewed {age(ago)} ago"
    if not one.holder:
        return Finding("Leader", FAULT, said, "the operator was stopped: start it (`kubectl -n … get deploy`)")
    if ago > one.duration + 1:
        mend = f"it is gone or cut off: `kubectl -n {one.namespace} get pods` and its logs tell"
        return Finding("Leader", FAULT, said, mend)
    return Finding("Leader", OK, said)


def metrics(_: Api, operator: Operator) -> Iterator[Finding]:
    """The operator's HTTP server answers, and its version is this client's."""
    try:
        samples = operator.metrics()
    except CliError as error:
        mend = (
            "set metrics.service.enabled in the chart, and ask for the right to get services/proxy; or give --operator"
        )
        yield Finding("Metrics", UNKNOWN, str(error), mend)
        return
    versions = {labels.get("version", "") for name, labels, _ in samples if name == "taskq_build_info"}
    if versions - {__version__}:
        there = ", ".join(sorted(versions))
        mend = "upgrade the older of the two"
        yield Finding("Version", WARNING, f"the operator is {there}, this client {__version__}", mend)
    else:
        yield Finding("Metrics", OK, f"{plural(len(samples), 'sample')}; operator and client are {__version__}")


def controller_manager(api: Api, _: Operator) -> Iterator[Finding]:
    """How fast Jobs can become pods: the stock limits of the controller-manager are low."""
    found = list(api.list(POD, "kube-system", labels="component=kube-controller-manager"))
    mend = "where Tasks come in hundreds, raise --kube-api-qps and --kube-api-burst of kube-controller-manager"
    if not found:
        said = "its flags can't be seen (a managed control plane, or no pod of it)"
        yield Finding(
            "Controller-manager", UNKNOWN, said, f"with stock limits about {STOCK_RATE} Tasks/s start; {mend}"
        )
    for pod in found:
        words = [word for one in pod["spec"]["containers"] for word in (*one.get("command", ()), *one.get("args", ()))]
        given = [float(word.partition("=")[2]) for word in words if word.startswith("--kube-api-qps=")]
        qps = given[-1] if given else STOCK_QPS
        said = f"{name_of(pod)} has --kube-api-qps={qps:g}"
        if qps <= STOCK_QPS:
            yield Finding("Controller-manager", WARNING, f"{said}: about {STOCK_RATE} Tasks/s start in all", mend)
        else:
            yield Finding("Controller-manager", OK, said)


def clock(api: Api, _: Operator) -> Iterator[Finding]:
    """This machine's clock agrees with the API server's: ages and --in depend on it."""
    there = _server_time(api)
    if there is None:
        yield Finding("Clock", UNKNOWN, "the API server's answers have no date")
        return
    skew = api.clock.now() - there
    if abs(skew) > MOST_SKEW_SECONDS:
        way = "ahead of" if skew > 0 else "behind"
        said = f"this machine is {age(abs(skew))} {way} the API server"
        yield Finding("Clock", WARNING, said, "set the clock of the one that is wrong, by NTP; ages and --in are off")
    else:
        yield Finding("Clock", OK, "agrees with the API server's")


def _server_time(api: Api) -> float | None:
    answer = api.open("GET", "/version")
    date = answer.headers.get("Date")
    answer.drain_conn()
    return parsedate_to_datetime(date).timestamp() if date else None


CHECKS: tuple[Check, ...] = (server, crds, rights, leader, metrics, controller_manager, clock)


def findings(api: Api, operator: Operator) -> Iterator[Finding]:
    """All checks, in their order; one that can't be made is unknown, and does not stop the others."""
    for check in CHECKS:
        try:
            yield from check(api, operator)
        except ApiRefused as error:
            name = check.__name__.replace("_", "-").capitalize()
            yield Finding(name, UNKNOWN, str(error))
