"""Loss of signal: the spheres are the default regions', and what is dark counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from braindata.fmri.signal_loss import has_signal, signal_loss
from braindata.fmri.susceptibility import AREAS, RADIUS_MM
from braindata.fmri.template import load_template


@pytest.mark.parametrize("region", AREAS)
def test_the_spheres_are_those_of_the_default_regions(repository: Path, region: str) -> None:
    text = (repository / "config/regions/spheres/valuation.yaml").read_text(encoding="utf-8")
    (one,) = [r for r in yaml.safe_load(text)["regions"] if r["name"] == region]
    spheres = one["definition"]["spheres"]
    assert [tuple(sphere["center"]) for sphere in spheres] == list(AREAS[region])
    assert {sphere["radius"] for sphere in spheres} == {RADIUS_MM}


def test_what_is_dark_or_not_covered_is_lost() -> None:
    template = load_template(3)
    image = np.where(template.brain, 100, 0).astype(np.float32)
    assert signal_loss(image, template.brain, template.affine) == {
        "signal_loss_ofc": 0.0,
        "signal_loss_vmpfc": 0.0,
    }
    voxels = np.argwhere(np.ones(template.shape, bool)) @ template.affine[:3, :3].T
    x = (voxels + template.affine[:3, 3])[:, 0].reshape(template.shape)
    half = np.where(x < 6, image, 0.2 * image)
    lost = signal_loss(half, template.brain, template.affine)
    # Two of the four orbitofrontal spheres are on the right.
    assert lost["signal_loss_ofc"] == pytest.approx(0.5, abs=0.1)
    assert 0.1 < lost["signal_loss_vmpfc"] < 0.6
    cut = np.where(x < 60, image, 0)
    assert signal_loss(cut, template.brain, template.affine)["signal_loss_ofc"] == 0.0


def test_the_floor_is_a_share_of_the_median() -> None:
    brain = np.array([True, True, True, False])
    found = has_signal(np.array([100, 100, 29, 100], np.float32), brain)
    assert found.tolist() == [True, True, False, False]
    assert not has_signal(np.ones(3, np.float32), np.zeros(3, bool)).any()
