"""Connectivity: equal to independent implementations, at chance on noise, null with reasons."""

from __future__ import annotations

import mne_connectivity
import numpy as np
import pandas as pd
import pytest
from nilearn.connectome import ConnectivityMeasure
from numpy.testing import assert_allclose
from pydantic import ValidationError
from scipy.signal import lfilter
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from braindata.derive.connectivity import (
    Batch,
    Course,
    beta_series_batches,
    connectivity_rows,
    correlation_batches,
    in_order,
    phase_batches,
)
from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.correlations import effective_sizes, fisher_z, standardised
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import CONNECTIVITY

NAMES = ["a", "b", "c", "d", "e"]
PAIRS = [(x, y) for i, x in enumerate(NAMES) for y in NAMES[i + 1 :]]
PLAIN = ConnectivityParameters()
KEY = RecordingKey("ds", "sub-01_task-x_bold", "01", task="x")


def mixed(n: int = 200, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 5)) @ rng.standard_normal((5, 5)) * [1, 20, 3, 4, 5] + 7


def courses(series: np.ndarray, kept: np.ndarray | None = None) -> dict[str, Course]:
    good = np.ones(len(series), bool) if kept is None else kept
    values = np.where(good[:, None], series, np.nan)
    return {name: Course(values[:, i], good) for i, name in enumerate(NAMES)}


def of_kind(batches: list[Batch], kind: str) -> Batch:
    (found,) = [one for one in batches if one.kind == kind]
    return found


@pytest.mark.parametrize(
    ("kind", "of_nilearn", "estimator"),
    [
        ("correlation", "correlation", EmpiricalCovariance()),
        ("partial_correlation", "partial correlation", EmpiricalCovariance()),
        ("ledoit_wolf_correlation", "correlation", LedoitWolf()),
        ("ledoit_wolf_partial_correlation", "partial correlation", LedoitWolf()),
    ],
)
def test_correlations_are_those_of_nilearn(kind: str, of_nilearn: str, estimator: object) -> None:
    kept = np.random.default_rng(1).random(200) > 0.1
    series = mixed()
    found = of_kind(correlation_batches("simple", courses(series, kept), PAIRS, PAIRS, PLAIN), kind)
    measure = ConnectivityMeasure(
        cov_estimator=estimator, kind=of_nilearn, standardize="zscore_sample"
    )
    # nilearn standardises by n - 1, which Ledoit-Wolf's shrinkage does not see.
    (expected,) = measure.fit_transform([standardised(series[kept])])
    upper = [(NAMES.index(x), NAMES.index(y)) for x, y in PAIRS]
    assert_allclose(found.values, [np.arctanh(expected[at]) for at in upper], rtol=1e-8, atol=1e-10)
    assert found.columns["n_kept"] == kept.sum()
    assert set(found.reasons) == {None}


def test_standard_errors_are_those_of_autocorrelated_noise() -> None:
    rng = np.random.default_rng(2)
    n, phi, scores, naive = 200, 0.6, [], []
    for _ in range(400):
        series = lfilter([1], [1, -phi], rng.standard_normal((n + 50, 2)), axis=0)[50:]
        kept = rng.random(n) > 0.1
        filled = np.where(kept[:, None], series, np.nan)
        batches = correlation_batches(
            "s",
            {"a": Course(filled[:, 0], kept), "b": Course(filled[:, 1], kept)},
            [("a", "b")],
            [],
            PLAIN,
        )
        one = of_kind(batches, "correlation")
        scores.append(one.values[0] / one.columns["standard_error"][0])
        naive.append(one.values[0] * np.sqrt(kept.sum() - 3))
    assert np.std(scores) == pytest.approx(1, abs=0.12)
    assert np.std(naive) > 1.3
    assert np.mean(np.abs(scores) > 1.96) == pytest.approx(0.05, abs=0.035)


def test_white_noise_is_worth_what_it_has() -> None:
    series = np.random.default_rng(3).standard_normal((2000, 2))
    sizes = effective_sizes(series, np.ones(2000, bool))
    assert 0.85 * 2000 < sizes[0, 1] <= 2000


