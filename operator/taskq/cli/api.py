"""The only place that talks to the API server: the official client, asked for plain documents.

The client brings kubeconfig, contexts, exec credentials, proxies and TLS as kubectl has them. Its generated models are
not used: lists of 100,000 Tasks are decoded a page at a time and forgotten. It is imported with the first request,
as that takes longer than all else that `--help` does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from taskq import __version__
from taskq.cli.errors import ApiRefused, CliError
from taskq.cli.kinds import Kind, Object, name_of, namespace_of
from taskq.clock import Clock

PAGE = 500
"""Objects a page, as kubectl asks for them."""
MERGE_PATCH = "application/merge-patch+json"
FIELD_MANAGER = "kubectl-taskq"
"""Who wrote a field, in metadata.managedFields: GitOps tools leave alone what others own."""

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Connection(NamedTuple):
    """Which cluster, as whom, and where in it: what kubectl's flags of the same names say."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    as_user: str = ""
    as_groups: tuple[str, ...] = ()
    request_timeout: float = 0

    def over(self, other: Connection) -> Connection:
        """These flags, and where they say nothing, the other ones."""
        given = {name: value for name, value in self._asdict().items() if value}
        return other._replace(**given)


class Answer(Protocol):
    """A body that is read piece by piece."""

    def stream(self, amt: int) -> Iterator[bytes]:
        """The pieces as they come."""

    def close(self) -> None:
        """Read no further."""


class Page(NamedTuple):
    """Some of a list; `version` is the list's resourceVersion, `remaining` how many objects come after this page."""

    items: list[Object]
    version: str
    remaining: int


