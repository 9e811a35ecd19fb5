"""Pulling from a local folder."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from braindata.errors import BraindataError, UsageError
from braindata.pull.local import (
    list_files,
    listing_hash,
    pull_local,
    read_manifest,
    require_bids,
    write_manifest,
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "bids"
    for name in (
        "dataset_description.json",
        ".bidsignore",
        ".git/config",
        "derivatives/x/a.nii",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/derivatives/kept.txt",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"Name": "x"}' if name.endswith(".json") else name)
    return root


KEPT = [
    ".bidsignore",
    "dataset_description.json",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/derivatives/kept.txt",
]


def state(root: Path) -> dict[str, tuple[int, str]]:
    return {
        p.relative_to(root).as_posix(): (p.stat().st_mtime_ns, p.read_text())
        for p in root.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_the_source_is_imaged_and_never_changed(source: Path, tmp_path: Path, mode: str) -> None:
    before = state(source)
    target = tmp_path / "raw"
    files = pull_local(source, target, mode)  # type: ignore[arg-type]
    assert [file.path for file in files] == KEPT == list_files(source)
    for file in files:
        content = (target / file.path).read_bytes()
        assert content == (source / file.path).read_bytes()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert (target / file.path).is_symlink() == (mode == "link")
    # A file that the source no longer has goes, and so does its folder.
    (source / "sub-01/anat/sub-01_T1w.nii.gz").unlink()
    pull_local(source, target, mode)  # type: ignore[arg-type]
    assert not (target / "sub-01/anat").exists()
    (source / "sub-01/anat/sub-01_T1w.nii.gz").write_text("sub-01/anat/sub-01_T1w.nii.gz")
    assert {name: text for name, (_, text) in state(source).items()} == {
        name: text for name, (_, text) in before.items()
    }


def test_copies_become_links_and_back(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "raw"
    for mode in ("copy", "link", "copy"):
        pull_local(source, target, mode)  # type: ignore[arg-type]
        assert (target / KEPT[0]).is_symlink() == (mode == "link")
    assert not (source / KEPT[0]).is_symlink()


def test_a_change_is_noticed(source: Path) -> None:
    first = listing_hash(source)
    assert listing_hash(source) == first
    (source / "sub-01/func").mkdir()
    assert listing_hash(source) == first
    (source / "sub-01/func/a.tsv").write_text("x")
    second = listing_hash(source)
    assert second != first
    os.utime(source / "sub-01/func/a.tsv", ns=(0, 0))
    assert listing_hash(source) != second


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no dataset_description\.json"):
        list_files(tmp_path)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ('{"Name": "x", "DatasetType": "derivative"}', "holds derivatives"),
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
    ],
)
def test_a_description_that_says_otherwise_is_refused(
    source: Path, description: str, message: str
) -> None:
    (source / "dataset_description.json").write_text(description)
    with pytest.raises(UsageError, match=message):
        list_files(source)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_contents_that_are_not_there_are_recorded(source: Path, tmp_path: Path, mode: str) -> None:
    annexed = source / "sub-01/annexed.nii.gz"
    annexed.symlink_to("../.git/annex/objects/gone")
    files = pull_local(source, tmp_path / "raw", mode)  # type: ignore[arg-type]
    (found,) = [file for file in files if not file.sha256]
    assert (found.path, found.size) == ("sub-01/annexed.nii.gz", 0)
    assert (tmp_path / "raw" / found.path).is_symlink()
    assert listing_hash(source)


def test_a_link_that_leads_back_is_not_followed(source: Path) -> None:
    before = list_files(source)
    (source / "sub-01" / "all").symlink_to(source, target_is_directory=True)
    assert list_files(source) == before


def test_links_that_lead_round_are_not_followed_for_ever(source: Path, tmp_path: Path) -> None:
    before = list_files(source)
    (source / "sub-01" / "again").symlink_to(".", target_is_directory=True)
    (source / "sub-02").mkdir()
    (source / "sub-02" / "a").symlink_to("../sub-01", target_is_directory=True)
    (source / "sub-01" / "b").symlink_to("../sub-02", target_is_directory=True)
    assert {path.rsplit("/", 1)[1] for path in list_files(source) if "/" in path} == {
        path.rsplit("/", 1)[1] for path in before if "/" in path
    }
    assert max(path.count("/") for path in list_files(source)) == 3
    # A file that is a link to itself is one whose contents are not there.
    own = source / "sub-01" / "anat" / "own.nii.gz"
    own.symlink_to(own.name)
    assert listing_hash(source)
    files = pull_local(source, tmp_path / "raw", "link")
    assert "" in [file.sha256 for file in files if file.path.endswith("own.nii.gz")]


def test_a_name_that_is_no_utf8_is_named(source: Path, tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(source / "sub-01") + b"/caf\xe9.txt")).write_text("x")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    # Asked for whenever a run is planned: there it must not fail.
    assert listing_hash(source)
    with pytest.raises(BraindataError, match=r"caf\\xe9\.txt: the name of this file is no UTF-8"):
        pull_local(source, tmp_path / "raw", "link")


def test_manifest_round_trip(source: Path, tmp_path: Path) -> None:
    files = pull_local(source, tmp_path / "raw", "link")
    path = tmp_path / "a.manifest.tsv"
    write_manifest(path, files)
    assert list(read_manifest(path).values()) == files


def test_a_folder_without_subjects_is_no_data_set(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text("{}")
    (tmp_path / "sub-01.txt").write_text("")
    with pytest.raises(UsageError, match="no sub-… folder"):
        require_bids(tmp_path)
    (tmp_path / "sub-01").mkdir()
    require_bids(tmp_path)


def test_a_file_that_may_not_be_read_is_left_to_curation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "bids"
    (source / "sub-01").mkdir(parents=True)
    (source / "dataset_description.json").write_text("{}")
    locked = source / "sub-01" / "sub-01_T1w.nii.gz"
    locked.write_bytes(b"secret")
    # A pipe, reading from which would never end.
    os.mkfifo(source / "sub-01" / "sub-01_task-x_bold.nii.gz")
    open_to_all = listing_hash(source)
    # Root may read everything, so the answer is simulated.
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != locked)
    files = {file.path: file for file in pull_local(source, tmp_path / "raw", "copy")}
    for name in ("sub-01/sub-01_T1w.nii.gz", "sub-01/sub-01_task-x_bold.nii.gz"):
        assert (files[name].size, files[name].sha256) == (0, "")
        assert (tmp_path / "raw" / name).is_symlink()
    # Permitted again, it is noticed.
    assert listing_hash(source) != open_to_all
