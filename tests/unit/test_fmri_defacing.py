"""Whether a face is there: heads made for it, and a real image whose face was cut off."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from braindata.fmri.defacing import looks_defaced


def head(
    face: bool = True, voxel: float = 3.0, tilt: float = 0.0, height: float = 250.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Make a head: an ellipsoid of a skull, a jaw, a neck and a nose; without a face, cut off."""
    shape = tuple(int(size / voxel) for size in (180, 240, height))
    affine = np.diag([voxel, voxel, voxel, 1.0])
    affine[:3, 3] = -90, -130, 90 - height
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    x, y, z = np.moveaxis(grid @ affine[:3, :3].T + affine[:3, 3], -1, 0)
    angle = np.deg2rad(tilt)
    y, z = y * np.cos(angle) - z * np.sin(angle), y * np.sin(angle) + z * np.cos(angle)
    skull = (x / 75) ** 2 + ((y + 10) / 95) ** 2 + (z / 85) ** 2 < 1
    jaw = (x / 55) ** 2 + ((y - 35) / 45) ** 2 + ((z + 75) / 60) ** 2 < 1
    neck = (x**2 + (y + 30) ** 2 < 60**2) & (z < -40)
    nose = (np.abs(x) < 12) & (y > 0) & (y < 105 - np.abs(z + 55)) & (np.abs(z + 55) < 25)
    inside = skull | jaw | neck | nose
    if not face:
        inside &= ~((z < -25) & (y > 45 + (z + 25) * 0.3))
    noise = np.random.default_rng(0).random(shape)
    return np.where(inside, 100 + 20 * noise, 3 * noise), affine


@pytest.mark.parametrize(("tilt", "voxel"), [(-10, 4.0), (0, 4.0), (0, 2.5), (10, 4.0)])
def test_a_face_that_is_there_and_one_that_was_cut_off(tilt: float, voxel: float) -> None:
    assert looks_defaced(*head(True, voxel, tilt)) in ({0: ("no",)}.get(tilt, ("no", "unknown")))
    assert looks_defaced(*head(False, voxel, tilt)) in ({0: ("yes",)}.get(tilt, ("yes", "unknown")))


def test_axes_in_any_order(tmp_path: Path) -> None:
    for face, said in ((True, "no"), (False, "yes")):
        image, affine = head(face)
        turned = nib.Nifti1Image(image, affine).as_reoriented(
            nib.orientations.axcodes2ornt(("P", "S", "R"))[[2, 0, 1]]
        )
        assert looks_defaced(turned.get_fdata(), turned.affine) == said


def test_what_cannot_be_told() -> None:
    assert looks_defaced(*head(height=130)) == "unknown"
    assert looks_defaced(np.zeros((9, 9, 9)), np.eye(4)) == "unknown"
    assert looks_defaced(np.full((9, 9, 9), np.nan), np.eye(4)) == "unknown"


def test_the_real_localizer_was_defaced(shared_data: Path) -> None:
    # To be seen in it: in front of the lower face everything is cut off, in steps.
    image = nib.load(shared_data / "fmri-localizer/sub-02/anat/sub-02_T1w.nii.gz")
    assert looks_defaced(np.asanyarray(image.dataobj), image.affine) == "yes"
