"""All strategies of one recording: what each makes of a region, or why it makes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.extract.clean import Cleaner, Floats, make_cleaner
from braindata.extract.parameters import ExtractParameters
from braindata.extract.regressors import PREPROCESSED, choose_regressors, steady
from braindata.extract.strategies import Preset, Unit

# How reasons begin where a threshold of the configuration is not reached.
MIN_TIME, MIN_COVERAGE = "min_time", "min_coverage"


@dataclass(frozen=True)
class Cleaned:
    """What one strategy makes of one region in one recording.

    Attributes
    ----------
    values : ndarray of float64, shape (n_volumes,), or None
        NaN at volumes that a cleaning strategy does not keep; None where it makes nothing.
    kept : ndarray of bool, shape (n_volumes,), or None
        Which volumes it keeps; None where that is not known.
    unit : {"a.u.", "z", "percent"}
        Unit of the values.
    reason : str or None
        Why there are no values.
    """

    values: Floats | None
    kept: NDArray[np.bool_] | None
    unit: Unit
    reason: str | None = None


@dataclass(frozen=True)
class _Unfit:
    """A strategy that this recording does not allow."""

    unit: Unit
    reason: str
    kept: NDArray[np.bool_] | None = None


class RecordingCleaning:
    """The strategies of one recording: computed once, then used for any number of regions.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Under fMRIPrep's names of today.
    metadata : mapping
        The JSON beside them; may be empty.
    tr : float
        Repetition time in s.
    parameters : ExtractParameters
        The strategies, and the least time they must keep.
    image : str
        The entity `desc` of the image.
    """

    def __init__(
        self,
        confounds: pd.DataFrame,
        metadata: Mapping[str, Any],
        tr: float,
        parameters: ExtractParameters,
        image: str = PREPROCESSED,
    ):
        self._steady = steady(confounds)
        # `none` has no cleaner.
        self._cleaners = {
            name: None
            if preset is None
            else _prepare(confounds, metadata, tr, preset, image, parameters.min_time)
            for name, preset in parameters.cleanings.items()
        }

    @property
    def unfit(self) -> dict[str, str]:
        """Why strategies make nothing of any region of this recording, by strategy, sorted."""
        return {name: one.reason for name, one in self._cleaners.items() if isinstance(one, _Unfit)}

    @property
    def needs_voxels(self) -> bool:
        """Whether a strategy takes the voxels themselves, rather than their mean."""
        return any(
            isinstance(one, Cleaner) and one.preset.signal == "eigenvariate"
            for one in self._cleaners.values()
        )

    def clean(
        self, mean: Floats, voxels: Floats | None = None, weights: Floats | None = None
    ) -> dict[str, Cleaned]:
        """Clean one region with each strategy.

        Parameters
        ----------
        mean : ndarray of float64, shape (n_volumes,)
            The region's uncleaned mean, finite.
        voxels : ndarray of float64, shape (n_volumes, n_voxels), optional
            Its uncleaned voxels, where `needs_voxels`.
        weights : ndarray of float64, shape (n_voxels,), optional
            Their weights in the mean; their sum is 1.

        Returns
        -------
        dict of str to Cleaned
            By strategy, sorted. A strategy that cannot be has a reason and costs no other.
        """
        made = {}
        for name, cleaner in self._cleaners.items():
            if cleaner is None:
                made[name] = Cleaned(mean, self._steady, "a.u.")
            elif isinstance(cleaner, _Unfit):
                made[name] = Cleaned(None, cleaner.kept, cleaner.unit, cleaner.reason)
            else:
                made[name] = _clean(cleaner, mean, voxels, weights)
        return made

    def missing(self, reason: str) -> dict[str, Cleaned]:
        """Return what there is of a region that the recording does not cover: the reason."""
        return {
            name: Cleaned(None, None, "a.u." if one is None else one.unit, reason)
            for name, one in self._cleaners.items()
        }


def _clean(
    cleaner: Cleaner, mean: Floats, voxels: Floats | None, weights: Floats | None
) -> Cleaned:
    try:
        if cleaner.preset.signal == "mean":
            values = cleaner.clean(mean)
        elif voxels is None or weights is None:
            raise ValueError("an eigenvariate needs the voxels and their weights")
        else:
            values = cleaner.eigenvariate(voxels, weights)
    except DataError as error:
        return Cleaned(None, cleaner.kept, cleaner.unit, _reason(error))
    return Cleaned(values, cleaner.kept, cleaner.unit)


def _prepare(
    confounds: pd.DataFrame,
    metadata: Mapping[str, Any],
    tr: float,
    preset: Preset,
    image: str,
    min_time: float,
) -> Cleaner | _Unfit:
    try:
        regressors = choose_regressors(confounds, metadata, preset, image)
    except DataError as error:
        return _Unfit(preset.unit, _reason(error))
    kept = regressors.kept
    seconds, of_seconds = float(kept.sum() * tr), len(kept) * tr
    if not kept.any():
        return _Unfit(preset.unit, f"{MIN_TIME}: no volume is kept", kept)
    if seconds < min_time:
        reason = f"{MIN_TIME}: {seconds:g} s of {of_seconds:g} s are kept, fewer than {min_time:g}"
        return _Unfit(preset.unit, reason, kept)
    try:
        return make_cleaner(regressors, tr, preset)
    except DataError as error:
        return _Unfit(preset.unit, _reason(error), kept)


def _reason(error: DataError) -> str:
    return f"{error.problem} ({error.hint})" if error.hint else error.problem
