"""Temporal filters of one recording, as `nilearn.signal` applies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braindata.errors import DataError

Floats = NDArray[np.float64]
# nilearn's: the order of the filter, applied forwards and backwards.
ORDER = 5
# nilearn's: a confound that correlates more than this with a cosine is taken for one.
SAME_COSINE = 0.9


@dataclass(frozen=True)
class Butterworth:
    """A Butterworth filter that runs over scrubbed volumes.

    Volumes that are not kept are interpolated with a cubic spline, filtered with the others, and
    only then left out; those before the first and after the last one kept are never used
    (Lindquist et al. 2019, doi:10.1002/hbm.24528).

    Attributes
    ----------
    sections : ndarray of float64, shape (n_sections, 6)
        The filter, as second-order sections.
    kept : ndarray of bool, shape (n_volumes,)
        The volumes to keep.
    share : float
        The share of all frequencies that passes.
    """

    sections: Floats
    kept: NDArray[np.bool_]
    share: float

    def fill(self, series: Floats) -> Floats:
        """Interpolate the volumes that are not kept.

        Parameters
        ----------
        series : ndarray of float64, shape (n_volumes, n_series)
            Whatever stands at volumes that are not kept is not looked at.

        Returns
        -------
        ndarray of float64, shape (n_span, n_series)
            From the first to the last volume that is kept.
        """
        where = np.flatnonzero(self.kept)
        span = series[where[0] : where[-1] + 1].copy()
        lost = np.flatnonzero(~self.kept[where[0] : where[-1] + 1])
        if lost.size:
            # Imported where it is needed: it takes longer than cleaning a region.
            from scipy.interpolate import CubicSpline

            known = where - where[0]
            span[lost] = CubicSpline(known, span[known])(lost)
        return span

    def apply(self, span: Floats) -> Floats:
        """Filter what `fill` returned, and return the kept volumes of it.

        Parameters
        ----------
        span : ndarray of float64, shape (n_span, n_series)
            Without gaps.

        Returns
        -------
        ndarray of float64, shape (n_kept, n_series)
        """
        from scipy.signal import sosfiltfilt

        where = np.flatnonzero(self.kept)
        filtered: Floats = sosfiltfilt(self.sections, span, axis=0)[where - where[0]]
        return filtered


def butterworth(
    tr: float, high_pass: float | None, low_pass: float | None, kept: NDArray[np.bool_]
) -> Butterworth:
    """Design the filter for one recording.

    Parameters
    ----------
    tr : float
        Repetition time in s.
    high_pass, low_pass : float or None
        Cut-offs in Hz, not both None.
    kept : ndarray of bool, shape (n_volumes,)
        The volumes to keep, at least two.

    Raises
    ------
    DataError
        When a cut-off is not below the recording's highest frequency, where nilearn would go on
        with another cut-off, or the recording is too short for the filter.
    """
    from scipy.signal import butter

    nyquist = 0.5 / tr
    for name, value in (("high_pass", high_pass), ("low_pass", low_pass)):
        if value is not None and value >= nyquist:
            raise DataError(
                f"{name} is {value:g} Hz, but volumes of {tr:g} s hold only frequencies below "
                f"{nyquist:g} Hz",
                hint="leave it out of this preset, or make a preset for such recordings",
            )
    cuts = [value for value in (high_pass, low_pass) if value is not None]
    kind: Literal["band", "low", "high"] = (
        "band" if len(cuts) == 2 else "low" if high_pass is None else "high"
    )
    sections: Floats = butter(
        ORDER, cuts if len(cuts) == 2 else cuts[0], kind, output="sos", fs=1 / tr
    )
    where = np.flatnonzero(kept)
    n_span = int(where[-1] - where[0]) + 1
    # By so many samples `sosfiltfilt` continues the series at both ends.
    zeros = min(int((sections[:, 2] == 0).sum()), int((sections[:, 5] == 0).sum()))
    edge = 3 * (2 * len(sections) + 1 - zeros)
    if n_span <= edge:
        raise DataError(
            f"{n_span} volumes are too few for the filter, which needs more than {edge}",
            hint="exclude short recordings with curate.min_volumes",
        )
    upper = nyquist if low_pass is None else low_pass
    return Butterworth(sections, kept, (upper - (high_pass or 0.0)) / nyquist)


def cosine_drifts(n_volumes: int, tr: float, high_pass: float) -> Floats:
    """Return discrete cosines up to a frequency, without the constant.

    Parameters
    ----------
    n_volumes : int
        Number of volumes of the recording, scrubbed ones among them.
    tr : float
        Repetition time in s.
    high_pass : float
        The highest frequency in Hz.

    Returns
    -------
    ndarray of float64, shape (n_volumes, n_cosines)
        As nilearn's `create_cosine_drift`.
    """
    last = (n_volumes - 1) * tr
    step = last / (n_volumes - 1) if n_volumes > 1 else tr
    order = min(n_volumes - 1, int(np.floor(2 * n_volumes * high_pass * step)))
    angles = np.pi / n_volumes * (np.arange(n_volumes) + 0.5)
    drifts: Floats = np.sqrt(2.0 / n_volumes) * np.cos(np.outer(angles, np.arange(1, order + 1)))
    return drifts


def with_cosines(confounds: Floats, drifts: Floats) -> Floats:
    """Add drifts to confounds that have none: who took fMRIPrep's cosines has them already.

    Parameters
    ----------
    confounds : ndarray of float64, shape (n_volumes, n_confounds)
        The confounds.
    drifts : ndarray of float64, shape (n_volumes, n_cosines)
        From `cosine_drifts`.

    Returns
    -------
    ndarray of float64, shape (n_volumes, n_confounds or n_confounds + n_cosines)
    """
    if drifts.shape[1] == 0 or confounds.shape[1] == 0:
        return np.hstack([confounds, drifts])
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.corrcoef(drifts.T, confounds.T)[: drifts.shape[1], drifts.shape[1] :]
    # A constant confound correlates with nothing: NaN.
    if (correlation > SAME_COSINE).any():
        return confounds
    return np.hstack([confounds, drifts])
