"""Confounds under fMRIPrep's names and by its conventions.

fMRIPrep 25: https://fmriprep.org/en/25.0.0/outputs.html#confounds. The first row of what needs the
volume before is missing; outliers are numbered one-hot columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from braindata.bids.confounds import MOTION_6, expand
from braindata.errors import DataError
from braindata.fmri.compcor import Components
from braindata.fmri.images import FloatArray
from braindata.fmri.motion import Motion

SIGNAL_COLUMNS = ("global_signal", "csf", "white_matter")
# Radius of the sphere on which rotations become mm (Power et al. 2012).
HEAD_RADIUS_MM = 50.0
# Radius of FSL's sphere for RMS displacements.
RMS_RADIUS_MM = 80.0
_DVARS_BLOCK = 20_000


@dataclass(frozen=True)
class OutlierRule:
    """When a volume is an outlier: either figure above its threshold."""

    framewise_displacement: float = 0.5
    std_dvars: float = 1.5


def framewise_displacement(parameters: FloatArray) -> FloatArray:
    """Return the framewise displacement in mm, shape (n_volumes,), NaN first.

    Parameters
    ----------
    parameters : ndarray of float64, shape (n_volumes, 6)
        Translations in mm, then rotations in rad.

    References
    ----------
    Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018
    """
    steps = np.abs(np.diff(parameters, axis=0))
    displacement = steps[:, :3].sum(axis=1) + HEAD_RADIUS_MM * steps[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], displacement])


def rms_displacement(transforms: FloatArray, centre: FloatArray) -> FloatArray:
    """Return the RMS displacement to the volume before in mm, shape (n_volumes,), NaN first.

    Over a sphere of 80 mm around the head's centre, as FSL's ``mcflirt`` and so fMRIPrep's
    ``rmsd``.

    Parameters
    ----------
    transforms : ndarray of float64, shape (n_volumes, 4, 4)
        Reference to volume coordinates in mm.
    centre : ndarray of float64, shape (3,)
        Centre of the head in the reference.

    References
    ----------
    Jenkinson 1999, FMRIB technical report TR99MJ1
    """
    moved = transforms[1:] @ np.linalg.inv(transforms[:-1]) - np.eye(4)
    turn, shift = moved[:, :3, :3], moved[:, :3, 3]
    at_centre = shift + turn @ centre
    squares = RMS_RADIUS_MM**2 / 5.0 * (turn**2).sum(axis=(1, 2)) + (at_centre**2).sum(axis=1)
    return np.concatenate([[np.nan], np.sqrt(squares)])


def dvars(stored: NDArray[np.int16]) -> tuple[FloatArray, FloatArray]:
    """Return DVARS and its standardised form, each of shape (n_volumes,), NaN first.

    Parameters
    ----------
    stored : ndarray, shape (n_volumes, n_voxels)
        The brain's voxels; any scale, as they are normalised to a median of 1000.

    Raises
    ------
    DataError
        When the median is not positive, or nothing varies in time.

    Notes
    -----
    As nipype's ``ComputeDVARS``: the expected spread of differences comes from each voxel's
    interquartile range and lag-1 autocorrelation (Nichols 2017, arXiv:1704.01469).
    """
    n_volumes, n_voxels = stored.shape
    median = float(np.median(stored))
    if not median > 0:
        raise DataError(
            f"the median intensity of the brain is {median:g}",
            hint="look at the image: is it BOLD?",
        )
    scale = 1000.0 / median
    squares = np.zeros(n_volumes - 1)
    expected, used = 0.0, 0
    for start in range(0, n_voxels, _DVARS_BLOCK):
        block = stored[:, start : start + _DVARS_BLOCK].astype(np.float64) * scale
        upper, lower = np.percentile(block, [75, 25], axis=0, method="lower")
        spread = (upper - lower) / 1.349
        varies = spread > 0
        block, spread = block[:, varies], spread[varies]
        squares += (np.diff(block, axis=0) ** 2).sum(axis=1)
        block -= block.mean(axis=0)
        autocorrelation = (block[1:] * block[:-1]).sum(axis=0) / (block**2).sum(axis=0)
        expected += float((np.sqrt(2.0 * (1.0 - autocorrelation)) * spread).sum())
        used += int(varies.sum())
    if expected == 0:
        raise DataError(
            "no voxel of the brain varies in time", hint="are its volumes copies of each other?"
        )
    plain = np.sqrt(squares / used)
    missing = np.array([np.nan])
    return np.concatenate([missing, plain]), np.concatenate([missing, plain / (expected / used)])


def count_non_steady(global_signal: FloatArray) -> int:
    """Return how many first volumes are not in a steady state.

    Leading outliers of the mean signal among the first 50 volumes, by a modified z-score (median
    absolute deviation) above 3.5, as nipype's ``NonSteadyStateDetector``.
    """
    first = global_signal[:50]
    deviation = np.abs(first - np.median(first))
    mad = float(np.median(deviation))
    if mad == 0.0:
        return 0
    steady = 0.6745 * deviation / mad <= 3.5
    return int(np.argmax(steady)) if steady.any() else 0


def cosine_basis(n_volumes: int, tr: float, period: float, skip: int = 0) -> FloatArray:
    """Return discrete cosines, shape (n_volumes, n_cosines), with periods above `period` s.

    Parameters
    ----------
    n_volumes : int
        Number of volumes.
    tr : float
        Repetition time in s.
    period : float
        Cut-off in s.
    skip : int
        How many first volumes are not in a steady state: 0 there, as fMRIPrep has it.
    """
    n = n_volumes - skip
    order = int(np.floor(2 * n * tr / period))
    time = np.arange(n) + 0.5
    basis = np.zeros((n_volumes, max(order - 1, 0)))
    for k in range(1, order):
        basis[skip:, k - 1] = np.sqrt(2.0 / n) * np.cos(np.pi / n * time * k)
    return basis


def confounds_table(
    motion: Motion,
    signals: dict[str, FloatArray],
    both_dvars: tuple[FloatArray, FloatArray],
    tr: float,
    period: float,
    non_steady: int,
    rule: OutlierRule,
    components: Mapping[str, Components],
) -> pd.DataFrame:
    """Build the confounds of a run.

    Parameters
    ----------
    motion : Motion
        Head motion.
    signals : dict
        `SIGNAL_COLUMNS`, each of shape (n_volumes,).
    both_dvars : tuple of ndarray
        From `dvars`.
    tr : float
        Repetition time in s.
    period : float
        Cut-off of the cosines in s.
    non_steady : int
        From `count_non_steady`.
    rule : OutlierRule
        When a volume is an outlier.
    components : mapping of str to Components
        From `compcor`, by letter.

    Returns
    -------
    pandas.DataFrame, shape (n_volumes, n_confounds)
        NaN where the volume before is needed and there is none.
    """
    columns: dict[str, FloatArray] = {}
    for name in SIGNAL_COLUMNS:
        columns |= expand(name, signals[name])
    parameters = motion.parameters
    displacement = framewise_displacement(parameters)
    columns["std_dvars"], columns["dvars"] = both_dvars[1], both_dvars[0]
    columns["framewise_displacement"] = displacement
    columns["rmsd"] = rms_displacement(motion.transforms, motion.centre)
    for letter in sorted(components):
        columns |= components[letter].columns(letter)
    cosines = cosine_basis(len(parameters), tr, period, non_steady)
    columns |= {f"cosine{k:02d}": cosines[:, k] for k in range(cosines.shape[1])}
    columns |= _spikes("non_steady_state_outlier", np.arange(non_steady), len(parameters))
    for k, name in enumerate(MOTION_6):
        columns |= expand(name, parameters[:, k])
    # NaN compares as not greater: the first volume is no outlier.
    outliers = (displacement > rule.framewise_displacement) | (both_dvars[1] > rule.std_dvars)
    columns |= _spikes("motion_outlier", np.flatnonzero(outliers), len(parameters))
    return pd.DataFrame(columns)


def _spikes(name: str, where: NDArray[np.int64], n_volumes: int) -> dict[str, FloatArray]:
    return {
        f"{name}{k:02d}": (np.arange(n_volumes) == volume).astype(np.float64)
        for k, volume in enumerate(where)
    }


def describe(
    columns: list[str], period: float, rule: OutlierRule, components: Mapping[str, Components]
) -> dict[str, dict[str, object]]:
    """Return the JSON sidecar of a confounds table: what each column is."""
    compcor: dict[str, dict[str, object]] = {}
    for letter, one in components.items():
        compcor |= one.describe(letter)
    signals = {
        "global_signal": "Mean signal in the brain mask",
        "csf": "Mean signal in the template's ventricles: less than 5 % tissue, more than 15 mm "
        "inside the brain",
        "white_matter": "Mean signal in the template's white matter (above 95 %), eroded by one "
        "voxel",
        "trans": "Translation of the head along this RAS+ axis, at the head's centre",
        "rot": "Rotation of the head about this RAS+ axis, through the head's centre",
        "std_dvars": "Standardised DVARS",
        "dvars": "DVARS of the brain's voxels, scaled to a median of 1000",
        "framewise_displacement": "Framewise displacement after Power et al. 2012, 50 mm radius",
        "rmsd": "RMS displacement to the volume before, over a sphere of 80 mm",
        "a_comp_cor": "Principal component of fluid and white matter",
        "c_comp_cor": "Principal component of cerebrospinal fluid",
        "w_comp_cor": "Principal component of white matter",
        "t_comp_cor": "Principal component of the 2 % most variable voxels of the brain",
        "cosine": f"Discrete cosine with a period above {period:g} s",
        "non_steady_state_outlier": "First volume before the steady state",
        "motion_outlier": f"Framewise displacement above {rule.framewise_displacement:g} mm or "
        f"standardised DVARS above {rule.std_dvars:g}",
    }
    units = {"trans": "mm", "rot": "rad", "framewise_displacement": "mm", "rmsd": "mm"}
    described: dict[str, dict[str, object]] = {}
    for column in columns:
        key = next(prefix for prefix in signals if column.startswith(prefix))
        text = signals[key]
        if column.endswith("_derivative1_power2"):
            text += ": square of the difference to the volume before"
        elif column.endswith("_derivative1"):
            text += ": difference to the volume before"
        elif column.endswith("_power2"):
            text += ": square"
        described[column] = {"Description": text, **compcor.get(column, {})}
        if key in units and not column.endswith("power2"):
            described[column]["Units"] = units[key]
    return described
