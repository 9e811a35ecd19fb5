"""EEG of people whose trials need no common stimulus: everybody's mean covariance to the identity.

Euclidean alignment: He & Wu 2020, doi:10.1109/TBME.2019.2913914; Riemannian re-centring: Zanini et
al. 2018, doi:10.1109/TBME.2017.2742541. Where people saw the same, `DeterministicSRM` of `lagged`
channels goes further.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pyriemann.geometry.base import invsqrtm, sqrtm
from pyriemann.geometry.mean import gmean

from braindata.align.procrustes import Array
from braindata.errors import DataError, UsageError

# Below this part of the largest, an eigenvalue of a covariance is a channel too many.
SMALLEST = 1e-10
TrialRuns = Mapping[str, Any]


@dataclass(frozen=True)
class Recentring:
    """One person's map from channels to channels, and back.

    Parameters
    ----------
    forward, backward : array, shape (n_channels, n_channels)
    runs : tuple of str
        The runs that it was fitted on.
    """

    forward: Array
    backward: Array
    runs: tuple[str, ...]


class EuclideanAlignment:
    """Whiten each person's trials by the arithmetic mean of their covariances.

    People do not see each other: each map depends on this person's calibration trials alone, and
    `fit_subject` changes nobody else's.

    Attributes
    ----------
    maps_ : dict of str to Recentring
    """

    maps_: dict[str, Recentring]

    def fit(self, data: Mapping[str, TrialRuns]) -> Self:
        """Fit everybody.

        Parameters
        ----------
        data : mapping of subject to mapping of run to array, shape (trials, channels, time)
            Calibration trials.

        Raises
        ------
        DataError
            Trials are missing, non-finite or constant, or channels are linearly dependent.
        """
        self.maps_ = {}
        for subject in sorted(data):
            self.fit_subject(subject, data[subject])
        return self

    def fit_subject(self, subject: str, runs: TrialRuns) -> Self:
        """Add a person; see `fit`."""
        if subject in getattr(self, "maps_", {}):
            raise DataError(f"subject {subject!r} has a map already", hint="add each person once")
        parts = [np.asarray(runs[run], dtype=np.float64) for run in sorted(runs)]
        if not parts or any(part.ndim != 3 or not part.size for part in parts):
            raise DataError(
                f"subject {subject!r} has no trials of shape (trials, channels, time)",
                hint="leave the person out, or cut epochs first",
            )
        if len({part.shape[1] for part in parts}) > 1:
            raise DataError(f"the runs of subject {subject!r} differ in their channels")
        if not all(np.isfinite(part).all() for part in parts):
            raise DataError(f"the trials of subject {subject!r} hold NaN or infinite values")
        covariances = np.concatenate(
            [part @ part.transpose(0, 2, 1) / part.shape[2] for part in parts]
        )
        values = np.linalg.eigvalsh(covariances.mean(axis=0))
        if values[0] <= SMALLEST * values[-1]:
            raise DataError(
                f"the channels of subject {subject!r} are linearly dependent or constant",
                hint="leave out bad channels; an average reference takes one away",
            )
        mean = self._mean(covariances)
        if not hasattr(self, "maps_"):
            self.maps_ = {}
        self.maps_[subject] = Recentring(invsqrtm(mean), sqrtm(mean), tuple(sorted(runs)))
        return self

    def transform(self, subject: str, trials: Any) -> Array:
        """Return trials in the common frame, shape (..., channels, time) as given."""
        return self._apply(subject, trials, "forward")

    def inverse_transform(self, subject: str, trials: Any) -> Array:
        """Return a person's channels of what `transform` returns."""
        return self._apply(subject, trials, "backward")

    def _apply(self, subject: str, trials: Any, way: str) -> Array:
        if not hasattr(self, "maps_"):
            raise UsageError("there are no maps yet", hint="call fit first")
        if subject not in self.maps_:
            raise DataError(
                f"subject {subject!r} has no map", hint="add the person with fit_subject"
            )
        matrix: Array = getattr(self.maps_[subject], way)
        values = np.asarray(trials, dtype=np.float64)
        if values.ndim < 2 or values.shape[-2] != len(matrix):
            raise DataError(
                f"trials of shape {values.shape}, but the map of subject {subject!r} is for"
                f" {len(matrix)} channels"
            )
        return matrix @ values

    def _mean(self, covariances: Array) -> Array:
        mean: Array = covariances.mean(axis=0)
        return mean


class RiemannianRecentring(EuclideanAlignment):
    """Whiten each person's trials by the geometric mean of their covariances."""

    def _mean(self, covariances: Array) -> Array:
        # The geometric mean moves with any change of channels: it is sought where they are alike on
        # average. There a ridge makes each trial's covariance one of full rank.
        whole = covariances.mean(axis=0)
        towards, back = invsqrtm(whole), sqrtm(whole)
        regular = towards @ covariances @ towards + SMALLEST * np.eye(len(whole))
        mean: Array = back @ gmean(regular, metric="riemann") @ back
        return mean


def lagged(series: Any, n_lags: int) -> Array:
    """Return each channel beside its own past, for a shared response over channels and lags.

    Parameters
    ----------
    series : array, shape (time, channels)
    n_lags : int
        How many samples, the present one included.

    Returns
    -------
    array, shape (time, n_lags * channels)
        Before the first sample there is 0.
    """
    values = np.asarray(series)
    if n_lags < 1 or values.ndim != 2 or n_lags > len(values):
        raise UsageError(f"{n_lags} lags of series of shape {values.shape}")
    columns = [values]
    for lag in range(1, n_lags):
        moved = np.zeros_like(values)
        moved[lag:] = values[:-lag]
        columns.append(moved)
    return np.concatenate(columns, axis=1)
