"""How much of the signal is lost to susceptibility where it matters most, above the sinuses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.images import FloatArray
from braindata.fmri.interpolation import grid_points
from braindata.fmri.susceptibility import AREAS, RADIUS_MM

# A voxel darker than this share of the brain's median has lost its signal.
FLOOR = 0.3


def has_signal(boldref: NDArray[np.float32], brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which voxels of the brain are not darker than `FLOOR` of its median.

    Parameters
    ----------
    boldref : ndarray, any shape
        Mean or reference image of a run.
    brain : ndarray of bool, of the same shape
        The brain, whether there is signal or not.
    """
    if not brain.any():
        return brain.copy()
    result: NDArray[np.bool_] = brain & (boldref > FLOOR * float(np.median(boldref[brain])))
    return result


def signal_loss(
    boldref: NDArray[np.float32], brain: NDArray[np.bool_], affine: FloatArray
) -> dict[str, float]:
    """Return the share of the template's brain without signal in OFC and vmPFC.

    Parameters
    ----------
    boldref : ndarray, shape (nx, ny, nz)
        Reference image of a run in template space; 0 outside the field of view.
    brain : ndarray of bool, shape (nx, ny, nz)
        The template's brain. What the run does not cover counts as lost.
    affine : ndarray of float64, shape (4, 4)
        Voxel indices to mm of the template.

    Returns
    -------
    dict of str to float
        ``signal_loss_ofc`` and ``signal_loss_vmpfc``, 0 to 1.
    """
    seen = has_signal(boldref, brain)[brain]
    points = grid_points(brain, affine)
    lost = {}
    for region, centres in AREAS.items():
        inside = np.zeros(len(points), np.bool_)
        for centre in centres:
            inside |= np.linalg.norm(points - np.array(centre), axis=1) <= RADIUS_MM
        lost[f"signal_loss_{region}"] = float(1.0 - seen[inside].mean())
    return lost
