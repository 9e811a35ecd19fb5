"""How courses of EEG hold together in phase, by measures that mixing at lag zero does not feign."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Our names, and those of mne-connectivity. Weighted phase lag index and its debiased square: Vinck
# et al. 2011, doi:10.1016/j.neuroimage.2011.01.055; imaginary coherence: Nolte et al. 2004,
# doi:10.1016/j.clinph.2004.04.029.
METHODS = {
    "imaginary_coherence": "imcoh",
    "wpli": "wpli",
    "wpli2_debiased": "wpli2_debiased",
}
# The highest frequency that is looked at, as a share of the sampling rate.
HIGHEST = 0.45


def cut_epochs(courses: Floats, kept: NDArray[np.bool_], n_samples: int) -> Floats:
    """Cut courses into pieces, one after the other, in which every sample is kept.

    Parameters
    ----------
    courses : ndarray, shape (n_regions, n_times)
        The courses.
    kept : ndarray of bool, shape (n_times,)
        Which samples are.
    n_samples : int
        Length of a piece.

    Returns
    -------
    ndarray, shape (n_epochs, n_regions, n_samples)
        Those from a multiple of their length on.
    """
    n_epochs = courses.shape[1] // n_samples
    end = n_epochs * n_samples
    whole = kept[:end].reshape(n_epochs, n_samples).all(axis=1)
    pieces = courses[:, :end].reshape(len(courses), n_epochs, n_samples)
    return np.ascontiguousarray(pieces.transpose(1, 0, 2)[whole])


def phase_coupling(
    epochs: Floats,
    sfreq: float,
    pairs: Sequence[tuple[int, int]],
    bands: Sequence[tuple[float, float]],
) -> dict[str, Floats]:
    """Return the coupling of pairs of courses in some bands.

    Cross-spectra by multitapers, averaged over pieces, as mne-connectivity has them.

    Parameters
    ----------
    epochs : ndarray, shape (n_epochs, n_regions, n_samples)
        In any unit.
    sfreq : float
        Samples per second.
    pairs : sequence of (int, int)
        Which regions.
    bands : sequence of tuple of float
        From and to in Hz.

    Returns
    -------
    dict of str to ndarray, shape (n_pairs, n_bands)
        By our name of the measure. NaN where the sampling does not show the band.
    """
    values = {name: np.full((len(pairs), len(bands)), np.nan) for name in METHODS}
    seen = [index for index, (_, high) in enumerate(bands) if high <= HIGHEST * sfreq]
    if not seen or not pairs:
        return values
    # Courses of some pA·m have powers near the least that is told from none. Each by its own scale:
    # what is said of a pair must not depend on other regions, not even in the last digit.
    scaled = epochs / np.array([[[epochs[:, one].std()] for one in range(epochs.shape[1])]])
    first, second = (np.array(one) for one in zip(*pairs, strict=True))
    # EEG alone needs it, and it takes long to import.
    from mne_connectivity import spectral_connectivity_epochs

    found = spectral_connectivity_epochs(
        scaled,
        method=list(METHODS.values()),
        indices=(first, second),
        sfreq=sfreq,
        fmin=tuple(bands[index][0] for index in seen),
        fmax=tuple(bands[index][1] for index in seen),
        faverage=True,
        mode="multitaper",
        verbose="ERROR",
    )
    for name, one in zip(METHODS, found, strict=True):
        values[name][:, seen] = one.get_data()
    return values
