"""Cleaning: equal to nilearn's choice of confounds and its `signal.clean`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from braindata.bids.confound_names import current_confounds, current_metadata
from braindata.bids.confounds import MOTION_24, TISSUES
from braindata.errors import DataError
from braindata.extract.clean import Cleaner, clean_series, make_cleaner
from braindata.extract.regressors import Regressors, choose_regressors
from braindata.extract.strategies import BUILT_IN, CompCor, Component, Expansion, Preset
from tests.unit.fmriprep_derivatives import (
    make_confounds,
    nilearn_clean,
    nilearn_regressors,
    write_derivatives,
)

TR = 2.0
N = 150
SPOILT = (0, 3, 20, 21, 25, 60, 61, 70, 146)
EXPANSIONS = get_args(Expansion)

PRESETS: dict[str, dict[str, Any]] = {
    "nothing": {"strategy": ()},
    **{f"motion {one}": {"strategy": ("motion",), "motion": one} for one in EXPANSIONS},
    **{f"wm_csf {one}": {"strategy": ("wm_csf",), "wm_csf": one} for one in EXPANSIONS},
    **{
        f"global signal {one}": {"strategy": ("global_signal",), "global_signal": one}
        for one in EXPANSIONS
    },
    **{
        f"compcor {one} {n}": {"strategy": ("high_pass", "compcor"), "compcor": one, "n_compcor": n}
        for one in get_args(CompCor)
        for n in ("all", 2, 9)
    },
    "aroma": {"strategy": ("ica_aroma", "high_pass"), "ica_aroma": "basic"},
    "non-steady": {"strategy": ("motion", "non_steady_state")},
    **{f"scrub {n}": {"strategy": ("motion", "scrub"), "scrub": n} for n in (0, 1, 5, 12)},
    "thresholds": {"strategy": ("scrub",), "fd_threshold": 0.3, "std_dvars_threshold": 1.35},
    "no demean": {"demean": False, "detrend": False, "high_pass": 0.01},
    "no detrend": {"detrend": False},
    "unscaled": {"standardize": "none"},
    "percent": {"standardize": "psc"},
    "percent with trend": {"standardize": "psc", "detrend": False, "strategy": ()},
    "percent filtered": {"standardize": "psc", "detrend": False, "high_pass": 0.02},
    "high-pass": {"high_pass": 0.01},
    "low-pass": {"low_pass": 0.1},
    "band-pass": {"high_pass": 0.01, "low_pass": 0.15, "strategy": ("motion", "wm_csf")},
    "band-pass only": {"high_pass": 0.01, "low_pass": 0.08, "strategy": ()},
    "cosines": {"filter": "cosine", "high_pass": 0.01, "strategy": ("motion",)},
    "cosines only": {"filter": "cosine", "high_pass": 0.01, "strategy": ()},
    "cosines twice": {"filter": "cosine", "high_pass": 0.0078, "strategy": ("high_pass", "motion")},
    "cosines of a very slow cut-off": {"filter": "cosine", "high_pass": 0.001},
    "scrubbed and filtered": {
        "strategy": ("motion", "scrub"),
        "motion": "basic",
        "high_pass": 0.008,
        "low_pass": 0.1,
    },
    "scrubbed and cosines": {"strategy": ("scrub",), "filter": "cosine", "high_pass": 0.01},
}


def make_series(n_volumes: int, n_series: int = 3, seed: int = 9) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    time = np.arange(n_volumes)[:, None]
    drift = 0.1 * time + 5 * np.sin(time / 9 + np.arange(n_series))
    return 800 + 50 * np.arange(n_series) + drift + rng.normal(scale=4, size=(n_volumes, n_series))


def assert_equals_nilearn(
    folder: Path,
    preset: Preset,
    confounds: pd.DataFrame,
    metadata: dict[str, Any],
    *,
    tr: float = TR,
    built_in: str | None = None,
    desc: str = "preproc",
) -> None:
    image = write_derivatives(folder, confounds, metadata, desc)
    regressors, mask = nilearn_regressors(image, preset, built_in)
    chosen = choose_regressors(confounds, metadata, preset, desc)
    if regressors is None:
        assert chosen.values.shape == (len(confounds), 0)
    else:
        np.testing.assert_allclose(chosen.values, regressors, atol=1e-9)
    series = make_series(len(confounds))
    got, kept, unit = clean_series(series, confounds, metadata, tr, preset, desc)
    expected_kept = np.arange(len(series)) if mask is None else mask
    np.testing.assert_array_equal(np.flatnonzero(kept), expected_kept)
    assert unit == {"none": "a.u.", "zscore_sample": "z", "psc": "percent"}[preset.standardize]
    assert np.isnan(got[~kept]).all()
    for k, one in enumerate(series.T):
        # One by one: nilearn looks at all means together before it makes percentages.
        expected = nilearn_clean(one[:, None], regressors, mask, preset, tr)[:, 0]
        deviation = expected.std()
        assert deviation > 0
        np.testing.assert_allclose(got[kept, k] / deviation, expected / deviation, atol=1e-6)


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("non_steady", [0, 2])
def test_built_in_strategies_are_those_of_nilearn(
    tmp_path: Path, name: str, non_steady: int
) -> None:
    confounds, metadata = make_confounds(N, 1, spoilt=SPOILT, non_steady=non_steady)
    desc = "smoothAROMAnonaggr" if name == "ica_aroma" else "preproc"
    assert_equals_nilearn(tmp_path, BUILT_IN[name], confounds, metadata, built_in=name, desc=desc)


@pytest.mark.parametrize("separate", [False, True])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_nilearns_options(tmp_path: Path, name: str, separate: bool) -> None:
    confounds, metadata = make_confounds(N, 2, spoilt=SPOILT, non_steady=2, separate=separate)
    preset = Preset.model_validate(PRESETS[name])
    if separate and "anat_separated" in name:
        # nilearn looks for columns of white matter and CSF under both names.
        assert len(choose_regressors(confounds, metadata, preset).values.T) > 4
    assert_equals_nilearn(tmp_path, preset, confounds, metadata)


options = st.fixed_dictionaries(
    {
        "strategy": st.lists(
            st.sampled_from([one for one in get_args(Component) if one != "non_steady_state"]),
            unique=True,
        ).map(tuple),
        "motion": st.sampled_from(EXPANSIONS),
        "wm_csf": st.sampled_from(EXPANSIONS),
        "global_signal": st.sampled_from(EXPANSIONS),
        "compcor": st.sampled_from(get_args(CompCor)),
        "n_compcor": st.one_of(st.just("all"), st.integers(1, 6)),
        "scrub": st.integers(0, 8),
        "ica_aroma": st.just("basic"),
        "demean": st.booleans(),
        "detrend": st.booleans(),
        "standardize": st.sampled_from(["none", "zscore_sample", "psc"]),
        "filter": st.sampled_from(["butterworth", "cosine"]),
        "high_pass": st.one_of(st.none(), st.floats(0.004, 0.03)),
        "low_pass": st.one_of(st.none(), st.floats(0.09, 0.15)),
    }
)


@settings(max_examples=150)
@given(data=st.data(), given_options=options)
def test_any_options_are_nilearns(data: st.DataObject, given_options: dict[str, Any]) -> None:
    if "compcor" in given_options["strategy"] and "high_pass" not in given_options["strategy"]:
        given_options["strategy"] += ("high_pass",)
    if given_options["filter"] == "cosine":
        given_options |= {"low_pass": None, "high_pass": given_options["high_pass"] or 0.01}
    preset = Preset.model_validate(given_options)
    n_volumes = data.draw(st.integers(60, 220), label="volumes")
    tr = data.draw(st.sampled_from([0.8, 2.0, 2.4]), label="tr")
    spoilt = data.draw(
        st.lists(st.integers(0, n_volumes - 1), unique=True, max_size=20), label="spoilt"
    )
    confounds, metadata = make_confounds(
        n_volumes,
        data.draw(st.integers(0, 1000), label="seed"),
        tr=tr,
        spoilt=spoilt,
        non_steady=data.draw(st.integers(0, 3), label="non-steady"),
        separate=data.draw(st.booleans(), label="separate"),
    )
    try:
        regressors = choose_regressors(confounds, metadata, preset)
        cleaner = make_cleaner(regressors, tr, preset)
    except DataError as error:
        assert "too few" in error.problem
        assume(False)
    # What is left of a handful of degrees of freedom is mostly rounding, in nilearn as well.
    share = 1.0 if cleaner.filter is None else cleaner.filter.share
    assume(share * cleaner.kept.sum() - cleaner.basis.shape[1] > 10)
    with TemporaryDirectory() as folder:
        assert_equals_nilearn(Path(folder), preset, confounds, metadata, tr=tr)


def cleaner_of(name: str, seed: int = 5) -> Cleaner:
    confounds, metadata = make_confounds(N, seed, spoilt=SPOILT, non_steady=1)
    preset = Preset.model_validate(PRESETS[name] | {"standardize": "none"})
    return make_cleaner(choose_regressors(confounds, metadata, preset), TR, preset)


@pytest.mark.parametrize("name", PRESETS)
def test_the_cleaned_mean_is_the_mean_of_cleaned_voxels(name: str) -> None:
    cleaner, voxels = cleaner_of(name), make_series(N, 40)
    weights = np.random.default_rng(0).dirichlet(np.ones(40))
    of_voxels = cleaner.clean(voxels) @ weights
    np.testing.assert_allclose(
        cleaner.clean(voxels @ weights), of_voxels, atol=1e-9 * np.nanstd(of_voxels)
    )


def test_what_scrubbed_volumes_hold_does_not_matter() -> None:
    cleaner, series = cleaner_of("scrubbed and filtered"), make_series(N)
    spoilt = np.where(cleaner.kept[:, None], series, 1e6)
    np.testing.assert_array_equal(cleaner.clean(spoilt), cleaner.clean(series))


def test_residual_is_that_of_ordinary_least_squares() -> None:
    confounds, metadata = make_confounds(80, 4)
    chosen = choose_regressors(confounds, metadata, BUILT_IN["simple"])
    series = np.random.default_rng(5).normal(size=80)
    design = np.column_stack([np.ones(80), np.arange(80), chosen.values])
    residual = series - design @ np.linalg.lstsq(design, series, rcond=None)[0]
    got, _, _ = clean_series(series, confounds, metadata, TR, BUILT_IN["simple"])
    np.testing.assert_allclose(got, residual / residual.std(ddof=1), atol=1e-8)


def test_redundant_and_constant_confounds(tmp_path: Path) -> None:
    confounds, metadata = make_confounds(N, 3)
    confounds["white_matter"] = 2 * confounds["csf"]
    confounds["rot_z"] = confounds["rot_z_power2"] = 0.0
    confounds = confounds.drop(columns=[c for c in confounds if c.startswith("cosine")])
    assert_equals_nilearn(tmp_path, BUILT_IN["simple"], confounds, metadata, built_in="simple")


@pytest.mark.parametrize("name", [MOTION_24[0], MOTION_24[-1], *TISSUES])
def test_missing_confounds_are_named(name: str) -> None:
    confounds, metadata = make_confounds(N)
    with pytest.raises(DataError, match=rf"missing: {name}\n"):
        choose_regressors(confounds.drop(columns=[name]), metadata, BUILT_IN["simple"])


@pytest.mark.parametrize(
    ("given_options", "without", "message"),
    [
        ({"strategy": ("scrub",)}, "std_dvars", "missing: std_dvars"),
        ({"strategy": ("global_signal",)}, "global_signal", "missing: global_signal"),
        ({"strategy": ("ica_aroma",), "ica_aroma": "basic"}, "aroma", "no components of ICA-AROMA"),
        ({"strategy": ("ica_aroma",)}, "aroma", "this is desc-preproc"),
        ({"strategy": ("high_pass", "compcor")}, "comp_cor", "no CompCor components"),
    ],
)
def test_what_a_strategy_lacks_is_named(
    given_options: dict[str, Any], without: str, message: str
) -> None:
    confounds, metadata = make_confounds(N)
    confounds = confounds.drop(columns=[name for name in confounds if without in name])
    with pytest.raises(DataError, match=message):
        choose_regressors(confounds, metadata, Preset.model_validate(given_options))


def test_components_without_the_json() -> None:
    confounds, metadata = make_confounds(N)
    anatomical = BUILT_IN["compcor"]
    temporal = anatomical.model_copy(update={"compcor": "temporal"})
    with pytest.raises(DataError, match="mask of a_comp_cor_00 is not known"):
        choose_regressors(confounds, {}, anatomical)
    np.testing.assert_array_equal(
        choose_regressors(confounds, {}, temporal).values,
        choose_regressors(confounds, metadata, temporal).values,
    )


def test_old_versions_clean_as_today() -> None:
    confounds, metadata = make_confounds(N, spoilt=SPOILT, non_steady=1)
    wanted = [f"a_comp_cor_{k:02d}" for k in range(4)]
    others = [name for name in confounds if "a_comp" in name and name not in wanted]
    expected, _, _ = clean_series(
        make_series(N), confounds.drop(columns=others), metadata, TR, BUILT_IN["compcor"]
    )
    names = {"trans_x": "X", "trans_y": "Y", "trans_z": "Z", "csf": "CSF"}
    names |= {f"rot_{axis}": f"Rot{axis.upper()}" for axis in "xyz"}
    names |= {f"a_comp_cor_{k:02d}": f"aCompCor{k:02d}" for k in range(4)}
    names |= {name: name.title() for name in confounds if name.startswith("cosine")}
    names["non_steady_state_outlier00"] = "NonSteadyStateOutlier00"
    old = confounds[list(names)].rename(columns=names)
    got, kept, _ = clean_series(
        make_series(N), current_confounds(old), current_metadata(old, {}), TR, BUILT_IN["compcor"]
    )
    assert not kept[0]
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["simple", "scrubbing", "compcor"])
def test_real_tables_of_fmriprep_1_1(tmp_path: Path, shared_data: Path, name: str) -> None:
    folder = shared_data / "narps-events-confounds" / "derivatives" / "fmriprep"
    files = sorted(folder.rglob("*_bold_confounds.tsv"))
    if not files:
        pytest.skip(f"needs the tables of confounds in {folder}")
    # nilearn does not read them itself: it is given the table and the JSON as of today.
    for file in files[::16]:
        raw = pd.read_csv(file, sep="\t", na_values="n/a")
        confounds, metadata = current_confounds(raw), current_metadata(raw, {})
        assert_equals_nilearn(tmp_path, BUILT_IN[name], confounds, metadata, tr=1.0, built_in=name)


def test_gaps_after_the_first_volume_are_named() -> None:
    confounds, metadata = make_confounds(N)
    confounds.loc[7, "csf"] = np.nan
    with pytest.raises(DataError, match=r"not finite: csf\n"):
        choose_regressors(confounds, metadata, BUILT_IN["simple"])


@pytest.mark.parametrize(
    ("given_options", "n_volumes", "message"),
    [
        ({"strategy": ("motion",)}, 26, "26 volumes are too few to remove 26 regressors"),
        ({"strategy": (), "detrend": False}, 1, "1 volumes are too few to remove 1 regressors"),
        ({"strategy": (), "low_pass": 0.3}, 90, "low_pass is 0.3 Hz, .* below 0.25 Hz"),
        ({"strategy": (), "high_pass": 0.25}, 90, "high_pass is 0.25 Hz"),
        ({"strategy": (), "high_pass": 0.01, "low_pass": 0.1}, 33, "33 volumes .* more than 33"),
        ({"high_pass": 0.01, "low_pass": 0.06}, 90, "the filter leaves 18 degrees of freedom"),
    ],
)
def test_too_few_volumes_and_impossible_filters_are_refused(
    given_options: dict[str, Any], n_volumes: int, message: str
) -> None:
    confounds, metadata = make_confounds(n_volumes)
    preset = Preset.model_validate(given_options)
    with pytest.raises(DataError, match=message):
        clean_series(make_series(n_volumes), confounds, metadata, TR, preset)


def test_enough_volumes_for_the_filter() -> None:
    preset = Preset.model_validate({"strategy": (), "high_pass": 0.01, "low_pass": 0.1})
    confounds, metadata = make_confounds(34)
    got, _, _ = clean_series(make_series(34), confounds, metadata, TR, preset)
    assert np.isfinite(got).all()


def test_a_constant_series_stays_zero() -> None:
    regressors = Regressors(np.random.default_rng(0).normal(size=(20, 2)), np.ones(20, bool))
    cleaner = make_cleaner(regressors, TR, BUILT_IN["simple"])
    assert np.abs(cleaner.clean(np.zeros(20))).max() == 0
    percent = make_cleaner(regressors, TR, Preset(standardize="psc"))
    with pytest.raises(DataError, match="mean of the series is zero"):
        percent.clean(np.zeros(20))
