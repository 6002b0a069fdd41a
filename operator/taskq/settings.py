"""Every knob of the operator, in one frozen model.

A value comes from the first of: a flag, a variable `TASKQ_…`, the YAML file named by `--config` or
`TASKQ_CONFIG`, the default. Flags, variables, help and the reference page are derived from the model's
fields, so that a new knob is written once, here: its unit in its name, its bounds beside its default, and
under it what it means and why the default is what it is.
"""

from __future__ import annotations

import argparse
import difflib
import ipaddress
import os
import re
import secrets
import socket
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, Self, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from taskq import __version__

PROGRAM = "taskq-operator"
PREFIX = "TASKQ_"
CONFIG = "config"
"""The one flag that is no knob: it names the file to read others from."""

SPARE_CONNECTIONS = 4
"""For the Lease, clean-up, a re-list, and one so that none of them ever waits for a launch."""

POD_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")
"""Ends of the variables that the kubelet gives every container for a Service: TASKQ_METRICS_PORT_80_TCP, …"""


def split_address(address: str) -> tuple[str | None, int]:
    """`host:port` in its two parts; no host means every interface. ValueError when it has another shape."""
    shape = r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]/]*)):(?P<port>\d{1,5})"
    match = re.fullmatch(shape, address, re.ASCII)
    if match is None or int(match["port"]) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return match["v6"] or match["host"] or None, int(match["port"])


def is_loopback(address: str) -> bool:
    """Whether only this machine can connect to `host:port`."""
    host = split_address(address)[0]
    if host is None or host == "localhost":
        return host is not None
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_api_address(address: str) -> str:
    return _checked_address(address) if address else ""


def _names(value: Iterable[str] | str) -> tuple[str, ...]:
    """Comma-separated names, given once or several times: without doubles, in the order given."""
    parts = [value] if isinstance(value, str) else value
    return tuple(dict.fromkeys(name.strip() for part in parts for name in part.split(",") if name.strip()))


def _pod_namespace() -> str:
    try:
        return POD_NAMESPACE_FILE.read_text(encoding="utf-8").strip() or "default"
    except OSError:
        return "default"


def _identity() -> str:
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


def _knob(group: str, default: Any, low: float | None = None, high: float | None = None, *, allowed: str = "") -> Any:
    """A field with its group in the help, its bounds, or in words the values it takes."""
    extra: dict[str, Any] = {"group": group, "allowed": allowed}
    return Field(default=default, ge=low, le=high, json_schema_extra=extra)


def _computed(group: str, default: Callable[[], str], words: str, *, allowed: str) -> Any:
    """A field whose default is found out at start; `words` describe it."""
    extra: dict[str, Any] = {"group": group, "allowed": allowed, "computed": words}
    return Field(default_factory=default, json_schema_extra=extra)


Word = BeforeValidator(str.lower)
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
ObjectName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Identity = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,253}$")]

CLUSTER = "Cluster"
LOGS = "Logs"
HTTP = "Probes and metrics"
WEB = "Why is it pending: the JSON API"
LEASE = "Leader election"
LAUNCH = "Launching and reporting"
API = "API client"
MEMORY = "Watching and memory"


