"""Head motion: known motions of a simulated EPI, and the geometry of its parameters."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from braindata.errors import DataError
from braindata.fmri.images import open_series
from braindata.fmri.motion import (
    estimate_motion,
    head_mask,
    make_reference,
    rigid_matrix,
    rigid_parameters,
    typical_volume,
)

# Left-right reversed, tilted and anisotropic, as scanners store it.
TILT = np.eye(4)
TILT[:3, :3] = Rotation.from_euler("x", 12, degrees=True).as_matrix()
AFFINE = TILT @ np.array([[-3.0, 0, 0, 72], [0, 3, 0, -80], [0, 0, 3.5, -40], [0, 0, 0, 1]])
SHAPE = (48, 52, 26)

angles = st.floats(-0.5, 0.5)
shifts = st.floats(-20, 20)


@given(st.tuples(shifts, shifts, shifts, angles, angles, angles), st.tuples(shifts, shifts, shifts))
def test_parameters_and_matrix_are_inverse(parameters, centre):
    centre = np.array(centre)
    matrix = rigid_matrix(np.array(parameters), centre)
    np.testing.assert_allclose(rigid_parameters(matrix, centre), parameters, atol=1e-9)
    # scipy's lower-case axes are extrinsic: x first.
    np.testing.assert_allclose(
        matrix[:3, :3], Rotation.from_euler("xyz", parameters[3:]).as_matrix(), atol=1e-12
    )
    np.testing.assert_allclose(matrix @ [*centre, 1], [*(centre + parameters[:3]), 1], atol=1e-9)


def _head() -> tuple[np.ndarray, np.ndarray]:
    """An ellipsoid with inner structure on a 1.5 mm grid, and the grid's affine."""
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    affine[:3, 3] = [-90, -100, -70]
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in (120, 140, 110)], indexing="ij"), axis=-1)
    x, y, z = np.moveaxis(grid * 1.5 + affine[:3, 3], -1, 0)
    inside = (x / 62) ** 2 + (y / 78) ** 2 + ((z - 5) / 52) ** 2 < 1
    texture = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=inside.shape), 3)
    return inside * (900 + 250 * texture / texture.std()), affine


def _write_run(path: Path, motion: np.ndarray, noise: float) -> None:
    head, grid = _head()
    rng = np.random.default_rng(6)
    volumes = []
    for number, parameters in enumerate(motion):
        # A point of the volume shows what lay there before the head moved.
        matrix = np.linalg.inv(grid) @ np.linalg.inv(rigid_matrix(parameters, np.zeros(3))) @ AFFINE
        volume = ndimage.affine_transform(
            head, matrix[:3, :3], matrix[:3, 3], output_shape=SHAPE, order=1
        )
        drift = 1 + 0.02 * number / len(motion)
        volumes.append(drift * volume + noise * rng.normal(size=SHAPE))
    data = np.stack(volumes, axis=-1).clip(0, 32000).astype(np.int16)
    nib.save(nib.Nifti1Image(data, AFFINE), path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    rng = np.random.default_rng(7)
    walk = np.cumsum(rng.normal(0, [0.15] * 3 + [0.002] * 3, (14, 6)), axis=0)
    # One sudden large move, as when somebody coughs.
    walk[9:] += [1.5, -2.0, 2.5, 0.04, -0.03, 0.02]
    path = tmp_path_factory.mktemp("motion") / "bold.nii.gz"
    _write_run(path, walk, noise=15.0)
    return path, walk


def test_known_motion_is_recovered(simulated):
    path, truth = simulated
    series = open_series(path)
    reference = make_reference(series, 3, 0, 4.0)
    motion = estimate_motion(series, reference, 4.0)
    points = np.argwhere(head_mask(reference.data))[::40] @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    points = np.column_stack([points, np.ones(len(points))])
    # Where the head's points of volume 3 are in each volume; the reference lies near volume 3.
    start = np.linalg.inv(rigid_matrix(truth[3], np.zeros(3)))
    errors = []
    to_third = np.linalg.inv(motion.transforms[3])
    for number, parameters in enumerate(truth):
        expected = rigid_matrix(parameters, np.zeros(3)) @ start
        found = motion.transforms[number] @ to_third
        errors.append(points @ (found - expected).T)
    rms = np.sqrt((np.array(errors) ** 2).sum(axis=-1).mean())
    assert rms <= 0.05, rms
    moved = np.diff(motion.parameters, axis=0)
    # The sign: a head that moved to the right (+x) has a larger trans_x.
    np.testing.assert_allclose(moved[8, 3:], np.diff(truth, axis=0)[8, 3:], atol=1e-3)


def test_the_typical_volume_is_none_that_moved(simulated):
    path, _ = simulated
    thumbnails = np.stack([v[::2, ::2, ::2].ravel() for v in open_series(path).volumes()])
    thumbnails[2] *= 3.0
    thumbnails[5] = thumbnails[5][::-1]
    assert typical_volume(thumbnails, 0) not in {2, 5, 9, 10, 11, 12, 13}
    assert typical_volume(thumbnails, 8) >= 8


def test_no_head():
    with pytest.raises(DataError, match="no head"):
        head_mask(np.zeros((20, 20, 20), np.float32))
