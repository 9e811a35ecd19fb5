"""The scanner: a head that moves, sampled volume by volume, with noise and drifts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from braindata.phantom.anatomy import Array, Head, Matrix
from braindata.phantom.parameters import PhantomParameters
from braindata.phantom.sampling import sample_spline

Vector = NDArray[np.float64]

FIELD_OF_VIEW = (196.0, 224.0, 154.0)
# The scanner's centre lies near the brain's, in mm of the head's coordinates.
ISOCENTER = (0.0, -17.0, 5.0)
GREY_INTENSITY = 1000.0
HEAD_RADIUS = 50.0


def rigid(parameters: Vector) -> Matrix:
    """Matrix of a rigid motion: a point p goes to Rz Ry Rx p + t.

    Parameters
    ----------
    parameters : ndarray of shape (6,)
        Translations in mm along x, y, z, then rotations in radians about x, y, z through the
        scanner's origin.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", parameters[3:]).as_matrix()
    matrix[:3, 3] = parameters[:3]
    return matrix


def bold_grid(parameters: PhantomParameters) -> tuple[Matrix, tuple[int, int, int]]:
    """Return affine (stored left to right reversed, as scanners do) and shape of a volume."""
    voxel = parameters.bold_voxel
    i, j, k = (round(extent / voxel) for extent in FIELD_OF_VIEW)
    affine = np.diag([-voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array([i, j, k]) - 1) / 2) + ISOCENTER
    return affine, (i, j, k)


def random_pose(rng: np.random.Generator, shift: float, degrees: float) -> Vector:
    """Draw a position of the head."""
    return np.concatenate(
        [rng.uniform(-shift, shift, 3), np.radians(rng.uniform(-degrees, degrees, 3))]
    )


def displacement(motion: Vector) -> Vector:
    """Bound, per volume, on how far a point 50 mm off-centre is moved, in mm."""
    return np.asarray(
        np.linalg.norm(motion[:, :3], axis=1) + HEAD_RADIUS * np.linalg.norm(motion[:, 3:], axis=1)
    )


def random_motion(rng: np.random.Generator, n_volumes: int, largest: float) -> Vector:
    """Draw a run's head motion: a slow drift and a few jerks, relative to the first volume.

    Returns
    -------
    ndarray of shape (n_volumes, 6)
        Parameters as `rigid` takes them; `displacement` reaches `largest` (mm).
    """
    # Nodding (about x) and sliding along z are the commonest.
    liveliness = np.array([0.4, 0.5, 1.0, 1.0 / HEAD_RADIUS, 0.5 / HEAD_RADIUS, 0.5 / HEAD_RADIUS])
    walk = np.cumsum(rng.standard_normal((n_volumes, 6)), axis=0)
    drift = ndimage.gaussian_filter1d(walk, 6.0, axis=0, mode="nearest")
    motion = drift / max(1.0, float(np.ptp(drift, axis=0).max()))
    for _ in range(1 + int(rng.integers(2, 5))):
        start = int(rng.integers(1, n_volumes))
        after = np.arange(n_volumes - start)
        # Most of a jerk is taken back within two or three volumes.
        course = 0.25 + 0.75 * np.exp(-after / 1.2)
        motion[start:] += 0.5 * rng.standard_normal(6) * course[:, None]
    motion = (motion - motion[0]) * liveliness
    farthest = float(displacement(motion).max())
    return np.asarray(motion * (largest / farthest if farthest > 0 else 0.0))


@dataclass(frozen=True)
class Volume:
    """One volume, and what the scanner would have seen of a head that holds still.

    Attributes
    ----------
    data : ndarray of shape (i, j, k)
        What is written, as integers.
    still : ndarray of shape (n_regions,)
        Weighted mean of each true region, with noise and drifts, without motion.
    """

    data: NDArray[np.int16]
    still: Vector


