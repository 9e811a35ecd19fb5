"""LSA, finite impulse response and windows against explicit models; collinearity; noise ceiling."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm
from pydantic import ValidationError
from scipy import signal, stats

from braindata.derive.design import (
    delay_regressors,
    derivative_regressors,
    frame_times,
    nuisance_columns,
    orthogonal,
    trial_regressors,
)
from braindata.derive.lss import IS_COLLINEAR, NO_RESPONSE
from braindata.derive.parameters import DeriveParameters
from braindata.derive.trial_models import (
    NOT_KEPT,
    OUTSIDE,
    lsa,
    noise_ceiling,
    prepare,
    separate_columns,
    variance_inflation,
    window_mean,
)
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.errors import DataError
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS

TR, N_VOLUMES, HIGH_PASS = 2.0, 190, 0.008
TIMES = frame_times(N_VOLUMES, TR, 0.5)
DRIFTS = nuisance_columns(pd.DataFrame(), "none", TIMES, HIGH_PASS)
ALL = DeriveParameters(confounds="none", models=("lss", "lsa", "fir", "window"), fir_delays=(0, 3))


def onsets(n_trials: int = 24, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(5, N_VOLUMES * TR - 40, n_trials))


def noise(seed: int = 0, rho: float = 0.3) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(N_VOLUMES + 100)
    return signal.lfilter([1], [1, -rho], drawn)[100:]


def explicit(events: pd.DataFrame, series: np.ndarray, **options) -> pd.Series:
    """Return nilearn's ordinary least squares, by column of the design."""
    design = make_first_level_design_matrix(TIMES, events, high_pass=HIGH_PASS, **options)
    _, fits = run_glm(series[:, None], design.to_numpy(), noise_model="ols")
    (fit,) = fits.values()
    return pd.Series(fit.theta[:, 0], design.columns)


def test_all_trials_in_one_model_equal_nilearn() -> None:
    on = onsets()
    regressors, _ = trial_regressors(on, np.full(24, 1.5), TIMES, "spm")
    series = noise() + regressors @ np.linspace(0, 3, 24)
    found = lsa(prepare(series, regressors, DRIFTS))
    names = [f"trial{i:02d}" for i in range(24)]
    events = pd.DataFrame({"onset": on, "duration": 1.5, "trial_type": names})
    theirs = explicit(events, series, hrf_model="spm")[names]
    assert found.estimate == pytest.approx(theirs.to_numpy(), rel=1e-5, abs=1e-8)
    assert found.reasons == [None] * 24


@pytest.mark.parametrize("base", ["spm", "glover"])
@pytest.mark.parametrize("further", ["derivative", "derivative + dispersion"])
def test_responses_with_derivatives_equal_nilearn(base: str, further: str) -> None:
    on, hrf_model = onsets(12), f"{base} + {further}"
    durations = np.full(12, 1.5)
    regressors, _ = trial_regressors(on, durations, TIMES, hrf_model)
    derivatives = derivative_regressors(on, durations, TIMES, hrf_model)
    assert derivatives.shape[2] == further.count("+") + 1
    series = noise(3) + 2 * regressors.sum(axis=1)
    prepared = prepare(series, regressors, DRIFTS)
    columns = np.concatenate([regressors[:, :, None], derivatives], axis=2)
    ours = separate_columns(prepared, columns, orthogonal(columns))[0]
    names = [f"trial{i:02d}" for i in range(12)]
    events = pd.DataFrame({"onset": on, "duration": durations, "trial_type": names})
    for i in (0, 5, 11):
        kind = np.where(np.arange(12) == i, "this", "others")
        theirs = explicit(events.assign(trial_type=kind), series, hrf_model=hrf_model)
        assert ours.estimate[i] == pytest.approx(theirs["this"], rel=1e-5)
    theirs = explicit(events, series, hrf_model=hrf_model)[names].to_numpy()
    assert lsa(prepared, orthogonal(columns)[:, :, 1:]).estimate == pytest.approx(theirs, rel=1e-5)
    events["trial_type"] = "a"
    parameters = DeriveParameters(confounds="none", hrf_model=hrf_model)
    table = derived(events, parameters)
    assert set(table["hrf_model"].to_pylist()) == {hrf_model}
    assert table["estimate_se"].null_count == 0


