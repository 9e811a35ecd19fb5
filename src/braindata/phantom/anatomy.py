"""A person's head: nilearn's template under an individual warp, with skull and scalp around it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn.datasets import (
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from braindata.phantom.parameters import REGIONS, PhantomParameters

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]

# Thickness of the layers around the template's brain, in mm.
FLUID, SKULL, SCALP = 3.0, 5.0, 6.0
# The head's own coordinates, in mm: the box that every individual head fits into.
HEAD_BOX = ((-106.0, 106.0), (-146.0, 114.0), (-108.0, 122.0))
# Grid on which the head is kept for the scanner to sample, in mm.
HEAD_VOXEL = 2.0
# Smooth enough that a warp of 4 mm never folds; see the tests.
WARP_SIGMA = 24.0
WARP_VOXEL = 8.0


@dataclass(frozen=True)
class Template:
    """The template's tissues on its 1 mm grid, and the layers around it on a 2 mm one."""

    t1w: Array
    grey: Array
    white: Array
    affine: Matrix
    distance: Array
    distance_affine: Matrix


@cache
def template() -> Template:
    """Load nilearn's MNI152NLin2009aSym and build distances from its brain.

    References
    ----------
    Fonov et al. (2011), doi:10.1016/j.neuroimage.2010.07.033
    """
    t1w, grey, white = (
        load(resolution=1)
        for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    tissues = [np.asarray(image.dataobj, dtype=np.float32) for image in (t1w, grey, white)]
    affine = np.asarray(t1w.affine, dtype=float)
    pad = 20
    brain = np.pad(tissues[0] > 0, pad)[::2, ::2, ::2]
    # Smoothed, or the layers would follow every sulcus.
    hull = ndimage.binary_fill_holes(ndimage.gaussian_filter(brain.astype(np.float32), 3) > 0.45)
    distance = ndimage.distance_transform_edt(~hull, sampling=2.0).astype(np.float32)
    distance_affine = np.diag([2.0, 2.0, 2.0, 1.0])
    distance_affine[:3, 3] = affine[:3, 3] - pad
    return Template(tissues[0], tissues[1], tissues[2], affine, distance, distance_affine)


@dataclass(frozen=True)
class Warp:
    """From a head's coordinates to the template's: a linear part and a smooth displacement.

    Attributes
    ----------
    linear : ndarray of shape (4, 4)
        Applied first.
    field : ndarray of shape (3, i, j, k)
        Added afterwards, in mm, on a coarse grid over the head's box.
    """

    linear: Matrix
    field: Array

    def __call__(self, points: Array) -> Array:
        """Map points of shape (3, ...) in mm."""
        origin = np.array([low for low, _ in HEAD_BOX], dtype=np.float32)
        shape = (3,) + (1,) * (points.ndim - 1)
        index = (points - origin.reshape(shape)) / np.float32(WARP_VOXEL)
        moved = np.tensordot(self.linear[:3, :3].astype(np.float32), points, axes=1)
        moved += self.linear[:3, 3].astype(np.float32).reshape(shape)
        for axis in range(3):
            moved[axis] += ndimage.map_coordinates(
                self.field[axis], index, order=1, mode="nearest", output=np.float32
            )
        return np.asarray(moved, dtype=np.float32)


def random_warp(rng: np.random.Generator, parameters: PhantomParameters) -> Warp:
    """Draw an individual anatomy: 7 % in size, 4 degrees, 5 mm, and a smooth warp on top."""
    linear = np.eye(4)
    rotation = Rotation.from_euler("xyz", rng.uniform(-4, 4, 3), degrees=True).as_matrix()
    linear[:3, :3] = rotation @ np.diag(rng.uniform(0.94, 1.07, 3))
    linear[:3, 3] = rng.uniform(-5, 5, 3)
    shape = [int((high - low) / WARP_VOXEL) + 2 for low, high in HEAD_BOX]
    # On a torus, or the field would be wilder at the box's faces than within.
    field = rng.standard_normal((3, *shape))
    for axis in range(3):
        smooth = ndimage.gaussian_filter(field[axis], WARP_SIGMA / WARP_VOXEL, mode="wrap")
        field[axis] = (smooth - smooth.mean()) / smooth.std() * parameters.warp
    return Warp(linear, field.astype(np.float32))


@dataclass(frozen=True)
class Head:
    """What a scanner can see of a head.

    Attributes
    ----------
    affine : ndarray of shape (4, 4)
        From voxel to the head's coordinates.
    epi : ndarray
        T2*-weighted intensity; pure grey matter is 1.
    grey : ndarray
        Grey-matter fraction.
    responses : dict of str to ndarray
        For each true region the intensity that a response of 100 % at the peak adds.
    """

    affine: Matrix
    epi: Array
    grey: Array
    responses: dict[str, Array]


def head_grid(voxel: float) -> tuple[Matrix, tuple[int, int, int]]:
    """Return affine and shape of a grid over the head's box."""
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = [low for low, _ in HEAD_BOX]
    i, j, k = (int((high - low) / voxel) + 1 for low, high in HEAD_BOX)
    return affine, (i, j, k)


def _template_points(warp: Warp, voxel: float) -> Array:
    _, shape = head_grid(voxel)
    axes = [
        np.float32(low) + np.float32(voxel) * np.arange(n, dtype=np.float32)
        for (low, _), n in zip(HEAD_BOX, shape, strict=True)
    ]
    return warp(np.stack(np.meshgrid(*axes, indexing="ij")))


def _sample(volume: Array, affine: Matrix, points: Array, outside: float = 0.0) -> Array:
    """Interpolate on a grid without rotation."""
    step = np.diag(affine)[:3].astype(np.float32).reshape(3, 1, 1, 1)
    index = (points - affine[:3, 3].astype(np.float32).reshape(3, 1, 1, 1)) / step
    return np.asarray(
        ndimage.map_coordinates(volume, index, order=1, cval=outside, output=np.float32)
    )


def _layers(distance: Array) -> tuple[Array, Array, Array]:
    """Return the fractions of what lies within the fluid's edge, of skull and of scalp."""

    def within(edge: float) -> Array:
        return np.asarray(np.clip(edge - distance + np.float32(0.5), 0, 1))

    inner, skull, scalp = (within(e) for e in (FLUID, FLUID + SKULL, FLUID + SKULL + SCALP))
    return inner, skull - inner, scalp - skull


def structural(warp: Warp, rng: np.random.Generator, voxel: float) -> tuple[Array, Matrix]:
    """Make a T1w image: white matter about 860, with a bias field and 1.5 % noise.

    Returns
    -------
    image : ndarray of shape (i, j, k)
        Intensities.
    affine : ndarray of shape (4, 4)
        From voxel to the head's coordinates.
    """
    brain = template()
    affine, shape = head_grid(voxel)
    points = _template_points(warp, voxel)
    distance = _sample(brain.distance, brain.distance_affine, points, outside=99.0)
    inner, skull, scalp = _layers(distance)
    image = inner * np.maximum(_sample(brain.t1w, brain.affine, points), np.float32(0.25))
    image += np.float32(0.04) * skull + np.float32(0.8) * scalp
    image *= _bias(rng, shape)
    image += np.float32(0.015) * rng.standard_normal(shape, dtype=np.float32)
    return np.asarray(1000 * np.abs(image), dtype=np.float32), affine


def _bias(rng: np.random.Generator, shape: tuple[int, int, int]) -> Array:
    """Draw a receive field: a slow wave along each axis, 9 % up and down at most."""
    bias = np.ones(shape, dtype=np.float32)
    for axis, n in enumerate(shape):
        wave = np.sin(np.linspace(0, np.pi, n) + rng.uniform(0, 2 * np.pi))
        along = [1, 1, 1]
        along[axis] = n
        bias *= (1 + 0.03 * wave).astype(np.float32).reshape(along)
    return bias


def functional(warp: Warp, resolution: float) -> Head:
    """Make what an EPI scanner sees, blurred to its resolution in mm.

    T2*-weighted: fluid bright, grey matter above white matter, skull dark, scalp's fat suppressed.
    No susceptibility distortion and no signal loss.
    """
    brain = template()
    affine, _ = head_grid(HEAD_VOXEL)
    points = _template_points(warp, HEAD_VOXEL)
    distance = _sample(brain.distance, brain.distance_affine, points, outside=99.0)
    inner, skull, scalp = _layers(distance)
    grey = _sample(brain.grey, brain.affine, points)
    white = _sample(brain.white, brain.affine, points)
    fluid = np.clip(1 - grey - white, 0, 1)
    epi = inner * (grey + np.float32(0.8) * white + np.float32(1.4) * fluid)
    epi += np.float32(0.02) * skull + np.float32(0.35) * scalp
    sigma = resolution / np.sqrt(8 * np.log(2)) / HEAD_VOXEL
    # Where grey matter dominates a point it responds in full; white matter does not respond.
    responding = np.clip(2 * grey, 0, 1) * epi
    responses = {}
    for region in REGIONS:
        blob = np.zeros_like(epi)
        for center in region.centers:
            away = points - np.array(center, dtype=np.float32).reshape(3, 1, 1, 1)
            square = (away * away).sum(axis=0) / np.float32(region.sigma**2)
            # Nothing beyond three standard deviations, so that it has an end.
            np.maximum(blob, np.where(square < 9, np.exp(-square / 2), 0), out=blob)
        responses[region.name] = ndimage.gaussian_filter(blob * responding, sigma)
    return Head(
        affine,
        ndimage.gaussian_filter(epi, sigma),
        ndimage.gaussian_filter(grey, sigma),
        responses,
    )
