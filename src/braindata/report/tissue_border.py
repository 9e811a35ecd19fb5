"""Where a person's T1w image in template space passes from grey to white matter."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.template import load_template
from braindata.report.planes import sample


def tissue_border(t1w: NDArray[np.float32], affine: NDArray[np.float64]) -> float | None:
    """Return the intensity between grey and white matter of a T1w image in template space.

    Parameters
    ----------
    t1w : ndarray of float32, shape (nx, ny, nz)
        The image.
    affine : ndarray, shape (4, 4)
        Voxel indices to mm.

    Returns
    -------
    float or None
        Half-way between the medians where the template has either; None where white matter is no
        brighter.
    """
    white, grey = _cores()
    medians = [float(np.median(sample(t1w, affine, points))) for points in (white, grey)]
    return (medians[0] + medians[1]) / 2 if medians[0] > medians[1] else None


@cache
def _cores() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    template = load_template(1)
    points = []
    for tissue in (template.white_matter, template.gray_matter):
        indices = np.argwhere(tissue.data > 0.9)[::20]
        points.append(indices @ template.affine[:3, :3].T + template.affine[:3, 3])
    return points[0], points[1]
