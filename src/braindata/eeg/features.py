"""Features of single trials at sensors: event-related potentials and band power."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Range of the aperiodic fit in Hz: below it drifts and filters count, above it muscle and the line.
APERIODIC_RANGE = (2.0, 40.0)
MAX_PEAKS = 6
# Of a single trial: its window resolves fewer frequencies and no more than one peak.
TRIAL_RANGE = (3.0, 40.0)
TRIAL_PEAKS = 1
# Half of the smoothing, in cycles per window: more, and a steep slope would come out flat.
TRIAL_TAPERS = 1.5


def cut_trials(data: Floats, sfreq: float, onsets: Floats, tmin: float, tmax: float) -> Floats:
    """Cut a window around each onset.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Continuous.
    sfreq : float
        Samples per second.
    onsets : ndarray, shape (n_trials,)
        In s; NaN where it is not known.
    tmin, tmax : float
        From and to, in s from the onset.

    Returns
    -------
    ndarray, shape (n_trials, n_channels, n_times)
        NaN throughout where the window is not within the recording.
    """
    before, after = round(tmin * sfreq), round(tmax * sfreq)
    cut = np.full((len(onsets), len(data), after - before + 1), np.nan)
    for trial, onset in enumerate(onsets):
        if not np.isfinite(onset):
            continue
        sample = round(float(onset) * sfreq)
        if sample + before >= 0 and sample + after < data.shape[1]:
            cut[trial] = data[:, sample + before : sample + after + 1]
    return cut


def erp_amplitudes(
    data: Floats,
    sfreq: float,
    onsets: Floats,
    window: tuple[float, float],
    baseline: tuple[float, float],
    h_freq: float,
) -> Floats:
    """Return the mean amplitude in a window after each event, against its baseline.

    The mean amplitude is the measure of a component that noise biases least (Luck & Gaspelin 2017,
    doi:10.1111/psyp.12639).

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Continuous, in V; the channels are averaged.
    sfreq : float
        Samples per second.
    onsets : ndarray, shape (n_trials,)
        In s.
    window, baseline : tuple of float
        In s from the onset.
    h_freq : float
        Low-pass in Hz.

    Returns
    -------
    ndarray, shape (n_trials,)
        In V; NaN where the trial is not within the recording.
    """
    course = data.mean(axis=0, keepdims=True).astype(np.float64)
    if h_freq < 0.45 * sfreq:
        course = mne.filter.filter_data(course, sfreq, None, h_freq, verbose="ERROR")
    low, high = min(window[0], baseline[0]), max(window[1], baseline[1])
    trials = cut_trials(course, sfreq, onsets, low, high)[:, 0]
    first = round(low * sfreq)

    def mean(span: tuple[float, float]) -> Floats:
        start, stop = (round(edge * sfreq) - first for edge in span)
        averaged: Floats = trials[:, start : stop + 1].mean(axis=1)
        return averaged

    amplitude: Floats = mean(window) - mean(baseline)
    return amplitude


def band_powers(
    data: Floats,
    sfreq: float,
    onsets: Floats,
    window: tuple[float, float],
    bands: Sequence[tuple[float, float]],
) -> Floats:
    """Return the power density of each trial in some bands, averaged over channels.

    By multitapers, as MNE has them.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Continuous, in V.
    sfreq : float
        Samples per second.
    onsets : ndarray, shape (n_trials,)
        In s.
    window : tuple of float
        In s from the onset.
    bands : sequence of tuple of float
        From and to in Hz.

    Returns
    -------
    ndarray, shape (n_trials, n_bands)
        In V²/Hz; NaN where the trial is not within the recording, or the sampling does not show
        the band.
    """
    trials = cut_trials(data, sfreq, onsets, *window)
    trials -= trials.mean(axis=2, keepdims=True)
    powers = np.full((len(trials), len(bands)), np.nan)
    there = np.isfinite(trials).all(axis=(1, 2))
    if not there.any():
        return powers
    density, freqs = mne.time_frequency.psd_array_multitaper(
        trials[there], sfreq, fmin=0, fmax=np.inf, normalization="full", verbose="ERROR"
    )
    for index, (low, high) in enumerate(bands):
        inside = (freqs >= low) & (freqs <= high)
        if inside.any() and high <= 0.45 * sfreq:
            powers[there, index] = density[:, :, inside].mean(axis=(1, 2))
    return powers


def aperiodic_exponent(data: Floats, sfreq: float) -> float | None:
    """Return the exponent of the aperiodic part of the spectrum, averaged over channels.

    Donoghue et al. 2020, doi:10.1038/s41593-020-00744-x.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Continuous.
    sfreq : float
        Samples per second.

    Returns
    -------
    float or None
        1 for 1/f; None when no model fits.
    """
    low, high = APERIODIC_RANGE[0], min(APERIODIC_RANGE[1], 0.4 * sfreq)
    n_fft = min(data.shape[1], round(2 * sfreq))
    power, freqs = mne.time_frequency.psd_array_welch(
        data, sfreq, fmin=low, fmax=high, n_fft=n_fft, n_overlap=n_fft // 2, verbose="ERROR"
    )
    model = _spectral_model(MAX_PEAKS)
    return _exponent(model, freqs, power.mean(axis=0), (low, high))


def _spectral_model(max_n_peaks: int) -> Any:
    # Takes a second to import, which every job that derives trials of images would pay.
    from specparam import SpectralModel

    return SpectralModel(max_n_peaks=max_n_peaks, verbose=False)


def aperiodic_exponents(
    data: Floats, sfreq: float, onsets: Floats, window: tuple[float, float]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return the exponent of the aperiodic part of each trial's spectrum, averaged over channels.

    As `aperiodic_exponent`, of a spectrum by multitapers from 3 to 40 Hz.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        Continuous.
    sfreq : float
        Samples per second.
    onsets : ndarray, shape (n_trials,)
        In s.
    window : tuple of float
        In s from the onset.

    Returns
    -------
    exponents : ndarray, shape (n_trials,)
        NaN where no model fits, or the trial is not within the recording.
    within : ndarray of bool, shape (n_trials,)
        Whether it is within.
    """
    trials = cut_trials(data, sfreq, onsets, *window)
    within = np.asarray(np.isfinite(trials).all(axis=(1, 2)), bool)
    exponents = np.full(len(trials), np.nan)
    if not within.any():
        return exponents, within
    trials = trials[within] - trials[within].mean(axis=2, keepdims=True)
    low, high = TRIAL_RANGE[0], min(TRIAL_RANGE[1], 0.4 * sfreq)
    bandwidth = 2 * TRIAL_TAPERS * sfreq / trials.shape[2]
    power, freqs = mne.time_frequency.psd_array_multitaper(
        trials, sfreq, fmin=low, fmax=high, bandwidth=bandwidth, verbose="ERROR"
    )
    # One for all: making it takes as long as a fit without peaks.
    model = _spectral_model(TRIAL_PEAKS)
    found = [_exponent(model, freqs, one, (low, high)) for one in power.mean(axis=1)]
    exponents[within] = [np.nan if one is None else one for one in found]
    return exponents, within


def _exponent(model: Any, freqs: Floats, power: Floats, span: tuple[float, float]) -> float | None:
    if not (power > 0).all():
        return None
    model.fit(freqs, power, list(span))
    exponent = float(model.get_params("aperiodic", "exponent"))
    return exponent if np.isfinite(exponent) else None
