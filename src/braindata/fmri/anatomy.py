"""The T1w image: its way into the template, its brain and tissues.

The template has no skull and a T1w image has one. So similarity is measured inside the template's
brain mask and a narrow rim only: normalised mutual information for the affine, from many starts,
and windowed cross-correlation for the warp. The brain of the T1w image is the template's
mask carried back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import DataError
from braindata.fmri.greedy import Pair, register_deformable, register_linear
from braindata.fmri.images import FloatArray, Image, Volume, inverse
from braindata.fmri.interpolation import (
    grid_points,
    resample_linear,
    sample_linear,
    transform_points,
)
from braindata.fmri.motion import rigid_matrix, smooth
from braindata.fmri.template import Template, dilated

WORK_MM = 2.0
_START_MM = 4.0
# Below this correlation with the template inside its brain mask, the registration has failed:
# right ones reach 0.8, the affine alone 0.6.
MINIMUM_CORRELATION = 0.5
_BRAIN_BELOW_HEAD_TOP_MM = 150.0
_RIM_MM = 4.0
_NEARBY_MM = 20.0
_BIAS_FWHM_MM = 50.0
_INVERSE_ITERATIONS = 15


@dataclass(frozen=True)
class Normalisation:
    """The map between template and T1w coordinates, in mm, RAS+.

    Attributes
    ----------
    affine : ndarray of float64, shape (4, 4)
        Applied to template points after `warp`.
    warp : ndarray of float32, shape (nx, ny, nz, 3)
        Displacement in mm at each voxel of `grid`.
    grid : ndarray of float64, shape (4, 4)
        Affine of the warp's grid.
    """

    affine: FloatArray
    warp: Volume
    grid: FloatArray

    def to_t1w(self, points: FloatArray) -> FloatArray:
        """Return where template points, shape (n, 3), lie in the T1w image."""
        return transform_points(self.affine, points + self._displacement(points))

    def to_template(self, points: FloatArray) -> FloatArray:
        """Return where T1w points, shape (n, 3), lie in the template, by fixed-point iteration."""
        linear = transform_points(inverse(self.affine), points)
        result = linear
        for _ in range(_INVERSE_ITERATIONS):
            result = linear - self._displacement(result)
        return result

    def _displacement(self, points: FloatArray) -> FloatArray:
        to_voxel = inverse(self.grid)
        return np.column_stack(
            [
                sample_linear(np.ascontiguousarray(self.warp[..., axis]), to_voxel, points, True)
                for axis in range(3)
            ]
        ).astype(np.float64)


@dataclass(frozen=True)
class Anatomy:
    """What is known of a person's T1w image.

    Attributes
    ----------
    t1w : Image
        As acquired, intensity bias removed.
    normalisation : Normalisation
        The way into the template.
    working : Image
        `t1w` at 2 mm on axes of the scanner.
    brain, gray_matter, white_matter : ndarray of float32
        The template's mask and tissue probabilities on the grid of `working`.
    correlation : float
        Of the warped T1w with the template, in the brain.
    """

    t1w: Image
    normalisation: Normalisation
    working: Image
    brain: Volume
    gray_matter: Volume
    white_matter: Volume
    correlation: float

    def brain_mask(self) -> NDArray[np.bool_]:
        """Return the brain's mask on the grid of `t1w`."""
        return on_grid_of(self.t1w, Image(self.brain, self.working.affine)) > 0.5


