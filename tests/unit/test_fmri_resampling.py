"""The composition of all transforms against a brute-force one, on a known smooth function."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from braindata.fmri.anatomy import Normalisation
from braindata.fmri.images import Image, open_series
from braindata.fmri.motion import Motion, rigid_matrix, rigid_parameters
from braindata.fmri.resampling import find_target, resample_run
from braindata.fmri.template import load_template

CENTRE = np.array([1.0, -15.0, 8.0])
# The EPI grid: left-right reversed, tilted, off-centre, and too short to cover the cerebellum.
AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xz", [-14, 3], degrees=True).as_matrix() @ np.diag(
    [-4.0, 4.0, 4.0]
)
SHAPE = (50, 56, 30)
AFFINE[:3, 3] = CENTRE + np.array([4, 2, 20]) - AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2)


def intensity(points: np.ndarray) -> np.ndarray:
    """A smooth function of the position in the reference, in mm; not symmetric in any axis."""
    x, y, z = np.moveaxis(points, -1, 0)
    wave = np.sin(x / 17 + 0.4) + 0.8 * np.cos(y / 21 - 0.7) + 0.6 * np.sin(z / 15 + x / 40)
    return 1000 + 200 * wave


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    template = load_template(4)
    rng = np.random.default_rng(0)
    warp = np.stack(
        [ndimage.gaussian_filter(rng.normal(size=template.shape), 4) for _ in range(3)], axis=-1
    )
    warp = (6 * warp / np.abs(warp).max()).astype(np.float32)
    affine = rigid_matrix(np.array([5.0, -8.0, 12.0, 0.1, -0.05, 0.07]), CENTRE)
    affine[:3, :3] = affine[:3, :3] @ np.diag([0.95, 1.04, 0.93])
    normalisation = Normalisation(affine, warp, template.affine)
    coregistration = rigid_matrix(np.array([-4.0, 6.0, -9.0, -0.12, 0.03, -0.05]), CENTRE)
    parameters = rng.normal(0, [1.5] * 3 + [0.03] * 3, (11, 6))
    transforms = np.stack([rigid_matrix(p, CENTRE) for p in parameters])
    assert np.allclose(rigid_parameters(transforms[3], CENTRE), parameters[3])
    motion = Motion(transforms, parameters, CENTRE)
    voxels = np.argwhere(np.ones(SHAPE, bool)) @ AFFINE[:3, :3].T + AFFINE[:3, 3]
    volumes = []
    for matrix in transforms:
        back = np.linalg.inv(matrix)
        volumes.append(intensity(voxels @ back[:3, :3].T + back[:3, 3]).reshape(SHAPE))
    folder = tmp_path_factory.mktemp("resampling")
    path = folder / "bold.nii.gz"
    nib.save(nib.Nifti1Image(np.stack(volumes, axis=-1).astype(np.float32), AFFINE), path)
    reference = Image(intensity(voxels).reshape(SHAPE).astype(np.float32), AFFINE)
    return template, normalisation, coregistration, motion, path, reference


def test_composition_equals_brute_force(case, tmp_path):
    template, normalisation, coregistration, motion, path, reference = case
    target = find_target(template, normalisation, coregistration, motion, reference)
    series = open_series(path)
    output = tmp_path / "sub-01_desc-preproc_bold.nii.gz"
    stored, slope = resample_run(series, motion, reference, target, 1.5, output)
    image = nib.load(output)
    data = image.get_fdata()
    assert data.shape == (*template.shape, 11)
    assert image.header.get_zooms()[3] == 1.5
    np.testing.assert_allclose(image.affine, template.affine)
    np.testing.assert_allclose(data[target.mask].T, stored * slope, rtol=1e-6)
    assert (data[~target.mask] == 0).all()
    seen = 0
    for index in np.argwhere(target.mask)[::97]:
        # Voxel by voxel, from the definition, with none of the code under test.
        in_template = template.affine @ [*index, 1]
        moved = in_template + np.append(normalisation.warp[tuple(index)], 0)
        at_reference = coregistration @ (normalisation.affine @ moved)
        truth = intensity(at_reference[:3])
        voxel = np.linalg.inv(AFFINE) @ at_reference
        if not ((voxel[:3] > 4) & (voxel[:3] < np.array(SHAPE) - 5)).all():
            continue  # near the edge the spline sees a mirror image, not the function
        # 16 bits, and the spline's error for waves this long.
        np.testing.assert_allclose(data[tuple(index)], truth, atol=0.3)
        seen += 1
    assert seen > 100


def test_no_voxel_leaves_the_field_of_view_in_any_volume(case):
    template, normalisation, coregistration, motion, _, reference = case
    target = find_target(template, normalisation, coregistration, motion, reference)
    covered = target.mask[template.brain].mean()
    assert 0.5 < covered < 0.98
    homogeneous = np.column_stack([target.points, np.ones(len(target.points))])
    for matrix in motion.transforms:
        voxels = (homogeneous @ (np.linalg.inv(AFFINE) @ matrix).T)[:, :3]
        assert (voxels >= -0.5).all()
        assert (voxels < np.array(SHAPE) - 0.5).all()
