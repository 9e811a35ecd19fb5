"""What a strategy takes from a recording's confounds: regressors, and the volumes it keeps.

As `nilearn.interfaces.fmriprep.load_confounds` chooses them (Wang et al. 2024,
doi:10.1371/journal.pcbi.1011942).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.bids.confounds import MOTION_6, TISSUES, confound_values
from braindata.errors import DataError
from braindata.extract.strategies import Expansion, Preset

HINT = "leave this strategy out of extract.strategies, or preprocess with what it needs"
# What BIDS derivatives call an image, and one that ICA-AROMA denoised without aggression.
PREPROCESSED = "preproc"
DENOISED = "smoothAROMAnonaggr"

_TERMS: Mapping[Expansion, tuple[str, ...]] = {
    "basic": ("",),
    "derivatives": ("", "_derivative1"),
    "power2": ("", "_power2"),
    "full": ("", "_derivative1", "_power2", "_derivative1_power2"),
}
# Of each kind of CompCor: the letter before the names, and the masks in the JSON where it counts.
_COMPCOR: Mapping[str, tuple[tuple[str, str | None], ...]] = {
    "temporal": (("t", None),),
    "anat_combined": (("a", "combined"),),
    "anat_separated": (("a", "WM"), ("a", "CSF"), ("w", None), ("c", None)),
}


@dataclass(frozen=True)
class Regressors:
    """What a strategy takes from the confounds.

    Attributes
    ----------
    values : ndarray of float64, shape (n_volumes, n_regressors)
        In the order of their names; a missing first value (of a derivative) is the second.
    kept : ndarray of bool, shape (n_volumes,)
        False for volumes that are scrubbed, or not yet in a steady state.
    """

    values: NDArray[np.float64]
    kept: NDArray[np.bool_]


def choose_regressors(
    confounds: pd.DataFrame,
    metadata: Mapping[str, Any],
    preset: Preset,
    image: str = PREPROCESSED,
) -> Regressors:
    """Take a strategy's regressors from the confounds of one recording.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Under fMRIPrep's names of today.
    metadata : mapping
        The JSON beside them: the mask of each anatomical CompCor component. Else it may be empty.
    preset : Preset
        The strategy.
    image : str
        The entity `desc` of the image that is cleaned.

    Returns
    -------
    Regressors
        Without their mean over the kept volumes if the strategy says so.

    Raises
    ------
    DataError
        Naming confounds that are missing or not finite, or what else the strategy lacks.
    """
    names = [*_named(preset), *_patterned(confounds.columns, preset)]
    if "compcor" in preset.strategy:
        names += compcor_names(confounds.columns, metadata, preset)
    if "ica_aroma" in preset.strategy and preset.ica_aroma == "full" and image != DENOISED:
        raise DataError(
            f"ICA-AROMA's full denoising needs its image (desc-{DENOISED}); this is desc-{image}",
            hint="make a preset with `ica_aroma: basic`, which removes the components instead",
        )
    values = confound_values(confounds, sorted(set(names)), hint=HINT)
    kept = steady(confounds)
    if "scrub" in preset.strategy:
        kept = kept & ~scrubbed(confounds, preset)
    if preset.demean and kept.any():
        values -= values[kept].mean(axis=0)
    return Regressors(values, kept)


def steady(confounds: pd.DataFrame) -> NDArray[np.bool_]:
    """Return whether each volume is in a steady state, as fMRIPrep's outlier columns say.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names.

    Returns
    -------
    ndarray of bool, shape (n_volumes,)
        All true where there is no such column.
    """
    kept = np.ones(len(confounds), bool)
    for name in confounds.columns:
        if "non_steady_state" in name:
            kept &= confounds[name].to_numpy() == 0
    return kept


def scrubbed(confounds: pd.DataFrame, preset: Preset) -> NDArray[np.bool_]:
    """Return which volumes motion spoils (Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018).

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Confounds under fMRIPrep's names.
    preset : Preset
        Its thresholds, and below which length the segments between spoilt volumes go too.

    Returns
    -------
    ndarray of bool, shape (n_volumes,)
        Volumes before the steady state count as good here, as in nilearn.

    Raises
    ------
    DataError
        When framewise displacement or DVARS is missing.
    """
    limits = {
        "framewise_displacement": preset.fd_threshold,
        "std_dvars": preset.std_dvars_threshold,
    }
    missing = [name for name in limits if name not in confounds.columns]
    if missing:
        raise DataError(f"confounds are missing: {', '.join(missing)}", hint=HINT)
    # The first volume has neither figure: NaN is not above a threshold.
    spoilt = np.zeros(len(confounds), bool)
    for name, limit in limits.items():
        spoilt |= confounds[name].to_numpy(np.float64) > limit
    if not spoilt.any():
        return spoilt
    bounds = np.flatnonzero(np.diff(spoilt, prepend=True, append=True))
    for start, end in zip(bounds[::2], bounds[1::2], strict=True):
        if end - start < preset.scrub:
            spoilt[start:end] = True
    return spoilt


def compcor_names(columns: Iterable[str], metadata: Mapping[str, Any], preset: Preset) -> list[str]:
    """Return the CompCor components that a strategy takes, as nilearn's `find_compcor` does.

    Parameters
    ----------
    columns : iterable of str
        The confounds that are there.
    metadata : mapping
        The JSON beside them; fMRIPrep writes the `Mask` of anatomical components there only.
    preset : Preset
        The strategy: kinds of components, and how many of each mask.

    Returns
    -------
    list of str
        The first `n_compcor` of each mask.

    Raises
    ------
    DataError
        When there is none, or the masks of anatomical components are not known.
    """
    kinds = [preset.compcor.removeprefix("temporal_")]
    if preset.compcor.startswith("temporal_"):
        kinds.insert(0, "temporal")
    columns = list(columns)
    chosen: list[str] = []
    for letter, mask in (source for kind in kinds for source in _COMPCOR[kind]):
        names = _numbered(columns, f"{letter}_comp_cor_")
        if mask is not None:
            said = {name: metadata.get(name) for name in names}
            masks = {
                n: one["Mask"] for n, one in said.items() if isinstance(one, dict) and "Mask" in one
            }
            unknown = [name for name in names if name not in masks]
            if unknown:
                raise DataError(
                    f"the mask of {unknown[0]} is not known: the JSON beside the confounds is "
                    "missing, or does not say it",
                    hint="put fMRIPrep's desc-confounds_timeseries.json back, or take "
                    "`compcor: temporal`",
                )
            names = [name for name in names if masks[name] == mask]
        chosen += names if preset.n_compcor == "all" else names[: preset.n_compcor]
    if not chosen:
        raise DataError(
            f"the confounds have no CompCor components of the kind {preset.compcor}", hint=HINT
        )
    return chosen


def _named(preset: Preset) -> list[str]:
    """Return the confounds of which fMRIPrep writes each."""
    expanded: tuple[tuple[str, tuple[str, ...], Expansion], ...] = (
        ("motion", MOTION_6, preset.motion),
        ("wm_csf", TISSUES, preset.wm_csf),
        ("global_signal", ("global_signal",), preset.global_signal),
    )
    return [
        f"{name}{term}"
        for component, names, terms in expanded
        if component in preset.strategy
        for name in names
        for term in _TERMS[terms]
    ]


def _patterned(columns: Iterable[str], preset: Preset) -> list[str]:
    """Return the confounds whose number depends on the recording."""
    names: list[str] = []
    if "high_pass" in preset.strategy:
        # fMRIPrep leaves the cosines out for very short recordings; so does nilearn then.
        names += [name for name in columns if "cosine" in name]
    if "ica_aroma" in preset.strategy and preset.ica_aroma == "basic":
        components = [name for name in columns if "aroma" in name]
        if not components:
            raise DataError("the confounds have no components of ICA-AROMA", hint=HINT)
        names += components
    return names


def _numbered(columns: Iterable[str], prefix: str) -> list[str]:
    found = [name for name in columns if re.fullmatch(rf"{prefix}\d+", name)]
    return sorted(found, key=lambda name: int(name.removeprefix(prefix)))