def analyse_anatomy(t1w: Image, template: Template, seed: int, scratch: Path) -> Anatomy:
    """Register a T1w image to the template and find its brain and tissues.

    Parameters
    ----------
    t1w : Image
        As acquired, with or without skull.
    template : Template
        At 2 or 3 mm.
    seed : int
        For greedy.
    scratch : Path
        Where temporary files go.

    Raises
    ------
    DataError
        When the image cannot be registered.
    """
    # Negative values are artefacts of reconstruction or of an earlier interpolation.
    t1w = Image(np.maximum(t1w.data, 0), t1w.affine)
    working = axis_aligned(t1w, WORK_MM)
    affine = affine_to_template(working, template, seed, scratch)
    # The rim outside the brain is part of what is matched: fluid there, none in the template.
    rim = dilated(template.brain, _RIM_MM, template.t1w.zooms)
    warp = register_deformable(Pair(template.t1w, working, rim), affine, "60x40x20", seed, scratch)
    normalisation = Normalisation(affine, warp, template.affine)
    brain, gray, white = _tissues(working, template, normalisation)
    bias = _bias(working, brain, gray, white)
    corrected = Image(working.data / bias, working.affine)
    correlation = _correlation(corrected, template, normalisation)
    if correlation < MINIMUM_CORRELATION:
        raise DataError(
            f"the T1w image does not match the template (r = {correlation:.2f} in the brain)",
            hint="look whether it shows a whole head, upright and T1-weighted",
        )
    bias_image = Image(bias, working.affine)
    return Anatomy(
        t1w=Image(t1w.data / on_grid_of(t1w, bias_image, clamp=True), t1w.affine),
        normalisation=normalisation,
        working=corrected,
        brain=brain,
        gray_matter=gray,
        white_matter=white,
        correlation=correlation,
    )


def axis_aligned(image: Image, spacing: float) -> Image:
    """Resample an image to cubic voxels of `spacing` mm along x, y and z, covering all of it.

    Smoothed before when its voxels are smaller. greedy refuses sheared grids, and has no problem
    with this one.
    """
    fwhm = np.sqrt(np.maximum(spacing**2 - image.zooms**2, 0.0))
    data = image.data
    if fwhm.max() > 0:
        data = ndimage.gaussian_filter(data, fwhm / image.zooms / 2.3548, truncate=3.0)
    ends = np.array(list(product(*[(0, n - 1) for n in image.data.shape])), np.float64)
    corners = transform_points(image.affine, ends)
    low, high = corners.min(axis=0), corners.max(axis=0)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = low
    nx, ny, nz = (int(n) + 1 for n in np.ceil((high - low) / spacing - 1e-6))
    matrix = inverse(image.affine) @ affine
    return Image(resample_linear(data, matrix, (nx, ny, nz), False), affine)


def on_grid_of(target: Image, image: Image, clamp: bool = False) -> Volume:
    """Resample `image` trilinearly onto the grid of `target`."""
    matrix = inverse(image.affine) @ target.affine
    nx, ny, nz = target.data.shape
    return resample_linear(image.data, matrix, (nx, ny, nz), clamp)


