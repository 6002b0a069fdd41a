"""Completion: what kubectl and the shells are told, names from an API server included."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from taskq.cli.completing import answer
from taskq.cli.main import main


class Handler(BaseHTTPRequestHandler):
    """An API server that has two queues and nothing else."""

    def do_GET(self):
        self.server.paths.append(self.path)
        items = [{"metadata": {"name": name}} for name in ("mail", "movies")] if "/taskqueues" in self.path else []
        body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": items}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch) -> Iterator[ThreadingHTTPServer]:
    """The server, which the kubeconfig names."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.paths = []
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{made.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pause", "ma"], "mail\n:4\n"),
        (["pause", "mail", ""], "movies\n:4\n"),
        (["run", "--queue", "mo"], "movies\n:4\n"),
        (["list", "--queue", "x"], ":4\n"),
        (["describe", ""], ":4\n"),
        (["lint", "x"], ":0\n"),
        (["expl"], "explain\tExplain a field: its type, limits, default and rules\n:4\n"),
    ],
)
def test_what_kubectl_is_told(server, words, said):
    """cobra's protocol: candidates, and whether files are meant."""
    assert answer(words) == said


def test_names_are_those_of_the_namespace(server):
    """The context's, unless a flag before or behind the command says another."""
    answer(["pause", ""])
    answer(["pause", "-n", "one", ""])
    answer(["-n", "two", "pause", ""])
    places = [path.split("/namespaces/")[1].split("/")[0] for path in server.paths]
    assert places == ["shop", "one", "two"]
    assert all("limit=500" in path for path in server.paths)


def test_without_a_cluster_nothing_is_completed(tmp_path, monkeypatch, capsys):
    """And nothing is said: the user is still typing."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert answer(["pause", ""]) == ":4\n"
    (tmp_path / "none").write_text("{}")
    assert answer(["pause", ""]) == ":4\n"
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_the_scripts_of_shells(shell, capsys):
    """They ask `taskq` by click's variable."""
    assert main(["completion", shell]) == 0
    assert "_TASKQ_COMPLETE" in capsys.readouterr().out