@pytest.mark.filterwarnings("ignore:.*null duration")
def test_finite_impulse_responses_equal_nilearn() -> None:
    on = onsets(15)
    delays = [0, 1, 2, 3, 4, 5]
    columns, height = delay_regressors(on, TIMES, delays)
    regressors, _ = trial_regressors(on, np.zeros(15), TIMES, "spm")
    series = noise(1)
    found = separate_columns(prepare(series, regressors, DRIFTS), columns)
    assert height == pytest.approx(columns.max())
    for i in (0, 7, 14):
        kind = np.where(np.arange(15) == i, "this", "others")
        events = pd.DataFrame({"onset": on, "duration": 0.0, "trial_type": kind})
        theirs = explicit(events, series, hrf_model="fir", fir_delays=[d + 1 for d in delays])
        for delay, one in zip(delays, found, strict=True):
            assert one.estimate[i] == pytest.approx(theirs[f"this_delay_{delay + 1}"], rel=1e-5)


def test_a_window_is_the_mean_of_what_the_nuisance_leaves() -> None:
    on = onsets()
    regressors, _ = trial_regressors(on, np.zeros(24), TIMES, "spm")
    series = 100 + noise(2)
    found = window_mean(prepare(series, regressors, DRIFTS), on, TIMES, (4.0, 8.0))
    left = series - DRIFTS @ np.linalg.lstsq(DRIFTS, series, rcond=None)[0]
    for i, one in enumerate(on):
        inside = (one + 4 <= TIMES) & (one + 8 > TIMES)
        assert inside.sum() == 2
        assert found.estimate[i] == pytest.approx(left[inside].mean(), rel=1e-8)


@pytest.mark.parametrize("model", ["lsa", "fir", "window"])
def test_false_positives_in_null_simulations(model: str) -> None:
    rates = []
    for seed in range(40):
        on = onsets(24, seed)
        regressors, _ = trial_regressors(on, np.ones(24), TIMES, "spm")
        columns, _ = delay_regressors(on, TIMES, range(5))
        for again in range(5):
            prepared = prepare(noise(100 * seed + again), regressors, DRIFTS)
            if model == "lsa":
                made = [lsa(prepared)]
            elif model == "fir":
                made = separate_columns(prepared, columns)
            else:
                made = [window_mean(prepared, on, TIMES, (4.0, 8.0))]
            critical = stats.t.ppf(0.975, prepared.noise.dof)
            rates += [np.abs(one.estimate / one.standard_error) > critical for one in made]
    assert np.mean(rates) == pytest.approx(0.05, abs=0.015)


def test_variance_inflation_is_by_what_the_others_explain() -> None:
    on = onsets()
    on[5] = on[4] + 1.0
    regressors, _ = trial_regressors(on, np.ones(24), TIMES, "spm")
    prepared = prepare(noise(), regressors, DRIFTS)
    ours = variance_inflation(prepared.own, prepared.energy)
    for i in range(24):
        others = np.delete(prepared.own, i, axis=1)
        fit = others @ np.linalg.lstsq(others, prepared.own[:, i], rcond=None)[0]
        unexplained = ((prepared.own[:, i] - fit) ** 2).sum() / (prepared.own[:, i] ** 2).sum()
        assert ours[i] == pytest.approx(1 / unexplained)
    assert ours[4] > 5
    assert ours[5] > 5
    assert np.median(ours) < 3


