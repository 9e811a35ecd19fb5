"""Series of a region: means against numpy, outcomes of bad stores, order of rows."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_mni152_gm_template
from numpy.typing import NDArray

from braindata.bids.confounds import MOTION_6, MOTION_24, TISSUES
from braindata.errors import BraindataError, DamageError, DataError
from braindata.extract.clean import clean_series
from braindata.extract.parameters import ExtractParameters
from braindata.extract.series import extract_region
from braindata.extract.strategies import BUILT_IN
from braindata.pack.moments import Moments
from braindata.pack.store import Grid, write_store
from braindata.receipts import Outcome
from braindata.regions.definition import Region
from braindata.regions.kinds import Mask, Sphere, Spheres
from braindata.regions.template import grey_matter
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES
from tests.unit import fmriprep_derivatives

N_VOLUMES = 60
TR = 2.5
# Around the left amygdala: grey matter next to white.
GRID = Grid(
    shape=(12, 11, 10),
    affine=np.array([[3.0, 0, 0, -41], [0, 3, 0, -19], [0, 0, 3, -35], [0, 0, 0, 1]]),
    space="MNI152NLin2009aSym",
)
N_GRID = 12 * 11 * 10


def amygdala(center: tuple[float, float, float] = (-24.0, -4.0, -20.0)) -> Region:
    sphere = Sphere(center=center, radius=9, hemisphere="left", source="made for a test")
    return Region(
        name="amygdala",
        level="valuation",
        processes=("salience",),
        references=("a publication",),
        space="MNI152",
        definition=Spheres(spheres=(sphere,), grey_matter_threshold=0.6),
    )


def region_mask(of: Region) -> NDArray[np.bool_]:
    """The region's voxels on GRID, by other means: nilearn's map at 1 mm, read at the voxel."""
    template = load_mni152_gm_template(resolution=1)
    positions = np.indices(GRID.shape).reshape(3, -1).T @ GRID.affine[:3, :3].T
    positions = positions + GRID.affine[:3, 3]
    index = np.rint((positions - template.affine[:3, 3]) / 1.0).astype(int)
    grey = template.get_fdata()[tuple(index.T)] > of.definition.grey_matter_threshold
    sphere = of.definition.spheres[0]
    return grey & (np.linalg.norm(positions - sphere.center, axis=1) <= sphere.radius)


def make_confounds(rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({name: rng.normal(size=N_VOLUMES) for name in (*MOTION_24, *TISSUES)})


def make_store(
    folder: Path,
    name: str,
    seed: int,
    *,
    lost: NDArray[np.bool_] | None = None,
    confounds: pd.DataFrame | None = None,
    space: str = GRID.space,
    broken_voxel: int | None = None,
    attributes: dict[str, Any] | None = None,
    moments: Moments | None = None,
) -> tuple[tuple[RecordingKey, Path], NDArray[np.float32]]:
    """Write a store of every second voxel, and of all that lie in the region."""
    rng = np.random.default_rng(seed)
    samples = (800 + 20 * rng.normal(size=(N_GRID, N_VOLUMES))).astype(np.float32)
    voxels = np.flatnonzero((np.arange(N_GRID) % 2 == 0) | region_mask(amygdala()))
    has_data = np.ones(len(voxels), bool)
    if lost is not None:
        has_data = ~lost[voxels]
        samples[lost] = 0
    if broken_voxel is not None:
        samples[broken_voxel, 3] = np.nan
    path = folder / f"{name}.h5"
    write_store(
        path,
        samples[voxels],
        Grid(GRID.shape, GRID.affine, space),
        voxels,
        has_data,
        TR,
        make_confounds(rng) if confounds is None else confounds,
        attributes or {},
        moments=moments and Moments(moments.mean[voxels], moments.sd[voxels]),
    )
    return (RecordingKey("ds", name, subject="01", task="rest"), path), samples


# What only series of EEG have.
OF_EEG = (
    "eeg_class",
    "localisation_error",
    "point_spread",
    "crosstalk_max",
    "crosstalk_region",
    "crosstalk",
    "filter",
    "filter_channels",
)


def test_means_equal_numpy(tmp_path: Path) -> None:
    store, samples = make_store(tmp_path, "sub-01_task-rest_bold", 0)
    region, inside = amygdala(), region_mask(amygdala())
    table, outcomes = extract_region(region, [store], ExtractParameters())
    assert outcomes["sub-01_task-rest_bold"].state == "done"
    assert table.schema.equals(SERIES, check_metadata=True)
    none, simple = table.to_pylist()
    mean = samples[inside].astype(np.float64).mean(axis=0)
    assert none["values"] == mean.astype(np.float32).tolist()
    cleaned, _, _ = clean_series(mean, make_confounds_of(0), {}, TR, BUILT_IN["simple"])
    assert simple["values"] == cleaned.astype(np.float32).tolist()
    for row, strategy, unit in ((none, "none", "a.u."), (simple, "simple", "z")):
        assert row["kept"] == [True] * N_VOLUMES
        facts = {key: row[key] for key in row if key not in ("values", "kept", *OF_EEG)}
        assert all(row[key] is None for key in OF_EEG)
        assert facts == {
            "dataset": "ds",
            "recording": "sub-01_task-rest_bold",
            "subject": "01",
            "session": None,
            "task": "rest",
            "run": None,
            "region": "amygdala",
            "definition_hash": region.definition_hash,
            "strategy": strategy,
            "start": None,
            "sampling_frequency": 0.4,
            "unit": unit,
            "coverage": 1.0,
            "n_voxels": int(inside.sum()),
            "reason": None,
            "tsnr": None,
            "signal_loss": None,
        }


def test_tsnr_and_signal_loss_are_of_the_region_s_voxels_with_data(tmp_path: Path) -> None:
    inside = region_mask(amygdala())
    rng = np.random.default_rng(3)
    mean = rng.uniform(100, 1000, N_GRID).astype(np.float32)
    sd = rng.uniform(5, 20, N_GRID).astype(np.float32)
    # A third of the region holds no data.
    gone = np.flatnonzero(inside)[::3]
    mean[gone], sd[gone] = 0, 0
    store, _ = make_store(
        tmp_path,
        "sub-01_task-rest_bold",
        0,
        attributes={"signal_floor": 400.0},
        moments=Moments(mean, sd),
    )
    table, _ = extract_region(amygdala(), [store], ExtractParameters())
    there = inside & (sd > 0)
    for row in table.to_pylist():
        assert row["tsnr"] == pytest.approx(np.median(mean[there] / sd[there]), rel=1e-6)
        assert row["signal_loss"] == pytest.approx((mean[there] < 400).mean())
    # Where intensities mean nothing, or no voxel holds data, nothing is claimed.
    for name, attributes, moments in (
        ("sub-02_task-rest_bold", {"signal_floor": None}, Moments(mean, sd)),
        ("sub-03_task-rest_bold", {"signal_floor": 400.0}, Moments(mean * 0, sd * 0)),
    ):
        store, _ = make_store(tmp_path, name, 0, attributes=attributes, moments=moments)
        table, _ = extract_region(amygdala(), [store], ExtractParameters())
        assert table["tsnr"].null_count == table["signal_loss"].null_count == len(table)


def make_confounds_of(seed: int) -> pd.DataFrame:
    """The confounds that `make_store` drew after its samples."""
    rng = np.random.default_rng(seed)
    rng.normal(size=(N_GRID, N_VOLUMES))
    return make_confounds(rng)


def test_only_covered_voxels_are_averaged(tmp_path: Path) -> None:
    region, inside = amygdala(), region_mask(amygdala())
    lost = np.zeros(N_GRID, bool)
    lost[np.flatnonzero(inside)[:10]] = True
    n_left = int(inside.sum()) - 10
    store, samples = make_store(tmp_path, "a", 1, lost=lost, attributes={"start_time": 1.25})
    table, _ = extract_region(region, [store], ExtractParameters(strategies=("none",)))
    (row,) = table.to_pylist()
    expected = samples[inside & ~lost].astype(np.float64).mean(axis=0)
    assert row["values"] == expected.astype(np.float32).tolist()
    assert row["coverage"] == pytest.approx(n_left / inside.sum())
    assert (row["n_voxels"], row["start"]) == (n_left, 1.25)


@pytest.mark.parametrize("min_coverage", [0.0, 0.3])
def test_series_is_null_where_coverage_is_too_small(tmp_path: Path, min_coverage: float) -> None:
    lost = region_mask(amygdala())
    # A fifth remains for the second case, nothing at all for the first.
    if min_coverage:
        lost[np.flatnonzero(lost)[::5]] = False
    store, _ = make_store(tmp_path, "a", 2, lost=lost)
    parameters = ExtractParameters(min_coverage=min_coverage)
    table, outcomes = extract_region(amygdala(), [store], parameters)
    assert outcomes["a"].state == "done"
    assert table.num_rows == 2
    for row in table.to_pylist():
        assert row["values"] is None
        assert row["kept"] is None
        assert row["n_voxels"] == 0
        assert row["coverage"] < max(min_coverage, 0.01)
        percent = round(100 * row["coverage"])
        assert row["reason"].startswith(f"min_coverage: {percent} % of the region's voxels")


def test_volumes_that_are_not_steady_are_null_in_the_cleaned_series(tmp_path: Path) -> None:
    confounds = make_confounds(np.random.default_rng(3))
    confounds["non_steady_state_outlier00"] = np.eye(N_VOLUMES)[0]
    store, _ = make_store(tmp_path, "a", 3, confounds=confounds)
    none, simple = extract_region(amygdala(), [store], ExtractParameters())[0].to_pylist()
    assert None not in none["values"]
    assert none["kept"] == [False] + [True] * (N_VOLUMES - 1)
    assert simple["values"].index(None) == 0
    assert simple["values"].count(None) == 1
    assert simple["kept"] == [False] + [True] * (N_VOLUMES - 1)


def test_bad_recordings_are_quarantined_and_the_others_go_on(tmp_path: Path) -> None:
    inside = int(np.flatnonzero(region_mask(amygdala()))[0])
    stores = {
        "good": make_store(tmp_path, "good", 4)[0],
        "nan": make_store(tmp_path, "nan", 5, broken_voxel=inside)[0],
        "native": make_store(tmp_path, "native", 6, space="T1w")[0],
    }
    table, outcomes = extract_region(amygdala(), list(stores.values()), ExtractParameters())
    states = {name: outcome.state for name, outcome in outcomes.items()}
    assert states == {name: "done" if name == "good" else "quarantined" for name in stores}
    assert set(table.column("recording").to_pylist()) == {"good"}
    reasons = {name: outcome.reason or "" for name, outcome in outcomes.items()}
    assert "NaN" in reasons["nan"]
    assert "T1w" in reasons["native"]
    for name in set(stores) - {"good"}:
        assert outcomes[name].file == str(stores[name][1])


STRATEGIES: dict[str, Any] = {
    "strategies": ("none", "simple", "scrubbing", "compcor", "ica_aroma", "band", "first", "slow"),
    "presets": {
        "band": {"strategy": ("wm_csf",), "high_pass": 0.01, "low_pass": 0.1, "standardize": "psc"},
        "first": {"strategy": ("motion",), "motion": "basic", "signal": "eigenvariate"},
        "slow": {"high_pass": 0.3, "standardize": "none"},
        "unused": {"strategy": ()},
    },
    "min_time": 100,
}


def test_many_strategies_are_rows_side_by_side(tmp_path: Path) -> None:
    confounds, metadata = fmriprep_derivatives.make_confounds(N_VOLUMES, 3, tr=TR, spoilt=(9,))
    attributes = {"confounds_metadata": metadata}
    store, samples = make_store(tmp_path, "a", 3, confounds=confounds, attributes=attributes)
    parameters = ExtractParameters.model_validate(STRATEGIES)
    table, outcomes = extract_region(amygdala(), [store], parameters)
    rows = {row["strategy"]: row for row in table.to_pylist()}
    assert list(rows) == sorted(STRATEGIES["strategies"])
    assert outcomes["a"].state == "done"
    voxels = samples[region_mask(amygdala())].astype(np.float64).T
    for name in ("simple", "compcor", "band"):
        preset = parameters.cleanings[name]
        assert preset is not None
        image = fmriprep_derivatives.write_derivatives(tmp_path, confounds, metadata)
        regressors, mask = fmriprep_derivatives.nilearn_regressors(image, preset)
        mean = voxels.mean(axis=1, keepdims=True)
        expected = fmriprep_derivatives.nilearn_clean(mean, regressors, mask, preset, TR)[:, 0]
        assert rows[name]["reason"] is None
        np.testing.assert_allclose(rows[name]["values"], expected, atol=1e-6 * expected.std() * 8)
    units = {name: rows[name]["unit"] for name in ("none", "first", "band", "slow", "scrubbing")}
    assert units == {
        "none": "a.u.", "first": "z", "band": "percent", "slow": "a.u.", "scrubbing": "z"
    }  # fmt: skip
    motion = confounds[list(MOTION_6)].to_numpy()
    design = np.column_stack([np.ones(N_VOLUMES), np.arange(N_VOLUMES), motion])
    residual = voxels - design @ np.linalg.lstsq(design, voxels, rcond=None)[0]
    first = np.linalg.svd(residual, full_matrices=False)[0][:, 0]
    first *= np.sign(first @ residual.mean(axis=1)) / first.std(ddof=1)
    np.testing.assert_allclose(rows["first"]["values"], first, atol=1e-5)
    # Volumes 0 to 8 make a long enough segment before the spoilt one.
    assert np.flatnonzero(~np.array(rows["scrubbing"]["kept"])).tolist() == [9]
    for name, why in (("ica_aroma", "desc-preproc"), ("slow", "high_pass is 0.3 Hz")):
        assert rows[name]["values"] is None
        assert why in rows[name]["reason"]


@pytest.mark.parametrize(
    ("spoilt", "min_time", "reason"),
    [
        (range(10, 60), 60, "min_time: 25 s of 150 s are kept, fewer than 60"),
        (range(1, 60), 0, "min_time: no volume is kept"),
        (range(20, 60), 0, "20 volumes are too few to remove 35 regressors"),
    ],
)
def test_a_strategy_that_scrubs_too_much_costs_no_other(
    tmp_path: Path, spoilt: range, min_time: float, reason: str
) -> None:
    confounds, _ = fmriprep_derivatives.make_confounds(N_VOLUMES, 3, tr=TR, spoilt=spoilt)
    store, _ = make_store(tmp_path, "a", 3, confounds=confounds)
    parameters = ExtractParameters(strategies=("none", "scrubbing", "simple"), min_time=min_time)
    table, outcomes = extract_region(amygdala(), [store], parameters)
    rows = {row["strategy"]: row for row in table.to_pylist()}
    assert outcomes["a"].state == "done"
    assert rows["scrubbing"]["values"] is None
    assert rows["scrubbing"]["reason"].startswith(reason)
    assert sum(rows["scrubbing"]["kept"]) < N_VOLUMES
    assert (outcomes["a"].reason or "").startswith(f"strategy scrubbing: {reason}")
    for name in ("none", "simple"):
        assert rows[name]["reason"] is None
        assert None not in rows[name]["values"]


def test_without_confounds_the_uncleaned_series_stays(tmp_path: Path) -> None:
    bare, samples = make_store(tmp_path, "a", 7, confounds=pd.DataFrame(index=range(N_VOLUMES)))
    parameters = ExtractParameters(strategies=("none", "simple", "scrubbing", "compcor"))
    table, outcomes = extract_region(amygdala(), [bare], parameters)
    rows = {row["strategy"]: row for row in table.to_pylist()}
    assert outcomes["a"].state == "done"
    mean = samples[region_mask(amygdala())].astype(np.float64).mean(axis=0)
    assert rows["none"]["values"] == mean.astype(np.float32).tolist()
    lacks = {"simple": "trans_x", "scrubbing": "csf_power2", "compcor": "CompCor"}
    for name, lacking in lacks.items():
        assert (rows[name]["values"], rows[name]["kept"]) == (None, None)
        assert lacking in rows[name]["reason"]
        assert rows[name]["coverage"] == 1
        assert f"strategy {name}: {rows[name]['reason']}" in (outcomes["a"].reason or "")


def test_order_of_recordings_does_not_matter(tmp_path: Path) -> None:
    names = [f"sub-{n:02d}_bold" for n in (10, 2, 1)]
    stores = [make_store(tmp_path, name, seed)[0] for seed, name in enumerate(names)]
    table, _ = extract_region(amygdala(), stores, ExtractParameters(strategies=("simple", "none")))
    rows = [(row["recording"], row["strategy"]) for row in table.to_pylist()]
    assert rows == sorted(rows)
    random.Random(0).shuffle(stores)
    again, outcomes = extract_region(amygdala(), stores, ExtractParameters())
    assert again.equals(table)
    assert list(outcomes) == sorted(names)


def test_no_recordings_give_an_empty_table() -> None:
    table, outcomes = extract_region(amygdala(), [], ExtractParameters())
    assert (table.num_rows, table.schema, outcomes) == (0, SERIES, {})


def coarse_store(folder: Path, name: str) -> tuple[RecordingKey, Path]:
    """Write a store of every second voxel of GRID along each axis: voxels of 6 mm."""
    shape = tuple(size // 2 for size in GRID.shape)
    affine = GRID.affine @ np.diag([2.0, 2, 2, 1])
    rng = np.random.default_rng(7)
    n_voxels = int(np.prod(shape))
    write_store(
        folder / f"{name}.h5",
        (800 + 20 * rng.normal(size=(n_voxels, N_VOLUMES))).astype(np.float32),
        Grid((shape[0], shape[1], shape[2]), affine, GRID.space),
        np.arange(n_voxels),
        np.ones(n_voxels, bool),
        TR,
        make_confounds(rng),
        {},
    )
    return RecordingKey("ds", name, subject="01", task="rest"), folder / f"{name}.h5"


def speck(index: tuple[int, int, int], radius: float = 1.0, *, grey: bool = False) -> Region:
    """A sphere around a voxel of GRID, smaller than that voxel."""
    x, y, z = (GRID.affine[:3, :3] @ index + GRID.affine[:3, 3]).tolist()
    sphere = Sphere(center=(x, y, z), radius=radius, hemisphere="left", source="made for a test")
    definition = Spheres(spheres=(sphere,), grey_matter=grey)
    return amygdala().model_copy(update={"name": "speck", "definition": definition})


def test_recordings_whose_voxels_miss_a_region_go_without_it(tmp_path: Path) -> None:
    fine, samples = make_store(tmp_path, "b", 0)
    coarse = [coarse_store(tmp_path, name) for name in ("a", "c")]
    index = (4, 5, 5)
    position = int(np.ravel_multi_index(index, GRID.shape))
    assert position % 2 or not region_mask(amygdala())[position]
    table, outcomes = extract_region(speck(index), [*coarse, fine], ExtractParameters())
    # One voxel, and it is the other data set's alone.
    none, _ = table.to_pylist()
    assert (none["recording"], none["strategy"], none["n_voxels"]) == ("b", "none", 1)
    assert none["values"] == samples[position].tolist()
    assert outcomes["b"] == Outcome("done")
    reason = (
        "region speck: the sphere of 1 × 1 × 1 mm around (-29, -4, -20) holds no voxel of the "
        "image grid (voxels of 6 × 6 × 6 mm)"
    )
    hint = "check its coordinates, or make it larger"
    # No file is at fault.
    assert outcomes["a"] == outcomes["c"] == Outcome("quarantined", reason, hint)
    alone, _ = extract_region(speck(index), [fine], ExtractParameters())
    assert table.equals(alone)
    # A larger one has its voxels in all of them.
    larger, outcomes = extract_region(speck(index, 5), [*coarse, fine], ExtractParameters())
    assert {one.state for one in outcomes.values()} == {"done"}
    assert {row["recording"] for row in larger.to_pylist()} == {"a", "b", "c"}


def test_without_grey_matter_on_the_grid_it_is_the_same(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path, "a", 0)
    outside = np.argwhere(grey_matter(GRID.affine, GRID.shape) < 0.05)
    x, y, z = outside[len(outside) // 2].tolist()
    table, outcomes = extract_region(speck((x, y, z), grey=True), [store], ExtractParameters())
    assert (table.num_rows, table.schema) == (0, SERIES)
    assert outcomes["a"].state == "quarantined"
    assert outcomes["a"].reason == (
        "region speck: none of its voxels is grey matter (voxels of 3 × 3 × 3 mm)"
    )


def test_a_file_of_a_region_that_is_gone_stops_the_job(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path, "a", 0)
    mask = Mask(file="mask.nii.gz", source="made for a test", sha256="0" * 64)
    region = amygdala().model_copy(update={"definition": mask, "space": GRID.space})
    with pytest.raises(BraindataError, match="region amygdala") as caught:
        extract_region(region, [store], ExtractParameters())
    assert not isinstance(caught.value, DataError)


def test_a_recording_given_twice_is_refused(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path, "a", 0)
    with pytest.raises(ValueError, match="twice"):
        extract_region(amygdala(), [store, store], ExtractParameters())


def test_a_damaged_store_fails_the_job_until_it_is_made_anew(tmp_path: Path) -> None:
    good = make_store(tmp_path, "good", 4)[0]
    cut, flipped = make_store(tmp_path, "cut", 8)[0], make_store(tmp_path, "flipped", 9)[0]
    content = cut[1].read_bytes()
    cut[1].write_bytes(content[: len(content) // 2])
    damaged = bytearray(flipped[1].read_bytes())
    # The samples are by far the largest part and lie at the end.
    damaged[-60_000:-50_000] = bytes(10_000)
    flipped[1].write_bytes(damaged)
    gone = (RecordingKey("ds", "gone", "01"), tmp_path / "gone.h5")
    for bad in (cut, flipped, gone):
        with pytest.raises(DamageError) as caught:
            extract_region(amygdala(), [good, bad], ExtractParameters())
        assert caught.value.file == str(bad[1])
        assert "made anew" in str(caught.value)
