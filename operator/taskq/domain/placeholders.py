"""``$(params.NAME)`` in a TaskTemplate: where it may stand, and how a value takes its place.

A value becomes one argument of a program, as it is, and never a part of a text that a shell reads. So a placeholder
may be a whole element of ``command`` or ``args``, or follow ``--flag=`` in one, but not where a shell or another
interpreter takes code from. Whoever needs a value inside a script takes it from the environment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

CONTAINER_LISTS = ("initContainers", "containers")
_MARK = re.compile(r"(?<!\$)(?:\$\$)*\$\(params\.([^)]{0,100})")
"""As the kubelet reads text: two ``$`` are one that begins nothing."""
_ELEMENT = re.compile(
    r"(--[A-Za-z0-9][A-Za-z0-9._-]*=|-[A-Za-z0-9][A-Za-z0-9._-]+=)?\$\(params\.([A-Za-z][A-Za-z0-9_-]*)\)"
)
_CODE_FLAG = re.compile(r"-[A-Zabefhiklmnrstuvx]*c[A-Zabefhiklmnrstuvx]*|/[cCkK]|--?(?i:eval|command|cmd|exec|print)")
"""Options after which shells and other interpreters expect code: ``-c``, also as ``-ec`` or ``-lc``."""
_CODE_PREFIX = re.compile(r"--?(eval|command|cmd|exec|print)=", re.IGNORECASE)
_SHELLS = {"sh", "ash", "bash", "dash", "zsh", "ksh", "mksh", "csh", "tcsh", "fish", "rbash", "cmd", "pwsh", "busybox"}
_INTERPRETERS = {"python", "pypy", "perl", "ruby", "node", "nodejs", "deno", "bun", "php", "lua", "awk", "gawk", "sed"}
_LAUNCHERS = {"env", "xargs", "nohup", "setsid", "nice", "ionice", "stdbuf", "time", "timeout", "chroot", "su", "sudo"}
_INITS = {"tini", "dumb-init", "gosu", "su-exec", "eval", "exec"}
_RUNNERS = frozenset(_SHELLS | _INTERPRETERS | _LAUNCHERS | _INITS)
"""Programs that run what the first word after their options names, or is."""
_VERSION = re.compile(r"[0-9.]*(\.exe)?$")
_NO_OPERAND = re.compile(r"[-+].*|[0-9.]+[smhd]?|[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
"""An option, the time of a ``timeout``, or a variable of an ``env``: what is to be run comes later."""
_OPTION_WITH_WORD = re.compile(r"[-+][A-Za-z]*[oO][A-Za-z]*|--rcfile|--init-file")


class Uses:
    """Where a template uses parameters, and where it must not."""

    def __init__(self) -> None:
        """Nothing is found yet."""
        self.names: dict[str, str] = {}
        """The parameters in ``command`` and ``args``, each with the first field that uses it."""
        self.faults: list[str] = []


def find(pod: dict[str, Any], field: str) -> Uses:
    """Look through a pod template; ``field`` is where it stands in its object."""
    uses = Uses()
    for container, where in _containers(pod, field):
        _look_at_program(container, where, uses)
    for text, where in _texts(pod, field):
        if _MARK.search(text) and not _is_argument(where):
            uses.faults.append(
                f"{where}: $(params.…) may only stand in command and args of a container; elsewhere, as in an "
                "environment variable, the containers' variables are there: $(TASKQ_PARAM_…)"
            )
    return uses


def fill_in(pod: dict[str, Any], value_of: Callable[[str], str]) -> None:
    """Put values in the place of the placeholders in ``command`` and ``args`` of every container."""
    for container, _ in _containers(pod, ""):
        for part in ("command", "args"):
            elements = container.get(part)
            if elements:
                container[part] = [_filled(element, value_of) for element in elements]


def literal(value: str) -> str:
    """A text from which the kubelet's own expansion of ``$(NAME)`` makes exactly this value."""
    return value.replace("$", "$$")


def _filled(element: Any, value_of: Callable[[str], str]) -> Any:
    found = _ELEMENT.fullmatch(element) if isinstance(element, str) else None
    return (found[1] or "") + literal(value_of(found[2])) if found else element


def _look_at_program(container: dict[str, Any], where: str, uses: Uses) -> None:
    """Follow command and args as the one list that they become."""
    before, undecided = "", True  # until something literal says what runs
    for part in ("command", "args"):
        for number, element in enumerate(container.get(part) or ()):
            if not isinstance(element, str):
                continue
            place = f"{where}.{part}[{number}]"
            found = _ELEMENT.fullmatch(element)
            if _MARK.search(element):
                fault = _fault(element, before, undecided=undecided, by_image=not container.get("command"))
                if fault:
                    uses.faults.append(f"{place}: {fault}")
                elif found:
                    uses.names.setdefault(found[2], place)
            elif undecided and not _NO_OPERAND.fullmatch(element) and not _OPTION_WITH_WORD.fullmatch(before):
                undecided = _VERSION.sub("", element.rsplit("/", 1)[-1].lower()) in _RUNNERS
            before = element


def _fault(element: str, before: str, *, undecided: bool, by_image: bool) -> str:
    if not _ELEMENT.fullmatch(element):
        return (
            "$(params.NAME) must be a whole element, or follow --flag= in one: inside other text it could become code; "
            "take the value from the environment variable TASKQ_PARAM_NAME there, or write $$(params.NAME) to mean "
            "these very characters"
        )
    if by_image:
        return "$(params.NAME) needs a command in its container: the image's own may be a shell, which takes it as code"
    if _CODE_FLAG.fullmatch(before) or _CODE_PREFIX.match(element):
        return f"$(params.NAME) must not stand where code is expected, as after {before}; {_INSTEAD}"
    if undecided:
        return f"$(params.NAME) must not stand before what says which program or script runs; {_INSTEAD}"
    return ""


_INSTEAD = (
    'let a script read "$TASKQ_PARAM_NAME", or pass the value to it as an argument: '
    "[sh, -c, 'echo \"$1\"', sh, $(params.NAME)]"
)


def _containers(pod: dict[str, Any], field: str) -> Iterator[tuple[dict[str, Any], str]]:
    spec = pod.get("spec") or {}
    for kind in CONTAINER_LISTS:
        for number, container in enumerate(spec.get(kind) or ()):
            yield container, f"{field}.spec.{kind}[{number}]"


def _is_argument(where: str) -> bool:
    return re.search(r"\.spec\.(initContainers|containers)\[\d+\]\.(command|args)\[\d+\]$", where) is not None


def _texts(node: Any, where: str) -> Iterator[tuple[str, str]]:
    """Every text below a node, keys of maps included, with its path."""
    if isinstance(node, str):
        yield node, where
    elif isinstance(node, list):
        for number, item in enumerate(node):
            yield from _texts(item, f"{where}[{number}]")
    elif isinstance(node, dict):
        for name, item in node.items():
            yield name, where
            yield from _texts(item, f"{where}.{name}")
