"""Estimates of the trials of one recording and region: from a series to numbers with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.derive.design import (
    delay_regressors,
    derivative_regressors,
    orthogonal,
)
from braindata.derive.lss import lss
from braindata.derive.parameters import DeriveParameters
from braindata.derive.trial_design import TrialDesign, trial_design
from braindata.derive.trial_models import (
    Estimated,
    lsa,
    noise_ceiling,
    prepare,
    separate_columns,
    variance_inflation,
    window_mean,
)
from braindata.errors import DataError

Floats = NDArray[np.float64]

# How far the repetition time of the series may be from that of the recording.
TR_TOLERANCE = 1e-3
NULL_SERIES = "the region's series is null: the recording covers too little of it"


@dataclass(frozen=True)
class Estimates:
    """Estimates of all trials by one model, as the table has them.

    Attributes
    ----------
    estimate, standard_error, reasons : list, length n_trials
        None where there is nothing to say.
    model, hrf_model : str or None
        How they were made; None of behaviour alone.
    delay : float or None
        In s from the onset, of a finite impulse response.
    variance_inflation, collinear : list, length n_trials
        How far each trial's response is like those of others.
    noise_ceiling : float or None
        Of the conditions' means.
    """

    estimate: list[float | None]
    standard_error: list[float | None]
    reasons: list[str | None]
    variance_inflation: list[float | None]
    collinear: list[bool | None]
    model: str | None = None
    hrf_model: str | None = None
    delay: float | None = None
    noise_ceiling: float | None = None

    @classmethod
    def none(
        cls,
        n_trials: int,
        reason: str,
        model: str | None = None,
        hrf_model: str | None = None,
        delay: float | None = None,
    ) -> Estimates:
        """Return that there are none, for one reason."""
        return cls(
            estimate=[None] * n_trials,
            standard_error=[None] * n_trials,
            reasons=[reason] * n_trials,
            variance_inflation=[None] * n_trials,
            collinear=[None] * n_trials,
            model=model,
            hrf_model=hrf_model,
            delay=delay,
        )


def estimate_trials(
    row: dict[str, object],
    timed: pd.DataFrame,
    conditions: Sequence[str | None],
    confounds: pd.DataFrame,
    tr: float,
    parameters: DeriveParameters,
) -> list[Estimates]:
    """Estimate the trials of one recording by each model.

    Parameters
    ----------
    row : dict
        The region's uncleaned series, a row of `series`.
    timed : pandas.DataFrame
        `onset` and `duration` in s.
    conditions : sequence of (str or None)
        The type of each trial.
    confounds : pandas.DataFrame, shape (n_volumes, any)
        Under fMRIPrep's names.
    tr : float
        Repetition time in s.
    parameters : DeriveParameters
        Which models, and how.

    Returns
    -------
    list of Estimates
        In the order of the models; of a finite impulse response one per delay.

    Raises
    ------
    DataError
        When series, events and confounds do not fit each other, or say nothing.
    """
    values = row["values"]
    n_trials = len(timed)
    if not isinstance(values, list) or any(value is None for value in values) or not values:
        return [
            Estimates.none(n_trials, NULL_SERIES, model, _hrf(model, parameters), delay)
            for model in parameters.models
            for delay in _delays(model, tr, parameters)
        ]
    kept = row["kept"] if isinstance(row["kept"], list) else [True] * len(values)
    percent = _percent(np.array(values, dtype=np.float64), np.array(kept, dtype=bool))
    rate = row["sampling_frequency"]
    if not isinstance(rate, float) or abs(rate * tr - 1) > TR_TOLERANCE:
        raise DataError(
            f"the series has {rate} samples per second, the recording a TR of {tr} s",
            hint="run `extract` again",
        )
    start = row["start"] if isinstance(row["start"], float) else None
    design = trial_design(timed, confounds, tr, len(percent), start, kept, parameters)
    times, onsets, regressors = design.times, design.onsets, design.regressors
    nuisance, heights = design.nuisance, design.heights
    prepared = prepare(percent, regressors, nuisance)
    derivatives = derivative_regressors(onsets, design.durations, times, parameters.hrf_model)
    columns = np.concatenate([regressors[:, :, None], derivatives], axis=2)
    found: list[tuple[str, float | None, Estimated, Floats | float]] = []
    for model in parameters.models:
        if model == "lss" and derivatives.shape[2]:
            made = separate_columns(prepared, columns, orthogonal(columns))[0]
            found.append((model, None, made, heights))
        elif model == "lss":
            result = lss(percent, regressors, nuisance)
            made = Estimated(result.estimate, result.standard_error, result.reasons)
            found.append((model, None, made, heights))
        elif model == "lsa":
            found.append((model, None, lsa(prepared, orthogonal(columns)[:, :, 1:]), heights))
        elif model == "fir":
            delayed, height = delay_regressors(onsets, times, parameters.fir_delays)
            delays = _delays(model, tr, parameters)
            for delay, made in zip(delays, separate_columns(prepared, delayed), strict=True):
                found.append((model, delay, made, height))
        else:
            made = window_mean(prepared, onsets, times, parameters.window)
            found.append((model, None, made, 1.0))
    inflation = variance_inflation(prepared.own, prepared.energy)
    inflation[[reason is not None for reason in design.impossible]] = np.nan
    return [
        _as_rows(made, scale, design, inflation, conditions, model, delay, parameters)
        for model, delay, made, scale in found
    ]


def _delays(model: str, tr: float, parameters: DeriveParameters) -> list[float | None]:
    return [delay * tr for delay in parameters.fir_delays] if model == "fir" else [None]


def _hrf(model: str, parameters: DeriveParameters) -> str | None:
    if model == "window":
        return None
    return "fir" if model == "fir" else parameters.hrf_model


def _as_rows(
    made: Estimated,
    scale: Floats | float,
    design: TrialDesign,
    inflation: Floats,
    conditions: Sequence[str | None],
    model: str,
    delay: float | None,
    parameters: DeriveParameters,
) -> Estimates:
    reasons = design.reasons(made.reasons)
    blank = np.array([reason is not None for reason in reasons], dtype=np.bool_)
    estimate = np.where(blank, np.nan, made.estimate * scale)
    # The ceiling is of earlier and later trials; a file need not be sorted.
    order = np.argsort(design.onsets, kind="stable")
    return Estimates(
        _nullable(estimate),
        _nullable(np.where(blank, np.nan, made.standard_error * scale)),
        reasons,
        _nullable(np.where(np.isinf(inflation), np.nan, inflation)),
        [
            None if np.isnan(value) else bool(value > parameters.max_variance_inflation)
            for value in inflation
        ],
        model,
        _hrf(model, parameters),
        delay,
        noise_ceiling(estimate[order], [conditions[i] for i in order]),
    )


def _percent(values: Floats, kept: NDArray[np.bool_]) -> Floats:
    """Return a series in percent of its mean over the kept volumes.

    Volumes that are not in a steady state are much brighter; the design has a column for each.
    """
    hint = "look at the preprocessed image of this recording"
    if not np.isfinite(values).all():
        raise DataError("the series holds values that are not finite", hint=hint)
    if not kept.any():
        raise DataError("no volume is kept", hint=hint)
    mean, spread = values[kept].mean(), values[kept].std()
    if mean <= spread:
        raise DataError(
            f"the series has a mean of {mean:.3g} and a standard deviation of {spread:.3g}: "
            "it is no image intensity, of which a percentage could be taken",
            hint=hint,
        )
    percent: Floats = 100.0 * (values / mean - 1.0)
    if np.ptp(percent[kept]) < 1e-9:
        raise DataError("the series is constant", hint=hint)
    return percent


def _nullable(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
