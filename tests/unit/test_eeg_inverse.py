"""The operators against those of mne, on one forward solution."""

from __future__ import annotations

from typing import Any

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose

from braindata.eeg.head import head_to_mri, mni_to_mri
from braindata.eeg.inverse import eloreta, lcmv, sloreta
from tests.unit.eeg_heads import model, montage


@pytest.fixture(scope="module")
def forward() -> tuple[Any, Any]:
    """A recording of 32 channels, and mne's forward solution for it."""
    names, positions = montage("biosemi32")
    info = mne.create_info(names, 100.0, "eeg", verbose="ERROR")
    info.set_montage(
        mne.channels.make_dig_montage(dict(zip(names, positions, strict=True)), coord_frame="head")
    )
    rng = np.random.default_rng(4)
    data = rng.standard_normal((32, 32)) @ rng.standard_normal((32, 500)) * 1e-6
    raw = mne.io.RawArray(data, info, verbose="ERROR")
    raw.set_eeg_reference(projection=True, verbose="ERROR")
    sources = model().sources
    points = mni_to_mri(sources[np.linalg.norm(sources - [0, -20, 10], axis=1) < 60][::7])
    space = mne.setup_volume_source_space(
        pos={"rr": points, "nn": np.tile([0.0, 0, 1], (len(points), 1))}, verbose="ERROR"
    )
    sphere = mne.make_sphere_model(r0=(0, 0, 0.04), head_radius=0.1, verbose="ERROR")
    solution = mne.make_forward_solution(
        raw.info,
        mne.transforms.Transform("head", "mri", head_to_mri()),
        space,
        sphere,
        meg=False,
        verbose="ERROR",
    )
    return raw, solution


def _lead_field(solution: Any) -> np.ndarray:
    return solution["sol"]["data"].reshape(solution["nchan"], -1, 3)


@pytest.mark.parametrize(("method", "ours"), [("sLORETA", sloreta), ("eLORETA", eloreta)])
@pytest.mark.parametrize("snr", [1.0, 3.0])
@pytest.mark.filterwarnings("ignore:eLORETA weight fitting:RuntimeWarning")
def test_equal_to_mne(forward: tuple[Any, Any], method: str, ours: Any, snr: float) -> None:
    raw, solution = forward
    operator = mne.minimum_norm.make_inverse_operator(
        raw.info,
        solution,
        mne.make_ad_hoc_cov(raw.info, verbose="ERROR"),
        loose=1.0,
        depth=None,
        fixed=False,
        verbose="ERROR",
    )
    expected = mne.minimum_norm.apply_inverse_raw(
        raw, operator, 1 / snr**2, method, pick_ori="vector", verbose="ERROR"
    ).data
    found = np.einsum("soc,ct->sot", ours(_lead_field(solution), snr), raw.get_data())
    assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


def test_lcmv_equal_to_mne(forward: tuple[Any, Any]) -> None:
    raw, solution = forward
    covariance = mne.compute_raw_covariance(raw, verbose="ERROR")
    filters = mne.beamformer.make_lcmv(
        raw.info,
        solution,
        covariance,
        reg=0.05,
        pick_ori="vector",
        weight_norm=None,
        verbose="ERROR",
    )
    expected = mne.beamformer.apply_lcmv_raw(raw, filters, verbose="ERROR").data
    operator = lcmv(_lead_field(solution), covariance.data, reg=0.05)
    found = np.einsum("soc,ct->sot", operator, raw.get_data())
    assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())
    # Unit gain: a dipole passes with its own size, and its other components with none.
    passed = np.einsum("soc,csp->sop", operator, _lead_field(solution))
    assert_allclose(passed, np.broadcast_to(np.eye(3), passed.shape), atol=1e-8)


@pytest.mark.parametrize("ours", [sloreta, eloreta])
def test_the_reference_does_not_matter(forward: tuple[Any, Any], ours: Any) -> None:
    _, solution = forward
    lead_field = _lead_field(solution)
    operator = ours(lead_field)
    size = np.abs(operator).max()
    assert_allclose(operator.sum(axis=2), 0, atol=1e-10 * size)
    assert_allclose(ours(lead_field - lead_field[:1]), operator, atol=1e-7 * size)


def test_eloreta_finds_single_sources(forward: tuple[Any, Any]) -> None:
    """Without noise and with as little regularisation the largest current is where it was put."""
    _, solution = forward
    lead_field = _lead_field(solution)
    flat = lead_field - lead_field.mean(axis=0)
    operator = eloreta(lead_field, snr=100.0)
    rng = np.random.default_rng(0)
    for source in range(0, lead_field.shape[1], 3):
        data = flat[:, source] @ rng.standard_normal(3)
        assert ((operator @ data) ** 2).sum(axis=1).argmax() == source