def test_a_pair_does_not_depend_on_the_other_regions() -> None:
    series = mixed()
    whole = correlation_batches("s", courses(series), PAIRS, PAIRS, PLAIN)
    alone = correlation_batches(
        "s", {n: c for n, c in courses(series).items() if n in "bd"}, [("b", "d")], [], PLAIN
    )
    at = PAIRS.index(("b", "d"))
    one, other = of_kind(whole, "correlation"), of_kind(alone, "correlation")
    assert one.values[at] == other.values[0]
    assert one.columns["n_effective"][at] == other.columns["n_effective"][0]
    assert of_kind(whole, "partial_correlation").columns["given"][at] == ["a", "c", "e"]


def test_with_a_list_the_set_stays_as_it_is() -> None:
    chosen = ConnectivityParameters(given=("b", "a", "nowhere"))
    series = mixed()
    whole = correlation_batches("s", courses(series), PAIRS, PAIRS, chosen)
    less = {n: c for n, c in courses(series).items() if n in "abc"}
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    few = correlation_batches("s", less, pairs, pairs, chosen)
    for kind in ("partial_correlation", "ledoit_wolf_partial_correlation"):
        one, other = of_kind(whole, kind), of_kind(few, kind)
        for number, pair in enumerate(pairs):
            assert one.values[PAIRS.index(pair)] == other.values[number]
        assert other.columns["given"] == [[], ["b"], ["a"]]
    partial = of_kind(whole, "partial_correlation")
    # Given b and a, of c and d: by residuals.
    design = np.column_stack([np.ones(200), series[:, :2]])
    rest = series - design @ np.linalg.lstsq(design, series, rcond=None)[0]
    expected = np.arctanh(np.corrcoef(rest[:, 2], rest[:, 3])[0, 1])
    assert partial.values[PAIRS.index(("c", "d"))] == pytest.approx(expected)


def test_what_cannot_be_correlated_is_null_with_a_reason() -> None:
    series = mixed()
    series[:, 1] = 4.0
    series[:, 3] = 2 * series[:, 2]
    some = courses(series) | {"a": Course(None, np.zeros(0, bool), "min_coverage: 0.2")}
    batches = correlation_batches("s", some, PAIRS, PAIRS, PLAIN)
    plain = dict(zip(PAIRS, of_kind(batches, "correlation").reasons, strict=True))
    assert plain[("a", "c")] == "a: min_coverage: 0.2"
    assert plain[("b", "c")] == "b: a series is constant"
    assert plain[("c", "d")] == "the two series are the same"
    assert plain[("c", "e")] is None
    partial = dict(zip(PAIRS, of_kind(batches, "partial_correlation").reasons, strict=True))
    assert partial[("c", "e")] == "the regions of the set cannot be told from each other"
    kept = np.arange(200) < 5
    few = correlation_batches("s", courses(mixed(), kept), PAIRS, PAIRS, PLAIN)
    assert set(of_kind(few, "correlation").reasons) == {
        f"{x}: 5 volumes are kept, 10 are needed" for x, _ in PAIRS
    }
    kept = np.arange(200) < 12
    chosen = {n: Course(np.resize(c.values, 200), kept) for n, c in courses(mixed()).items()}
    assert of_kind(
        correlation_batches("s", chosen, PAIRS, PAIRS, PLAIN), "correlation"
    ).reasons == [None] * len(PAIRS)


def betas(values: np.ndarray, kinds: list[str | None]) -> pd.DataFrame:
    trials = list(range(len(values)))
    return pd.DataFrame({"trial": trials, "trial_type": kinds, "estimate": values})


