"""Where the API server is and how to log in to it: a service account's files, or a kubeconfig.

A kubeconfig is read the way kubectl reads it: of several files the first to name an entry or the current
context wins, relative paths start at the file that holds them, inline data wins over a path. What cannot
work raises `CredentialsError`, which names the file and the field; secrets never appear in a message.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import yaml

from taskq.clock import Clock
from taskq.errors import CredentialsError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token, the cluster's CA and the pod's namespace."""

TOKEN_FILE_SECONDS = 60.0
"""How old the content of a token file may get: the kubelet rotates long before the old one expires."""

EXEC_SECONDS = 60.0
"""How long a credential plug-in may take: some ask a cloud's slow endpoint, none may hang us for ever."""

EXPIRY_MARGIN_SECONDS = 30.0
"""How long before its expiry a plug-in's credential is renewed: clocks differ, requests take time."""

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A client certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request shows to the server: a bearer token, a client certificate, both or none."""

    token: str = field(default="", repr=False)
    key_pair: KeyPair | None = None


class Login(Protocol):
    """A source of credentials that change while the process runs."""

    async def current(self) -> Credential:
        """Return the credential to use now; cheap enough to ask before every request."""

    async def renew(self, refused: Credential) -> Credential:
        """Return the credential to try after the server refused one; the same one: nothing newer exists."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One API server as this process reaches it; `ca` is PEM, None means the system's authorities."""

    server: str
    login: Login
    namespace: str = "default"
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""
    origin: str = ""
    """Where this came from, for logs: a file and context, or the service account."""


