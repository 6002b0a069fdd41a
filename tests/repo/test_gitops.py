"""What Argo CD is told is made from the Lua files and nothing else; what they mean, tests/gitops shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import argocd_files

REPO = Path(__file__).parents[2]
FILE = yaml.safe_load(argocd_files.CONFIG_MAP.read_text(encoding="utf-8"))
LUA = argocd_files.HERE / "taskq.dev"
KINDS = [
    yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["names"]["kind"] for path in (REPO / "crds").iterdir()
]
PREFIX = "resource.customizations"


def test_the_config_map_is_current():
    """On failure: `make generate`."""
    assert argocd_files.CONFIG_MAP.read_text(encoding="utf-8") == argocd_files.config_map()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_health_check(kind):
    """The text that stands in the ConfigMap is that of the file which the tests run."""
    assert FILE["data"][f"{PREFIX}.health.taskq.dev_{kind}"] == (LUA / kind / "health.lua").read_text(encoding="utf-8")


def test_actions_are_those_of_the_files():
    """Each with its script, and none beside them."""
    found = {}
    for kind in KINDS:
        text = FILE["data"].get(f"{PREFIX}.actions.taskq.dev_{kind}")
        for action in yaml.safe_load(text)["definitions"] if text else ():
            found[LUA / kind / "actions" / action["name"] / "action.lua"] = action["action.lua"]
    assert found == {path: path.read_text(encoding="utf-8") for path in LUA.glob("*/actions/*/action.lua")}
    assert found