class Scanner:
    """Acquires runs of one head in one position.

    Parameters
    ----------
    head : Head
        What can be seen.
    pose : ndarray of shape (4, 4)
        From the head's coordinates to the scanner's.
    parameters : PhantomParameters
        Resolution, noise and drifts.
    """

    def __init__(self, head: Head, pose: Matrix, parameters: PhantomParameters):
        self.parameters = parameters
        self.affine, self.shape = bold_grid(parameters)
        self._to_grid = np.linalg.inv(pose @ head.affine)
        self._base = ndimage.spline_filter(head.epi, order=3, output=np.float32)
        self.names = list(head.responses)
        self._added = [
            _Patch.around(ndimage.spline_filter(image, order=3, output=np.float32))
            for image in head.responses.values()
        ]
        still = np.eye(4)
        self._voxels = np.argwhere(np.ones(self.shape, dtype=bool)).astype(np.int32)
        self.reference = self._look(self._base, still)
        # Where the head is, with room for it to move: all else is air, and is not computed.
        reach = int(np.ceil(2 * parameters.motion / parameters.bold_voxel)) + 1
        near = ndimage.maximum_filter(self.reference, 2 * reach + 1) > 1e-4
        self._voxels = np.argwhere(near).astype(np.int32)
        self.grey = self._look(ndimage.spline_filter(head.grey, order=3, output=np.float32), still)
        self._weights = [
            np.clip(
                self._look(ndimage.spline_filter(image, order=3, output=np.float32), still), 0, None
            )
            for image in head.responses.values()
        ]

    def _look(self, coefficients: Array, motion: Matrix) -> Array:
        """Sample the head after a motion, by cubic splines."""
        matrix = self._to_grid @ np.linalg.inv(motion) @ self.affine
        image = np.zeros(self.shape, dtype=np.float32)
        image[tuple(self._voxels.T)] = sample_spline(coefficients, self._voxels, matrix)
        return image

    def scan(self, responses: Vector, motion: Vector, rng: np.random.Generator) -> Iterator[Volume]:
        """Acquire a run.

        Parameters
        ----------
        responses : ndarray of shape (n_volumes, n_regions)
            Each region's response, as a fraction of the signal at its peak.
        motion : ndarray of shape (n_volumes, 6)
            Head motion, see `random_motion`.
        rng : Generator
            Source of the noise.

        Yields
        ------
        Volume
            One after the other, so that a run never lies in memory.
        """
        n_volumes = len(responses)
        drifts = self._drifts(rng)
        # Physiological noise grows with the signal, thermal noise does not.
        size = (0.5 + 0.5 * self.reference) / self.parameters.tsnr
        noise = self._innovation(rng)
        keep = np.float32(self.parameters.noise_ar)
        renew = np.sqrt(1 - keep * keep)
        totals = [float((weight * self.reference).sum()) for weight in self._weights]
        overlap = [
            [float((weight * added).sum()) for added in self._weights] for weight in self._weights
        ]
        for volume in range(n_volumes):
            if volume:
                noise = keep * noise + renew * self._innovation(rng)
            disturbance = noise * size
            for order, drift in enumerate(drifts, start=1):
                phase = np.cos(np.pi * order * (volume + 0.5) / n_volumes)
                disturbance += np.float32(phase) * drift
            coefficients = self._base.copy()
            for patch, response in zip(self._added, responses[volume], strict=True):
                coefficients[patch.where] += np.float32(response) * patch.values
            image = self._look(coefficients, rigid(motion[volume])) + disturbance
            # A magnitude image: never below zero.
            data = np.rint(np.abs(image) * np.float32(GREY_INTENSITY)).astype(np.int16)
            still = [
                1
                + (np.dot(shares, responses[volume]) + float((weight * disturbance).sum())) / total
                for weight, shares, total in zip(self._weights, overlap, totals, strict=True)
            ]
            yield Volume(data, np.array(still))

    def _innovation(self, rng: np.random.Generator) -> Array:
        """Noise of unit variance: half of its variance white, half smooth in space."""
        sigma = self.parameters.noise_fwhm / np.sqrt(8 * np.log(2)) / self.parameters.bold_voxel
        smooth = ndimage.gaussian_filter(
            rng.standard_normal(self.shape, dtype=np.float32), sigma, mode="wrap"
        )
        impulse = np.zeros(2 * int(4 * sigma + 1) + 1)
        impulse[len(impulse) // 2] = 1.0
        kernel = ndimage.gaussian_filter1d(impulse, sigma)
        smooth *= np.float32(np.sqrt(0.5) / (kernel**2).sum() ** 1.5)
        white = rng.standard_normal(self.shape, dtype=np.float32)
        return np.asarray(smooth + np.float32(np.sqrt(0.5)) * white, dtype=np.float32)

    def _drifts(self, rng: np.random.Generator) -> list[Array]:
        """Smooth maps of the slow cosines of a run."""
        drifts = []
        for order in (1, 2, 3):
            coarse = rng.standard_normal((4, 4, 4))
            field = ndimage.zoom(coarse, [n / 4 for n in self.shape], order=3)
            size = self.parameters.drift / order / field.std()
            drifts.append((size * field * self.reference).astype(np.float32))
        return drifts


@dataclass(frozen=True)
class _Patch:
    """The part of a volume that is not nearly zero."""

    where: tuple[slice, slice, slice]
    values: Array

    @classmethod
    def around(cls, volume: Array) -> _Patch:
        large = np.abs(volume) > 1e-5 * np.abs(volume).max()
        i, j, k = ndimage.find_objects(large.astype(np.int8))[0]
        return cls((i, j, k), np.ascontiguousarray(volume[i, j, k]))
