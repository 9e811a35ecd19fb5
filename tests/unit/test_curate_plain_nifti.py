"""Headers read without nibabel say what nibabel says, or nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindata.bids import events
from braindata.curate import header as headers
from braindata.curate.header import BoldHeader, read_bold_header
from braindata.curate.inventory import Source, build_inventory
from braindata.curate.parameters import CurateParameters
from braindata.curate.plain_nifti import read_plain_header
from braindata.curate.validator import Verdict
from braindata.errors import DataError
from braindata.tables.shards import write_shard
from tests.bench.curate import write_tree


def written(path: Path, shape: tuple[int, ...] = (4, 5, 6, 12), **fields: Any) -> Path:
    """Write an image whose header has some fields as they are given."""
    image = nib.Nifti1Image(np.ones(shape, np.int16), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_zooms((2, 3, 4, 1.5)[: len(shape)])
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    # Byte by byte: nibabel would mend it.
    opener = nib.openers.Opener(str(path))
    whole = bytearray(opener.read())
    opener.close()
    block = image.header.structarr.copy()
    raw = np.ndarray((), block.dtype, buffer=whole, offset=0)
    for name, value in fields.items():
        raw[name] = value
    with nib.openers.Opener(str(path), "wb") as handle:
        handle.write(bytes(whole))
    return path


def outcome(read: Any, path: Path) -> tuple[Any, ...]:
    try:
        found: BoldHeader = read(path)
    except DataError as error:
        return ("refused", str(error))
    return ("read", found.n_volumes, found.tr, found.shape, found.voxel_size)


FIELDS = {
    "sizeof_hdr": st.sampled_from([348, 540, 0]),
    "dim": st.lists(st.integers(-2, 7), min_size=8, max_size=8),
    "datatype": st.sampled_from([2, 4, 16, 64, 512, 128, 3]),
    "bitpix": st.sampled_from([16, 32, 0]),
    "pixdim": st.lists(
        st.sampled_from([-1.0, 0.0, 1.0, 2.5, float("nan"), float("inf"), 2000.0]),
        min_size=8,
        max_size=8,
    ),
    "vox_offset": st.sampled_from([0.0, 352.0, 100.0, 368.0]),
    "xyzt_units": st.integers(0, 255),
    "qform_code": st.integers(-1, 6),
    "sform_code": st.integers(-1, 6),
    "srow_x": st.lists(
        st.sampled_from([0.0, 1.0, -2.0, float("nan"), 1e-4]), min_size=4, max_size=4
    ),
    "quatern_b": st.sampled_from([0.0, 1.0, 1.5]),
    "magic": st.sampled_from([b"n+1", b"ni1", b"n+2", b""]),
}


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.none(), max_size=2), st.data())
def test_a_header_in_any_state_is_what_nibabel_says(
    tmp_path_factory: pytest.TempPathFactory, names: dict[str, None], data: st.DataObject
) -> None:
    fields = {name: data.draw(FIELDS[name]) for name in names}
    path = written(tmp_path_factory.mktemp("header") / "a_bold.nii", **fields)
    # As text: a size that is no number equals itself.
    ours, theirs = (repr(outcome(f, path)) for f in (read_bold_header, headers._read_any_header))
    assert ours == theirs


@pytest.mark.parametrize("name", ["a_bold.nii", "a_bold.nii.gz"])
@pytest.mark.parametrize("units", [("mm", "sec"), ("micron", "msec"), ("meter", "usec")])
def test_a_plain_image_is_read_without_nibabel(
    tmp_path: Path, name: str, units: tuple[str, str]
) -> None:
    code = nib.nifti1.unit_codes
    path = written(tmp_path / name, xyzt_units=code[units[0]] + code[units[1]])
    plain = read_plain_header(path)
    assert plain is not None
    assert (plain.shape, plain.zooms) == ((4, 5, 6, 12), (2, 3, 4, 1.5))
    assert outcome(read_bold_header, path) == outcome(headers._read_any_header, path)


@pytest.mark.parametrize(
    "fields",
    [{"sizeof_hdr": 540}, {"pixdim": [1, 0, 1, 1, 1, 1, 1, 1]}, {"sform_code": 0}, {"bitpix": 8}],
)
def test_what_is_odd_is_left_to_nibabel(tmp_path: Path, fields: dict[str, Any]) -> None:
    assert read_plain_header(written(tmp_path / "a_bold.nii", **fields)) is None


def test_what_is_no_image_is_left_to_nibabel(tmp_path: Path) -> None:
    whole = written(tmp_path / "a_bold.nii.gz").read_bytes()
    for name, content in (
        ("empty.nii.gz", b""),
        ("cut.nii.gz", whole[:40]),
        ("text.nii.gz", b"<html>"),
        ("text.nii", b"<html>" * 100),
        ("not_compressed.nii.gz", bytes(400)),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert read_plain_header(path) is None
        assert outcome(read_bold_header, path)[0] == "refused"
    assert read_plain_header(tmp_path / "none.nii") is None
    assert read_plain_header(written(tmp_path / "anat.nii", (4, 4, 4))) is None


def test_byte_order_and_extensions(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.ones((4, 4, 4, 12), np.int16), np.eye(4))
    big = tmp_path / "big_bold.nii"
    nib.save(nib.Nifti1Image(image.dataobj, image.affine, image.header.as_byteswapped(">")), big)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b"a comment"))
    extended = tmp_path / "extended_bold.nii"
    nib.save(image, extended)
    for path in (big, extended):
        assert outcome(read_bold_header, path) == outcome(headers._read_any_header, path)
    assert read_plain_header(extended) is None


def test_the_inventory_has_the_same_bytes_whichever_way_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "bids"
    write_tree(root, 5, 3)
    odd = root / "sub-0002/func/sub-0002_task-a_run-1_events.tsv"
    odd.write_text(odd.read_text().replace("\n3\t", '\n"3"\t').replace("0.15", "n/a"))
    late = root / "sub-0003/func/sub-0003_task-a_run-1_events.tsv"
    late.write_text("onset\tduration\tresponse_time\n1\tn/a\t900\n118\t30\t800\n1\tn/a\t900\n")
    files = {p.relative_to(root).as_posix(): "" for p in root.rglob("*") if p.is_file()}

    def inventory(target: Path) -> bytes:
        found = build_inventory(Source("ds", "v", root, files), Verdict(), CurateParameters())
        rows = found.table.to_pylist()
        assert any("twice" in one for row in rows for one in row["warnings"])
        assert all(row["status"] == "used" for row in rows)
        write_shard(found.table, target, "recordings")
        return target.read_bytes()

    quick = inventory(tmp_path / "quick.parquet")
    monkeypatch.setattr(headers, "read_plain_header", lambda _: None)
    monkeypatch.setattr(events, "_plain_times", lambda _: None)
    assert inventory(tmp_path / "slow.parquet") == quick


def test_what_takes_long_to_import_is_not() -> None:
    code = "import sys, braindata.stages.curate; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    imported = set(run.stdout.split())
    assert "bids2table" in imported
    assert not imported & {"nibabel", "scipy", "sklearn", "nilearn", "deltalake", "pandas"}
