"""A kubeconfig means what it means to kubectl, and what cannot work is told with the file and the field."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from taskq.cluster import credentials
from taskq.cluster.credentials import (
    Cluster,
    Credential,
    FileLogin,
    KeyPair,
    from_kubeconfig,
    in_cluster,
    load,
    show_certificate,
    tls_context,
)
from taskq.errors import CredentialsError

T0 = 1_700_000_000.0


class Clock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return T0 + self.passed

    def uptime(self) -> float:
        return self.passed


def entry(kind: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, kind: {key.replace("_", "-"): value for key, value in fields.items()}}


def document(**changes: Any) -> dict[str, Any]:
    """A kubeconfig with one of everything."""
    return {
        "current-context": "here",
        "contexts": [entry("context", "here", cluster="home", user="me")],
        "clusters": [entry("cluster", "home", server="https://home:6443")],
        "users": [entry("user", "me", token="secret-1")],
        **changes,
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def token_of(cluster: Cluster) -> str:
    return asyncio.run(cluster.login.current()).token


def pair_of(cluster: Cluster) -> KeyPair | None:
    return asyncio.run(cluster.login.current()).key_pair


def refusal(path: Path, content: dict[str, Any]) -> str:
    """What is said about a kubeconfig that cannot work, its login included."""
    with pytest.raises(CredentialsError) as caught:
        token_of(from_kubeconfig([write(path, content)], Clock()))
    assert str(path) in str(caught.value), "the file is named"
    assert "secret" not in str(caught.value), "secrets are not"
    return str(caught.value)


def test_the_current_context_names_cluster_user_and_namespace(tmp_path: Path) -> None:
    content = document(contexts=[entry("context", "here", cluster="home", user="me", namespace="team-a")])
    cluster = from_kubeconfig([write(tmp_path / "config", content)], Clock())
    assert (cluster.server, cluster.namespace, token_of(cluster)) == ("https://home:6443", "team-a", "secret-1")


def test_another_context_can_be_asked_for(tmp_path: Path) -> None:
    content = document(
        contexts=[entry("context", "here"), entry("context", "there", cluster="away", user="")],
        clusters=[entry("cluster", "away", server="https://away/")],
    )
    cluster = from_kubeconfig([write(tmp_path / "config", content)], Clock(), context="there")
    assert (cluster.server, cluster.namespace, token_of(cluster)) == ("https://away", "default", "")


def test_of_several_files_the_first_to_name_something_wins_whole(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"users": [entry("user", "me", token="of-one")]})
    two = write(
        tmp_path / "two",
        document(users=[entry("user", "me", token="of-two", client_certificate="x")]),
    )
    three = write(tmp_path / "three", document(**{"current-context": "elsewhere"}))
    cluster = from_kubeconfig([one, two, three], Clock())
    assert (token_of(cluster), cluster.origin) == ("of-one", f"context here of {two}")


def test_kubeconfig_names_several_files_and_those_missing_are_passed_over(tmp_path: Path) -> None:
    there = write(tmp_path / "there", document())
    environment = {"KUBECONFIG": f"{tmp_path / 'missing'}{os.pathsep}{there}{os.pathsep}"}
    assert load(Clock(), environment=environment).server == "https://home:6443"
    with pytest.raises(CredentialsError, match="missing does not exist"):
        load(Clock(), environment={"KUBECONFIG": str(tmp_path / "missing")})


def test_a_file_asked_for_must_exist_and_comes_before_everything(tmp_path: Path) -> None:
    other = write(tmp_path / "other", document(clusters=[entry("cluster", "home", server="https://other")]))
    environment = {"KUBECONFIG": str(write(tmp_path / "config", document()))}
    assert load(Clock(), kubeconfig=str(other), environment=environment).server == "https://other"
    with pytest.raises(CredentialsError, match="missing"):
        load(Clock(), kubeconfig=str(tmp_path / "missing"), environment=environment)


def test_a_pod_logs_in_as_its_service_account_before_any_home_folder(tmp_path: Path) -> None:
    for name, content in {"token": "of-pod\n", "ca.crt": "CA", "namespace": "taskq-system\n"}.items():
        (tmp_path / name).write_text(content)
    write(tmp_path / ".kube" / "config", document())
    environment = {"HOME": str(tmp_path), "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    cluster = load(Clock(), environment=environment, service_account=tmp_path)
    assert (cluster.server, cluster.namespace, cluster.ca) == ("https://[fd00::1]:443", "taskq-system", b"CA")
    assert token_of(cluster) == "of-pod"
    assert load(Clock(), environment={"HOME": str(tmp_path)}).server == "https://home:6443"


def test_outside_a_pod_the_service_account_says_so(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="KUBERNETES_SERVICE_HOST"):
        in_cluster(Clock(), environment={}, service_account=tmp_path)
    environment = {"KUBERNETES_SERVICE_HOST": "1.2.3.4", "KUBERNETES_SERVICE_PORT": "443"}
    with pytest.raises(CredentialsError, match=r"ca\.crt"):
        in_cluster(Clock(), environment=environment, service_account=tmp_path)


def test_paths_start_at_the_file_that_holds_them_and_data_wins_over_paths(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    for name in ("ca", "crt", "key", "token"):
        (tmp_path / "certs" / name).write_text(f"file {name}")
    files: dict[str, Any] = {"client_certificate": "certs/crt", "client_key": "certs/key", "tokenFile": "certs/token"}
    content = document(
        clusters=[entry("cluster", "home", server="https://home", certificate_authority="certs/ca")],
        users=[entry("user", "me", **files)],
    )
    cluster = from_kubeconfig([write(tmp_path / "config", content)], Clock())
    assert cluster.ca == b"file ca"
    assert pair_of(cluster) == KeyPair(b"file crt", b"file key")
    assert token_of(cluster) == "file token"
    data = {"client_certificate_data": b64("inline crt"), "client_key_data": b64("inline key")}
    content["users"] = [entry("user", "me", **files, **data)]
    content["clusters"][0]["cluster"]["certificate-authority-data"] = b64("inline ca")
    cluster = from_kubeconfig([write(tmp_path / "config", content)], Clock())
    assert cluster.ca == b"inline ca"
    assert pair_of(cluster) == KeyPair(b"inline crt", b"inline key")


def test_the_ways_to_reach_a_server_are_kept(tmp_path: Path) -> None:
    fields = {"server": "https://10.0.0.1", "tls_server_name": "home.example", "proxy_url": "http://proxy:3128"}
    content = document(clusters=[entry("cluster", "home", insecure_skip_tls_verify=True, **fields)])
    cluster = from_kubeconfig([write(tmp_path / "config", content)], Clock())
    assert cluster.insecure
    assert (cluster.tls_server_name, cluster.proxy_url) == ("home.example", "http://proxy:3128")
    context = tls_context(cluster)
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "no current context": ({"current-context": ""}, "current-context is not set"),
    "an unknown context": ({"current-context": "x"}, "current-context is 'x', which is not among contexts: here"),
    "an unknown cluster": (
        {"contexts": [entry("context", "here", cluster="x", user="me")]},
        "contexts[here].context.cluster is 'x', which is not among clusters: home",
    ),
    "an unknown user": (
        {"contexts": [entry("context", "here", cluster="home", user="x")]},
        "contexts[here].context.user is 'x', which is not among users: me",
    ),
    "no server": ({"clusters": [entry("cluster", "home")]}, "clusters[home].cluster.server is ''"),
    "a server of the wrong type": ({"clusters": [entry("cluster", "home", server=1)]}, "server is not a string"),
    "a CA that is not base64": (
        {"clusters": [entry("cluster", "home", server="https://h", certificate_authority_data="§")]},
        "clusters[home].cluster.certificate-authority-data is not base64",
    ),
    "a CA file that is missing": (
        {"clusters": [entry("cluster", "home", server="https://h", certificate_authority="nowhere")]},
        "clusters[home].cluster.certificate-authority cannot be read",
    ),
    "a certificate without its key": (
        {"users": [entry("user", "me", client_certificate_data=b64("x"))]},
        "users[me].user.client-key is not set",
    ),
    "a password": ({"users": [entry("user", "me", username="secret-u")]}, "users[me].user.username is not supported"),
    "impersonation": ({"users": [{"name": "me", "user": {"as": "x"}}]}, "users[me].user.as is not supported"),
    "a token file that is missing": (
        {"users": [entry("user", "me", tokenFile="nowhere")]},
        "users[me].user: cannot read the token file",
    ),
    "an unknown exec version": (
        {"users": [entry("user", "me", exec={"apiVersion": "v0", "command": "x"})]},
        "users[me].user.exec.apiVersion is 'v0'",
    ),
    "an exec plug-in without a command": (
        {"users": [entry("user", "me", exec={"apiVersion": credentials.EXEC_VERSIONS[0]})]},
        "users[me].user.exec.command is not set",
    ),
    "contexts that are no list": ({"contexts": {"a": 1}}, "contexts is not a list"),
    "contexts of text": ({"contexts": ["a"]}, "contexts holds something that is not a mapping"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_work_is_told_with_file_and_field(tmp_path: Path, case: str) -> None:
    changes, said = REFUSALS[case]
    assert said in refusal(tmp_path / "config", document(**changes))


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "not YAML (line "), ("- a", "not a mapping"), ("", "current-context")]
)
def test_a_file_that_is_no_kubeconfig_is_told_so(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(CredentialsError) as caught:
        from_kubeconfig([tmp_path / "config"], Clock())
    assert said in str(caught.value)


async def test_a_token_file_is_read_again_each_minute_and_when_the_token_is_refused(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "token"
    file.write_text("first\n")
    login = FileLogin(clock, token_file=file)
    first = await login.current()
    file.write_text("second")
    clock.passed = 59
    assert await login.current() is first
    clock.passed = 61
    assert (await login.current()).token == "second"
    file.write_text("third")
    second = await login.current()
    third = await login.renew(second)
    assert third.token == "third"
    assert await login.renew(second) is third, "another request renewed it meanwhile"
    assert await login.renew(third) is third, "nothing newer exists"


async def test_a_token_file_that_vanishes_leaves_the_last_token_in_use(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "token"
    file.write_text("first")
    login = FileLogin(clock, token_file=file)
    first = await login.current()
    file.unlink()
    clock.passed = 100
    assert await login.current() is first


async def test_client_certificate_files_are_read_again_when_they_are_refused(tmp_path: Path) -> None:
    crt, key = tmp_path / "crt", tmp_path / "key"
    crt.write_text("crt 1")
    key.write_text("key 1")
    login = FileLogin(Clock(), certificate_file=crt, key_file=key)
    first = await login.current()
    crt.write_text("crt 2")
    assert (await login.renew(first)).key_pair == KeyPair(b"crt 2", b"key 1")


def test_secrets_do_not_appear_in_representations() -> None:
    things = (Credential("secret", KeyPair(b"", b"secret")), FileLogin(Clock(), token="secret"))
    assert "secret" not in "".join(map(repr, things))


# Plug-ins

PLUGIN = """\
import json, os, sys
with open(sys.argv[1], "a") as runs:
    runs.write(os.environ["KUBERNETES_EXEC_INFO"] + "\\n")
