"""From electrodes to currents in the brain: linear operators that are fixed per montage.

They are what `mne.minimum_norm` and `mne.beamformer` compute, and tests hold them to it. They are
written out here because mne makes them from its own forward solution only, one per montage, which
is what the lead fields of the scalp save.

All refer to the average: the lead field is taken against the mean of the electrodes, and so each
row of an operator sums to zero, and data against any one reference give the same currents.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from braindata.eeg.head import Floats

Method = Literal["eLORETA", "sLORETA", "lcmv"]
# What the operators give for 1 V: eLORETA and LCMV a current; sLORETA standardises it.
UNITS: dict[Method, str] = {"eLORETA": "A·m", "sLORETA": "1", "lcmv": "A·m"}

# V: the noise in whose terms sLORETA is standardised, that of `mne.make_ad_hoc_cov`.
NOISE = 0.2e-6
# mne's options of eLORETA.
EPS = 1e-6
MAX_ITER = 20


def average_reference(lead_field: Floats) -> Floats:
    """Return a lead field (n_channels, …) against the mean of its electrodes."""
    referenced: Floats = lead_field - lead_field.mean(axis=0)
    return referenced


def sloreta(lead_field: Floats, snr: float = 3.0) -> Floats:
    """Return the operator of sLORETA (Pascual-Marqui 2002, Methods Find Exp Clin Pharmacol 24D).

    The minimum norm without depth weighting, each source divided by its standard deviation over
    all three directions, as mne does.

    Parameters
    ----------
    lead_field : ndarray, shape (n_channels, n_sources, 3)
        V for 1 A·m, in any reference.
    snr : float
        Assumed ratio of the amplitudes of signal and noise; `lambda2` of mne is 1 / snr².

    Returns
    -------
    ndarray, shape (n_sources, 3, n_channels)
        Standardised current for 1 V, without a unit.
    """
    gain = _gain(lead_field)
    gram = gain @ gain.T
    # Sources of unit variance, and the noise that makes them this strong.
    noise = np.trace(gram) / (len(gain) - 1) / snr**2
    kernel = gain.T @ np.linalg.inv(gram + noise * np.eye(len(gain)))
    # Diagonal of the resolution matrix: the variance of each estimate, from signal and noise.
    variance = (kernel * gain.T).sum(axis=1).reshape(-1, 3).sum(axis=1)
    deviation = np.sqrt(variance / noise) * NOISE
    scaled: Floats = kernel.reshape(-1, 3, len(gain)) / deviation[:, np.newaxis, np.newaxis]
    return scaled


def eloreta(lead_field: Floats, snr: float = 3.0) -> Floats:
    """Return the operator of eLORETA (Pascual-Marqui 2007, arXiv:0710.3341).

    The weighted minimum norm that localises single sources without error when there is no noise.

    Parameters
    ----------
    lead_field, snr
        As for `sloreta`.

    Returns
    -------
    ndarray, shape (n_sources, 3, n_channels)
        Current in A·m for 1 V.
    """
    gain = _gain(lead_field)
    n_channels = len(gain)
    by_source = gain.T.reshape(-1, 3, n_channels)
    lambda2 = 1 / snr**2
    weights: Floats = np.tile(np.eye(3), (len(by_source), 1, 1))
    for _ in range(MAX_ITER):
        weights, weighted, gram = _normalised(weights, by_source)
        inverse = np.linalg.inv(gram + lambda2 * np.eye(n_channels))
        projected = by_source @ inverse @ by_source.swapaxes(1, 2)
        values, vectors = np.linalg.eigh(projected)
        root = (vectors / np.sqrt(values)[:, np.newaxis]) @ vectors.swapaxes(1, 2)
        new = np.asarray(root, np.float64)
        change = float(np.linalg.norm(new - weights) / np.linalg.norm(weights))
        weights = new
        if change < EPS:
            break
    _, weighted, gram = _normalised(weights, by_source)
    kernel: Floats = weighted @ np.linalg.inv(gram + lambda2 * np.eye(n_channels))
    return kernel


def lcmv(lead_field: Floats, covariance: Floats, reg: float = 0.05) -> Floats:
    """Return the filters of a beamformer: one recording's (Van Veen et al. 1997).

    With unit gain, and so a current (doi:10.1109/10.623056).

    Parameters
    ----------
    lead_field : ndarray, shape (n_channels, n_sources, 3)
        V for 1 A·m, in any reference.
    covariance : ndarray, shape (n_channels, n_channels)
        Of the recording, in V², in any reference.
    reg : float
        Share of the mean variance that is added to all channels, as mne's `reg`.

    Returns
    -------
    ndarray, shape (n_sources, 3, n_channels)
        Current in A·m for 1 V.
    """
    gain = _gain(lead_field)
    n_channels = len(gain)
    reference = np.eye(n_channels) - 1 / n_channels
    data = reference @ covariance @ reference
    loading = reg * np.trace(data) / n_channels
    inverse = np.linalg.pinv(data + loading * reference, rcond=1e-12, hermitian=True)
    by_source = gain.T.reshape(-1, 3, n_channels)
    filtered = by_source @ inverse
    kernel = np.linalg.solve(filtered @ by_source.swapaxes(1, 2), filtered)
    return np.asarray(kernel, np.float64)


def _gain(lead_field: Floats) -> Floats:
    """Return the lead field against the mean, as a matrix (n_channels, 3 · n_sources)."""
    return average_reference(lead_field).reshape(len(lead_field), -1)


def _normalised(weights: Floats, by_source: Floats) -> tuple[Floats, Floats, Floats]:
    """Return weights whose sources give noise's variance, with what follows from them.

    Parameters
    ----------
    weights : ndarray, shape (n_sources, 3, 3)
        Covariance of each source.
    by_source : ndarray, shape (n_sources, 3, n_channels)
        Lead field.

    Returns
    -------
    weights : ndarray, shape (n_sources, 3, 3)
        Scaled.
    weighted : ndarray, shape (n_sources, 3, n_channels)
        Times the lead field.
    gram : ndarray, shape (n_channels, n_channels)
        Lead field times that.
    """
    n_channels = by_source.shape[2]
    weighted = weights @ by_source
    gram = by_source.reshape(-1, n_channels).T @ weighted.reshape(-1, n_channels)
    scale = np.trace(gram) / (n_channels - 1)
    return weights / scale, weighted / scale, gram / scale