@dataclass(slots=True)
class FileLogin:
    """A token and a client certificate, inline or in files that others may rotate under us."""

    clock: Clock
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    key_pair: KeyPair | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    where: str = "the service account"
    """What names the files, for messages."""
    _now: Credential | None = field(default=None, init=False)
    _read_at: float = field(default=0.0, init=False)

    async def current(self) -> Credential:
        """Return what the files said at most a minute ago."""
        stale = self.token_file is not None and self.clock.uptime() - self._read_at >= TOKEN_FILE_SECONDS
        if self._now is None or stale:
            self._now = self._read()
        return self._now

    async def renew(self, refused: Credential) -> Credential:
        """Read the files again, at once."""
        if self._now is None or self._now == refused:
            self._now = self._read()
        return self._now

    def _read(self) -> Credential:
        self._read_at = self.clock.uptime()
        fresh = Credential(self._read_token(), self._read_pair())
        return self._now if fresh == self._now and self._now is not None else fresh

    def _read_token(self) -> str:
        if self.token_file is None:
            return self.token
        try:
            text = self.token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            text = self._now.token if self._now else self.token
            if not text:
                raise CredentialsError(f"{self.where}: cannot read the token file: {error}") from error
        if not text:
            raise CredentialsError(f"{self.where}: the token file {self.token_file} is empty")
        return text

    def _read_pair(self) -> KeyPair | None:
        if self.certificate_file is None and self.key_file is None:
            return self.key_pair
        certificate, key = self.key_pair or KeyPair(b"", b""), self.key_pair or KeyPair(b"", b"")
        try:
            return KeyPair(
                self.certificate_file.read_bytes() if self.certificate_file else certificate.certificate,
                self.key_file.read_bytes() if self.key_file else key.key,
            )
        except OSError as error:
            raise CredentialsError(f"{self.where}: cannot read the client certificate: {error}") from error


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A credential plug-in as a kubeconfig describes it; `where` names it in messages."""

    where: str
    api_version: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    install_hint: str
    cluster: Mapping[str, object] | None
    folder: Path

    def info(self) -> str:
        """Return what the plug-in finds in KUBERNETES_EXEC_INFO."""
        spec: dict[str, object] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = self.cluster
        return json.dumps({"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec})


class ExecLogin:
    """Runs a credential plug-in (client.authentication.k8s.io), once per validity of what it returns."""

    def __init__(self, plugin: ExecPlugin, clock: Clock) -> None:
        """Run nothing before the first request."""
        self._plugin = plugin
        self._clock = clock
        self._lock = asyncio.Lock()
        self._now: Credential | None = None
        self._expires: float | None = None

    async def current(self) -> Credential:
        """Return the cached credential, or a new one when it is about to expire."""
        async with self._lock:
            if self._now is None or self._is_expiring():
                await self._run()
            assert self._now is not None
            return self._now

    async def renew(self, refused: Credential) -> Credential:
        """Run the plug-in again, unless another request already did since."""
        async with self._lock:
            if self._now is None or self._now is refused:
                await self._run()
            assert self._now is not None
            return self._now

    def _is_expiring(self) -> bool:
        return self._expires is not None and self._clock.now() >= self._expires - EXPIRY_MARGIN_SECONDS

    async def _run(self) -> None:
        status = _exec_status(self._plugin, await _run_plugin(self._plugin))
        where = self._plugin.where
        token, pair = status.get("token") or "", None
        certificate, key = status.get("clientCertificateData"), status.get("clientKeyData")
        if bool(certificate) != bool(key):
            raise CredentialsError(f"{where}: the plug-in returned only one of clientCertificateData, clientKeyData")
        if certificate and key:
            pair = KeyPair(str(certificate).encode(), str(key).encode())
        if not token and pair is None:
            raise CredentialsError(f"{where}: the plug-in returned neither a token nor a client certificate")
        fresh = Credential(str(token), pair)
        self._expires = _expiry(where, status.get("expirationTimestamp"))
        self._now = self._now if fresh == self._now and self._now is not None else fresh


async def _run_plugin(plugin: ExecPlugin) -> bytes:
    """Return what the plug-in printed; its own error output goes into the message when it fails."""
    environment = {**os.environ, **plugin.env, "KUBERNETES_EXEC_INFO": plugin.info()}
    command = plugin.command
    if "/" in command and not Path(command).is_absolute():
        command = str(plugin.folder / command)
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *plugin.args,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        hint = f" ({plugin.install_hint})" if plugin.install_hint else ""
        raise CredentialsError(f"{plugin.where}.command: cannot run {command!r}: {error}{hint}") from error
    try:
        async with asyncio.timeout(EXEC_SECONDS):
            printed, complaint = await process.communicate()
    except TimeoutError as error:
        raise CredentialsError(f"{plugin.where}: {command!r} gave no answer in {EXEC_SECONDS:g} s") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode("utf-8", "replace").strip()[-256:]
        raise CredentialsError(f"{plugin.where}: {command!r} ended with {process.returncode}: {said}")
    return printed


def _exec_status(plugin: ExecPlugin, printed: bytes) -> Mapping[str, object]:
    try:
        answer = json.loads(printed)
    except ValueError as error:
        raise CredentialsError(f"{plugin.where}: the plug-in did not print JSON") from error
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise CredentialsError(f"{plugin.where}: the plug-in did not print an ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        answered = answer.get("apiVersion")
        raise CredentialsError(f"{plugin.where}.apiVersion is {plugin.api_version}, the answer's is {answered}")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise CredentialsError(f"{plugin.where}: the plug-in's answer has no status")
    return status


def _expiry(where: str, text: object) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError as error:
        raise CredentialsError(f"{where}: the plug-in's expirationTimestamp {text!r} is no time") from error


def load(
    clock: Clock,
    *,
    kubeconfig: str = "",
    context: str = "",
    environment: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Cluster:
    """Find the cluster to use: the kubeconfig asked for, KUBECONFIG, the service account, ~/.kube/config."""
    environment = os.environ if environment is None else environment
    if kubeconfig:
        return from_kubeconfig([Path(kubeconfig)], clock, context=context, required=True)
    if environment.get("KUBECONFIG"):
        paths = [Path(part) for part in environment["KUBECONFIG"].split(os.pathsep) if part]
        return from_kubeconfig(paths, clock, context=context)
    if environment.get("KUBERNETES_SERVICE_HOST") and not context and (service_account / "token").exists():
        return in_cluster(clock, environment=environment, service_account=service_account)
    home = Path(environment.get("HOME") or Path.home())
    return from_kubeconfig([home / ".kube" / "config"], clock, context=context)


def in_cluster(
    clock: Clock,
    *,
    environment: Mapping[str, str] | None = None,
    service_account: Path = SERVICE_ACCOUNT,
) -> Cluster:
    """Log in as the pod's service account; its token file is read again every minute."""
    environment = os.environ if environment is None else environment
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise CredentialsError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: not in a pod?")
    try:
        ca = (service_account / "ca.crt").read_bytes()
    except OSError as error:
        raise CredentialsError(f"cannot read the cluster's CA: {error}") from error
    try:
        namespace = (service_account / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return Cluster(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        login=FileLogin(clock, token_file=service_account / "token"),
        namespace=namespace or "default",
        ca=ca,
        origin="the pod's service account",
    )


@dataclass(frozen=True, slots=True)
class _Entry:
    """One named entry of a kubeconfig and the file it stands in."""

    path: Path
    where: str
    fields: Mapping[str, Any]

    def fail(self, name: str, trouble: str) -> CredentialsError:
        return CredentialsError(f"{self.path}: {self.where}.{name} {trouble}")

    def text(self, name: str) -> str:
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.fail(name, "is not a string")
        return value

    def file(self, name: str) -> Path | None:
        value = self.text(name)
        return self.path.parent / Path(value).expanduser() if value else None

    def data(self, name: str) -> bytes | None:
        """Return the inline base64 of `<name>-data`, decoded."""
        value = self.text(f"{name}-data")
        if not value:
            return None
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise self.fail(f"{name}-data", "is not base64") from error

    def pem(self, name: str) -> bytes | None:
        """Return the inline data, else the content of the file that the field names."""
        inline = self.data(name)
        path = None if inline is not None else self.file(name)
        if path is None:
            return inline
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.fail(name, f"cannot be read: {error}") from error


_INNER = {"clusters": "cluster", "contexts": "context", "users": "user"}


def from_kubeconfig(paths: list[Path], clock: Clock, *, context: str = "", required: bool = False) -> Cluster:
    """Merge the files and log in as their current context, or as the one asked for.

    Files that do not exist are passed over, as kubectl does, unless `required` or none exists.
    """
    documents = [(path, _parse(path)) for path in paths if required or path.exists()]
    if not documents:
        raise CredentialsError(f"no kubeconfig: {', '.join(map(str, paths)) or 'KUBECONFIG is empty'} does not exist")
    chosen, chosen_in = context, "the context asked for"
    for path, document in documents if not chosen else ():
        chosen, chosen_in = str(document.get("current-context") or ""), f"{path}: current-context"
        if chosen:
            break
    files = ", ".join(str(path) for path, _ in documents)
    if not chosen:
        raise CredentialsError(f"{files}: current-context is not set; name a context")
    where = _find(documents, "contexts", chosen, chosen_in)
    cluster = _find(documents, "clusters", where.text("cluster"), f"{where.path}: {where.where}.cluster")
    server = cluster.text("server")
    if not server.startswith(("https://", "http://")):
        raise cluster.fail("server", f"is {server!r}, not a URL that starts with https://")
    user = where.text("user")
    identity = _find(documents, "users", user, f"{where.path}: {where.where}.user") if user else None
    return Cluster(
        server=server.rstrip("/"),
        login=_login(identity, cluster, clock) if identity else FileLogin(clock),
        namespace=where.text("namespace") or "default",
        ca=cluster.pem("certificate-authority"),
        insecure=cluster.fields.get("insecure-skip-tls-verify") is True,
        tls_server_name=cluster.text("tls-server-name"),
        proxy_url=cluster.text("proxy-url"),
        origin=f"context {chosen} of {where.path}",
    )


def _parse(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(f"cannot read the kubeconfig {path}: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise CredentialsError(f"{path}: not YAML{line}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise CredentialsError(f"{path}: not a kubeconfig: the top level is not a mapping")
    return document


def _find(documents: list[tuple[Path, Mapping[str, Any]]], kind: str, name: str, asked: str) -> _Entry:
    """Return the first entry of that name; the first file that has it wins, whole."""
    names: list[str] = []
    for path, document in documents:
        entries = document.get(kind) or []
        if not isinstance(entries, list):
            raise CredentialsError(f"{path}: {kind} is not a list")
        for entry in entries:
            if not isinstance(entry, dict):
                raise CredentialsError(f"{path}: {kind} holds something that is not a mapping")
            names.append(str(entry.get("name")))
            if names[-1] != name:
                continue
            inner = entry.get(_INNER[kind]) or {}
            if not isinstance(inner, dict):
                raise CredentialsError(f"{path}: {kind}[{name}].{_INNER[kind]} is not a mapping")
            return _Entry(path, f"{kind}[{name}].{_INNER[kind]}", inner)
    raise CredentialsError(f"{asked} is {name!r}, which is not among {kind}: {', '.join(names) or 'there are none'}")


def _login(user: _Entry, cluster: _Entry, clock: Clock) -> Login:
    for name in ("username", "password", "auth-provider", "as", "as-uid", "as-groups", "as-user-extra"):
        if user.fields.get(name):
            raise user.fail(name, "is not supported: use a token, a client certificate or an exec plug-in")
    if user.fields.get("exec"):
        return ExecLogin(_plugin(user, cluster), clock)
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if (certificate is None) != (key is None):
        missing = "client-certificate" if certificate is None else "client-key"
        raise user.fail(missing, "is not set, but its other half is")
    pair = KeyPair(certificate, key) if certificate is not None and key is not None else None
    return FileLogin(
        clock,
        token=user.text("token"),
        token_file=user.file("tokenFile"),
        key_pair=pair,
        certificate_file=None if user.data("client-certificate") else user.file("client-certificate"),
        key_file=None if user.data("client-key") else user.file("client-key"),
        where=f"{user.path}: {user.where}",
    )


def _plugin(user: _Entry, cluster: _Entry) -> ExecPlugin:
    fields = user.fields["exec"]
    if not isinstance(fields, dict):
        raise user.fail("exec", "is not a mapping")
    entry = _Entry(user.path, f"{user.where}.exec", fields)
    version, command = entry.text("apiVersion"), entry.text("command")
    if version not in EXEC_VERSIONS:
        raise entry.fail("apiVersion", f"is {version!r}, not one of {', '.join(EXEC_VERSIONS)}")
    if not command:
        raise entry.fail("command", "is not set")
    if entry.text("interactiveMode") == "Always":
        raise entry.fail("interactiveMode", "is Always, but nobody is there to be asked")
    args, env = fields.get("args") or [], fields.get("env") or []
    if not isinstance(args, list):
        raise entry.fail("args", "is not a list")
    if not isinstance(env, list) or not all(isinstance(one, dict) and "name" in one for one in env):
        raise entry.fail("env", "is not a list of name and value")
    return ExecPlugin(
        where=f"{entry.path}: {entry.where}",
        api_version=version,
        command=command,
        args=tuple(str(one) for one in args),
        env={str(one["name"]): str(one.get("value") or "") for one in env},
        install_hint=entry.text("installHint").strip(),
        cluster=_cluster_info(cluster) if fields.get("provideClusterInfo") else None,
        folder=entry.path.parent.absolute(),
    )


def _cluster_info(cluster: _Entry) -> Mapping[str, object]:
    """Return what a plug-in that asked for it (`provideClusterInfo`) is told of the cluster."""
    info: dict[str, object] = {"server": cluster.text("server")}
    ca = cluster.pem("certificate-authority")
    if ca is not None:
        info["certificate-authority-data"] = base64.b64encode(ca).decode()
    for name in ("tls-server-name", "insecure-skip-tls-verify", "proxy-url"):
        if cluster.fields.get(name):
            info[name] = cluster.fields[name]
    for extension in cluster.fields.get("extensions") or ():
        if extension.get("name") == "client.authentication.k8s.io/exec":
            info["config"] = extension.get("extension")
    return info


def tls_context(cluster: Cluster) -> ssl.SSLContext | None:
    """Return how to verify that server, None for plain HTTP; `show_certificate` adds our side."""
    if not cluster.server.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cadata=cluster.ca.decode() if cluster.ca else None)
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(f"{cluster.origin}: certificate-authority holds no usable PEM: {error}") from error
    # Kubernetes' own CAs lack key identifiers, which RFC 5280 asks for and Python from 3.13 on insists on.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def show_certificate(context: ssl.SSLContext, pair: KeyPair, origin: str) -> None:
    """Make new connections of the context show this client certificate.

    OpenSSL reads keys from files only; ours lives as long as this call, readable by nobody else.
    """
    with tempfile.NamedTemporaryFile(prefix="taskq-") as file:  # created with mode 0600
        file.write(pair.certificate.rstrip() + b"\n" + pair.key)
        file.flush()
        try:
            context.load_cert_chain(file.name, password="")  # so that nobody is asked
        except (ssl.SSLError, ValueError) as error:
            message = f"{origin}: client-certificate and client-key are no pair of usable PEM: {error}"
            raise CredentialsError(message) from error
