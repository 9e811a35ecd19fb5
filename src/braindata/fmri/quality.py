"""How good a preprocessed recording is: the figures of the table `recordings`.

They are made from what every backend ends in: the confounds, the brain mask, and the mean and
standard deviation over time of each voxel in template space. What cannot be known is None, and a
note says why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from braindata.bids.confounds import MOTION_6
from braindata.errors import DataError
from braindata.fmri.boundary_cost import boundary_cost
from braindata.fmri.confounds import framewise_displacement
from braindata.fmri.images import load_volume
from braindata.fmri.susceptibility import AREAS, area_voxels
from braindata.regions.template import brain_mask

FloatArray = NDArray[np.float64]

FD, DVARS, STD_DVARS = "framewise_displacement", "dvars", "std_dvars"
# Two grids are one when no corner of the image moves by more.
_SAME_GRID_MM = 0.01


@dataclass
class Figures:
    """Figures by their column, None where unknown, and notes on what could not be known."""

    values: dict[str, float | int | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VoxelMoments:
    """What a recording's voxels are like over time.

    Attributes
    ----------
    shape : tuple of int
        Number of voxels of the grid along x, y and z.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm of an MNI152 space.
    voxels : ndarray of int64, shape (n_voxels,)
        Flat C-order indices into the grid of those that are known: the template's brain, dilated.
    mean, sd : ndarray of float32, shape (n_voxels,)
        Over the volumes in a steady state, in image units; both 0 where a voxel holds no data.
    signal_floor : float or None
        Mean below which a voxel has lost its signal; None where intensities say nothing.
    """

    shape: tuple[int, int, int]
    affine: FloatArray
    voxels: NDArray[np.int64]
    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    signal_floor: float | None


def motion_figures(
    confounds: pd.DataFrame,
    steady: NDArray[np.bool_],
    *,
    fd_threshold: float,
    std_dvars_threshold: float,
) -> Figures:
    """Return the figures of head motion and of sudden changes.

    Parameters
    ----------
    confounds : pandas.DataFrame, shape (n_volumes, n_confounds)
        Under fMRIPrep's names of today.
    steady : ndarray of bool, shape (n_volumes,)
        Whether each volume is in a steady state.
    fd_threshold, std_dvars_threshold : float
        A volume above either is an outlier; mm, and no unit.

    Returns
    -------
    Figures
        ``fd_mean``, ``fd_max`` (mm, over all volumes), ``dvars_mean``, ``dvars_max``,
        ``std_dvars_mean``, ``std_dvars_max``, ``n_outliers``, ``outlier_share`` (over volumes in
        a steady state that follow one), ``n_non_steady``.
    """
    found = Figures()
    displacement = _column(confounds, FD)
    if displacement is None and all(_column(confounds, name) is not None for name in MOTION_6):
        displacement = framewise_displacement(confounds[list(MOTION_6)].to_numpy(np.float64))
        found.notes.append("framewise displacement was made from the motion parameters")
    found.values |= _mean_and_max("fd", displacement)
    # The step out of the first, brighter volumes is no artefact of the head.
    counted = steady & np.concatenate([[False], steady[:-1]])
    changes = {name: _column(confounds, name) for name in (DVARS, STD_DVARS)}
    for name, values in changes.items():
        found.values |= _mean_and_max(name, None if values is None else values[counted])
    known = [
        values[counted] > threshold
        for values, threshold in (
            (displacement, fd_threshold),
            (changes[STD_DVARS], std_dvars_threshold),
        )
        if values is not None
    ]
    n_outliers, n_counted = None, int(counted.sum())
    if known and n_counted:
        n_outliers = int(np.any(known, axis=0).sum())
    found.values |= {
        "n_outliers": n_outliers,
        "outlier_share": None if n_outliers is None else n_outliers / n_counted,
        "n_non_steady": int((~steady).sum()),
    }
    missing = [
        name
        for name, values in (
            (FD, displacement),
            (DVARS, changes[DVARS]),
            (STD_DVARS, changes[STD_DVARS]),
        )
        if values is None
    ]
    if missing:
        found.notes.append(f"the confounds hold no {', '.join(missing)}")
    return found


def image_figures(moments: VoxelMoments, brain: NDArray[np.bool_] | None) -> Figures:
    """Return the figures of signal and of registration.

    Parameters
    ----------
    moments : VoxelMoments
        The recording.
    brain : ndarray of bool, shape (nx, ny, nz), or None
        The recording's own brain mask on the same grid.

    Returns
    -------
    Figures
        ``tsnr_median`` over the recording's brain (the template's where `brain` is None, with a
        note); ``registration_dice`` of both brains; ``boundary_cost`` (see `boundary_cost`);
        ``brain_coverage``, the share of the template's brain that holds data;
        ``ofc_signal_loss`` and ``vmpfc_signal_loss``, the share of the area's voxels with data
        whose mean is below the floor.
    """
    found = Figures()
    template = brain_mask(moments.affine, moments.shape)
    mean, sd = _on_grid(moments, moments.mean), _on_grid(moments, moments.sd)
    has_data = sd > 0
    n_template = int(template.sum())
    found.values["brain_coverage"] = (
        float((template & has_data).sum() / n_template) if n_template else None
    )
    dice = None
    if brain is not None and n_template:
        dice = 2 * float((brain & template).sum()) / float(brain.sum() + n_template)
    found.values["registration_dice"] = dice
    if brain is None:
        found.notes.append("tSNR is over the template's brain")
    found.values |= _signal_figures(moments, mean, sd, template if brain is None else brain)
    if moments.signal_floor is None:
        found.notes.append(
            "the brain's median intensity is not above 0: no tSNR, boundary cost or signal loss"
        )
        return found
    if found.values["boundary_cost"] is None:
        found.notes.append("too little of the brain is there for a boundary cost")
    bare = [name for name in AREAS if found.values[f"{name}_signal_loss"] is None]
    found.notes += [f"no voxel of the area {name} holds data" for name in bare]
    return found


def read_brain(path: Path, shape: tuple[int, int, int], affine: FloatArray) -> NDArray[np.bool_]:
    """Read a brain mask that must lie on a given grid.

    Parameters
    ----------
    path : Path
        The mask.
    shape, affine
        The grid.

    Returns
    -------
    ndarray of bool, shape `shape`
        The brain, not empty.

    Raises
    ------
    DataError
        When it is missing, damaged, on another grid, or empty.
    """
    image = load_volume(path)
    corners = np.array(
        [[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])]
    )
    apart = np.abs(corners @ (image.affine - affine).T).max()
    if image.data.shape != tuple(shape) or apart > _SAME_GRID_MM:
        raise DataError(
            "the brain mask lies on another grid than the image",
            file=path,
            hint="preprocess the recording again",
        )
    brain: NDArray[np.bool_] = image.data > 0.5
    if not brain.any():
        raise DataError("the brain mask is empty", file=path, hint="look at the preprocessed image")
    return brain


def _signal_figures(
    moments: VoxelMoments,
    mean: NDArray[np.float32],
    sd: NDArray[np.float32],
    brain: NDArray[np.bool_],
) -> dict[str, float | int | None]:
    names = ("tsnr_median", "boundary_cost", *(f"{name}_signal_loss" for name in AREAS))
    values: dict[str, float | int | None] = dict.fromkeys(names)
    floor = moments.signal_floor
    if floor is None:
        return values
    measured = brain & (sd > 0)
    if measured.any():
        values["tsnr_median"] = float(np.median(mean[measured] / sd[measured]))
    values["boundary_cost"] = boundary_cost(mean, moments.affine)
    for name, voxels in area_voxels(moments.affine, moments.shape).items():
        there = voxels[sd.ravel()[voxels] > 0]
        if len(there):
            values[f"{name}_signal_loss"] = float((mean.ravel()[there] < floor).mean())
    return values


def _on_grid(moments: VoxelMoments, values: NDArray[np.float32]) -> NDArray[np.float32]:
    grid = np.zeros(moments.shape, np.float32)
    grid.ravel()[moments.voxels] = values
    return grid


def _column(confounds: pd.DataFrame, name: str) -> FloatArray | None:
    """Return a confound as numbers; None where it is not there, or has no value at all."""
    if name not in confounds.columns or not is_numeric_dtype(confounds[name]):
        return None
    values = confounds[name].to_numpy(np.float64)
    return values if np.isfinite(values).any() else None


def _mean_and_max(name: str, values: FloatArray | None) -> dict[str, float | int | None]:
    known = np.zeros(0) if values is None else values[np.isfinite(values)]
    if not len(known):
        return {f"{name}_mean": None, f"{name}_max": None}
    return {f"{name}_mean": float(known.mean()), f"{name}_max": float(known.max())}
