"""Curation of real data sets: nothing crashes, every image is accounted for, names are pybids'."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from braindata.bids.entities import entities, entity_columns
from braindata.curate.inventory import Inventory, Source, build_inventory, index_images
from braindata.curate.parameters import CurateParameters
from braindata.curate.validator import Verdict
from braindata.pull.local import pull_local
from braindata.tables.schemas import RECORDINGS

EXAMPLES = (
    *("7t_trt", "ds000001-fmriprep", "ds000117", "ds000248", "ds001", "ds002", "ds003", "ds005"),
    *("ds008", "ds011", "ds101", "ds114", "ds210", "eeg_cbm", "eeg_face13", "eeg_matchingpennies"),
    *("eeg_rest_fmri", "fnirs_tapping", "ieeg_visual", "synthetic"),
)
REPOSITORIES = ("ds000005", "ds002336", "ds003061")


def curate(source: Path, folder: Path) -> tuple[Inventory, list[str]]:
    if source.name == "ds000001-fmriprep":
        # Derivatives, which pull refuses; whoever gets past it must not be able to make us crash.
        folder = source
        files = dict.fromkeys(
            (p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()), ""
        )
    else:
        files = {file.path: file.sha256 for file in pull_local(source, folder, "link")}
    inventory = build_inventory(
        Source("ds", "v", folder, files), Verdict(), CurateParameters(min_volumes=10)
    )
    return inventory, [name for name in files if name.endswith((".nii", ".nii.gz"))]


@pytest.fixture
def example(shared_data: Path, name: str) -> Path:
    folder = shared_data / "bids-examples" / name
    if not folder.is_dir():
        pytest.skip(f"needs {folder}, which is not here")
    return folder


@pytest.fixture
def clone(shared_data: Path, name: str, tmp_path: Path) -> Iterator[Path]:
    bundle = shared_data / "openneuro-git" / f"{name}.bundle"
    if not bundle.is_file():
        pytest.skip(f"needs {bundle}, which is not here")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(bundle), str(folder)], check=True)
    yield folder


def check(inventory: Inventory, images: list[str]) -> None:
    rows = inventory.table.to_pylist()
    assert inventory.table.schema.equals(RECORDINGS)
    assert set(inventory.roles) == set(images)
    assert {row["path"] for row in rows} == {p for p in images if "_bold.nii" in p}
    for row in rows:
        assert row["status"] in ("used", "excluded", "quarantined")
        assert row["status"] == "used" or (row["stage"] == "curate" and row["reason"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_bids_examples(example: Path, tmp_path: Path) -> None:
    check(*curate(example, tmp_path / "raw"))


@pytest.mark.parametrize("name", REPOSITORIES)
def test_repositories_without_their_contents(clone: Path, tmp_path: Path) -> None:
    inventory, images = curate(clone, tmp_path / "raw")
    check(inventory, images)
    rows = inventory.table.to_pylist()
    assert not any(row["fetched"] for row in rows)
    assert {row["status"] for row in rows} <= {"quarantined"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_entities_are_those_of_pybids(example: Path) -> None:
    bids = pytest.importorskip("bids")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layout = bids.BIDSLayout(example, validate=False, derivatives=False)
    theirs = {
        Path(path).relative_to(example).as_posix(): file.get_entities(metadata=False)
        for path, file in layout.files.items()
        if path.endswith((".nii", ".nii.gz"))
    }
    ours = set(index_images(example))
    if not ours & set(theirs):
        pytest.skip("has no image that both know")
    for path in sorted(ours & set(theirs)):
        mine, other = entity_columns(path), theirs[path]
        # Both have the schema's names of entities; pybids keeps the leading zeros of an index.
        for column, label in mine.items():
            expected = other.get(column)
            assert label == (None if expected is None else str(expected)), (path, column)
        assert entities(path)["suffix"] == other["suffix"]
        assert Path(path).parent.name == other["datatype"]