class Api:
    """One cluster, as one user. Nothing is read or sent before the first request."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        """`connection` may name files and contexts that do not exist; the first request tells."""
        self.connection = connection
        self.clock = clock
        self.memo: dict[str, Any] = {}
        """What a command has found out and need not ask again."""

    def close(self) -> None:
        """Close the connections, if there were any."""
        if "_client" in self.__dict__:
            self._client.close()

    # --- who and where -----------------------------------------------------------------------------------------------

    @cached_property
    def namespace(self) -> str:
        """The namespace to work in: the flag's, else the context's, else `default`."""
        if self.connection.namespace:
            return self.connection.namespace
        if self._context is None:
            try:
                return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
            except OSError:
                return "default"
        return str(self._context["context"].get("namespace") or "default")

    @property
    def context_name(self) -> str:
        """The context in use; `in-cluster` for a pod's own credentials."""
        return "in-cluster" if self._context is None else str(self._context["name"])

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    @property
    def bearer_token(self) -> str:
        """The user's `Bearer …`, for who asks the operator itself; empty for those who log in by a certificate."""
        settings = self._client.configuration
        if settings.refresh_api_key_hook is not None:
            settings.refresh_api_key_hook(settings)
        return str(settings.api_key.get("BearerToken") or "")

    @cached_property
    def _kubeconfig(self) -> str:
        return self.connection.kubeconfig or os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())

    @cached_property
    def _context(self) -> Object | None:
        """The context in use; None inside a pod without a kubeconfig."""
        files = [Path(part).expanduser() for part in self._kubeconfig.split(os.pathsep) if part]
        if not any(file.exists() for file in files):
            if "KUBERNETES_SERVICE_HOST" in os.environ and not self.connection.kubeconfig:
                return None
            raise CliError(f"there is no kubeconfig at {self._kubeconfig}; name one with --kubeconfig or KUBECONFIG")
        from kubernetes import config

        with _wrapped_config_errors():
            contexts, active = config.list_kube_config_contexts(config_file=self._kubeconfig)  # type: ignore[no-untyped-call]
        if not self.connection.context:
            return dict(active)
        for found in contexts:
            if found["name"] == self.connection.context:
                return dict(found)
        known = ", ".join(sorted(found["name"] for found in contexts))
        raise CliError(f"the kubeconfig has no context {self.connection.context!r}; it has {known}")

    @cached_property
    def _client(self) -> Any:
        from kubernetes import client, config

        logging.getLogger("urllib3").setLevel(logging.ERROR)  # its own retries are not worth a line
        settings: Any = client.Configuration()
        with _wrapped_config_errors():
            if self._context is None:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                config.load_kube_config(  # type: ignore[no-untyped-call]
                    config_file=self._kubeconfig,
                    context=self._context["name"],
                    client_configuration=settings,
                    persist_config=False,
                )
        made: Any = client.ApiClient(settings)
        made.user_agent = f"kubectl-taskq/{__version__}"
        return made

    @cached_property
    def _impersonation(self) -> list[tuple[str, str]]:
        """Headers for --as, or for what the kubeconfig's user says of it."""
        given = self.connection
        user, groups = given.as_user, list(given.as_groups)
        if not user and not groups and self._context is not None:
            said = self._kubeconfig_user(str(self._context["context"].get("user", "")))
            user, groups = str(said.get("as") or ""), list(said.get("as-groups") or ())
        if groups and not user:
            raise CliError("--as-group needs --as: a group is impersonated together with a user")
        return [("Impersonate-User", user)] * bool(user) + [("Impersonate-Group", group) for group in groups]

    def _kubeconfig_user(self, name: str) -> Object:
        from kubernetes.config.kube_config import KubeConfigMerger

        merged: Any = KubeConfigMerger(self._kubeconfig).config  # type: ignore[no-untyped-call]
        users = merged.value.get("users") or ()
        found = (user.value if hasattr(user, "value") else user for user in users)
        return next((dict(user.get("user") or {}) for user in found if user.get("name") == name), {})

    # --- requests ----------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Any:
        """The decoded JSON of an answer; ApiRefused for a status of 400 or above, CliError when nobody answers."""
        import msgspec

        answer = self.open(method, path, query=query, body=body, content_type=content_type, accept=accept)
        data = answer.data
        return msgspec.json.decode(data) if data else {}

    def server_now(self) -> float:
        """The API server's clock, by which creation times are told: whole seconds since the epoch.

        This machine's where something on the way has taken the header `Date` out.
        """
        said = self.open("GET", "/version").headers.get("Date")
        return parsedate_to_datetime(said).timestamp() if said else self.clock.now()

    def text(self, path: str, *, query: Sequence[tuple[str, str]] = ()) -> str:
        """An answer that is no JSON."""
        return str(self.open("GET", path, query=query, accept="*/*").data.decode("utf-8", "replace"))

    def open(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Object | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        endless: bool = False,
    ) -> Any:
        """The answer itself (urllib3's), for what is read piece by piece; `endless` ones have no read timeout."""
        import urllib3

        url = f"{path}?{urlencode(query)}" if query else path
        headers = {"Accept": accept, **({"Content-Type": content_type} if body is not None else {})}
        seconds = self.connection.request_timeout or None
        timeout = (seconds or 30, None) if endless else seconds
        try:
            made = self._client.param_serialize(
                method, url, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            _, full, all_headers, sent, _ = made
            wanted = urllib3.HTTPHeaderDict(all_headers)
            for name, value in self._impersonation:
                wanted.add(name, value)
            reply = self._client.call_api(method, full, wanted, sent, _request_timeout=timeout)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unreachable(error) from error
        except Exception as error:
            if type(error).__name__ == "ApiException":  # the client's word for a TLS failure
                raise self._unreachable(error) from error
            raise
        if reply.status >= 400:
            raise self._refused(reply.status, reply.response.data, path)
        return reply.response

    def _unreachable(self, error: Exception) -> CliError:
        cause = str(getattr(error, "reason", "") or error).rsplit(": ", 1)[-1]
        where = f"the API server {self.host} of context {self.context_name!r}"
        return CliError(
            f"{where} does not answer ({cause}); `kubectl cluster-info` and --context tell which one is meant"
        )

    def _refused(self, status: int, data: bytes, path: str) -> ApiRefused:
        import msgspec

        try:
            said = msgspec.json.decode(data, type=dict[str, Any])
        except (msgspec.DecodeError, ValueError):
            said = {"message": data[:256].decode("utf-8", "replace").strip()}
        message = str(said.get("message") or f"HTTP status {status}")
        return ApiRefused(_with_next_step(status, message, path), status=status, reason=str(said.get("reason") or ""))

    # --- objects -----------------------------------------------------------------------------------------------------

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object."""
        found: Object = self.request("GET", kind.path(namespace, name))
        return found

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """One object, or None when there is none."""
        try:
            return self.get(kind, namespace, name)
        except ApiRefused as error:
            if error.status == 404 and error.reason == "NotFound":
                return None
            raise

    def pages(
        self, kind: Kind, namespace: str | None, *, labels: str = "", fields: str = "", size: int = PAGE
    ) -> Iterator[Page]:
        """A list, a page at a time; None is all namespaces."""
        query = [("limit", str(size))]
        query += [("labelSelector", labels)] * bool(labels) + [("fieldSelector", fields)] * bool(fields)
        after = ""
        while True:
            listed = self.request("GET", kind.path(namespace), query=[*query, ("continue", after)] if after else query)
            meta = listed["metadata"]
            after = meta.get("continue") or ""
            for item in listed["items"]:  # a list leaves out what a single object says of itself
                item.setdefault("apiVersion", kind.api_version)
                item.setdefault("kind", kind.name)
            yield Page(listed["items"], meta["resourceVersion"], meta.get("remainingItemCount") or 0)
            if not after:
                return

    def list(self, kind: Kind, namespace: str | None, *, labels: str = "", fields: str = "") -> Iterator[Object]:
        """The objects of a list, one after another; only a page of them is in memory."""
        for page in self.pages(kind, namespace, labels=labels, fields=fields):
            yield from page.items

    def watch(
        self, kind: Kind, namespace: str | None, version: str, *, labels: str = "", fields: str = "", seconds: int = 0
    ) -> Iterator[tuple[str, Object]]:
        """Event type and object, from a resourceVersion on, until `seconds` are over (0: as long as the server likes).

        A CliError when the version is too old; list again then.
        """
        import msgspec

        query = [("watch", "true"), ("resourceVersion", version), ("allowWatchBookmarks", "true")]
        query += [("labelSelector", labels)] * bool(labels) + [("fieldSelector", fields)] * bool(fields)
        query += [("timeoutSeconds", str(seconds))] * bool(seconds)
        answer = self.open("GET", kind.path(namespace), query=query, endless=True)
        for line in lines(answer):
            event = msgspec.json.decode(line)
            if event["type"] == "ERROR":
                raise ApiRefused(
                    str(event["object"].get("message")),
                    status=int(event["object"].get("code") or 500),
                    reason="Expired",
                )
            yield event["type"], event["object"]

    def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Create an object; unknown fields are errors, as with kubectl."""
        made: Object = self.request("POST", kind.path(namespace), query=_write_query(dry_run=dry_run), body=body)
        return made

    def patch(self, kind: Kind, obj: Object, body: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Change this very object by a merge patch: another one of the same name is left alone (409)."""
        full = {**body, "metadata": {**body.get("metadata", {}), "uid": obj["metadata"]["uid"]}}
        path = kind.path(namespace_of(obj), name_of(obj))
        query = _write_query(dry_run=dry_run)
        done: Object = self.request("PATCH", path, query=query, body=full, content_type=MERGE_PATCH)
        return done

    def delete(self, kind: Kind, obj: Object, *, dry_run: bool = False) -> None:
        """Delete this very object, and in the background what it owns."""
        options: Object = {"propagationPolicy": "Background", "preconditions": {"uid": obj["metadata"]["uid"]}}
        if dry_run:  # in the body: beside one, the server does not look at the query
            options["dryRun"] = ["All"]
        self.request("DELETE", kind.path(namespace_of(obj), name_of(obj)), body=options)


def _write_query(*, dry_run: bool) -> list[tuple[str, str]]:
    return [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict"), *([("dryRun", "All")] * dry_run)]


def lines(answer: Answer, *, whole: bool = False) -> Iterator[bytes]:
    """The lines of a stream as they come, without their ends: those that are not empty, or with `whole` each one.

    A last line that is cut off is left out, unless `whole` text is asked for.
    """
    rest = b""
    try:
        for piece in answer.stream(65_536):
            *complete, rest = (rest + piece).split(b"\n")
            yield from (line for line in complete if line or whole)
        if rest and whole:
            yield rest
    finally:
        answer.close()


@contextmanager
def _wrapped_config_errors() -> Iterator[None]:
    """What is wrong with a kubeconfig, in one line; also what the client only logs, such as a failed exec plug-in."""
    from kubernetes.config import ConfigException

    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except (ConfigException, ValueError, TypeError, KeyError, OSError) as error:
        raise CliError(f"the kubeconfig can't be used: {' '.join(str(error).split())}") from error
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise CliError(f"the kubeconfig is not YAML: {' '.join(str(error).split())}") from error
        raise
    finally:
        root.removeHandler(handler)
    if said:
        raise CliError(f"no credentials from the kubeconfig's user: {' '.join(said[0].split())}")


def _with_next_step(status: int, message: str, path: str) -> str:
    """The server's message, and what to do about it where the answer is always the same."""
    flat = " ".join(message.split())
    if status == 401:
        return f"the API server does not know who you are ({flat}); log in again, or choose another --context"
    if status == 403:
        return f"{flat}; ask for that right (`kubectl auth can-i --list` shows yours), or try another namespace with -n"
    no_such_kind = "could not find the requested resource" in flat or flat == "404 page not found"  # or no such group
    if status == 404 and "/apis/taskq.dev/" in path and no_such_kind:
        return "this cluster has no TaskQ: its CRDs are not installed; `kubectl taskq doctor` says how to mend it"
    return flat
