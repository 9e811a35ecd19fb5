"""The columns of a single-trial design: one regressor per trial, confounds, drifts, constant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from nilearn.glm.first_level import hemodynamic_models
from nilearn.signal import create_cosine_drift
from numpy.typing import NDArray

from braindata.bids.confounds import MOTION_24, TISSUES, confound_values
from braindata.derive.parameters import ConfoundStrategy, HrfModel
from braindata.errors import DataError

Floats = NDArray[np.float64]


# nilearn's defaults, so that the columns equal those of its `make_first_level_design_matrix`.
OVERSAMPLING = 50
MIN_ONSET = -24.0

CONFOUND_COLUMNS: dict[ConfoundStrategy, tuple[str, ...]] = {
    "simple": (*MOTION_24, *TISSUES),
    "motion": MOTION_24,
    "none": (),
}


def frame_times(
    n_volumes: int, tr: float, slice_time_ref: float, start: float | None = None
) -> Floats:
    """Return the moment to which each volume is attributed.

    Where slice times were corrected, what they were corrected to is known, and counts. Where they
    were not, a volume holds slices from 0 to one TR after its start, so that the middle is the
    least biased; nilearn's default is its start (`slice_time_ref` 0).

    Parameters
    ----------
    n_volumes : int
        Number of volumes.
    tr : float
        Repetition time in s.
    slice_time_ref : float
        0 to 1: the moment within the TR, where `start` is not known.
    start : float, optional
        Time in s of what the first volume shows: BIDS' ``StartTime``.

    Returns
    -------
    ndarray of float64, shape (n_volumes,)
        In s from the start of the recording.
    """
    first = tr * slice_time_ref if start is None else start
    times: Floats = first + tr * np.arange(n_volumes, dtype=np.float64)
    return times


def trial_regressors(
    onsets: Floats, durations: Floats, times: Floats, hrf_model: HrfModel
) -> tuple[Floats, Floats]:
    """Convolve each trial's boxcar with a haemodynamic response function.

    Equal to nilearn's `compute_regressor` for each trial, without its convolution: a boxcar
    convolved with a kernel is a difference of two values of the kernel's cumulative sum, which is
    looked up at the volumes only.

    Parameters
    ----------
    onsets, durations : ndarray of float64, shape (n_trials,)
        In s; a duration of 0 is an impulse of one sample of the fine grid, as in nilearn.
        A trial with a NaN has a regressor of zeros and a height of NaN.
    times : ndarray of float64, shape (n_volumes,)
        Frame times in s, evenly spaced.
    hrf_model : str
        As nilearn names it; derivatives are left out.

    Returns
    -------
    regressors : ndarray of float64, shape (n_volumes, n_trials)
        One column per trial.
    heights : ndarray of float64, shape (n_trials,)
        Largest value of each trial's full response on the fine grid, within the recording or not.
    """
    return _convolved(onsets, durations, times, _kernels(hrf_model, times)[0])


def derivative_regressors(
    onsets: Floats, durations: Floats, times: Floats, hrf_model: HrfModel
) -> Floats:
    """Return the derivatives of each trial's response: one column per trial and derivative.

    Parameters
    ----------
    onsets, durations, times, hrf_model
        As of `trial_regressors`.

    Returns
    -------
    ndarray of float64, shape (n_volumes, n_trials, n_derivatives)
        Without columns where the model has no derivatives.
    """
    kernels = _kernels(hrf_model, times)[1:]
    columns = [_convolved(onsets, durations, times, kernel)[0] for kernel in kernels]
    return np.stack(columns, axis=2) if columns else np.empty((len(times), len(onsets), 0))


def orthogonal(columns: Floats) -> Floats:
    """Return each trial's columns with what they share with earlier ones taken out.

    As in nilearn: the response keeps what it shares with its derivatives.

    Parameters
    ----------
    columns : ndarray of float64, shape (n_volumes, n_trials, n_columns)
        The response, then its derivatives.
    """
    result = columns.copy()
    for number in range(1, columns.shape[2]):
        for earlier in range(number):
            one = result[:, :, earlier]
            energy = np.einsum("ij,ij->j", one, one)
            shared = np.einsum("ij,ij->j", one, result[:, :, number])
            share = np.divide(shared, energy, out=np.zeros(len(energy)), where=energy > 0)
            result[:, :, number] -= one * share
    return result


def _kernels(hrf_model: HrfModel, times: Floats) -> list[Floats]:
    base, *further = hrf_model.split(" + ")
    names = {"derivative": "time_derivative", "dispersion": "dispersion_derivative"}
    spacing = (times[-1] - times[0]) / (len(times) - 1)
    return [
        np.asarray(getattr(hemodynamic_models, f"{base}_{kind}")(spacing, OVERSAMPLING), np.float64)
        for kind in ("hrf", *(names[one] for one in further))
    ]


def delay_regressors(onsets: Floats, times: Floats, delays: Sequence[int]) -> tuple[Floats, float]:
    """Return a finite impulse response to each trial: one column per trial and delay.

    Delay 0 is of the volumes within one repetition time after the onset, delay 1 of the next ones.
    nilearn's model `fir` with events of duration 0 calls these 1 and 2: its 0 lies before.

    Parameters
    ----------
    onsets : ndarray of float64, shape (n_trials,)
        In s; a trial with a NaN has columns of zeros.
    times : ndarray of float64, shape (n_volumes,)
        Frame times in s, evenly spaced.
    delays : sequence of int
        In repetition times from the onset.

    Returns
    -------
    regressors : ndarray of float64, shape (n_volumes, n_trials, n_delays)
        The columns.
    height : float
        Height of each of them, in nilearn's scale.
    """
    columns = []
    for delay in delays:
        kernel = np.concatenate([np.zeros(delay * OVERSAMPLING), np.ones(OVERSAMPLING)])
        nothing = np.zeros(len(onsets))
        columns.append(_convolved(onsets, nothing, times, kernel / OVERSAMPLING)[0])
    return np.stack(columns, axis=2), 1.0 / OVERSAMPLING


def _convolved(
    onsets: Floats, durations: Floats, times: Floats, kernel: Floats
) -> tuple[Floats, Floats]:
    n_volumes = len(times)
    spacing = (times[-1] - times[0]) / (n_volumes - 1)
    last = times[-1] * (1 + 1 / (n_volumes - 1))
    n_fine = round((last - times[0] - MIN_ONSET) * OVERSAMPLING / spacing + 1)
    fine = np.linspace(times[0] + MIN_ONSET, last, n_fine)

    # cumulative[i] is the sum of the first i samples; before the kernel 0, after it its total.
    cumulative = np.concatenate([[0.0], np.cumsum(kernel)])

    known = np.isfinite(onsets) & np.isfinite(durations) & (onsets >= fine[0])
    on = np.searchsorted(fine, np.where(known, onsets, np.inf))
    off = np.searchsorted(fine, np.where(known, onsets + durations, np.inf))
    # nilearn closes a boxcar that outlasts the recording at the last sample of the grid.
    on_grid = np.minimum(on, n_fine - 1)
    off_grid = np.minimum(off, n_fine - 1)
    impulse = (off_grid == on_grid) & (off_grid < n_fine - 1)
    off_grid = np.where(impulse, off_grid + 1, off_grid)

    def response(sample: NDArray[np.intp]) -> Floats:
        since_on = np.clip(sample[:, None] - on_grid + 1, 0, len(kernel))
        since_off = np.clip(sample[:, None] - off_grid + 1, 0, len(kernel))
        difference: Floats = cumulative[since_on] - cumulative[since_off]
        return difference

    right = np.clip(np.searchsorted(fine, times), 1, n_fine - 1)
    share = (times - fine[right - 1]) / (fine[right] - fine[right - 1])
    regressors = (1 - share)[:, None] * response(right - 1) + share[:, None] * response(right)
    regressors[:, ~known] = 0.0

    step = fine[1] - fine[0]
    heights = np.full(len(onsets), np.nan)
    for i in np.flatnonzero(known):
        # A trial that outlasts the grid has no sample of its end there: count it in steps.
        inside = off[i] < n_fine
        n_on = max(1, int(off[i] - on[i]) if inside else int(np.ceil(durations[i] / step)))
        n_on = min(n_on, len(kernel))
        padded = np.concatenate([cumulative, np.full(n_on, cumulative[-1])])
        heights[i] = np.max(padded[n_on:] - padded[:-n_on], initial=cumulative[: n_on + 1].max())
    return regressors, heights


def nuisance_columns(
    confounds: pd.DataFrame,
    strategy: ConfoundStrategy,
    times: Floats,
    high_pass: float,
    kept: Sequence[bool] | None = None,
) -> Floats:
    """Collect confounds, cosine drifts, scrubbed volumes and the constant.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, any)
        Under fMRIPrep's names.
    strategy : {"simple", "motion", "none"}
        Which of them.
    times : ndarray of float64, shape (n_volumes,)
        Frame times in s.
    high_pass : float
        Cut-off of the drifts in Hz.
    kept : sequence of bool, optional
        False for volumes to leave out: each becomes a column of its own, which is the same as
        leaving it out and keeps the volumes evenly spaced for the noise model.

    Returns
    -------
    ndarray of float64, shape (n_volumes, n_columns)
        The constant is the last column.

    Raises
    ------
    DataError
        When a confound is missing, of another length, or not a number after the first row.
    """
    wanted = CONFOUND_COLUMNS[strategy]
    hint = "make the confounds again, or set derive.confounds to `none`"
    if wanted and len(confounds) != len(times):
        raise DataError(
            f"the confounds have {len(confounds)} rows for {len(times)} volumes", hint=hint
        )
    values = confound_values(confounds, wanted, hint=hint) if wanted else np.empty((len(times), 0))
    scrubbed = np.flatnonzero(~np.asarray(kept, bool)) if kept is not None else np.empty(0, int)
    spikes = np.zeros((len(times), len(scrubbed)))
    spikes[scrubbed, np.arange(len(scrubbed))] = 1.0
    drifts = np.asarray(create_cosine_drift(high_pass, times), dtype=np.float64)
    return np.hstack([values, spikes, drifts])