def test_two_equal_trials_are_told() -> None:
    on = np.array([20.0, 20.0, 80.0, 400.0])
    regressors, _ = trial_regressors(on, np.ones(4), TIMES, "spm")
    prepared = prepare(noise(), regressors, DRIFTS)
    inflation = variance_inflation(prepared.own, prepared.energy)
    assert np.isinf(inflation[:2]).all()
    assert inflation[2] == pytest.approx(1, abs=0.1)
    assert np.isnan(inflation[3])
    assert lsa(prepared).reasons == [IS_COLLINEAR, IS_COLLINEAR, None, NO_RESPONSE]
    columns, _ = delay_regressors(on, TIMES, (0, 1))
    for one in separate_columns(prepared, columns):
        assert one.reasons == [None, None, None, NO_RESPONSE]
    only, _ = delay_regressors(on[:2], TIMES, (0, 1))
    for one in separate_columns(prepare(noise(), regressors[:, :2], DRIFTS), only):
        assert one.reasons == [IS_COLLINEAR] * 2


def test_more_trials_than_volumes_can_tell_apart() -> None:
    times = TIMES[:60]
    drifts = nuisance_columns(pd.DataFrame(), "none", times, HIGH_PASS)
    on = np.linspace(2, 100, 40)
    regressors, _ = trial_regressors(on, np.ones(40), times, "spm")
    prepared = prepare(noise()[:60], regressors, drifts)
    further = derivative_regressors(on, np.ones(40), times, "spm + derivative")
    assert lsa(prepared, further).reasons.count(IS_COLLINEAR) >= 35
    with pytest.raises(DataError, match="leave 5 degrees of freedom"):
        prepare(noise()[:60], regressors, np.random.default_rng(0).standard_normal((60, 53)))


def test_a_single_trial_has_no_others() -> None:
    on = np.array([30.0])
    regressors, _ = trial_regressors(on, np.ones(1), TIMES, "spm")
    prepared = prepare(noise(), regressors, DRIFTS)
    columns, _ = delay_regressors(on, TIMES, range(4))
    assert all(
        np.isfinite(one.estimate).all()
        for one in [lsa(prepared), *separate_columns(prepared, columns)]
    )
    assert variance_inflation(prepared.own, prepared.energy) == pytest.approx(1)


def test_windows_that_are_not_there() -> None:
    kept = np.ones(N_VOLUMES, bool)
    kept[np.flatnonzero((TIMES >= 54) & (TIMES < 58))] = False
    nuisance = nuisance_columns(pd.DataFrame(), "none", TIMES, HIGH_PASS, kept)
    on = np.array([-20.0, 50.0, 100.0, N_VOLUMES * TR - 5])
    regressors, _ = trial_regressors(on, np.ones(4), TIMES, "spm")
    found = window_mean(prepare(noise(), regressors, nuisance), on, TIMES, (4.0, 8.0))
    assert found.reasons == [OUTSIDE, NOT_KEPT, None, OUTSIDE]


def test_the_noise_ceiling_is_what_the_true_means_reach() -> None:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(12)]
    ceilings, reached = [], []
    for _ in range(200):
        true = dict(zip(names, rng.standard_normal(12), strict=True))
        conditions = names * 8
        estimate = np.array([true[name] for name in conditions]) + rng.standard_normal(96)
        ceilings.append(noise_ceiling(estimate, conditions))
        means = pd.Series(estimate).groupby(conditions).mean()
        reached.append(np.corrcoef(means, pd.Series(true)[means.index])[0, 1])
    assert np.mean(ceilings) == pytest.approx(np.mean(reached), abs=0.04)


def test_where_there_is_no_noise_ceiling() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(40)
    assert noise_ceiling(values, [f"{i}" for i in range(40)]) is None
    assert noise_ceiling(values, ["a", "b"] * 20) is None
    assert noise_ceiling(values, [None] * 40) is None
    assert noise_ceiling(np.full(40, np.nan), ["a", "b", "c", "d"] * 10) is None
    # Of noise the halves agree as often as not.
    drawn = [noise_ceiling(rng.standard_normal(80), list("abcdefgh") * 10) for _ in range(400)]
    assert np.mean(np.array(drawn) == 0) == pytest.approx(0.5, abs=0.08)


