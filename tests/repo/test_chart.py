"""What the chart has from elsewhere in the repository is current, without calling helm: tests/chart does."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from bench import rig

import chart_files
import rootfs
import taskq

REPO = Path(__file__).parents[2]
GENERATED = chart_files.files()
CHART = yaml.safe_load((REPO / "helm/taskq/Chart.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_file_of_the_chart_is_current(path):
    """On failure: `make generate`."""
    assert path.read_text(encoding="utf-8") == GENERATED[path]


def test_the_chart_has_no_other_crd():
    """A kind that was renamed leaves no file behind."""
    assert {path for path in GENERATED if path.suffix == ".yaml"} == set((REPO / "helm/taskq/files/crds").iterdir())


def test_the_chart_installs_the_version_that_it_comes_with():
    """appVersion is the image's tag."""
    assert CHART["appVersion"] == taskq.__version__


def test_the_dockerfile_sets_what_the_other_build_sets():
    """Variables, user and command are the same with and without a container engine."""
    text = (REPO / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line and line[0] not in "# ")
    assert dict(pair.split("=", 1) for pair in lines["ENV"].split()) == rootfs.ENVIRONMENT
    assert rig.OF_THE_IMAGE.items() <= rootfs.ENVIRONMENT.items(), "what is measured is what is installed"
    assert lines["USER"] == f"{rootfs.USER}:{rootfs.USER}"
    assert yaml.safe_load(lines["ENTRYPOINT"]) == list(rootfs.ENTRYPOINT)
