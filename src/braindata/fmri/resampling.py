"""One cubic interpolation from the acquired volumes to the template grid, volume by volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.anatomy import Normalisation
from braindata.fmri.images import (
    FloatArray,
    Image,
    Volume,
    full_scale,
    inverse,
    write_series,
)
from braindata.fmri.interpolation import (
    always_inside,
    grid_points,
    sample_cubic,
    sample_linear,
    spline_coefficients,
    transform_points,
)
from braindata.fmri.motion import Motion
from braindata.fmri.template import Template, dilated

# pack widens the brain mask by two voxels; what it keeps has to be here.
MARGIN_VOXELS = 3
# Brighter than this many times the reference's bright voxels is an artefact and is clipped, so
# that one spike does not cost all other voxels their 16 bits.
_HEADROOM = 4.0


class Volumes(Protocol):
    """A run, read one volume at a time: as acquired, or its slice times corrected."""

    @property
    def n_volumes(self) -> int:
        """Number of volumes."""

    def volumes(self) -> Iterator[Volume]:
        """Yield each volume, on the run's own grid."""


@dataclass(frozen=True)
class Target:
    """Where a run's output voxels lie in its reference.

    Attributes
    ----------
    template : Template
        The output grid.
    mask : ndarray of bool
        Output voxels: the brain, dilated, and within the field of view in every volume.
    points : ndarray of float64, shape (n_voxels, 3)
        Where each of them (C order) lies in the run's reference, in mm.
    """

    template: Template
    mask: NDArray[np.bool_]
    points: FloatArray

    def fill(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Put values, shape (n_voxels,), onto the grid, with 0 elsewhere."""
        volume = np.zeros(self.template.shape, values.dtype)
        volume[self.mask] = values
        return volume


def find_target(
    template: Template,
    normalisation: Normalisation,
    t1w_to_reference: FloatArray,
    motion: Motion,
    reference: Image,
) -> Target:
    """Compose template → T1w → reference for every output voxel.

    Parameters
    ----------
    template : Template
        The output grid.
    normalisation : Normalisation
        Template to T1w.
    t1w_to_reference : ndarray of float64, shape (4, 4)
        T1w to EPI reference coordinates in mm.
    motion : Motion
        Reference to each volume.
    reference : Image
        The EPI reference.
    """
    mask = dilated(
        template.brain, MARGIN_VOXELS * float(template.t1w.zooms.max()), template.t1w.zooms
    )
    in_t1w = normalisation.to_t1w(grid_points(mask, template.affine))
    points = transform_points(t1w_to_reference, in_t1w)
    nx, ny, nz = reference.data.shape
    covered = always_inside((nx, ny, nz), to_voxels(reference.affine, motion), points)
    mask[mask] = covered
    return Target(template, mask, np.ascontiguousarray(points[covered]))


def to_voxels(affine: FloatArray, motion: Motion) -> FloatArray:
    """Return the maps, shape (n_volumes, 4, 4), from reference mm to each volume's voxels."""
    return np.ascontiguousarray(inverse(affine) @ motion.transforms)


def on_template(image: Image, target: Target, cubic: bool) -> NDArray[np.float32]:
    """Return an image in the run's reference space at the output voxels, shape (n_voxels,)."""
    matrix = inverse(image.affine)
    if not cubic:
        return sample_linear(image.data, matrix, target.points, False)
    result = np.empty(len(target.points), np.float32)
    sample_cubic(spline_coefficients(image.data), matrix, target.points, 0.0, result)
    return result


def resample_run(
    series: Volumes,
    motion: Motion,
    reference: Image,
    target: Target,
    tr: float,
    path: Path,
) -> tuple[NDArray[np.int16], float]:
    """Write a run in template space and return it.

    Parameters
    ----------
    series : Volumes
        The run.
    motion : Motion
        Its head motion.
    reference : Image
        Its reference.
    target : Target
        Where to sample.
    tr : float
        Repetition time in s.
    path : Path
        The ``desc-preproc_bold.nii.gz``.

    Returns
    -------
    stored : ndarray of int16, shape (n_volumes, n_voxels)
        As written.
    slope : float
        Stored value to image units.
    """
    matrices = to_voxels(reference.affine, motion)
    slope = full_scale(_HEADROOM * float(np.quantile(reference.data, 0.98)))
    stored = np.empty((series.n_volumes, len(target.points)), np.int16)
    values = np.empty(len(target.points), np.float32)
    shape = (*target.template.shape, series.n_volumes)
    with write_series(
        path, shape, target.template.affine, np.int16, space_code=4, tr=tr, slope=slope
    ) as writer:
        for number, volume in enumerate(series.volumes()):
            coefficients = spline_coefficients(volume)
            sample_cubic(coefficients, matrices[number], target.points, 0.0, values)
            stored[number] = np.rint(np.clip(values / np.float32(slope), -32767, 32767))
            writer.append(target.fill(stored[number]))
    return stored, slope


def t1w_on_template(t1w: Image, normalisation: Normalisation, template: Template) -> Volume:
    """Return the T1w image on the template grid, by one cubic interpolation."""
    everywhere = np.ones(template.shape, np.bool_)
    points = normalisation.to_t1w(grid_points(everywhere, template.affine))
    result = np.empty(len(points), np.float32)
    to_voxel = inverse(t1w.affine)
    sample_cubic(spline_coefficients(t1w.data), to_voxel, points, 0.0, result)
    return result.reshape(template.shape)