def derived(events: pd.DataFrame, parameters: DeriveParameters = ALL, **row) -> pa.Table:
    key = RecordingKey("ds", "sub-01_bold", "01")
    values = (1000 + 5 * noise()).tolist()
    series = {
        "recording": key.recording,
        "region": "visual",
        "definition_hash": "abc",
        "strategy": "none",
        "values": values,
        "sampling_frequency": 1 / TR,
        **row,
    }
    recording = RecordingEvents(key, events, pd.DataFrame(), TR)
    table = pa.Table.from_pylist([series], schema=SERIES)
    return derive_trials(table, [recording], parameters)[0]


def test_each_model_has_its_rows() -> None:
    events = pd.DataFrame(
        {"onset": onsets(20), "duration": 1.0, "trial_type": ["a", "b", "c", "d"] * 5}
    )
    table = derived(events)
    assert table.schema == TRIALS
    kinds = [(row["model"], row["hrf_model"], row["delay"]) for row in table.to_pylist()[::20]]
    assert kinds == [
        ("lss", "spm", None),
        ("lsa", "spm", None),
        ("fir", "fir", 0.0),
        ("fir", "fir", 6.0),
        ("window", None, None),
    ]
    assert len(table) == 5 * 20
    assert table["estimate"].null_count == 0
    assert table["noise_ceiling"].null_count == 0
    assert table.filter(pc.equal(table["model"], "lss")).equals(
        derived(events, ALL.model_copy(update={"models": ("lss",)}))
    )
    # A region without data keeps every row.
    nulls = derived(events, values=None)
    keys = ["trial", "model", "hrf_model", "delay"]
    assert nulls.select(keys).equals(table.select(keys))
    assert nulls["estimate"].null_count == nulls["reason"].to_pylist().count(
        "the region's series is null: the recording covers too little of it"
    )


def test_the_order_of_the_file_changes_no_estimate() -> None:
    events = pd.DataFrame({"onset": onsets(40), "duration": 1.0, "trial_type": list("abcde") * 8})
    order = np.random.default_rng(0).permutation(40)
    columns = ["trial", "model", "delay", "estimate", "estimate_se", "noise_ceiling"]
    one, other = (
        derived(rows).select(columns).to_pandas().set_index(["model", "delay", "trial"])
        for rows in (events, events.iloc[order].reset_index(drop=True))
    )
    for _, own in one.groupby(level=[0, 1], dropna=False):
        of_other = other.loc[own.index].to_numpy()
        np.testing.assert_allclose(of_other, own.to_numpy()[order], rtol=1e-9)


def test_overlapping_late_and_broken_trials() -> None:
    events = pd.DataFrame(
        {
            "onset": [20.0, 20.0, 60.0, 61.0, 120.0, np.nan, 5000.0, 200.0],
            "duration": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0],
        }
    )
    rows = derived(events, ALL.model_copy(update={"models": ("lss", "lsa")})).to_pylist()
    # One of two trials at once has no others' response that differs, in either model.
    assert [row["collinear"] for row in rows[:8]] == [True, True, True, True, False, *[None] * 3]
    assert [row["variance_inflation"] is None for row in rows[:2]] == [True, True]
    assert rows[2]["variance_inflation"] > 5
    assert [row["reason"] for row in rows[8:10]] == [IS_COLLINEAR] * 2
    for row in (rows[5:8], rows[13:16]):
        assert [one["reason"] for one in row] == [
            "its onset is not known",
            "it starts after the end of the recording",
            "its duration is negative",
        ]
        assert all(one["estimate"] is None for one in row)


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": ["lsa"]},
        {"models": ["lss", "lss"]},
        {"models": ["lss", "glm"]},
        {"fir_delays": [1, 1]},
        {"fir_delays": []},
        {"window": [8, 4]},
    ],
)
def test_wrong_parameters_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        DeriveParameters.model_validate(wrong)
