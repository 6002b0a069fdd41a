"""examples/gitops: fields that Flux knows, paths and values that exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster_tools import chart
from cluster_tools.judge import Judge
from localcluster.tools import tool

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples/gitops"
FLUX = ("flux.yaml", "operator/release.yaml")

Json = dict[str, Any]


def documents(name: str) -> list[Json]:
    """The objects of a file."""
    return list(yaml.safe_load_all((EXAMPLES / name).read_text(encoding="utf-8")))


OF_FLUX = [obj for name in FLUX for obj in documents(name)]
APPLICATIONS = documents("argocd.yaml")


@pytest.mark.parametrize("obj", OF_FLUX, ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}")
def test_flux_knows_every_field(judge: Judge, obj: Json) -> None:
    """By the Go types of its controllers."""
    judge.ask(obj, strict=True)


def test_a_field_that_flux_does_not_know_is_found(judge: Judge) -> None:
    """The test above can fail."""
    obj = documents("flux.yaml")[0]
    obj["spec"]["branch"] = "main"
    with pytest.raises(AssertionError, match='unknown field "branch"'):
        judge.ask(obj, strict=True)


def test_the_paths_exist() -> None:
    """Of Flux and of Argo CD."""
    paths = [obj["spec"]["path"] for obj in OF_FLUX if obj["kind"] == "Kustomization"]
    paths += [obj["spec"]["source"]["path"] for obj in APPLICATIONS]
    paths += [obj["spec"]["chart"]["spec"]["chart"] for obj in OF_FLUX if obj["kind"] == "HelmRelease"]
    assert paths
    for path in paths:
        assert {"kustomization.yaml", "Chart.yaml"} & {file.name for file in (REPO / path).iterdir()}


def test_what_is_referred_to_is_there() -> None:
    """Sources, dependencies and providers, by kind and name."""
    there = {(obj["kind"], obj["metadata"]["name"]) for obj in OF_FLUX}
    for obj in OF_FLUX:
        spec = obj["spec"].get("chart", {}).get("spec") or obj["spec"]
        named = [("Kustomization", each["name"]) for each in spec.get("dependsOn", ())]
        named += [("Provider", spec["providerRef"]["name"])] if "providerRef" in spec else []
        for source in [*spec.get("eventSources", ()), *([spec["sourceRef"]] if "sourceRef" in spec else ())]:
            named.append((source["kind"], source["name"]))
        assert set(named) <= there


def test_the_chart_takes_the_values() -> None:
    """Those of Flux and of Argo CD are the same."""
    [release] = [obj for obj in OF_FLUX if obj["kind"] == "HelmRelease"]
    values = release["spec"]["values"]
    assert APPLICATIONS[0]["spec"]["source"]["helm"]["valuesObject"] == values
    rendered = chart.render(tool("helm"), **values)
    assert rendered.one("Deployment")["spec"]["replicas"] == values["replicas"]


def test_the_folders_list_all_their_files() -> None:
    """A file that the kustomization forgets would never be applied."""
    for file in EXAMPLES.glob("*/kustomization.yaml"):
        listed = yaml.safe_load(file.read_text(encoding="utf-8"))["resources"]
        assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in file.parent.iterdir())