sys.stderr.write("complaint")
exec(os.environ["BEHAVIOUR"])
"""


class Plugin:
    """A credential plug-in whose behaviour is a line of Python."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        (folder / "plugin.py").write_text(PLUGIN)
        self.runs = folder / "runs"

    def login(self, behaviour: str, **fields: Any) -> credentials.Login:
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": sys.executable,
            "args": [str(self.folder / "plugin.py"), str(self.runs)],
            "env": [{"name": "BEHAVIOUR", "value": behaviour}],
            **fields,
        }
        content = document(users=[entry("user", "me", exec=plugin)])
        return from_kubeconfig([write(self.folder / "config", content)], self.clock).login

    def infos(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.runs.read_text().splitlines()]


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return Plugin(tmp_path)


def prints(version: str = "v1", **status: Any) -> str:
    answer = {"apiVersion": f"client.authentication.k8s.io/{version}", "kind": "ExecCredential", "status": status}
    return f"print({json.dumps(answer)!r})"


async def test_a_plug_in_runs_once_until_shortly_before_its_credential_expires(plugin: Plugin) -> None:
    login = plugin.login(prints(token="t", expirationTimestamp="2023-11-14T22:23:20Z"))  # T0 + 600 s
    first, same = await asyncio.gather(login.current(), login.current())
    assert first is same
    assert first.token == "t"
    plugin.clock.passed = 560
    await login.current()
    assert len(plugin.infos()) == 1
    plugin.clock.passed = 571
    await login.current()
    assert len(plugin.infos()) == 2


