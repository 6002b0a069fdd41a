"""Writes gitops/argocd/argocd-cm.yaml, what Argo CD should know of TaskQ's kinds, from the Lua files beside it.

    python gitops/argocd_files.py [--check]

The files lie as in Argo CD's own folder of customizations: GROUP/KIND/health.lua, GROUP/KIND/actions/NAME/action.lua.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import indent

HERE = Path(__file__).resolve().parent / "argocd"
CONFIG_MAP = HERE / "argocd-cm.yaml"

BUSY = ("Schedule", "Task", "TaskQueue")
"""Kinds whose status changes by the second while there is work."""

HEAD = """\
# What Argo CD should know of TaskQ's kinds: their health, and what can be done to them in its user interface.
# Made from the Lua files beside this one by `make generate`. It adds keys and leaves all others alone:
#
#   kubectl -n argocd patch configmap argocd-cm --type merge --patch-file gitops/argocd/argocd-cm.yaml
#
# As a patch in a kustomization it works, too. A change of a status alone makes Argo CD compare an application again
# only if the health changes with it.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  labels:
    app.kubernetes.io/part-of: argocd
data:
"""


def config_map() -> str:
    """The manifest."""
    keys = {}
    for folder in sorted(path.parent for path in HERE.glob("*/*/health.lua")):
        resource = f"{folder.parent.name}_{folder.name}"
        keys[f"health.{resource}"] = _text(folder / "health.lua")
        if (folder / "actions").is_dir():
            keys[f"actions.{resource}"] = _actions(folder / "actions")
        if folder.name in BUSY:
            keys[f"ignoreResourceUpdates.{resource}"] = "jsonPointers: [/status]\n"
    return HEAD + "".join(f"  resource.customizations.{key}: |\n{indent(text, '    ')}" for key, text in keys.items())


def _actions(folder: Path) -> str:
    text = f"discovery.lua: |\n{indent(_text(folder / 'discovery.lua'), '  ')}definitions:\n"
    for script in sorted(folder.glob("*/action.lua")):
        text += f"  - name: {script.parent.name}\n    action.lua: |\n{indent(_text(script), '      ')}"
    return text


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def main() -> int:
    """Write, or with --check only say; 1 when the file is not current."""
    check, made = "--check" in sys.argv[1:], config_map()
    if CONFIG_MAP.exists() and _text(CONFIG_MAP) == made:
        return 0
    print(f"gitops/argocd/{CONFIG_MAP.name}: {'not current; run `make generate`' if check else 'written'}")
    if not check:
        CONFIG_MAP.write_text(made, encoding="utf-8")
    return 1 if check else 0


if __name__ == "__main__":
    sys.exit(main())