class Settings(BaseModel):
    """Checked and complete settings: `Settings()` has the defaults, `Settings.load` asks every source."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    namespaces: Annotated[tuple[Label, ...], BeforeValidator(_names)] = _knob(
        CLUSTER, (), allowed="names of namespaces, comma-separated"
    )
    """The namespaces to serve. Empty serves the whole cluster, which needs a ClusterRole."""

    kubeconfig: str = _knob(CLUSTER, "", allowed="a path")
    """Path of a kubeconfig. Empty takes `$KUBECONFIG`, then the pod's service account, then
    `~/.kube/config`, so that the same command works on a laptop and in a pod."""

    context: str = _knob(CLUSTER, "", allowed="a name")
    """Context of the kubeconfig. Empty takes its current one."""

    implicit_default_queue: bool = _knob(CLUSTER, True)
    """Serve a namespace without a TaskQueue named `default` as if it had one with all defaults, so that a
    first Task needs nothing else. With false such Tasks wait for a TaskQueue."""

    log_format: Annotated[Literal["text", "json"], Word] = _knob(LOGS, "text")
    """`text` for people, `json` (one object a line) for log collectors."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Word] = _knob(LOGS, "info")
    """The least severity that is written."""

    http_address: Annotated[str, AfterValidator(_checked_address)] = _knob(
        HTTP, "127.0.0.1:8080", allowed="host:port, such as 127.0.0.1:8080, or :8080 for every interface"
    )
    """Where /metrics, /healthz and /readyz answer. They name queues and ask nobody who he is, so by default
    nobody outside the machine gets them. In a pod the kubelet and Prometheus must: there set `:8080`. Port 0
    takes a free one."""

    metrics_max_queues: int = _knob(HTTP, 500, 1, 10_000)
    """TaskQueues with metric series of their own; those above share the label `__other__`. A busy TaskQueue
    has some 100 series: 500 of them make a scrape of 50,000, which Prometheus still takes easily."""

    metrics_max_schedules: int = _knob(HTTP, 500, 1, 10_000)
    """Schedules with metric series of their own; those above share the label `__other__`. Each has some ten
    series."""

    api_address: Annotated[str, AfterValidator(_checked_api_address)] = _knob(WEB, "", allowed="host:port, or nothing")
    """Where the JSON API answers that says why a Task waits (docs/how-to/why-pending.md). Empty is off.
    Askers send their cluster token, so without a certificate only an address of this machine is taken, such as
    127.0.0.1:8081, which `kubectl port-forward` reaches in a pod."""

    api_tls_cert_file: str = _knob(WEB, "", allowed="a path")
    """Certificate chain (PEM) for api_address, which may then be any address. Read again when it changes."""

    api_tls_key_file: str = _knob(WEB, "", allowed="a path")
    """Private key (PEM) of that certificate."""

    api_anonymous: bool = _knob(WEB, False)
    """Answer requests without a token, too. Only for an address of this machine, where everybody who can
    connect may see everything: for a laptop. In a pod, whoever may port-forward could."""

    api_requests_per_second: float = _knob(WEB, 20, 0.1, 1000)
    """Requests answered in a second, on average; twice as many at once. Above it is 429. Each new asker costs
    the API server two or three small reviews."""

    leader_election: bool = _knob(LEASE, True)
    """Act only while holding a Lease, also with one replica: a rolling update has two for a moment. False is
    for a process of which there is certainly no second."""

    lease_name: ObjectName = _knob(LEASE, "taskq-operator", allowed="a name of lower-case letters, digits, '-' and '.'")
    """Name of the Lease. Operators that serve different namespaces need different ones."""

    lease_namespace: Label = _computed(
        LEASE,
        _pod_namespace,
        "the pod's namespace, else `default`",
        allowed="a name of lower-case letters, digits and '-', at most 63 long",
    )
    """Namespace of the Lease."""

    identity: Identity = _computed(
        LEASE,
        _identity,
        "host name, process id and a random suffix",
        allowed="1 to 253 visible ASCII characters",
    )
    """The holder's name in the Lease. It must differ between replicas and between restarts: a restarted
    process must not take its predecessor's Lease for its own."""

    lease_duration_seconds: int = _knob(LEASE, 8, 3, 3600)
    """How long others wait, after the last renewal they saw, before they take over: what a crash costs. At
    least lease_renew_deadline_seconds + create_timeout_seconds + 1, so that no Job of the old leader can be
    created after the new one starts."""

    lease_renew_seconds: float = _knob(LEASE, 1, 0.1, 600)
    """Time between renewals, each one small write. A second leaves two for a slow answer before launches pause."""

    lease_renew_deadline_seconds: float = _knob(LEASE, 3, 0.2, 1800)
    """Age of the last renewal at which the leader stops launching. Above lease_renew_seconds by the time
    that a slow answer may take."""

    cluster_max_concurrency: int = _knob(LAUNCH, 0, 0, 1_000_000)
    """Tasks running at once in all namespaces together, who then take turns: fewest running first. 0 is no
    limit: what a cluster bears is its nodes' business, unless the API server suffers first."""

    launchers: int = _knob(LAUNCH, 16, 1, 256)
    """Jobs created at the same time. More mostly lengthens the API server's answers: on 2 cores 34 ms each
    with 16, 100 ms and more with 32."""

    status_writers: int = _knob(LAUNCH, 8, 1, 256)
    """Status writes at the same time. Fewer than launchers, because launching goes first, and writes for
    one Task merge while they wait."""

    create_timeout_seconds: int = _knob(LAUNCH, 4, 1, 60)
    """The API server's own time limit for creating a Job, sent with each request: after it the request
    cannot be carried out any more. See lease_duration_seconds."""

    launch_backoff_base_seconds: float = _knob(LAUNCH, 2, 0.1, 3600)
    """Wait after the API server refused a Job (quota, admission), doubled each time."""

    launch_backoff_max_seconds: float = _knob(LAUNCH, 60, 0.1, 86_400)
    """The longest such wait: how late a mended quota may be noticed."""

    running_after_seconds: float = _knob(LAUNCH, 2, 0, 3600)
    """A Task that still runs after so long gets phase Running written. Shorter ones are spared that write:
    two writes a Task instead of three."""

    queue_status_seconds: float = _knob(LAUNCH, 2, 0.1, 3600)
    """Least time between two status writes of one TaskQueue, however busy it is."""

    events_per_second: float = _knob(LAUNCH, 20, 0, 1000)
    """Kubernetes Events written at most; more are dropped. Events tell the story, the status is the record.
    0 writes none."""

    webhooks_file: str = _knob(LAUNCH, "")
    """Path of a YAML file with the webhooks that Tasks may name in onSuccess and onFailure, read again when it
    changes. Empty means none. See docs/how-to/after-it-ends.md."""

    hook_backoff_seconds: float = _knob(LAUNCH, 10, 0.1, 100)
    """Wait before a hook (a webhook, or a Task that is refused) is tried a second time; each further wait is three
    times as long, and the fifth try is the last. 10 s make seven minutes: a receiver may be rolled out meanwhile."""

    shutdown_grace_seconds: float = _knob(LAUNCH, 10, 0, 600)
    """Time after SIGTERM for requests in flight and waiting status writes, before the Lease is released.
    Below the pod's terminationGracePeriodSeconds, which is 30 unless set."""

    api_connections: int = _knob(API, 40, 6, 1024)
    """Connections for requests, watches not counted. At least launchers + status_writers + 4, so that the
    Lease's renewal never waits behind launches."""

    request_timeout_seconds: float = _knob(API, 30, 1, 600)
    """Time for one request, watches apart: enough for a page of a large list."""

    watch_inactivity_seconds: float = _knob(API, 90, 5, 3600)
    """A watch silent for so long is opened anew. API servers send a bookmark about once a minute, so longer
    silence is a dead connection."""

    list_chunk_size: int = _knob(API, 500, 1, 10_000)
    """Objects a page when listing. 500 is what kubectl asks for: larger pages hold up the API server."""

    resync_seconds: float = _knob(MEMORY, 600, 10, 86_400)
    """Time between full lists, which heal what a watch may have missed: ten minutes bound the harm at little
    cost."""

    raw_limit_bytes: int = _knob(MEMORY, 8192, 0, 2_097_152)
    """Manifests of Tasks above this size are not kept in memory but fetched at launch, so that memory
    depends on the number of Tasks only. Usual ones have 2 KB."""

    retention_scan_seconds: float = _knob(MEMORY, 600, 1, 86_400)
    """Time between lists of finished Tasks for clean-up: how long, at most, a Task outlives its ttl."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        """Bounds that tie knobs to each other; each message names the one to change."""
        duration = self.lease_renew_deadline_seconds + self.create_timeout_seconds + 1
        if self.lease_duration_seconds < duration:
            sum_ = "lease_renew_deadline_seconds + create_timeout_seconds + 1"
            raise ValueError(_misfit("lease_duration_seconds", f"at least {duration:g} ({sum_})", self))
        if self.lease_renew_deadline_seconds <= self.lease_renew_seconds:
            least = f"above {self.lease_renew_seconds:g} (lease_renew_seconds)"
            raise ValueError(_misfit("lease_renew_deadline_seconds", least, self))
        if self.launch_backoff_max_seconds < self.launch_backoff_base_seconds:
            least = f"at least {self.launch_backoff_base_seconds:g} (launch_backoff_base_seconds)"
            raise ValueError(_misfit("launch_backoff_max_seconds", least, self))
        connections = self.launchers + self.status_writers + SPARE_CONNECTIONS
        if self.api_connections < connections:
            sum_ = f"launchers + status_writers + {SPARE_CONNECTIONS}"
            raise ValueError(_misfit("api_connections", f"at least {connections} ({sum_})", self))
        return self

    @model_validator(mode="after")
    def _keep_tokens_private(self) -> Self:
        """A bearer token must not cross a network in the clear, nor anybody be answered from afar without one."""
        if not self.api_address:
            return self
        tls = bool(self.api_tls_cert_file)
        if tls != bool(self.api_tls_key_file):
            missing = "api_tls_key_file" if tls else "api_tls_cert_file"
            raise ValueError(f"{say(missing)} must be given, too: a certificate and its key belong together")
        local = is_loopback(self.api_address)
        if not local and not tls:
            text = "must be an address of this machine, such as 127.0.0.1:8081, unless api_tls_cert_file is given"
            raise ValueError(f"{say('api_address')} {text}: askers send tokens; got {self.api_address}")
        if self.api_anonymous and not local:
            raise ValueError(f"{say('api_anonymous')} takes an api_address of this machine; got {self.api_address}")
        return self

    @classmethod
    def load(cls, argv: Sequence[str], env: Mapping[str, str]) -> Self:
        """The settings from all sources; `argv` is without the program's name.

        Exits as command lines do: 0 after --help and --version, 2 with one line on stderr on bad input.
        """
        parser = _parser()
        known, unknown = parser.parse_known_args(argv)
        if unknown:
            parser.error(f"unknown argument {unknown[0]!r}{_near(unknown[0], map(flag_of, cls.model_fields))}")
        flags = {name: value for name, value in vars(known).items() if value is not None}
        file = flags.pop(CONFIG, "") or env.get(variable_of(CONFIG), "")
        given = _read_file(file, parser.error) if file else {}
        for name in cls.model_fields:
            if text := env.get(variable_of(name)):  # set to nothing is how manifests spell «not set»
                given[name] = _Given(text, variable_of(name))
        given |= {name: _Given(value, flag_of(name)) for name, value in flags.items()}
        try:
            return cls(**{name: value for name, (value, _) in given.items()})
        except ValidationError as error:
            parser.error("; ".join(_explain(problem, given) for problem in error.errors()))


class _Given(NamedTuple):
    """A value as its source spelt it, and which source that was."""

    value: str | list[str]
    source: str


def flag_of(name: str) -> str:
    """`lease_name` → `--lease-name`."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """`lease_name` → `TASKQ_LEASE_NAME`."""
    return PREFIX + name.upper()


def say(name: str) -> str:
    """A knob as messages name it: in both spellings that a user may look for."""
    return f"{flag_of(name)} ({variable_of(name)})"


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Variables `TASKQ_…` that set nothing, for a warning at start.

    They are no error: others share the prefix. Those that the kubelet makes for Services are left out.
    """
    known = {variable_of(name) for name in (*Settings.model_fields, CONFIG)}
    strange = (name for name in env if name.startswith(PREFIX) and name not in known)
    return sorted(name for name in strange if not SERVICE_LINK.search(name))


