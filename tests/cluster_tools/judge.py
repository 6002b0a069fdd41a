"""Asks what GitOps tools make of an object: kstatus by Flux's own library, Argo CD's health by its Lua runtime.

The program is `local-cluster/tools/gitops`, one process for many questions.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from localcluster.tools import tool

REPO = Path(__file__).resolve().parents[2]
SCRIPTS = REPO / "gitops/argocd"

Json = dict[str, Any]


class Verdict(NamedTuple):
    """Of both dialects; ``message`` is Argo CD's."""

    kstatus: str
    argo: str
    message: str


class Judge:
    """A context manager, whose process ends with it."""

    def __init__(self) -> None:
        """The program is built if this machine does not have it."""
        self._process = subprocess.Popen([tool("gitops")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def ask(self, obj: Json, **more: Any) -> Json:
        """One answer; AssertionError with the words of what is wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"object": obj, **more}) + "\n")
        self._process.stdin.flush()
        answer: Json = json.loads(self._process.stdout.readline())
        assert "fault" not in answer, answer["fault"]
        return answer

    def judge(self, obj: Json) -> Verdict:
        """What Flux, Helm and Argo CD say. Argo CD asks no script about what is being deleted."""
        answer = self.ask(obj, script=script(obj, "health.lua"))
        if "deletionTimestamp" in obj["metadata"]:
            return Verdict(answer["kstatus"], "Progressing", "Pending deletion")
        return Verdict(answer["kstatus"], answer["lua"]["status"], answer["lua"]["message"])

    def actions(self, obj: Json) -> set[str]:
        """The actions that Argo CD offers now."""
        offered = self.ask(obj, script=script(obj, "actions/discovery.lua"))["lua"]
        return {name for name, action in offered.items() if not action.get("disabled")}

    def act(self, obj: Json, action: str) -> Json:
        """What an action makes of an object, as the parts that users may write."""
        changed = self.ask(obj, script=script(obj, f"actions/{action}/action.lua"))["lua"]
        kept = {"metadata": {"annotations": changed["metadata"].get("annotations") or {}}, "spec": changed["spec"]}
        return {part: _restored(kept[part], obj.get(part, {})) for part in kept}


def script(obj: Json, name: str) -> str:
    """The text of a Lua file for the object's kind."""
    group = obj["apiVersion"].partition("/")[0]
    return (SCRIPTS / group / obj["kind"] / name).read_text(encoding="utf-8")


def _restored(new: Any, old: Any) -> Any:
    """Lua has one word for an empty object and an empty list; as Argo CD does, what it was before decides."""
    if isinstance(new, list) and not new and isinstance(old, dict):
        return {}
    if isinstance(new, dict) and isinstance(old, dict):
        return {key: _restored(value, old.get(key)) for key, value in new.items()}
    if isinstance(new, list) and isinstance(old, list):
        return [_restored(*pair) for pair in zip(new, old, strict=True)]
    return new
