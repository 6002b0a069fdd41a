"""`init`: files that can be applied as they are."""

from __future__ import annotations

import yaml

from taskq.cli.linting import lint
from taskq.cli.main import main


def test_what_is_written_is_in_order(tmp_path, capsys):
    """Three files, linted together: the Schedule's parameter is one of the template's."""
    where = tmp_path / "new"
    assert main(["init", "mail", "--dir", str(where), "--cron", "*/5 * * * *", "--zone", "Asia/Kolkata"]) == 0
    assert capsys.readouterr().out.count(" written\n") == 3
    done = lint([str(where)])
    assert (done.files, done.objects, done.findings) == (3, 3, [])
    schedule = yaml.safe_load((where / "schedule.yaml").read_text())
    assert schedule["spec"]["schedules"] == ["*/5 * * * *"]
    assert schedule["spec"]["timeZone"] == "Asia/Kolkata"


def test_nothing_is_written_over(tmp_path, capsys):
    """Unless that is asked for."""
    args = ["init", "mail", "--dir", str(tmp_path), "--only", "queue"]
    assert main(args) == 0
    (tmp_path / "queue.yaml").write_text("mine")
    assert main(args) == 1
    assert "--force" in capsys.readouterr().err
    assert (tmp_path / "queue.yaml").read_text() == "mine"
    assert main([*args, "--force"]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["queue.yaml"]
    assert (tmp_path / "queue.yaml").read_text() != "mine"


def test_what_could_not_be_applied_is_not_written(tmp_path, capsys):
    """A name, or a time, that would be refused."""
    for name in ("Mail", "a: b", "a\n- b", "n" * 53):
        assert main(["init", name, "--dir", str(tmp_path)]) == 1
    assert main(["init", "mail", "--dir", str(tmp_path), "--cron", "0 3 31 2 *"]) == 1
    assert main(["init", "mail", "--dir", str(tmp_path), "--zone", 'a"b: c']) == 1
    assert capsys.readouterr().err.count("\n") == 6
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written(tmp_path, capsys):
    """One line."""
    (tmp_path / "file").write_text("")
    assert main(["init", "mail", "--dir", str(tmp_path / "file" / "below")]) == 1
    assert "can't be written" in capsys.readouterr().err
