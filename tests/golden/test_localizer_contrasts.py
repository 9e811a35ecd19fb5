"""What nilearn finds in our derivatives of a real localizer run, voxel by voxel."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import FirstLevelModel

from braindata.bids.confounds import MOTION_6

KINDS = ("face", "scene", "body", "house", "object", "scramble")
NEAR_MM = 12.0
# Fusiform face area (Kanwisher et al. 1997, doi:10.1523/JNEUROSCI.17-11-04302.1997) and
# parahippocampal place area (Epstein & Kanwisher 1998, doi:10.1038/33402), rounded, MNI.
FUSIFORM = ((40, -50, -20), (-40, -50, -20))
PARAHIPPOCAMPAL = ((28, -45, -10), (-28, -45, -10))


@pytest.fixture(scope="module")
def model(localizer: Path, events: pd.DataFrame) -> FirstLevelModel:
    folder = localizer / "derivatives/localizer/sub-02/func"

    def the(ending: str) -> Path:
        (path,) = folder.glob(f"*{ending}")
        return path

    confounds = pd.read_csv(the("desc-confounds_timeseries.tsv"), sep="\t", na_values="n/a")
    return FirstLevelModel(
        t_r=2.0,
        slice_time_ref=0.5,
        mask_img=the("desc-brain_mask.nii.gz"),
        noise_model="ols",
        smoothing_fwhm=5,
        drift_model="cosine",
        high_pass=0.01,
    ).fit(
        nib.load(the("desc-preproc_bold.nii.gz")),
        events[["onset", "duration", "trial_type"]],
        confounds[list(MOTION_6)],
    )


def test_pictures_against_rest(model: FirstLevelModel) -> None:
    z = model.compute_contrast(" + ".join(KINDS))
    data = z.get_fdata()
    assert data.max() >= 14
    _, y, _ = nib.affines.apply_affine(z.affine, np.unravel_index(data.argmax(), data.shape))
    assert y < -60  # occipital


def test_faces_and_houses_have_their_sides(model: FirstLevelModel) -> None:
    z = model.compute_contrast("face - house")
    data = z.get_fdata()
    points = nib.affines.apply_affine(z.affine, np.argwhere(np.ones(data.shape)))

    def near(centre: tuple[int, int, int]) -> np.ndarray:
        values: np.ndarray = data.ravel()[np.linalg.norm(points - centre, axis=1) <= NEAR_MM]
        return values

    for centre in FUSIFORM:
        assert near(centre).max() > 4
    for centre in PARAHIPPOCAMPAL:
        assert near(centre).min() < -4
        assert near(centre).mean() < -1
        assert near(centre).max() < 3
