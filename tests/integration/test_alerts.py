"""The alert rules, tried by Prometheus' own tool: each with a case in which it fires and one in which it is quiet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from localcluster import debian

REPO = Path(__file__).resolve().parents[2]
RULES = sorted((REPO / "helm/taskq/rules").glob("*.yaml"))


def promtool(*arguments: str | Path) -> str:
    """What it says; it must be content."""
    command = [debian.program("prometheus", "promtool"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules() -> None:
    """As they are, without the chart."""
    said = promtool("check", "rules", *RULES)
    assert said.count("SUCCESS") == len(RULES)


@pytest.mark.parametrize("cases", sorted((REPO / "tests/alerts").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_rules_fire_and_are_quiet_as_told(cases: Path) -> None:
    """With the texts that whoever is woken up reads."""
    promtool("test", "rules", cases)
