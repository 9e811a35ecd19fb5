"""Curation of real data sets: nothing crashes, every image is accounted for.

Entities are compared with pybids' and with the official validator's. The validator lists no parse
of its own, but evaluates the checks of any schema that it is given: so it is given the BIDS schema
with other checks, one for each entity and value that we read, each of which reports the files whose
entity has, as the validator reads their names, that value; and one that reports all files it knows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from braindata.bids.entities import ENTITY_COLUMNS, entities, entity_columns
from braindata.curate.inventory import Inventory, Source, build_inventory
from braindata.curate.parameters import CurateParameters
from braindata.curate.recording_files import index_images
from braindata.curate.validator import Verdict
from braindata.pull.local import pull_local
from braindata.tables.schemas.recordings import RECORDINGS

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


KNOWN = ("", "")


def asked(root: Path, pairs: set[tuple[str, str]], folder: Path) -> dict[str, set[tuple[str, str]]]:
    """Return which of some pairs of entity and value the validator reads in each path it knows."""
    from bidsschematools.schema import load_schema

    schema = json.loads(load_schema().to_json())
    for rules in ("sidecars", "tabular_data", "json"):
        schema["rules"][rules] = {}
    questions = {KNOWN: "true"}
    questions |= {(key, ""): f"entities.{key} != null" for key in ENTITY_COLUMNS}
    questions |= {(key, value): f"entities.{key} == {value!r}" for key, value in pairs}
    for name in ("suffix", "extension", "datatype"):
        known = {value for key, value in pairs if key == name}
        questions |= {(name, value): f"{name} == {value!r}" for value in known}
    by_code = {f"QUESTION_{number}": pair for number, pair in enumerate(questions)}
    schema["rules"]["checks"] = {
        "questions": {
            code: {
                "issue": {"code": code, "message": "yes", "level": "error"},
                "selectors": [questions[pair]],
                "checks": ["false"],
            }
            for code, pair in by_code.items()
        }
    }
    file = folder / "schema.json"
    file.write_text(json.dumps(schema))
    command = [Path(sys.executable).with_name("bids-validator-deno"), "--format", "json"]
    command += ["--ignoreNiftiHeaders", "--max-rows", "0", "--schema", file.as_uri(), str(root)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, set[tuple[str, str]]] = {}
    for issue in json.loads(run.stdout)["issues"]["issues"]:
        if issue["code"] in by_code:
            found.setdefault(issue["location"].lstrip("/"), set()).add(by_code[issue["code"]])
    return found


def read_by_us(path: str) -> set[tuple[str, str]]:
    columns, parsed = entity_columns(path), entities(path)
    own = {(key, value) for key, c in ENTITY_COLUMNS.items() if (value := columns[c]) is not None}
    own |= {("suffix", parsed["suffix"]), ("extension", parsed["ext"])}
    return own | {("datatype", Path(path).parent.name)}


def compare_with_the_validator(root: Path, folder: Path) -> int:
    """Compare the entities of all images that both know; return how many."""
    ours = {path: read_by_us(path) for path in index_images(root)}
    if not ours:
        pytest.skip("has no image")
    theirs = asked(root, set().union(*ours.values()), folder)
    both = sorted(ours.keys() & theirs.keys())
    for path in both:
        # An entity that is there and has none of our values would be one that we read otherwise.
        there = {(key, "") for key, _ in ours[path] if key in ENTITY_COLUMNS}
        assert theirs[path] == {KNOWN} | there | ours[path], path
    return len(both)


@pytest.mark.parametrize("name", EXAMPLES)
def test_entities_are_those_of_the_validator(example: Path, name: str, tmp_path: Path) -> None:
    assert compare_with_the_validator(example, tmp_path) > 0


@pytest.mark.parametrize("name", REPOSITORIES)
def test_entities_of_repositories_are_those_of_the_validator(
    clone: Path, name: str, tmp_path: Path
) -> None:
    assert compare_with_the_validator(clone, tmp_path) == len(index_images(clone))