def _near(word: str, known: Iterable[str]) -> str:
    """A hint at the name that was probably meant, for the end of a message."""
    near = difflib.get_close_matches(word.partition("=")[0], list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _misfit(name: str, wanted: str, settings: Settings) -> str:
    return f"{say(name)} must be {wanted}, got {getattr(settings, name):g}"


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    assert isinstance(extra, dict), "every field is made by _knob or _computed"
    return extra


def _allowed(field: FieldInfo) -> str:
    """The values that a knob takes, in words."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    if field.annotation is bool:
        return "true or false"
    if field.annotation in {int, float}:
        low, high = (next(getattr(m, end) for m in field.metadata if hasattr(m, end)) for end in ("ge", "le"))
        return f"a {'whole ' if field.annotation is int else ''}number from {low:.15g} to {high:.15g}"
    return str(_extra(field)["allowed"])


def _default(field: FieldInfo) -> str:
    if words := _extra(field).get("computed"):
        return str(words)
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return "empty" if field.default in {"", ()} else str(field.default)


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split())


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage of every flag before it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {' '.join(message.split())} (see --help)\n")


def _parser() -> _Parser:
    """The flags, one a field, in the fields' groups."""
    parser = _Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [--config FILE] [--SETTING VALUE ...]",
        description="TaskQ's operator: priority task queues on plain Kubernetes Jobs.",
        epilog="A setting comes from its flag, else its variable TASKQ_..., else the file, else its default.",
        allow_abbrev=False,
        add_help=False,
    )
    general = parser.add_argument_group("General")
    general.add_argument("-h", "--help", action="help", help="Print this and exit.")
    general.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    file_help = f"A YAML file with settings, such as 'lease_name: x'. [{variable_of(CONFIG)}]"
    general.add_argument(flag_of(CONFIG), metavar="FILE", help=file_help)
    for title, fields in _groups():
        group = parser.add_argument_group(title)
        for name, field in fields:
            how: dict[str, Any] = {"metavar": "VALUE"}
            if field.annotation is bool:  # --leader-election is --leader-election=true
                how |= {"nargs": "?", "const": "true"}
            elif name == "namespaces":
                how |= {"action": "append"}
            text = f"{_meaning(field)} Takes {_allowed(field)}; default: {_default(field)}."
            text = f"{text} [{variable_of(name)}]".replace("%", "%%")
            group.add_argument(flag_of(name), help=text, **how)
    return parser


