"""Least squares separate against explicit models, and its standard errors against simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm
from nilearn.glm.first_level.hemodynamic_models import compute_regressor
from scipy import signal, stats
from scipy.linalg import toeplitz

from braindata.bids.confounds import MOTION_24
from braindata.derive.design import (
    CONFOUND_COLUMNS,
    frame_times,
    nuisance_columns,
    trial_regressors,
)
from braindata.derive.lss import IS_COLLINEAR, IS_NUISANCE, NO_RESPONSE, lss, orthonormal_basis
from braindata.derive.noise import estimate_ar1, lag_sums, powers
from braindata.errors import DataError

TR = 2.0
HIGH_PASS = 0.008


def fake_confounds(rng: np.random.Generator, n: int) -> pd.DataFrame:
    values = rng.standard_normal((n, 26))
    values[:, :24] *= 10.0 ** rng.integers(-5, 1, 24)
    values[:, 24:] = 400 + values[:, 24:]
    return pd.DataFrame(values, columns=list(CONFOUND_COLUMNS["simple"]))


def ar1(rng: np.random.Generator, n: int, n_regions: int, rho: float) -> np.ndarray:
    noise = rng.standard_normal((n + 100, n_regions))
    return signal.lfilter([1], [1, -rho], noise, axis=0)[100:]


@pytest.mark.parametrize("hrf_model", ["spm", "glover"])
@pytest.mark.parametrize("slice_time_ref", [0.0, 0.5])
@pytest.mark.parametrize("tr", [2.0, 0.735])
def test_regressors_equal_nilearn(hrf_model, slice_time_ref, tr):
    times = frame_times(120, tr, slice_time_ref)
    end = 120 * tr
    onsets = np.array([-5.0, 0.0, 3.3, 3.3 + tr / 100, 40.71, end - 3, end - 0.5, end + 9])
    durations = np.array([2.0, 0.0, 1.0, 0.0, 25.5, 10.0, 0.1, 1.0])
    ours, heights = trial_regressors(onsets, durations, times, hrf_model)
    for i, (onset, duration) in enumerate(zip(onsets, durations, strict=True)):
        theirs, _ = compute_regressor(([onset], [duration], [1.0]), hrf_model, times)
        assert np.allclose(ours[:, i], theirs[:, 0], atol=1e-12)
    assert not ours[:, -1].any()
    # The height is that of nilearn's regressor on the fine grid, not at the volumes.
    fine = np.arange(0, end, tr / 50)
    for i in (1, 2, 3, 4):
        dense, _ = compute_regressor(
            ([onsets[i]], [durations[i]], [1.0]), hrf_model, fine, oversampling=1
        )
        assert heights[i] == pytest.approx(dense.max(), rel=0.03)
    assert (heights >= ours.max(axis=0) - 1e-12).all()


def test_drifts_and_confounds_equal_nilearn_design_matrix():
    rng = np.random.default_rng(0)
    times = frame_times(150, TR, 0.5)
    confounds = fake_confounds(rng, 150)
    with_nan = confounds.copy()
    with_nan.loc[0, "trans_x_derivative1"] = np.nan
    ours = nuisance_columns(with_nan, "simple", times, HIGH_PASS)
    # nilearn's load_confounds gives the first row the value of the second.
    confounds.loc[0, "trans_x_derivative1"] = confounds.loc[1, "trans_x_derivative1"]
    theirs = make_first_level_design_matrix(
        times, None, add_regs=confounds, drift_model="cosine", high_pass=HIGH_PASS
    )
    assert np.allclose(ours, theirs.to_numpy(), rtol=1e-12)
    assert nuisance_columns(with_nan, "motion", times, HIGH_PASS).shape[1] == ours.shape[1] - 2
    assert len(MOTION_24) == 24


def test_estimates_equal_explicit_models_in_nilearn():
    rng = np.random.default_rng(1)
    n, n_trials = 160, 25
    times = frame_times(n, TR, 0.5)
    onsets = np.sort(rng.uniform(0, n * TR - 15, n_trials))
    durations = rng.uniform(0.5, 4, n_trials)
    confounds = fake_confounds(rng, n)
    series = ar1(rng, n, 3, 0.3) + 0.1 * confounds[["csf"]].to_numpy()
    regressors, _ = trial_regressors(onsets, durations, times, "spm")
    nuisance = nuisance_columns(confounds, "simple", times, HIGH_PASS)
    result = lss(series, regressors, nuisance)
    for i in range(n_trials):
        kind = np.where(np.arange(n_trials) == i, "this", "others")
        events = pd.DataFrame({"onset": onsets, "duration": durations, "trial_type": kind})
        design = make_first_level_design_matrix(
            times, events, "spm", add_regs=confounds, high_pass=HIGH_PASS
        )
        _, fits = run_glm(series, design.to_numpy(), noise_model="ols")
        (fit,) = fits.values()
        explicit = fit.theta[design.columns.get_loc("this")]
        assert np.allclose(result.estimate[i], explicit, rtol=1e-5, atol=1e-9)
    assert result.reasons == [None] * n_trials
    one = lss(series[:, 0], regressors, nuisance)
    assert np.allclose(one.estimate, result.estimate[:, 0])
    assert np.allclose(one.standard_error, result.standard_error[:, 0])


def test_standard_error_equals_the_sandwich_formula():
    rng = np.random.default_rng(2)
    n = 90
    times = frame_times(n, TR, 0.5)
    regressors, _ = trial_regressors(np.arange(5, 150, 14.0), np.ones(11), times, "spm")
    nuisance = nuisance_columns(pd.DataFrame(), "none", times, HIGH_PASS)
    series = ar1(rng, n, 1, 0.4)[:, 0]
    result = lss(series, regressors, nuisance)

    # The noise, by brute force: rho whose expected residual autocorrelation is the observed one.
    full = np.column_stack([regressors.sum(axis=1), nuisance])
    forming = np.eye(n) - full @ np.linalg.pinv(full)
    residuals = forming @ series
    lag = toeplitz([0, 0.5, *np.zeros(n - 2)])
    observed = residuals @ lag @ residuals / (residuals @ residuals)
    covariance = toeplitz(float(result.rho) ** np.arange(n))
    middle = forming @ covariance
    assert np.trace(forming @ lag @ middle) / np.trace(middle) == pytest.approx(observed, abs=1e-3)
    variance = residuals @ residuals / np.trace(middle)
    for i in (0, 5, 10):
        this = regressors[:, i]
        design = np.column_stack([this, regressors.sum(axis=1) - this, nuisance])
        weights = np.linalg.pinv(design)[0]
        expected = np.sqrt(weights @ covariance @ weights * variance)
        assert result.standard_error[i] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.25, 0.5])
def test_false_positives_in_null_simulations(rho):
    rng = np.random.default_rng(int(100 * rho))
    n, n_trials = 190, 60
    times = frame_times(n, TR, 0.5)
    rates, estimates = [], []
    for _ in range(12):
        onsets = np.sort(rng.uniform(0, n * TR - 12, n_trials))
        regressors, _ = trial_regressors(onsets, np.ones(n_trials), times, "spm")
        nuisance = nuisance_columns(fake_confounds(rng, n), "simple", times, HIGH_PASS)
        result = lss(ar1(rng, n, 80, rho), regressors, nuisance)
        critical = stats.t.ppf(0.975, result.residual_dof)
        rates.append(np.mean(np.abs(result.estimate / result.standard_error) > critical))
        estimates.append(result.rho.mean())
    assert np.mean(rates) == pytest.approx(0.05, abs=0.015)
    assert np.mean(estimates) == pytest.approx(rho, abs=0.03)


def test_known_responses_are_recovered():
    rng = np.random.default_rng(3)
    n, n_trials = 400, 60
    times = frame_times(n, TR, 0.5)
    onsets = 10 + 12 * np.arange(n_trials) + rng.uniform(0, 2, n_trials)
    regressors, _ = trial_regressors(onsets, np.ones(n_trials), times, "spm")
    truth = rng.normal(1, 0.5, n_trials)
    nuisance = nuisance_columns(pd.DataFrame(), "none", times, HIGH_PASS)
    clean = regressors @ truth
    noisy = clean + 0.01 * ar1(rng, n, 1, 0.3)[:, 0]
    result = lss(noisy, regressors, nuisance)
    assert np.corrcoef(result.estimate, truth)[0, 1] > 0.95
    assert result.estimate.mean() == pytest.approx(truth.mean(), abs=0.05)


def test_trials_that_cannot_be_estimated_have_a_reason():
    rng = np.random.default_rng(4)
    n = 100
    times = frame_times(n, TR, 0.5)
    onsets = np.array([10.0, 40.0, 80.0, 500.0, np.nan, -60.0])
    regressors, heights = trial_regressors(onsets, np.ones(6), times, "spm")
    spike = np.zeros(n)
    spike[50] = 1
    regressors = np.column_stack([regressors, spike])
    nuisance = np.column_stack([np.ones(n), spike])
    result = lss(rng.standard_normal(n), regressors, nuisance)
    assert result.reasons == [None] * 3 + [NO_RESPONSE] * 3 + [IS_NUISANCE]
    assert np.isfinite(result.estimate[:3]).all()
    assert np.isnan(result.estimate[3:]).all()
    assert np.isnan(result.standard_error[3:]).all()
    assert np.isnan(heights[4:]).all()


def test_two_equal_trials():
    rng = np.random.default_rng(5)
    times = frame_times(100, TR, 0.5)
    nuisance = np.ones((100, 1))
    only, _ = trial_regressors(np.array([30.0, 30.0]), np.ones(2), times, "spm")
    assert lss(rng.standard_normal(100), only, nuisance).reasons == [IS_COLLINEAR] * 2
    # Among others each of the two is estimable: the rest of its pair belongs to the others.
    more, _ = trial_regressors(np.array([30.0, 30.0, 90.0]), np.ones(3), times, "spm")
    result = lss(more @ np.array([1.0, 1.0, 1.0]), more, nuisance)
    assert np.allclose(result.estimate, 1)


def test_a_single_trial_has_no_others():
    times = frame_times(100, TR, 0.5)
    regressors, _ = trial_regressors(np.array([30.0]), np.ones(1), times, "spm")
    result = lss(3 * regressors[:, 0] + 7, regressors, np.ones((100, 1)))
    assert result.estimate == pytest.approx([3.0])
    # Without residuals there is no estimate of the noise.
    assert np.isnan(result.standard_error).all()


def test_no_trials():
    result = lss(np.arange(50.0), np.empty((50, 0)), np.ones((50, 1)))
    assert result.estimate.shape == result.standard_error.shape == (0,)
    assert result.reasons == []


def test_scrubbing_equals_leaving_volumes_out():
    rng = np.random.default_rng(6)
    n = 120
    times = frame_times(n, TR, 0.5)
    regressors, _ = trial_regressors(np.arange(5, 210, 13.0), np.ones(16), times, "spm")
    series = rng.standard_normal(n)
    kept = rng.uniform(size=n) > 0.1
    series[~kept] += 100
    nuisance = nuisance_columns(pd.DataFrame(), "none", times, HIGH_PASS, kept)
    drifts = nuisance_columns(pd.DataFrame(), "none", times, HIGH_PASS)
    shorter = lss(series[kept], regressors[kept], drifts[kept])
    result = lss(series, regressors, nuisance)
    assert np.allclose(result.estimate, shorter.estimate)
    assert result.residual_dof == shorter.residual_dof


def test_too_many_nuisance_columns():
    rng = np.random.default_rng(7)
    with pytest.raises(DataError, match="degrees of freedom") as caught:
        lss(rng.standard_normal(40), rng.standard_normal((40, 5)), rng.standard_normal((40, 32)))
    assert "derive.confounds" in str(caught.value.hint)


def test_values_that_are_not_finite():
    with pytest.raises(DataError, match="not finite"):
        lss(np.full(50, np.nan), np.ones((50, 1)), np.ones((50, 1)))


def test_missing_and_broken_confounds():
    rng = np.random.default_rng(8)
    times = frame_times(60, TR, 0.5)
    confounds = fake_confounds(rng, 60)
    with pytest.raises(DataError, match="confounds are missing: csf"):
        nuisance_columns(confounds.drop(columns="csf"), "simple", times, HIGH_PASS)
    with pytest.raises(DataError, match="59 rows for 60 volumes"):
        nuisance_columns(confounds[1:], "simple", times, HIGH_PASS)
    confounds.loc[30, "rot_z"] = np.nan
    with pytest.raises(DataError, match="not finite: rot_z"):
        nuisance_columns(confounds, "simple", times, HIGH_PASS)
    with pytest.raises(DataError, match="not numeric"):
        nuisance_columns(confounds.assign(csf="much"), "simple", times, HIGH_PASS)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(40, 90),
    n_trials=st.integers(0, 12),
    n_regions=st.integers(1, 4),
    n_nuisance=st.integers(0, 6),
    seed=st.integers(0, 2**31),
)
def test_shapes_scale_and_shift(n, n_trials, n_regions, n_nuisance, seed):
    rng = np.random.default_rng(seed)
    times = frame_times(n, TR, 0.5)
    onsets = rng.uniform(-40, n * TR + 20, n_trials)
    regressors, heights = trial_regressors(onsets, rng.uniform(0, 9, n_trials), times, "glover")
    nuisance = rng.standard_normal((n, n_nuisance))
    series = rng.standard_normal((n, n_regions))
    result = lss(series, regressors, nuisance)
    assert regressors.shape == (n, n_trials)
    assert heights.shape == (n_trials,)
    assert result.estimate.shape == result.standard_error.shape == (n_trials, n_regions)
    assert result.rho.shape == (n_regions,)
    empty = np.array([reason is not None for reason in result.reasons], dtype=bool)
    assert (np.isnan(result.estimate).all(axis=1) == empty).all()
    assert (result.standard_error[~empty] > 0).all()
    # Twice the series plus nuisance: twice the estimates, the same noise model.
    other = lss(2 * series + nuisance.sum(axis=1, keepdims=True) + 5, regressors, nuisance)
    assert np.allclose(other.estimate, 2 * result.estimate, equal_nan=True, rtol=1e-6, atol=1e-8)
    assert np.allclose(other.standard_error, 2 * result.standard_error, equal_nan=True, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 40), columns=st.integers(1, 5), rho=st.floats(-0.9, 0.9))
def test_lag_sums_are_quadratic_forms(n, columns, rho):
    rng = np.random.default_rng(n * columns)
    a, b = rng.standard_normal((2, n, columns))
    by_lag = powers(np.array([rho]), n) @ lag_sums(a, b)
    covariance = toeplitz(rho ** np.arange(n))
    assert np.allclose(by_lag[0], np.einsum("ic,ij,jc->c", a, covariance, b), atol=1e-9)


def test_ar1_of_plain_noise():
    rng = np.random.default_rng(9)
    basis = orthonormal_basis(rng.standard_normal((500, 60)))
    noise = ar1(rng, 500, 200, 0.4)
    rho, variance = estimate_ar1(noise - basis @ (basis.T @ noise), basis)
    assert rho.mean() == pytest.approx(0.4, abs=0.01)
    assert variance.mean() == pytest.approx(1 / (1 - 0.4**2), rel=0.02)
