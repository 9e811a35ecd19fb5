"""The head of fsaverage, electrodes on it, and the lead fields of its scalp."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from braindata.eeg.forward import (
    CONDUCTIVITY,
    _bem,
    _electrodes,
    _into_sphere,
    _onto_sphere,
    _sphere,
    grey_matter_grid,
    make_lead_fields,
    read_lead_fields,
    write_lead_fields,
)
from braindata.eeg.head import (
    Surface,
    head_to_mri,
    mni_to_mri,
    mri_to_head,
    mri_to_mni,
    read_head,
)
from braindata.eeg.scalp import fit_positions, interpolate
from braindata.errors import DamageError
from braindata.regions.template import template_grid
from tests.unit.eeg_heads import model, montage


def test_coordinates_of_the_template() -> None:
    # The example of FreeSurfer's page on coordinate systems.
    (there,) = mri_to_mni(np.array([[0.010, -0.020, 0.035]]))
    assert_allclose(there, [10.695, -18.409, 36.137], atol=3e-3)
    assert_allclose(mni_to_mri(there[np.newaxis]), [[0.010, -0.020, 0.035]], atol=1e-12)
    # Head coordinates have the nasion on the y axis, the ears on the x axis.
    digitised, _ = mne.io.read_fiducials(
        Path(mne.__file__).parent / "data" / "fsaverage" / "fsaverage-fiducials.fif", verbose=False
    )
    left, nasion, right = mri_to_head(np.array([one["r"] for one in digitised], np.float64))
    assert_allclose([nasion[0], *left[1:], *right[1:]], 0, atol=1e-6)
    assert nasion[1] > 0.08 and left[0] < -0.07 and right[0] > 0.07


@pytest.mark.parametrize("ico", [3, 4])
def test_surfaces_are_nested(ico: int) -> None:
    head = read_head(ico)
    assert len(head.inner_skull.vertices) == {3: 642, 4: 2562}[ico]
    for inside, outside in (
        (head.inner_skull, head.outer_skull),
        (head.outer_skull, head.scalp),
    ):
        # The solid angle of a closed surface is 4π from inside.
        assert_allclose(_winding(outside, inside.vertices[::17]), 1, atol=1e-6)
    gap = np.linalg.norm(head.outer_skull.vertices - head.inner_skull.vertices, axis=1)
    assert gap.min() > 0.0025 and gap.max() <= 0.006 + 1e-9
    # Over the convexity the skull has its thickness.
    above = head.inner_skull.vertices[:, 2] > 0.05
    assert np.median(gap[above]) > 0.0055


def _winding(surface: Surface, points: np.ndarray) -> np.ndarray:
    """How often a surface goes round points: van Oosterom & Strackee's solid angle over 4π."""
    a, b, c = (surface.vertices[surface.triangles[:, i]] - points[:, np.newaxis] for i in range(3))
    na, nb, nc = (np.linalg.norm(one, axis=-1) for one in (a, b, c))
    top = (a * np.cross(b, c)).sum(-1)
    bottom = na * nb * nc + (a * b).sum(-1) * nc + (a * c).sum(-1) * nb + (b * c).sum(-1) * na
    return np.arctan2(top, bottom).sum(axis=1) / (2 * np.pi)


def test_grid_is_grey_matter() -> None:
    points = grey_matter_grid(9)
    template = template_grid(2)
    voxels = np.rint((points - template.affine[:3, 3]) / 2).astype(int)
    assert template.grey_matter[tuple(voxels.T)].min() >= 0.3
    moved = grey_matter_grid(9, 4.0)
    assert not set(map(tuple, points)) & set(map(tuple, moved))
    assert 0.8 < len(points) / len(moved) < 1.25