def _groups() -> Iterable[tuple[str, list[tuple[str, FieldInfo]]]]:
    """The fields in their order, by group."""
    for title, fields in groupby(Settings.model_fields.items(), lambda item: _extra(item[1])["group"]):
        yield title, list(fields)


def _read_file(path: str, fail: Callable[[str], NoReturn]) -> dict[str, _Given]:
    """The settings of a YAML file, as text like those of every other source; `fail` is told what is wrong."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as error:
        fail(f"{say(CONFIG)}: cannot read {path}: {error.strerror}")
    except ValueError as error:
        fail(f"{say(CONFIG)}: {path} is not text: {error}")
    except yaml.YAMLError as error:
        fail(f"{say(CONFIG)}: {path} is not YAML: {error}")
    if not isinstance(content, dict):
        fail(f"{say(CONFIG)}: {path} must hold names and values, such as 'launchers: 16'")
    for key in content:
        if key not in Settings.model_fields:
            hint = _near(str(key), Settings.model_fields)
            fail(f"{say(CONFIG)}: {path} has the unknown key {str(key)!r}{hint}")
    return {
        name: _Given([str(item) for item in value] if isinstance(value, list) else str(value), path)
        for name, value in content.items()
        if value is not None
    }


def _explain(problem: Any, given: Mapping[str, _Given]) -> str:
    """What pydantic found, in our words: which knob, what it takes, what it got and from where."""
    if not problem["loc"]:  # settings that do not fit together
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    value, source = given[name]
    shown = value if isinstance(value, str) else ",".join(value)
    shown = shown if len(shown) <= 80 else shown[:80] + "…"
    return f"{say(name)} must be {_allowed(Settings.model_fields[name])}, got {shown!r} from {source}"


REFERENCE_HEAD = """\
# Settings

<!-- Made by `python -m taskq.settings --docs FILE`; do not edit. -->

Every setting of the operator can be given as a flag (`--lease-name x`), as an environment variable
(`TASKQ_LEASE_NAME=x`), or in a YAML file (`lease_name: x`) that `--config` or `TASKQ_CONFIG` names. Flags win
over variables, variables over the file, the file over the defaults. A variable set to nothing counts as not
set. A value that cannot work ends the operator at start with exit code 2 and one line that names the setting,
the values that it takes, and where the bad one came from.
"""


def reference() -> str:
    """The reference page, docs/reference/settings.md."""
    lines = [REFERENCE_HEAD]
    for title, fields in _groups():
        lines += [f"## {title}", "", "| Setting | Default | Values | Meaning |", "|---|---|---|---|"]
        for name, field in fields:
            default = _default(field) if "computed" in _extra(field) else f"`{_default(field)}`"
            names = f"`{flag_of(name)}`<br>`{variable_of(name)}`"
            lines.append(f"| {names} | {default} | {_allowed(field)} | {_meaning(field)} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] != "--docs":
        sys.exit("usage: python -m taskq.settings --docs FILE")
    Path(sys.argv[2]).write_text(reference(), encoding="utf-8")
