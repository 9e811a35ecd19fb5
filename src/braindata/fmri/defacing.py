"""Whether somebody can be recognised by the face in a T1w image, as far as its outline tells."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Defaced = Literal["yes", "no", "unknown"]

# Grid (mm) on which the outline is taken.
STEP = 3.0
# The head is what is brighter than this share of the 99th percentile.
BRIGHT = 0.08
# Half the width (mm) of the slab around the midline that holds nose and lips.
SLAB = 15.0
# Below the top of the head (mm): the forehead, and what lies from the nose's bridge to the lips. In
# adults the brows are about 95 mm and the tip of the nose about 145 mm below it.
FOREHEAD = (45.0, 95.0)
FACE = (115.0, 175.0)
# A nose reaches further to the front than its forehead does; a face that was cut off lies behind.
CUT_OFF = -10.0
THERE = 0.0


def looks_defaced(image: NDArray[np.floating], affine: NDArray[np.float64]) -> Defaced:
    """Say whether the face was removed from a T1w image.

    Around the midline, how far the lower face reaches to the front is compared with how far the
    forehead does. A blurred or exchanged face has an outline, and counts as one that is there.

    Parameters
    ----------
    image : numpy.ndarray, shape (i, j, k)
        Intensities.
    affine : numpy.ndarray, shape (4, 4)
        Voxels to mm (RAS+).

    Returns
    -------
    {"yes", "no", "unknown"}
        `yes` where the lower face lies more than 10 mm behind the forehead, `no` where it reaches
        as far or further; `unknown` between, and where the image ends above the lips.
    """
    profile = _profile(image, affine)
    if profile is None:
        return "unknown"
    below_top, front = profile
    if below_top.max() < FACE[1]:
        return "unknown"
    forehead = front[(below_top >= FOREHEAD[0]) & (below_top <= FOREHEAD[1])]
    face = front[(below_top >= FACE[0]) & (below_top <= FACE[1])]
    if not np.isfinite(forehead).any():
        return "unknown"
    # Where nothing at all is left of the face, nothing reaches to the front.
    reach = np.nanmax(face) if np.isfinite(face).any() else -np.inf
    difference = float(reach - np.nanmax(forehead))
    if difference < CUT_OFF:
        return "yes"
    return "no" if difference >= THERE else "unknown"


def _profile(
    image: NDArray[np.floating], affine: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return heights below the top of the head, and how far to the front the head is at each."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(STEP / sizes)).astype(int)
    coarse = image[:: steps[0], :: steps[1], :: steps[2]]
    if coarse.ndim != 3 or not np.isfinite(coarse).all() or coarse.max() <= 0:
        return None
    bright = coarse > BRIGHT * np.percentile(coarse[coarse > 0], 99)
    labels, n_parts = ndimage.label(ndimage.binary_opening(bright))
    if n_parts == 0:
        return None
    largest = int(np.bincount(labels.ravel())[1:].argmax()) + 1
    voxels = np.argwhere(labels == largest) * steps
    x, y, z = np.asarray(voxels @ affine[:3, :3].T + affine[:3, 3], np.float64).T
    top = z.max()
    upper = z > top - FOREHEAD[1]
    middle = np.abs(x - np.median(x[upper])) <= SLAB
    rows = np.floor((top - z[middle]) / STEP).astype(int)
    front = np.full(rows.max() + 1, -np.inf)
    np.maximum.at(front, rows, y[middle])
    # The image ends where its grid does, also where there is no head any more.
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in image.shape]), -1).reshape(-1, 3)
    bottom = (corners @ affine[:3, :3].T + affine[:3, 3])[:, 2].min()
    n_rows = int(np.floor((top - bottom) / STEP)) + 1
    whole = np.full(max(n_rows, len(front)), np.nan, np.float64)
    whole[: len(front)] = np.where(np.isfinite(front), front, np.nan)
    below_top = np.asarray((np.arange(len(whole)) + 0.5) * STEP, np.float64)
    return below_top, whole
