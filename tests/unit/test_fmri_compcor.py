"""CompCor against a plain singular value decomposition, and noise whose sources are known."""

from __future__ import annotations

import numpy as np

from braindata.fmri.compcor import compcor
from braindata.fmri.confounds import cosine_basis

N, SKIP = 90, 3


def _run() -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Voxels of two tissues that share one course each, and a brain with few noisy voxels."""
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(N, 2))
    where = np.arange(3000)
    tissues = {"CSF": where < 150, "WM": (where >= 150) & (where < 400), "combined": where < 400}
    stored = 1000 + rng.normal(0, 10, (N, 3000))
    stored[:, tissues["CSF"]] += 60 * sources[:, :1] * rng.uniform(0.8, 1.2, 150)
    stored[:, tissues["WM"]] += 40 * sources[:, 1:] * rng.uniform(0.8, 1.2, 250)
    stored += 30 * np.linspace(-1, 1, N)[:, None]  # a drift of all
    stored[:SKIP] += 400
    return stored.round().astype(np.int16), tissues, sources, cosine_basis(N, 2.0, 128.0, SKIP)


def test_components_are_those_of_a_plain_decomposition():
    stored, tissues, _, drifts = _run()
    found = compcor(stored, np.ones(3000, bool), tissues, drifts, SKIP)
    assert sorted(found) == ["a", "c", "t", "w"]
    data = stored[SKIP:, tissues["combined"]].astype(float)
    design = np.column_stack([np.ones(N - SKIP), drifts[SKIP:]])
    data -= design @ np.linalg.lstsq(design, data, rcond=None)[0]
    data /= data.std(axis=0)
    left, singular, _ = np.linalg.svd(data, full_matrices=False)
    explained = singular**2 / (singular**2).sum()
    kept = int(np.argmax(np.cumsum(explained) >= 0.5)) + 1
    one = found["a"]
    assert one.courses.shape == (N, kept)
    np.testing.assert_allclose(one.singular_values, singular[:kept], rtol=1e-8)
    np.testing.assert_allclose(one.explained, explained[:kept], rtol=1e-8)
    np.testing.assert_allclose(np.abs(one.courses[SKIP:]), np.abs(left[:, :kept]), atol=1e-7)
    assert (one.courses[:SKIP] == 0).all()
    assert (one.courses.max(axis=0) >= -one.courses.min(axis=0)).all()


def test_each_tissues_first_component_is_its_source():
    stored, tissues, sources, drifts = _run()
    found = compcor(stored, np.ones(3000, bool), tissues, drifts, SKIP)
    for letter, source in (("c", sources[:, 0]), ("w", sources[:, 1]), ("t", sources[:, 0])):
        first = found[letter].courses[SKIP:, 0]
        clean = source[SKIP:] - drifts[SKIP:] @ np.linalg.pinv(drifts[SKIP:]) @ source[SKIP:]
        assert abs(np.corrcoef(first, clean)[0, 1]) > 0.98, letter
        # What the cosines take out is not there again.
        assert np.abs(drifts[SKIP:].T @ first).max() < 1e-9


def test_what_the_json_says():
    stored, tissues, _, drifts = _run()
    found = compcor(stored, np.ones(3000, bool), tissues, drifts, SKIP)
    first = found["w"].describe("w")["w_comp_cor_00"]
    assert first["Mask"] == "WM"
    assert first["Method"] == "aCompCor"
    assert first["Retained"] is True
    assert 0.5 <= first["CumulativeVarianceExplained"] <= 1
    assert "Mask" not in found["t"].describe("t")["t_comp_cor_00"]


def test_masks_that_are_too_small_have_no_components():
    stored, tissues, _, drifts = _run()
    tissues["CSF"] = np.arange(3000) < 5
    flat = stored.copy()
    flat[:, tissues["WM"]] = 7
    found = compcor(flat, np.ones(3000, bool), tissues, drifts, SKIP)
    assert "c" not in found
    assert "w" not in found
