"""Lines of a crontab, as `crontab -l` prints them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from taskq.cli.conversion.made import Made, Wanted, schedule, slug
from taskq.cli.errors import CliError
from taskq.cli.kinds import Object

_VARIABLE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_JOB = re.compile(r"\s*(@\S+|\S+(?:\s+\S+){4})\s+(.+?)\s*")
_ZONES = ("CRON_TZ", "TZ")
_OWN = ("SHELL", "MAILTO", *_ZONES)
_STDIN = re.compile(r"(?<!\\)%")


def looks_like(text: str) -> bool:
    """Whether all lines that say something are a crontab's."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    jobs = [line for line in lines if not _VARIABLE.fullmatch(line)]
    return bool(jobs) and all(
        re.match(r"\s*(@[a-z]+|[-0-9*,/A-Za-z]+(\s+[-0-9*,/?LW#A-Za-z]+){4})\s+\S", one) for one in jobs
    )


def convert(text: str, wanted: Wanted) -> Iterator[Made]:
    """A Schedule a line; CliError, with the line's number, for what is none."""
    if not wanted.image:
        raise CliError("a crontab's commands need an image to run in: name it with --image")
    variables: dict[str, str] = {}
    names: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if variable := _VARIABLE.fullmatch(line):
            variables[variable[1]] = variable[2].strip("'\"")
            continue
        job = _JOB.fullmatch(line)
        if job is None:
            raise CliError(f"line {number} is none of a crontab: {line.strip()!r}")
        name = _named(job[2], names)
        yield _made(name, job[1], job[2], dict(variables), wanted)


def _named(command: str, taken: set[str]) -> str:
    program = next((word for word in command.split() if "=" not in word), command).rsplit("/", 1)[-1]
    base = slug(program.rsplit(".", 1)[0])
    name = next(one for one in (base, *(f"{base[:46]}-{n}" for n in range(2, 10_000))) if one not in taken)
    taken.add(name)
    return name


def _made(name: str, when: str, command: str, variables: dict[str, str], wanted: Wanted) -> Made:
    notes = []
    zone = next((variables[key] for key in _ZONES if variables.get(key)), "")
    if not zone and not wanted.zone:
        notes.append("a crontab runs by its machine's clock; the Schedule runs in Etc/UTC unless --zone is given")
    shell = variables.get("SHELL") or "/bin/sh"
    parts = [part.replace("\\%", "%") for part in _STDIN.split(command)]
    if len(parts) > 1:
        notes.append("what came after % was the command's stdin; here a here-document gives it")
        lines = "\n".join(parts[1:])
        parts[0] += f" <<'END_OF_STDIN'\n{lines}\nEND_OF_STDIN"
    container: Object = {"name": "main", "image": wanted.image, "command": [shell, "-c", parts[0]]}
    if env := [{"name": key, "value": value} for key, value in variables.items() if key not in _OWN]:
        container["env"] = env
    task = {"jobTemplate": {"spec": {"template": {"spec": {"containers": [container]}}}}}
    spec: Object = {"schedules": [when], "concurrencyPolicy": "Allow"}
    if zone:
        spec["timeZone"] = zone
    return Made(schedule({"name": name}, spec, task, wanted), notes)
