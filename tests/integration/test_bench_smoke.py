"""The bench still works: every measurement, with small numbers and without judging them."""

import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_measurement_finds_figures(tmp_path):
    """What is only run before a release is broken at a release."""
    page, results = tmp_path / "figures.md", tmp_path / "results"
    command = [sys.executable, "-m", "bench", "--quick", "--results", str(results), "--page", str(page)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {file.stem for file in results.iterdir()} >= {"launch-rate", "steady-state", "memory", "failover"}
    text = page.read_text(encoding="utf-8")
    for words in ("launch rate", "steady state", "API writes", "memory", "cold start", "failover: crash"):
        assert words in text
    assert "Schedules due in the same second" in text
