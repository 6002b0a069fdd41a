"""Webhooks: which targets there are, what is sent to them, and what counts as an answer."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_tools.receiver import Call, Receiver
from taskq.clock import SystemClock
from taskq.cluster.webhooks import Webhooks, signature
from taskq.errors import SettingsError

PAGE = Path(__file__).resolve().parents[3] / "docs/how-to/after-it-ends.md"
BODY = b'{"phase":"Failed"}'


def write(folder: Path, *targets: dict[str, Any], name: str = "targets.yaml") -> Path:
    """The file of the targets."""
    path = folder / name
    path.write_text(yaml.safe_dump({"targets": list(targets)}), encoding="utf-8")
    return path


def target(url: str = "https://127.0.0.1:1", **more: Any) -> dict[str, Any]:
    """A target as the file has it."""
    return {"name": "pager", "url": url, "hmacKey": "secret", **more}


def called(path: Path, name: str = "pager") -> str:
    """What became of one call."""

    async def call() -> str:
        webhooks = Webhooks(str(path), SystemClock())
        try:
            found = webhooks.target(name, "shop")
            assert found
            return await webhooks.call(found, "u1/onFailure.webhooks[0]", BODY)
        finally:
            await webhooks.close()

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "http://somewhere"}, "allowHttp"),
        ({"url": "ftp://somewhere"}, "url"),
        ({"hmacKeyFile": "key"}, "exactly one of hmacKey and hmacKeyFile"),
        ({"hmacKey": None}, "exactly one of hmacKey and hmacKeyFile"),
        ({"hmacKey": ""}, "hmacKey is empty"),
        ({"timeoutSeconds": 61}, "timeoutSeconds"),
        ({"timeout": 5}, "timeout"),
        ({"name": "Pager!"}, "name"),
    ],
)
def test_a_wrong_target_is_told_at_the_start(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    """With the file and the field; the key is in no message."""
    path = write(tmp_path, {**target(), **wrong})
    with pytest.raises(SettingsError, match=says) as error:
        Webhooks(str(path), SystemClock())
    assert str(path) in str(error.value)
    assert "secret" not in str(error.value)


def test_a_file_that_cant_be_read_is_told_at_the_start(tmp_path: Path) -> None:
    """Missing, no YAML, or two targets of one name."""
    with pytest.raises(SettingsError, match="can't be read"):
        Webhooks(str(tmp_path / "nowhere"), SystemClock())
    (tmp_path / "broken.yaml").write_text("targets: [", encoding="utf-8")
    with pytest.raises(SettingsError, match="can't be read"):
        Webhooks(str(tmp_path / "broken.yaml"), SystemClock())
    with pytest.raises(SettingsError, match="same name"):
        Webhooks(str(write(tmp_path, target(), target())), SystemClock())


def test_targets_are_for_namespaces(tmp_path: Path) -> None:
    """All, unless the file says which; without a file there are none."""
    path = write(tmp_path, target(), target(name="private", namespaces=["shop"]))
    webhooks = Webhooks(str(path), SystemClock())
    found = {(name, of): bool(webhooks.target(name, of)) for name in ("pager", "private") for of in ("shop", "bank")}
    assert found == {
        ("pager", "shop"): True,
        ("pager", "bank"): True,
        ("private", "shop"): True,
        ("private", "bank"): False,
    }
    assert Webhooks("", SystemClock()).target("pager", "shop") is None


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A Secret that is mounted changes under the operator; a mistake in it changes nothing."""
    path = write(tmp_path, target())
    webhooks = Webhooks(str(path), SystemClock())
    for content, name in (([target(name="chat")], "chat"), ([{"name": "broken"}], "chat")):
        write(tmp_path, *content, name="new.yaml").replace(path)
        assert webhooks.target(name, "shop")
        assert webhooks.target("pager", "shop") is None


def test_a_receiver_can_check_who_calls(tmp_path: Path) -> None:
    """With the lines that the page shows."""
    (tmp_path / "pager.key").write_text("secret\n", encoding="utf-8")
    with Receiver() as receiver:
        by_file = {"hmacKey": None, "hmacKeyFile": "pager.key"}
        path = write(tmp_path, {**target(receiver.url, allowHttp=True), **by_file})
        assert called(path) == ""
    (call,) = receiver.calls
    (lines,) = re.findall(r"(?ms)^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"))
    shown: dict[str, Any] = {}
    exec(lines, shown)
    is_genuine = shown["is_genuine"]
    assert is_genuine(b"secret", call.headers, call.body)
    assert not is_genuine(b"another", call.headers, call.body)
    assert not is_genuine(b"secret", call.headers, call.body + b" ")
    old = {**call.headers, "X-TaskQ-Timestamp": "1000000000"}
    old["X-TaskQ-Signature"] = f"sha256={signature(b'secret', '1000000000', call.body)}"
    assert not is_genuine(b"secret", old, call.body)


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
def test_only_2xx_is_success(tmp_path: Path, status: int) -> None:
    """A redirect is not followed."""
    with Receiver(lambda _: status) as receiver:
        said = called(write(tmp_path, target(receiver.url, allowHttp=True)))
    assert said == ("" if status < 300 else f"the target pager answered {status}")
    assert len(receiver.calls) == 1


@pytest.mark.parametrize("content", ["", "\n"])
def test_nothing_is_signed_with_an_empty_key(tmp_path: Path, content: str) -> None:
    """A key file that is being written, or was emptied, holds the call back: a signature of it proves nothing."""
    (tmp_path / "key").write_text(content, encoding="utf-8")
    with Receiver() as receiver:
        path = write(tmp_path, target(receiver.url, hmacKey=None, hmacKeyFile="key", allowHttp=True))
        assert "empty (hmacKeyFile)" in called(path)
        assert not receiver.calls


def test_who_does_not_answer_is_given_up(tmp_path: Path) -> None:
    """Nobody listens, nobody answers in time, or the key is missing; no address is told to who wrote the Task."""

    def slowly(_: Call) -> int:
        released.wait(5)
        return 204

    released = threading.Event()
    with Receiver(slowly) as receiver:
        slow = called(write(tmp_path, target(receiver.url, allowHttp=True, timeoutSeconds=0.2)))
        released.set()
        trusting = called(write(tmp_path, target(receiver.url.replace("http:", "https:"))))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = called(write(tmp_path, target(f"https://127.0.0.1:{free.getsockname()[1]}")))
    keyless = called(write(tmp_path, {**target(), "hmacKey": None, "hmacKeyFile": "nowhere"}))
    assert slow == "the target pager did not answer within 0.2 s"
    assert "can't be reached" in trusting
    assert "can't be reached" in nobody
    assert "hmacKeyFile" in keyless
    assert "127.0.0.1" not in slow + trusting + nobody + keyless


def test_certificates_are_checked(tmp_path: Path) -> None:
    """By the system's, or by those that the target says."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=x -days 1"
    subject = ["-addext", "subjectAltName=IP:127.0.0.1"]
    certificate, key = tmp_path / "ca.crt", tmp_path / "tls.key"
    paths = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *subject, *paths], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with Receiver(tls=tls) as receiver:
        assert "can't be reached" in called(write(tmp_path, target(receiver.url)))
        assert called(write(tmp_path, target(receiver.url, caFile="ca.crt"))) == ""
    assert len(receiver.calls) == 1
