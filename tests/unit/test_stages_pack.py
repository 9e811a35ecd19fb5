"""The stage `pack`: what others made and cannot be read is bad data, and costs no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from braindata.errors import DamageError
from braindata.extract.parameters import ExtractParameters
from braindata.extract.series import extract_region
from braindata.layout import UNIT_FOLDERS, Layout
from braindata.pack.parameters import PackParameters
from braindata.pack.store import open_store
from braindata.receipts import Outcome, Receipt, hash_outputs, void_beside
from braindata.regions.definition import Region
from braindata.regions.kinds import Sphere, Spheres
from braindata.stages import pack
from braindata.stages.job import remove_superseded, void_other_division
from braindata.tables.keys import RecordingKey

N_VOLUMES = 20
AFFINE = np.diag([12.0, 12.0, 12.0, 1.0])
AFFINE[:3, 3] = [-84, -120, -70]
SPACE = "MNI152NLin2009aSym"
PARAMETERS = pack.Parameters(pack=PackParameters())
RECORDINGS = ("sub-01_task-x_run-1_bold", "sub-01_task-x_run-2_bold")


def image(layout: Layout, recording: str) -> Path:
    func = layout.derivatives("ds") / "sub-01" / "func"
    return func / f"{recording.removesuffix('_bold')}_space-{SPACE}_desc-preproc_bold.nii.gz"


def table(layout: Layout, recording: str) -> Path:
    entities = recording.removesuffix("_bold")
    return image(layout, recording).with_name(f"{entities}_desc-confounds_timeseries.tsv")


def write(layout: Layout) -> None:
    rng = np.random.default_rng(0)
    for recording in RECORDINGS:
        target = image(layout, recording)
        target.parent.mkdir(parents=True, exist_ok=True)
        numbers = rng.integers(1, 4000, (14, 16, 15, N_VOLUMES)).astype(np.int16)
        nib.Nifti1Image(numbers, AFFINE).to_filename(target)
        table(layout, recording).write_text("csf\n" + "1\n" * N_VOLUMES)


def collected(layout: Layout, backend: str) -> None:
    """Write what `curate` and `preprocess` leave of a person with two runs."""
    rows = [
        {
            "recording": name,
            "unit": "sub-01",
            "status": "used",
            "modality": "fmri",
            "tr": 2.0,
            "n_volumes": N_VOLUMES,
        }
        for name in RECORDINGS
    ]
    layout.inventory("ds").parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), layout.inventory("ds"))
    Receipt("curate", "ds", 1, {}, {}).write(layout.receipt("curated", "ds"))
    files = {one: [image(layout, one), table(layout, one)] for one in RECORDINGS}
    made = hash_outputs([path for paths in files.values() for path in paths], layout.output)
    notes = {
        "files": {
            one: [path.relative_to(layout.output).as_posix() for path in paths]
            for one, paths in files.items()
        },
        "space": dict.fromkeys(RECORDINGS, SPACE),
        "backend": dict.fromkeys(RECORDINGS, backend),
        "quality": {},
    }
    done = dict.fromkeys(RECORDINGS, Outcome("done"))
    Receipt("preprocess", "ds/sub-01", 1, {}, {}, made, done, {}, notes).write(
        layout.receipt("derivatives", "ds", "sub-01")
    )


def cut_image(layout: Layout) -> Path:
    target = image(layout, RECORDINGS[0])
    target.write_bytes(target.read_bytes()[:-5000])
    return target


def cut_table(layout: Layout) -> Path:
    target = table(layout, RECORDINGS[0])
    target.write_text("csf\n" + "1\n" * (N_VOLUMES - 5))
    return target


@pytest.mark.parametrize(
    ("damage", "said"),
    [(cut_image, "cannot be read"), (cut_table, "15 rows of confounds for 20 volumes")],
)
@pytest.mark.parametrize("backend", ["derivatives", "fmriprep"])
def test_what_came_damaged_is_quarantined_and_the_rest_goes_on(
    tmp_path: Path, damage: Callable[[Layout], Path], said: str, backend: str
) -> None:
    layout = Layout(tmp_path)
    write(layout)
    path = damage(layout)
    collected(layout, backend)
    assert pack.run(layout, "ds", "sub-01", PARAMETERS)
    receipt = Receipt.read(layout.receipt("packed", "ds", "sub-01"))
    assert receipt.recordings[RECORDINGS[1]] == Outcome("done")
    bad = receipt.recordings[RECORDINGS[0]]
    assert (bad.state, said in str(bad.reason)) == ("quarantined", True)
    assert bad.file == path.relative_to(tmp_path).as_posix()
    assert "fetch the derivatives again" in str(bad.hint)
    assert not layout.store("ds", RECORDINGS[0]).exists()


@pytest.mark.parametrize("damage", [cut_image, cut_table])
def test_what_was_damaged_since_fails_the_job(
    tmp_path: Path, damage: Callable[[Layout], Path]
) -> None:
    layout = Layout(tmp_path)
    write(layout)
    collected(layout, "derivatives")
    damage(layout)
    with pytest.raises(DamageError) as caught:
        pack.run(layout, "ds", "sub-01", PARAMETERS)
    assert "delete the receipt of its preprocessing" in str(caught.value.hint)


def test_the_store_of_what_is_quarantined_now_is_removed(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write(layout)
    collected(layout, "derivatives")
    pack.run(layout, "ds", "sub-01", PARAMETERS)
    assert layout.store("ds", RECORDINGS[0]).is_file()
    cut_table(layout)
    collected(layout, "derivatives")
    pack.run(layout, "ds", "sub-01", PARAMETERS)
    assert not layout.store("ds", RECORDINGS[0]).exists()
    assert layout.store("ds", RECORDINGS[1]).is_file()


def test_what_another_session_made_too_or_lies_elsewhere_stays(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    names = ["own_bold.nii.gz", "t1w.nii.gz", "kept.nii.gz"]
    paths = [layout.derivatives("ds") / name for name in names]
    outside = tmp_path / "raw" / "image.nii.gz"
    for path in (*paths, outside):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    one, other = (
        layout.receipt("derivatives", "ds", unit) for unit in ("sub-1_ses-a", "sub-1_ses-b")
    )
    made = hash_outputs([*paths, outside], tmp_path) | {"derivatives/ds/../../raw/image.nii.gz": ""}
    Receipt("preprocess", "ds/sub-1_ses-a", 1, {}, {}, made).write(one)
    Receipt("preprocess", "ds/sub-1_ses-b", 1, {}, {}, hash_outputs(paths[1:2], tmp_path)).write(
        other
    )
    remove_superseded(layout, one, paths[2:])
    assert [path.exists() for path in (*paths, outside)] == [False, True, True, True]
    remove_superseded(layout, layout.receipt("derivatives", "ds", "sub-2"), [])
    # Of a receipt that did not hold any more when the run was planned, too.
    void = void_beside(layout.receipt("derivatives", "ds", "sub-3"))
    Receipt("preprocess", "ds/sub-3", 1, {}, {}, hash_outputs(paths[1:], tmp_path)).write(void)
    remove_superseded(layout, layout.receipt("derivatives", "ds", "sub-3"), paths[1:2])
    assert [path.exists() for path in (*paths, void)] == [False, True, False, False]


def sphere(name: str, center: tuple[float, float, float], radius: float) -> Region:
    one = Sphere(center=center, radius=radius, hemisphere="left", source="made for a test")
    return Region(
        name=name,
        level="valuation",
        processes=("salience",),
        references=("a publication",),
        space=SPACE,
        definition=Spheres(spheres=(one,), grey_matter=False),
    )


@pytest.mark.parametrize("also", [True, False])
def test_without_a_store_a_region_too_small_costs_only_itself(tmp_path: Path, also: bool) -> None:
    layout = Layout(tmp_path)
    write(layout)
    collected(layout, "derivatives")
    # Voxels of 12 mm: the centre of one, and the corner between eight.
    large, small = sphere("large", (-24, 0, 2), 13), sphere("small", (-18, 6, 8), 4)
    regions = (large, small) if also else (small,)
    chosen = pack.Parameters(pack=PackParameters(store=False), regions=regions)
    assert pack.run(layout, "ds", "sub-01", chosen)
    packed = Receipt.read(layout.receipt("packed", "ds", "sub-01"))
    assert packed.recordings == dict.fromkeys(RECORDINGS, Outcome("done"))
    for name in RECORDINGS:
        with open_store(layout.store("ds", name)) as store:
            assert set(store.means()) == ({large.key} if also else set())
    how = ExtractParameters(strategies=("none",))
    stores = [(RecordingKey("ds", name, "01"), layout.store("ds", name)) for name in RECORDINGS]
    table, outcomes = extract_region(small, stores, how)
    assert table.num_rows == 0
    assert {one.state for one in outcomes.values()} == {"quarantined"}
    assert "(voxels of 12 × 12 × 12 mm)" in str(outcomes[RECORDINGS[0]].reason)
    if not also:
        # Not known when it was packed, which is another matter.
        with pytest.raises(DamageError, match="large was not known"):
            extract_region(large, stores, how)
        return
    table, outcomes = extract_region(large, stores, how)
    assert outcomes == dict.fromkeys(RECORDINGS, Outcome("done"))
    # A voxel and its six neighbours.
    assert table["n_voxels"].to_pylist() == [7, 7]
    data = nib.load(image(layout, RECORDINGS[0])).get_fdata()
    x, y, z = (5, 10, 6)
    seven = [(x, y, z), (x - 1, y, z), (x + 1, y, z), (x, y - 1, z), (x, y + 1, z)]
    mean = np.mean([data[one] for one in (*seven, (x, y, z - 1), (x, y, z + 1))], axis=0)
    assert table["values"][0].as_py() == mean.astype(np.float32).tolist()


def test_of_a_person_one_division_into_units_holds(tmp_path: Path) -> None:
    # Files of both have the same names, and may have the same size.
    layout = Layout(tmp_path)
    units = ("sub-1", "sub-1_ses-a", "sub-1_ses-b", "sub-12", "sub-12_ses-a")

    def voided(made: str, *now: str) -> set[tuple[str, str]]:
        for folder in UNIT_FOLDERS:
            for unit in units:
                Receipt("pack", unit, 1, {}, {}).write(layout.receipt(folder, "ds", unit))
        void_other_division(layout, "ds", made, {made, *now})
        gone = {
            (folder, unit)
            for folder in UNIT_FOLDERS
            for unit in units
            if not layout.receipt(folder, "ds", unit).exists()
        }
        assert all(void_beside(layout.receipt(one[0], "ds", one[1])).is_file() for one in gone)
        return gone

    both = [(folder, unit) for folder in UNIT_FOLDERS for unit in units[1:3]]
    assert voided("sub-1", "sub-12") == set(both)
    whole = {(folder, "sub-1") for folder in UNIT_FOLDERS}
    assert voided("sub-1_ses-b", "sub-1_ses-a") == whole
    # Some recordings of a session and some of none: all of these are units.
    assert voided("sub-1", *units) == voided("sub-1_ses-a", *units) == set()
    # Whom nothing was made of before.
    void_other_division(Layout(tmp_path / "new"), "ds", "sub-1", {"sub-1"})


def test_what_was_made_here_and_cannot_be_read_is_no_bad_data(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    write(layout)
    cut_image(layout)
    collected(layout, "native")
    with pytest.raises(DamageError):
        pack.run(layout, "ds", "sub-01", PARAMETERS)