def test_beta_series_are_correlated_within_a_condition() -> None:
    rng = np.random.default_rng(5)
    kinds = (["face"] * 20 + ["house"] * 20 + ["odd"] * 3 + ["once"])[::-1]
    one, other = rng.standard_normal((2, 44))
    other[4] = np.nan
    found = beta_series_batches(
        {"a": betas(one, kinds), "b": betas(other, kinds)}, [("a", "b")], PLAIN
    )
    by = {batch.columns["condition"]: batch for batch in found}
    assert list(by) == ["face", "house", "odd"]
    where = np.array(kinds) == "house"
    where[4] = False
    expected = np.arctanh(np.corrcoef(one[where], other[where])[0, 1])
    assert by["house"].values[0] == pytest.approx(expected)
    assert by["house"].columns["n_kept"][0] == 19
    assert by["house"].columns["standard_error"][0] == pytest.approx(16**-0.5)
    assert by["odd"].reasons == ["min_trials: 3 trials have an estimate in both regions"]
    untyped = {n: betas(v, [None] * 44) for n, v in (("a", one), ("b", one))}
    (batch,) = beta_series_batches(untyped, [("a", "b")], PLAIN)
    assert batch.columns["condition"] is None
    assert batch.reasons == ["the two series are the same"]
    assert beta_series_batches({}, [("a", "b")], PLAIN) == []


SFREQ = 200.0


def eeg(n_seconds: float = 240, seed: int = 0) -> np.ndarray:
    """Noise; `b` follows `a` by a quarter of an alpha cycle, `c` is mixed with `a` at once."""
    rng = np.random.default_rng(seed)
    n = round(n_seconds * SFREQ)
    data = rng.standard_normal((5, n))
    times = np.arange(n) / SFREQ
    phase = 2 * np.pi * 10 * times + np.cumsum(rng.standard_normal(n)) * 0.05
    data[0] += 0.7 * np.cos(phase)
    data[1] += 0.7 * np.cos(phase - np.pi / 2)
    data[2] += 0.8 * data[0]
    return data * 1e-9


def eeg_courses(data: np.ndarray, kept: np.ndarray | None = None) -> dict[str, Course]:
    good = np.ones(data.shape[1], bool) if kept is None else kept
    crosstalk = {"a": {"e": 0.9, "b": 0.2}, "b": {"a": 0.3}}
    known = dict.fromkeys(NAMES, 0.1)
    return {
        name: Course(data[i], good, None, {**known, **crosstalk.get(name, {})})
        for i, name in enumerate(NAMES)
    }


@pytest.mark.parametrize(
    ("kind", "method"),
    [("wpli", "wpli"), ("imaginary_coherence", "imcoh"), ("wpli2_debiased", "wpli2_debiased")],
)
def test_coupling_is_that_of_mne_connectivity(kind: str, method: str) -> None:
    data = eeg(60)
    kept = np.ones(data.shape[1], bool)
    kept[1000:1100] = False
    batches = phase_batches(eeg_courses(data, kept), SFREQ, PAIRS, PLAIN)
    pieces = data.reshape(5, 30, 400).transpose(1, 0, 2) * 1e9
    pieces = np.delete(pieces, 2, axis=0)
    expected = mne_connectivity.spectral_connectivity_epochs(
        pieces, method=method, sfreq=SFREQ, fmin=8, fmax=13, faverage=True, verbose="ERROR"
    ).get_data("dense")[..., 0]
    (found,) = [b for b in batches if b.kind == kind and b.columns["band"] == "alpha"]
    for number, (x, y) in enumerate(PAIRS):
        if (x, y) == ("a", "e"):
            assert np.isnan(found.values[number])
            assert (
                found.reasons[number]
                == "max_crosstalk: one region contributes 0.90 of the other's own"
            )
            continue
        at = NAMES.index(y), NAMES.index(x)
        # mne-connectivity has the lower triangle: of the second region with the first.
        sign = -1 if kind == "imaginary_coherence" else 1
        assert found.values[number] == pytest.approx(sign * expected[at], rel=1e-6)
    assert found.columns["n_kept"] == 29
    assert found.columns["crosstalk"][PAIRS.index(("a", "b"))] == pytest.approx(0.3)


