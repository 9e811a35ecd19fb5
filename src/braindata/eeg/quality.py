"""How good a cleaned recording is, in a few numbers."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def median_spectrum(data: Floats, sfreq: float) -> tuple[list[float], list[float]]:
    """Return the median over channels of the power density, by Welch's method in pieces of 2 s.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        In V.
    sfreq : float
        Samples per second.

    Returns
    -------
    frequencies : list of float
        In Hz, from 0.5 Hz.
    power : list of float
        In µV²/Hz, four digits of each: more depend on the processor.
    """
    n_fft = min(data.shape[1], round(2 * sfreq))
    power, frequencies = mne.time_frequency.psd_array_welch(
        data, sfreq, fmin=0.5, fmax=sfreq / 2, n_fft=n_fft, n_overlap=n_fft // 2, verbose="ERROR"
    )
    median = 1e12 * np.median(power, axis=0)
    return [round(float(f), 4) for f in frequencies], [float(f"{one:.4g}") for one in median]


def evoked_snr(epochs: Floats, labels: NDArray[Any], times: Floats) -> float | None:
    """Return the signal-to-noise ratio of the evoked response by split halves.

    Of each kind of event the odd and the even epochs are averaged. Half their difference is noise
    alone, their mean is signal and the same noise; the ratio of signal to noise is that of their
    powers after the event, less one, over channels, times and kinds.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        In V.
    labels : ndarray, shape (n_epochs,)
        The kind of each.
    times : ndarray, shape (n_times,)
        In s from the event.

    Returns
    -------
    float or None
        A power ratio, 0 in expectation where there is no response; it may come out negative. None
        when no kind has four epochs.
    """
    after = times >= 0
    signal = noise = 0.0
    for label in np.unique(labels):
        own = epochs[labels == label][:, :, after]
        if len(own) < 4:
            continue
        # Equally many in both, or the noise of the two would differ.
        own = own[: len(own) // 2 * 2]
        odd, even = own[0::2].mean(axis=0), own[1::2].mean(axis=0)
        signal += float((((odd + even) / 2) ** 2).sum())
        noise += float((((odd - even) / 2) ** 2).sum())
    return signal / noise - 1.0 if noise > 0 else None


def split_half_correlation(epochs: Floats, times: Floats) -> float | None:
    """Return the correlation of the evoked responses of odd and even epochs, over channels.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_channels, n_times)
        Of one kind, in V.
    times : ndarray, shape (n_times,)
        In s from the event; what lies before it does not count.
    """
    after = times >= 0
    if len(epochs) < 4:
        return None
    halves = [epochs[start::2][:, :, after].mean(axis=0).ravel() for start in (0, 1)]
    return float(np.corrcoef(*halves)[0, 1])
