"""The generated files are the ones that the models make."""

from pathlib import Path

import pytest

from taskq.resources import crd

REPO = Path(__file__).resolve().parents[3]
GENERATED = crd.files(REPO / "crds", REPO / "docs/reference/fields.md")


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.name)
def test_a_generated_file_is_current(path: Path) -> None:
    """On failure: `python -m taskq.resources.crd crds --docs docs/reference/fields.md`."""
    assert path.read_text(encoding="utf-8") == GENERATED[path]


def test_the_folder_holds_no_other_crd() -> None:
    """A kind that was renamed leaves no stale file behind that users would apply."""
    assert sorted(path.name for path in (REPO / "crds").iterdir()) == sorted(
        path.name for path in GENERATED if path.suffix == ".yaml"
    )