def test_electrodes_between_vertices_equal_mne(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lead field of a montage by interpolation is the one that mne computes for it."""
    solved = _bem(read_head(2), CONDUCTIVITY)
    monkeypatch.setattr("braindata.eeg.forward._bem", lambda *_: solved)
    fields = make_lead_fields(20, ico=2)
    _, positions = montage("biosemi32")
    on_scalp = interpolate(fields.scalp, positions).points
    points = mni_to_mri(fields.sources)
    space = mne.setup_volume_source_space(
        pos={"rr": points, "nn": np.tile([0.0, 0, 1], (len(points), 1))}, verbose="ERROR"
    )
    forward = mne.make_forward_solution(
        _electrodes(on_scalp),
        mne.transforms.Transform("head", "mri", head_to_mri()),
        space,
        solved,
        meg=False,
        verbose="ERROR",
    )
    expected = forward["sol"]["data"].reshape(32, -1, 3) @ head_to_mri()[:3, :3].T
    assert_allclose(fields.at(on_scalp), expected, atol=2e-6 * np.abs(expected).max())


def test_sphere_equals_the_formula() -> None:
    """With one conductivity everywhere, a radial dipole at the centre has a closed form."""
    head = read_head(3)
    sphere = _sphere(head, (0.3, 0.3, 0.3))
    r0, radius = sphere["r0"], sphere["layers"][-1]["rad"]
    _, positions = montage("biosemi32")
    direction = positions - r0
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    centre = mne.setup_volume_source_space(
        pos={
            "rr": (r0 @ head_to_mri()[:3, :3].T + head_to_mri()[:3, 3] + 1e-6)[np.newaxis],
            "nn": np.array([[0.0, 0, 1]]),
        },
        verbose="ERROR",
    )
    forward = mne.make_forward_solution(
        _electrodes(_onto_sphere(positions, sphere)),
        mne.transforms.Transform("head", "mri", head_to_mri()),
        centre,
        sphere,
        meg=False,
        verbose="ERROR",
    )
    expected = 3 * direction / (4 * np.pi * 0.3 * radius**2)
    assert_allclose(forward["sol"]["data"], expected, atol=0.01 * np.abs(expected).max())


def test_sources_beyond_the_sphere_are_brought_in() -> None:
    sphere = _sphere(read_head(3), CONDUCTIVITY)
    points = mri_to_head(mni_to_mri(grey_matter_grid(15)))
    moved = _into_sphere(points, sphere) - sphere["r0"]
    limit = sphere["layers"][0]["rad"] - 0.005
    assert np.linalg.norm(moved, axis=1).max() <= limit + 1e-7
    # And none is lost.
    assert len(model().sources) == len(grey_matter_grid(10))
    assert (np.abs(model().values).max(axis=(0, 2)) > 0).all()


def test_a_dipole_is_positive_where_it_points() -> None:
    fields = model()
    _, positions = montage()
    motor = np.argmin(np.linalg.norm(fields.sources - [0, -20, 65], axis=1))
    lead_field = fields.at(fit_positions(fields.scalp, positions))[:, motor]
    names, _ = montage()
    assert names[lead_field[:, 2].argmax()] in {"Cz", "CPz", "C1", "C2", "FCz"}
    assert names[lead_field[:, 1].argmax()] in {"FCz", "Fz", "AFz", "FC1", "F1", "F2", "FC2"}
    assert names[lead_field[:, 0].argmax()] in {"C2", "C4", "CP2", "FC2", "CP4", "FC4"}


def test_file_keeps_everything_and_its_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_lead_fields(model(), tmp_path / f"{name}.h5")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()
    again = read_lead_fields(tmp_path / "one.h5")
    assert_allclose(again.values, model().values, rtol=0)
    assert_allclose(again.sources, model().sources, rtol=0)
    assert again.conductivity == CONDUCTIVITY and again.model == "sphere" and again.spacing == 10


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "fields.h5"
    write_lead_fields(model(), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DamageError, match="cannot be read"):
        read_lead_fields(path)
    with pytest.raises(DamageError, match="cannot be read"):
        read_lead_fields(tmp_path / "none.h5")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_nearest_points_of_a_surface(seed: int) -> None:
    """No sample of the surface is nearer than what `interpolate` finds."""
    rng = np.random.default_rng(seed)
    # An octahedron that is pulled about.
    vertices = np.array(
        [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float
    )
    vertices += rng.uniform(-0.3, 0.3, vertices.shape)
    triangles = np.array(
        [[i, j, k] for i in (0, 1) for j in (2, 3) for k in (4, 5)], dtype=np.int64
    )
    surface = Surface(vertices, triangles)
    points = rng.uniform(-2, 2, (5, 3))
    found = interpolate(surface, points)
    assert (found.shares >= 0).all()
    assert_allclose(found.shares.sum(axis=1), 1)
    samples = rng.dirichlet([0.7, 0.7, 0.7], 400) @ vertices[triangles]
    distance = np.linalg.norm(samples.reshape(-1, 1, 3) - points, axis=2).min(axis=0)
    assert (np.linalg.norm(found.points - points, axis=1) <= distance + 1e-12).all()


@given(st.floats(0.85, 1.2), st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
@settings(max_examples=10)
def test_another_head_is_fitted(scale: float, forward: float, up: float) -> None:
    """Electrodes of the template's head in another size and place come back to where they were."""
    scalp = model().scalp
    _, positions = montage("biosemi32")
    there = interpolate(scalp, positions).points
    back = fit_positions(scalp, there * scale + [0, forward, up])
    assert np.median(np.linalg.norm(back - there, axis=1)) < 0.004
    few = fit_positions(scalp, there[:4] * 1.02)
    assert np.linalg.norm(few - there[:4], axis=1).max() < 0.004
