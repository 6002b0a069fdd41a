"""Celery's beat_schedule, out of a Python file, a Python dict or JSON. Nothing of it is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

from taskq.cli.conversion.made import Made, Wanted, schedule, slug
from taskq.cli.errors import CliError
from taskq.cli.kinds import Object

NAMES = ("beat_schedule", "CELERY_BEAT_SCHEDULE", "CELERYBEAT_SCHEDULE")
_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
_CONSTANTS = {"true": True, "false": False, "null": None}  # JSON's


class Crontab(NamedTuple):
    """Celery's crontab(…), written as cron does."""

    text: str
    both_days: bool


def find(text: str) -> Object | None:
    """The beat schedule of a file, or None when it has none; CliError when it needs Python to be read."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    try:
        return _found(tree)
    except (TypeError, ValueError, OverflowError) as error:
        raise CliError(f"the beat schedule can't be read: {error}") from error


def _found(tree: ast.Module) -> Object | None:
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and any(_is_name(target) for target in statement.targets):
            return _dict(_value(statement.value))
    if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) and isinstance(tree.body[0].value, ast.Dict):
        found = _value(tree.body[0].value)
        return None if "apiVersion" in found else _dict(found)
    return None


def _is_name(target: ast.expr) -> bool:
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
    return name in NAMES


def _dict(found: Any) -> Object:
    """With JSON's or a settings file's own outer dict taken off."""
    inner = next((found[name] for name in NAMES if isinstance(found, dict) and name in found), found)
    if not isinstance(inner, dict) or not all(isinstance(one, dict) for one in inner.values()):
        raise CliError("the beat schedule must be a dict of entries, each a dict with task and schedule")
    return inner


def _value(node: ast.expr) -> Any:
    """A literal, with crontab(…), timedelta(…) and products and sums of numbers in it."""
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in _CONSTANTS:
            return _CONSTANTS[node.id]
        case ast.Dict():
            pairs = zip(node.keys, node.values, strict=True)
            return {_value(key): _value(value) for key, value in pairs if key is not None}
        case ast.List() | ast.Tuple() | ast.Set():
            return [_value(item) for item in node.elts]
        case ast.UnaryOp(op=ast.USub()):
            return -_value(node.operand)
        case ast.BinOp(op=ast.Mult()):
            return _number(node.left) * _number(node.right)
        case ast.BinOp(op=ast.Add()):
            return _number(node.left) + _number(node.right)
        case ast.Call():
            return _call(node)
    raise CliError(f"line {node.lineno} of the beat schedule is computed: write the value there, then convert")


def _number(node: ast.expr) -> float:
    found = _value(node)
    if not isinstance(found, int | float):
        raise CliError(f"line {node.lineno} of the beat schedule computes with what is no number")
    return found


def _call(node: ast.Call) -> Any:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    given = {word.arg: _value(word.value) for word in node.keywords if word.arg}
    if name == "timedelta":
        return timedelta(*[_value(one) for one in node.args], **given).total_seconds()
    if name == "schedule" and (node.args or "run_every" in given):
        return given["run_every"] if "run_every" in given else _value(node.args[0])
    if name != "crontab":
        raise CliError(f"line {node.lineno} of the beat schedule: {name or 'this'}(…) has no Schedule like it")
    given |= dict(zip(_FIELDS[:2], [_value(one) for one in node.args[:2]], strict=False))
    fields = [_field(given.get(field, "*"), field) for field in _FIELDS]
    return Crontab(" ".join(fields), both_days=fields[2] != "*" and fields[4] != "*")


def _field(value: Any, field: str) -> str:
    text = ",".join(str(one) for one in value) if isinstance(value, list) else str(value)
    text = text.replace(" ", "").lower()
    if field == "day_of_week":
        for day in ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"):
            text = text.replace(day, day[:3])
    return text


def convert(entries: Object, wanted: Wanted) -> Iterator[Made]:
    """A Schedule an entry: its Task refers to a TaskTemplate named as Celery's task, which is yours to write."""
    for name, entry in entries.items():
        if "task" not in entry or "schedule" not in entry:
            raise CliError(f"the entry {name!r} needs task and schedule")
        notes: list[str] = []
        spec = _when(entry["schedule"], name, notes)
        if isinstance(expires := (entry.get("options") or {}).get("expires"), int | float):
            spec["startingDeadlineSeconds"] = max(1, int(expires))
        task = _task(entry, notes)
        yield Made(schedule({"name": slug(str(name))}, spec, task, wanted), notes)


def _when(given: Any, name: str, notes: list[str]) -> Object:
    if isinstance(given, Crontab):
        if given.both_days:
            notes.append("Celery wants both days to fit, cron one of them: set day of month or day of week to *")
        return {"schedules": [given.text], "concurrencyPolicy": "Allow"}
    if isinstance(given, str):
        return {"schedules": [given], "concurrencyPolicy": "Allow"}
    if isinstance(given, int | float) and not isinstance(given, bool) and given >= 1:
        if given != int(given):
            notes.append(f"every {given} s becomes every {int(given)} s: a Schedule counts whole seconds")
        return {"everySeconds": int(given), "concurrencyPolicy": "Allow"}
    raise CliError(f"the schedule of {name!r} is none that can be converted: {given!r}")


def _task(entry: Object, notes: list[str]) -> Object:
    template = slug(str(entry["task"]))
    notes.append(f"write the TaskTemplate {template}, which runs {entry['task']}")
    options = entry.get("options") or {}
    task: Object = {"templateRef": {"name": template}}
    if options.get("queue"):
        task["queueName"] = slug(str(options["queue"]))
    if options.get("priority") is not None:
        task["priority"] = options["priority"]
        notes.append("a higher priority goes first here and with RabbitMQ; with Redis it is the other way round")
    if entry.get("kwargs"):
        task["parameters"] = [{"name": key, "value": _text(value)} for key, value in entry["kwargs"].items()]
    if entry.get("args"):
        notes.append(f"args {entry['args']!r} have no names: give them as parameters of the TaskTemplate")
    return task


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