def test_coupling_is_there_where_it_was_put_and_nowhere_else() -> None:
    batches = phase_batches(eeg_courses(eeg()), SFREQ, PAIRS, PLAIN)
    by = {(b.kind, b.columns["band"]): dict(zip(PAIRS, b.values, strict=True)) for b in batches}
    alpha = by["wpli2_debiased", "alpha"]
    assert alpha["a", "b"] > 0.5
    assert abs(by["imaginary_coherence", "alpha"]["a", "b"]) > 0.3
    # Mixed at once, but not coupled.
    assert abs(alpha["a", "c"]) < 0.1
    assert abs(by["imaginary_coherence", "alpha"]["a", "c"]) < 0.1
    assert abs(by["wpli2_debiased", "beta"]["a", "b"]) < 0.1


def test_noise_is_at_chance() -> None:
    data = np.random.default_rng(9).standard_normal((5, 48_000)) * 1e-9
    limit = ConnectivityParameters(max_crosstalk=None)
    batches = phase_batches(eeg_courses(data), SFREQ, PAIRS, limit)
    for kind in ("wpli2_debiased", "imaginary_coherence"):
        values = np.concatenate([b.values for b in batches if b.kind == kind])
        assert len(values) == 40 and np.isfinite(values).all()
        assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
        assert np.abs(values).max() < 0.12


def test_what_eeg_cannot_hold_apart_is_null() -> None:
    data = eeg(20)
    some = eeg_courses(data) | {"b": Course(None, np.zeros(0, bool), "fair: 30 mm")}
    (first, *_) = phase_batches(some, SFREQ, PAIRS, PLAIN)
    reasons = dict(zip(PAIRS, first.reasons, strict=True))
    assert reasons["a", "b"] == "b: fair: 30 mm"
    assert reasons["c", "d"] == "min_epochs: 10 pieces of 2 s"
    unknown = {n: Course(c.values, c.kept) for n, c in eeg_courses(data).items()}
    (first, *_) = phase_batches(unknown, SFREQ, PAIRS, PLAIN)
    assert {one and one.split(":")[0] for one in first.reasons} == {"max_crosstalk"}
    slow = phase_batches(eeg_courses(eeg(240)[:, ::4]), 50.0, PAIRS, PLAIN)
    gamma = [b for b in slow if b.columns["band"] == "gamma"]
    assert all("sampled too slowly" in str(b.reasons[1]) for b in gamma)


def test_rows_have_a_value_or_a_reason() -> None:
    batches = [
        *correlation_batches("simple", courses(mixed()), PAIRS, PAIRS, PLAIN),
        *phase_batches(eeg_courses(eeg(60)), SFREQ, PAIRS, PLAIN),
    ]
    table = in_order(connectivity_rows(KEY, "fmri", dict.fromkeys(NAMES, "0"), batches[::-1]))
    assert table.schema == CONNECTIVITY
    assert table == in_order(connectivity_rows(KEY, "fmri", dict.fromkeys(NAMES, "0"), batches))
    rows = table.to_pandas()
    assert len(rows) == 10 * (4 + 12)
    assert (rows["value"].notna() == rows["reason"].isna()).all()
    assert (rows["region_a"] < rows["region_b"]).all()
    assert rows[rows["kind"] == "wpli"]["n_effective"].isna().all()


def test_fisher_z_of_the_same() -> None:
    assert_allclose(fisher_z(np.array([0.5, 1.0 + 1e-16])), [np.arctanh(0.5), np.inf])


@pytest.mark.parametrize("wrong", [{"min_trials": 2}, {"max_crosstalk": 0}, {"epoch": 0.1}])
def test_parameters_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(ValidationError):
        ConnectivityParameters(**wrong)


def test_a_strategy_that_no_region_has_gives_nulls_with_the_reason() -> None:
    nothing = Course(None, np.zeros(0, dtype=bool), "it does not allow it")
    courses = {"a": nothing, "b": nothing}
    pairs = [("a", "b")]
    batches = correlation_batches("ica_aroma", courses, pairs, pairs, ConnectivityParameters())
    assert batches
    assert all(np.isnan(one.values).all() for one in batches)
    assert all("it does not allow it" in str(r) for one in batches for r in one.reasons)