def mutual_information(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the normalised mutual information of two samples, shape (n,), from 32 x 32 bins.

    References
    ----------
    Studholme et al. 1999, doi:10.1016/S0031-3203(98)00091-0
    """
    counts = np.histogram2d(_ranked(first), _ranked(second), bins=32)[0]
    joint = counts / counts.sum()

    def entropy(p: NDArray[np.float64]) -> float:
        positive = p[p > 0]
        return float(-(positive * np.log(positive)).sum())

    both = entropy(joint)
    return (entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1))) / both if both > 0 else 1.0


def _ranked(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.quantile(values, [0.01, 0.99])
    return np.clip(values, low, max(high, low + 1e-6))


def affine_to_template(working: Image, template: Template, seed: int, scratch: Path) -> FloatArray:
    """Register affinely, from many coarse rigid starts: headers are often far off.

    Parameters
    ----------
    working : Image
        On axes of the scanner, see `axis_aligned`.
    template : Template
        Its `t1w` is what is matched.
    seed : int
        For greedy.
    scratch : Path
        Where temporary files go.

    Returns
    -------
    ndarray of float64, shape (4, 4)
        Template to image coordinates in mm.
    """
    zooms = template.t1w.zooms
    mask = dilated(template.brain, 6.0, zooms)
    step = max(1, round(_START_MM / float(zooms[0])))
    coarse_affine = template.affine @ np.diag([step, step, step, 1.0])
    coarse_mask = np.ascontiguousarray(mask[::step, ::step, ::step])
    smoothed = smooth(template.t1w.data, zooms, _START_MM)[::step, ::step, ::step]
    coarse = Pair(
        Image(np.ascontiguousarray(smoothed), coarse_affine),
        axis_aligned(working, _START_MM),
        coarse_mask,
    )
    points = grid_points(coarse_mask, coarse_affine)
    values = coarse.fixed.data[coarse_mask]
    best, best_score = np.eye(4), -np.inf
    for start in _starts(working, template):
        matrix = register_linear(coarse, start, 6, "60", seed, scratch)
        to_voxel = inverse(coarse.moving.affine) @ matrix
        score = mutual_information(
            values, sample_linear(coarse.moving.data, to_voxel, points, False)
        )
        if score > best_score:
            best, best_score = matrix, score
    return register_linear(Pair(template.t1w, working, mask), best, 12, "100x60", seed, scratch)


def _starts(working: Image, template: Template) -> list[FloatArray]:
    """Return rigid starts: three guesses of where the brain is, each with the head tilted."""
    target = grid_points(template.brain, template.affine).mean(axis=0)
    head = working.data > 0.25 * np.quantile(working.data, 0.98)
    where = grid_points(head, working.affine)
    top = float(np.quantile(where[:, 2], 0.999))
    upper = where[where[:, 2] > top - _BRAIN_BELOW_HEAD_TOP_MM].mean(axis=0)
    middle = transform_points(working.affine, (np.array([working.data.shape], np.float64) - 1) / 2)[
        0
    ]
    guesses = (target, upper, middle)
    return [
        rigid_matrix(np.array([*(guess - target), tilt, 0, 0]), target)
        for guess in guesses
        for tilt in np.deg2rad([0.0, -20.0, 20.0])
    ]


def _correlation(working: Image, template: Template, normalisation: Normalisation) -> float:
    points = normalisation.to_t1w(grid_points(template.brain, template.affine))
    values = sample_linear(working.data, inverse(working.affine), points, False)
    return float(np.corrcoef(values, template.t1w.data[template.brain])[0, 1])


def _tissues(
    working: Image, template: Template, normalisation: Normalisation
) -> tuple[Volume, Volume, Volume]:
    """Return brain, gray and white matter of the template on the working grid."""
    # Where the affine alone stays far from the template's brain, so does the warp.
    to_voxel = inverse(template.affine)
    nearby = dilated(template.brain, _NEARBY_MM, template.t1w.zooms).astype(np.float32)
    matrix = to_voxel @ inverse(normalisation.affine) @ working.affine
    nx, ny, nz = working.data.shape
    near = resample_linear(nearby, matrix, (nx, ny, nz), False) > 0
    points = normalisation.to_template(grid_points(near, working.affine))
    maps = (
        template.brain.astype(np.float32),
        template.gray_matter.data,
        template.white_matter.data,
    )
    result = np.zeros((3, nx, ny, nz), np.float32)
    for which, volume in enumerate(maps):
        result[which][near] = sample_linear(volume, to_voxel, points, False)
    return result[0], result[1], result[2]


def _bias(working: Image, brain: Volume, gray: Volume, white: Volume) -> Volume:
    """Return the slow multiplicative shading of a T1w image, of mean 1 in the brain.

    The log ratio of each voxel to its tissue's median, where a tissue is nearly pure, smoothed
    (after Wells et al. 1996, doi:10.1109/42.511747, with the template as classifier).
    """
    positive = working.data > 0
    log_data = np.log(np.where(positive, working.data, 1.0)).astype(np.float32)
    log_bias = np.zeros_like(log_data)
    for _ in range(3):
        ratio = np.zeros_like(log_data)
        weight = np.zeros_like(log_data)
        for probability in (gray, white):
            pure = (probability > 0.7) & (brain > 0.5) & positive
            if not pure.any():
                continue
            corrected = log_data[pure] - log_bias[pure]
            centre = np.median(corrected)
            # What is far from the tissue's median is another tissue.
            near = np.abs(corrected - centre) < 0.4
            ratio[pure] = np.where(near, log_data[pure] - centre, 0.0)
            weight[pure] = near
        smoothed_ratio = smooth(ratio, working.zooms, _BIAS_FWHM_MM)
        # A trace of "no bias" carries the field smoothly to 1 away from the brain.
        smoothed_weight = smooth(weight, working.zooms, _BIAS_FWHM_MM) + 1e-3
        log_bias = smoothed_ratio / smoothed_weight
        inside = brain > 0.5
        log_bias -= log_bias[inside].mean()
    return np.exp(log_bias)
