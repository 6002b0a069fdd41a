"""Tables, documents and JSONPath, as kubectl prints them."""

from __future__ import annotations

import io
import json

import pytest
import yaml

from taskq.cli.errors import CliError
from taskq.cli.jsonpath import Template
from taskq.cli.kinds import TASK
from taskq.cli.output import Column, Format, Table, has_colours, parse_format, phase_colour, print_documents

COLUMNS = (
    Column("NAME", lambda row: row[0]),
    Column("PHASE", lambda row: row[1], colour=phase_colour),
    Column("NODE", lambda row: "n1", wide=True),
)


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


def test_a_table_is_as_wide_as_its_rows():
    """Three spaces between columns, none at the end of a line."""
    out = io.StringIO()
    table = Table(COLUMNS, stream=out)
    table.print([table.row(("a", "Running")), table.row(("much-longer", ""))])
    assert out.getvalue() == "NAME          PHASE\na             Running\nmuch-longer   <none>\n"


def test_a_table_grows_while_it_is_printed():
    """Later pages may need more room: no list has to be complete first."""
    out = io.StringIO()
    table = Table(COLUMNS, stream=out, wide=True)
    table.print([table.row(("a", "Running"))])
    table.print([])
    table.print([table.row(("longer", "Failed"))])
    assert out.getvalue().splitlines() == ["NAME   PHASE     NODE", "a      Running   n1", "longer   Failed    n1"]


def test_headers_can_be_left_out():
    """Then they take no room either."""
    out = io.StringIO()
    table = Table(COLUMNS, headers=False, stream=out)
    table.print([table.row(("a", "Failed"))])
    assert out.getvalue() == "a   Failed\n"


def test_colours_are_for_terminals(monkeypatch):
    """And not for those who set NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    table = Table(COLUMNS, stream=out)
    table.print([table.row(("a", "Failed"))])
    assert "\x1b[31mFailed\x1b[0m" in out.getvalue()
    assert not has_colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())


def test_formats_are_read():
    """One that nobody knows is refused with those that there are."""
    assert parse_format("wide").is_table
    assert parse_format("jsonpath={.a}") == Format("jsonpath", "{.a}")
    for text in ("xml", "jsonpath", "json=x"):
        with pytest.raises(CliError, match="it takes table, wide"):
            parse_format(text)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_lists_are_whole_documents_however_they_come(capsys, number):
    """They are written object by object, and are still JSON and YAML."""
    objects = [{"metadata": {"name": f"t{i}", "managedFields": []}, "spec": {"a": ["x\ny"]}} for i in range(number)]
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        assert print_documents(TASK, iter(objects), Format(form)) == number
        found = read(capsys.readouterr().out)
        assert [item["metadata"] for item in found["items"]] == [{"name": f"t{i}"} for i in range(number)]
        assert (found["kind"], found["apiVersion"]) == ("List", "v1")
    print_documents(TASK, iter(objects), Format("name"))
    assert capsys.readouterr().out == "".join(f"task.taskq.dev/t{i}\n" for i in range(number))


DOCUMENT = {
    "items": [
        {"metadata": {"name": "a", "labels": {"taskq.dev/queue": "q1"}}, "status": {"n": 1, "ok": True}},
        {"metadata": {"name": "b"}, "status": {"n": 5, "ok": False}},
        {"metadata": {"name": "c"}, "status": {"n": 3}},
    ]
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{.items[*].metadata.name}", "a b c"),
        (".items[0].metadata.name", "a"),
        ("{.items[-1].metadata.name}", "c"),
        ("{.items[0:2].metadata.name}", "a b"),
        ("{.items[::2].metadata.name}", "a c"),
        ("{.items[0,2].metadata.name}", "a c"),
        ("{.items[0]['metadata','status'].name}", "a"),
        ("{.items[0].metadata.labels.taskq\\.dev/queue}", "q1"),
        ("{.items[0].metadata.labels['taskq.dev/queue']}", "q1"),
        ('{.items[?(@.metadata.name=="b")].status.n}', "5"),
        ("{.items[?(@.status.n>=3)].metadata.name}", "b c"),
        ("{.items[?(@.metadata.labels)].metadata.name}", "a"),
        ("{.items[?(@.status.ok==false)].metadata.name}", "b"),
        ("{..name}", "a b c"),
        ("{$.items[0].status}", '{"n":1,"ok":true}'),
        ("{.nothing}", ""),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.status.n}{"\\n"}{end}', "a\t1\nb\t5\nc\t3\n"),
        ("names: {.items[*].metadata.name}!", "names: a b c!"),
        ("{'{braces}'}", "{braces}"),
        ("{range .items[*]}[{.metadata.name}]{end}", "[a][b][c]"),
    ],
)
def test_jsonpath_is_kubectls(template, text):
    """Paths, filters, slices, unions, ranges and quoted text."""
    assert Template(template).render(DOCUMENT) == text
    around = {key: value for key, value in DOCUMENT.items() if key != "items"}
    assert "".join(Template(template).render_list(iter(DOCUMENT["items"]), around)) == text


@pytest.mark.parametrize(
    "template",
    ["{range .items[*]}{.a}\n{end}", "{.items[*].a}", "all: {$.items.*.a}.", "{range .items[*].b[*]}{.a}{end}"],
)
def test_jsonpath_over_items_keeps_one_of_them(template):
    """However long the list is: what was printed is forgotten before the next page is asked for."""
    asked = []

    def items():
        for number in range(3):
            asked.append(number)
            yield {"a": number, "b": [{"a": number}]}

    told = Template(template).render_list(items(), {})
    while "1" not in next(told):
        pass
    assert asked == [0, 1]


@pytest.mark.parametrize(
    "template", ["{.a", "{range .a}", "{end}", "{.a[}", "{.a[x]}", "{.a[?(@.b==c)]}", "{.a b}", "{.a[?(@.b>]}"]
)
def test_jsonpath_that_cant_be_read_is_refused(template):
    """In one line, not with a traceback."""
    with pytest.raises(CliError, match="JSONPath"):
        Template(template)