async def test_a_plug_in_runs_again_when_its_credential_is_refused(plugin: Plugin) -> None:
    login = plugin.login(
        "import time; print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', "
        "'kind': 'ExecCredential', 'status': {'token': str(time.perf_counter_ns())}}))"
    )
    first = await login.current()
    again, other = await asyncio.gather(login.renew(first), login.renew(first))
    assert again is other
    assert again.token != first.token
    assert len(plugin.infos()) == 2, "requests refused together share one run"


async def test_a_plug_in_may_return_a_client_certificate(plugin: Plugin) -> None:
    login = plugin.login(
        prints("v1beta1", clientCertificateData="crt", clientKeyData="key"),
        apiVersion="client.authentication.k8s.io/v1beta1",
    )
    assert (await login.current()).key_pair == KeyPair(b"crt", b"key")


async def test_a_plug_in_is_told_of_the_cluster_only_when_it_asks(plugin: Plugin) -> None:
    await plugin.login(prints(token="t")).current()
    await plugin.login(prints(token="t"), provideClusterInfo=True).current()
    without, with_info = plugin.infos()
    assert without["spec"] == {"interactive": False}
    assert with_info["spec"] == {"interactive": False, "cluster": {"server": "https://home:6443"}}


async def test_a_relative_command_starts_at_the_kubeconfig(plugin: Plugin) -> None:
    script = plugin.folder / "bin" / "login"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\n" + prints(token="relative"))
    script.chmod(0o755)
    assert (await plugin.login("", command="bin/login", args=None).current()).token == "relative"


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("sys.exit(3)", "ended with 3: complaint"),
        ("print('hello')", "did not print JSON"),
        ("print('[]')", "did not print an ExecCredential"),
        (prints("v1beta1", token="t"), "the answer's is client.authentication.k8s.io/v1beta1"),
        (prints(), "neither a token nor a client certificate"),
        (prints(clientKeyData="k"), "only one of clientCertificateData"),
        (prints(token="t", expirationTimestamp="soon"), "'soon' is no time"),
    ],
)
async def test_a_plug_in_that_fails_is_told_with_its_place(plugin: Plugin, behaviour: str, said: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        await plugin.login(behaviour).current()
    assert said in str(caught.value)
    assert f"{plugin.folder / 'config'}: users[me].user.exec" in str(caught.value)


async def test_a_plug_in_that_is_not_installed_is_told_with_its_hint(plugin: Plugin) -> None:
    with pytest.raises(CredentialsError, match=r"(?s)no-such-program.*brew install it"):
        await plugin.login("", command="no-such-program", installHint="brew install it").current()


async def test_a_plug_in_that_hangs_is_stopped(plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "EXEC_SECONDS", 0.3)
    with pytest.raises(CredentialsError, match=r"no answer in 0\.3 s"):
        await plugin.login("import time; time.sleep(100)").current()


# Certificates


@pytest.fixture
def pair(tmp_path: Path) -> KeyPair:
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 1"
    subprocess.run(
        [*command.split(), "-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "c")], check=True, capture_output=True
    )
    return KeyPair((tmp_path / "c").read_bytes(), (tmp_path / "k").read_bytes())


def test_a_private_key_is_on_disk_only_while_it_is_read_and_for_us_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: KeyPair
) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    modes: list[int] = []

    class Context(ssl.SSLContext):
        def load_cert_chain(self, certfile: Any, *args: Any, **kwargs: Any) -> None:
            modes.append(stat.S_IMODE(Path(certfile).stat().st_mode))
            super().load_cert_chain(certfile, *args, **kwargs)

    show_certificate(Context(ssl.PROTOCOL_TLS_CLIENT), pair, "test")
    assert modes == [0o600]
    assert list(folder.iterdir()) == []


def test_certificates_that_are_none_are_told_with_their_field(pair: KeyPair) -> None:
    context = ssl.create_default_context()
    with pytest.raises(CredentialsError, match="here: client-certificate and client-key"):
        show_certificate(context, KeyPair(pair.certificate, b"nonsense"), "here")
    cluster = Cluster("https://x", FileLogin(Clock()), ca=b"nonsense", origin="here")
    with pytest.raises(CredentialsError, match="here: certificate-authority"):
        tls_context(cluster)


def test_plain_http_needs_no_tls() -> None:
    assert tls_context(Cluster("http://localhost:8001", FileLogin(Clock()))) is None
