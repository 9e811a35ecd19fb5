"""The line frequency: how much of it there is, and its removal."""

from __future__ import annotations

import mne
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CANDIDATES = (50.0, 60.0)
# Power at a candidate over that of its neighbourhood, above which it is line noise.
MIN_RATIO = 3.0
# Half the width of the peak and of its neighbourhood in Hz.
PEAK, NEIGHBOURHOOD = 0.5, 5.0


def line_noise_ratio(data: Floats, sfreq: float, line_freq: float) -> float | None:
    """Return the power at a frequency over that of its neighbourhood; the median over channels.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        The signals.
    sfreq : float
        Samples per second.
    line_freq : float
        In Hz.

    Returns
    -------
    float or None
        1 where there is no line noise; None where the sampling cannot show it.
    """
    if line_freq + NEIGHBOURHOOD >= sfreq / 2:
        return None
    n_fft = min(data.shape[1], round(4 * sfreq))
    power, freqs = mne.time_frequency.psd_array_welch(
        data,
        sfreq,
        fmin=line_freq - NEIGHBOURHOOD,
        fmax=line_freq + NEIGHBOURHOOD,
        n_fft=n_fft,
        n_overlap=n_fft // 2,
        verbose="ERROR",
    )
    near = np.abs(freqs - line_freq) <= PEAK
    around = power[:, ~near].mean(axis=1)
    ratio = power[:, near].mean(axis=1) / np.where(around > 0, around, np.inf)
    return float(np.median(ratio))


def find_line_frequency(data: Floats, sfreq: float) -> float | None:
    """Return 50 or 60 Hz, whichever the spectrum shows; None when neither."""
    ratios = {line: line_noise_ratio(data, sfreq, line) or 0.0 for line in CANDIDATES}
    best = max(CANDIDATES, key=lambda line: ratios[line])
    return best if ratios[best] >= MIN_RATIO else None


def remove_line_noise(data: Floats, sfreq: float, line_freq: float, h_freq: float) -> list[float]:
    """Remove sinusoids at the line frequency and its harmonics, in place.

    Parameters
    ----------
    data : ndarray, shape (n_channels, n_samples)
        The signals.
    sfreq : float
        Samples per second.
    line_freq : float
        In Hz.
    h_freq : float
        Harmonics above it are left to the low-pass.

    Returns
    -------
    list of float
        The frequencies in Hz.
    """
    highest = min(h_freq * 1.1, sfreq / 2 - 2)
    freqs = [float(f) for f in np.arange(line_freq, highest, line_freq)]
    if freqs:
        mne.filter.notch_filter(
            data,
            sfreq,
            np.array(freqs),
            notch_widths=1.0,
            trans_bandwidth=1.0,
            copy=False,
            verbose="ERROR",
        )
    return freqs
