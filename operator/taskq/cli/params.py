"""Parameters of TaskTemplates on the command line, checked as the operator checks them."""

from __future__ import annotations

from taskq.cli.errors import CliError
from taskq.cli.framework import bundle, option
from taskq.cli.kinds import Object, name_of
from taskq.cli.newtask import pairs

SOURCES = {"secret": "secretKeyRef", "configmap": "configMapKeyRef", "task": "taskResult"}


def _parameters(params: tuple[str, ...], sources: tuple[str, ...]) -> list[Object]:
    given = [{"name": name, "value": value} for name, value in pairs(params, "--param").items()]
    return given + [_sourced(name, source) for name, source in pairs(sources, "--param-from").items()]


def _sourced(name: str, source: str) -> Object:
    kind, _, rest = source.partition("/")
    owner, slash, key = rest.partition("/")
    if kind not in SOURCES or not owner or (kind == "task") is bool(slash):
        raise CliError(f"--param-from {name}={source}: write it as secret/NAME/KEY, configmap/NAME/KEY or task/NAME")
    reference = {"name": owner} if kind == "task" else {"name": owner, "key": key}
    return {"name": name, "valueFrom": {SOURCES[kind]: reference}}


parameterised = bundle(
    "parameters",
    _parameters,
    option("-p", "--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; again for more."),
    option(
        "--param-from",
        "sources",
        multiple=True,
        metavar="NAME=SOURCE",
        help="A parameter from secret/NAME/KEY, configmap/NAME/KEY, or task/NAME (its result).",
    ),
)
"""Gives a command `parameters: list[Object]`, as they stand in a Task."""


def results_of(parameters: list[Object]) -> list[str]:
    """The Tasks whose results are asked for: they have to end first."""
    sources = [one.get("valueFrom", {}).get("taskResult") for one in parameters]
    return [source["name"] for source in sources if source]


def check_parameters(template: Object, given: list[Object]) -> None:
    """A CliError that names every fault, before there is a Task that could only fail; no value is repeated."""
    import msgspec

    from taskq.domain.parameters import Given, Parameter, bind

    try:
        schema = msgspec.convert(template["spec"].get("parameters") or (), tuple[Parameter, ...])
    except msgspec.ValidationError:
        return  # a template of another version: the operator will tell
    _, wrong = bind(schema, msgspec.convert(given, tuple[Given, ...]))
    if wrong:
        said = "; ".join(wrong)
        hint = "; give it with --param-from NAME=secret/NAME/KEY" if "secretKeyRef" in said else ""
        raise CliError(f"TaskTemplate {name_of(template)}: {said}{hint}")
