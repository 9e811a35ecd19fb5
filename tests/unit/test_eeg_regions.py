"""Regions on the sources of EEG: their weights, orientation, operators and resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from braindata.config_regions import load_regions
from braindata.eeg.inverse import average_reference
from braindata.eeg.regions import (
    SourceRegion,
    inverse_operator,
    montage_lead_field,
    place_region,
    region_operators,
)
from braindata.eeg.resolution import _contained, make_trial, resolve_montage
from braindata.eeg.source_parameters import SourceParameters
from braindata.errors import BraindataError
from braindata.regions.definition import Region
from tests.unit.eeg_heads import model, montage, truth

CONFIG = Path(__file__).parents[2] / "config" / "regions"


@pytest.fixture(scope="module")
def regions() -> dict[str, Region]:
    """The default regions, and those that are made for EEG."""
    every = load_regions([str(CONFIG / "spheres"), str(CONFIG / "eeg")])
    return {region.name: region for region in every}


def _sphere(*centers: tuple[float, float, float], radius: float = 8, **more: Any) -> Region:
    spheres = [
        {
            "center": center,
            "radius": radius,
            "hemisphere": "left" if center[0] < 0 else "right" if center[0] > 0 else "midline",
            "source": "made for a test",
        }
        for center in centers
    ]
    definition = {"kind": "spheres", "grey_matter": False, "spheres": spheres, **more}
    return Region(
        name="test",
        level="execution",
        processes=("test",),
        references=("none",),
        space="MNI152NLin2009aSym",
        definition=definition,
    )


def test_weights_are_a_mean_along_the_orientation(regions: dict[str, Region]) -> None:
    fields = model()
    placed = place_region(regions["dlpfc"], fields)
    assert placed.coverage == 1
    assert_allclose(placed.shares.sum(), 1)
    assert_allclose(np.linalg.norm(placed.orientation), 1)
    dense = placed.weights.toarray().reshape(-1, 3)
    assert_allclose(np.linalg.norm(dense, axis=1)[placed.sources], placed.shares)
    assert np.flatnonzero(dense.any(axis=1)).tolist() == placed.sources.tolist()
    # Both hemispheres have half of it, their lateral axes opposite.
    left = fields.sources[placed.sources, 0] < 0
    assert_allclose(placed.shares[left].sum(), 0.5, atol=0.1)
    # The centre of mass of the sources is near that of the sphere's.
    at = np.average(np.abs(fields.sources[placed.sources]), axis=0, weights=placed.shares)
    centers = np.array([one.center for one in regions["dlpfc"].definition.spheres])
    assert np.linalg.norm(at - np.abs(centers).mean(axis=0)) < 8


def test_orientation_by_singular_vectors(regions: dict[str, Region]) -> None:
    """Against numpy's decomposition of the stacked lead fields, each of its rows written out."""
    fields = model()
    placed = place_region(regions["auditory"], fields)
    values = fields.values.astype(float)
    values -= values.mean(axis=0)
    stacked = []
    for source, share in zip(placed.sources, placed.shares, strict=True):
        block = values[:, source] * np.sqrt(share)
        if fields.sources[source, 0] < 0:
            block = block * [-1, 1, 1]
        stacked.append(block)
    _, _, vectors = np.linalg.svd(np.concatenate(stacked), full_matrices=False)
    assert_allclose(np.abs(vectors[0] @ placed.orientation), 1)


def test_sign_is_outwards(regions: dict[str, Region]) -> None:
    fields = model()
    middle = fields.sources.mean(axis=0)
    for name in ("visual", "frontopolar", "somatosensory", "tpj", "dlpfc"):
        placed = place_region(regions[name], fields)
        at = fields.sources[placed.sources]
        outward = (placed.shares[:, np.newaxis] * (at - middle) * placed.moments(at)).sum()
        assert outward > 0, name
    # Along the temporal plane the way out says little: upwards decides.
    assert place_region(regions["auditory"], fields).orientation[2] > 0
    # A lateral region points away from the midline on both sides.
    temporal = place_region(_sphere((-58, -22, 8), (58, -22, 8)), fields)
    assert temporal.moments(np.array([[-58.0, -22, 8], [58.0, -22, 8]]))[:, 0].tolist() == [
        -temporal.orientation[0],
        temporal.orientation[0],
    ]


def test_orientation_is_the_same_for_every_montage(regions: dict[str, Region]) -> None:
    """A current towards the scalp is a positive course on 64 and on 32 electrodes."""
    fields = model()
    placed = place_region(regions["somatosensory"], fields)
    moments = placed.moments(fields.sources[placed.sources]) * placed.shares[:, np.newaxis]
    for name in ("biosemi64", "biosemi32", "easycap-M1"):
        _, positions = montage(name)
        lead_field = montage_lead_field(fields, positions)
        operators = region_operators([placed], inverse_operator(lead_field), "A·m")
        data = np.einsum("cso,so->c", lead_field[:, placed.sources], moments)
        assert operators.apply(data[:, np.newaxis])[0, 0] > 0


def test_a_region_outside_the_brain_is_refused() -> None:
    far = _sphere((0, 0, -62), radius=5)
    with pytest.raises(BraindataError, match=r"region test: only \d+ % of it is near a source"):
        place_region(far, replace(model(), sources=model().sources + np.array([0, 0, 60])))


def test_operator_is_inverse_then_mean(regions: dict[str, Region]) -> None:
    """One product gives what the inverse solution, its projection and its mean give."""
    fields = model()
    _, positions = montage()
    lead_field = montage_lead_field(fields, positions)
    placed = [place_region(regions[name], fields) for name in ("dlpfc", "angular_tpj")]
    inverse = inverse_operator(lead_field)
    operators = region_operators(placed, inverse, "A·m")
    data = np.random.default_rng(1).standard_normal((64, 40)) * 1e-5
    solution = np.einsum("soc,ct->sot", inverse, data)
    for row, region in zip(operators.apply(data), placed, strict=True):
        moments = region.moments(fields.sources[region.sources])
        courses = (solution[region.sources] * moments[..., np.newaxis]).sum(axis=1)
        expected = np.average(courses, axis=0, weights=region.shares)
        assert_allclose(row, expected, atol=1e-12 * np.abs(expected).max())
    # Against any one electrode it is the same.
    again = operators.apply(data - data[7])
    assert_allclose(again, operators.apply(data), atol=1e-9 * np.abs(again).max())
    assert operators.names == ("dlpfc", "angular_tpj") and operators.unit == "A·m"


@pytest.fixture(scope="module")
def tried(regions: dict[str, Region]) -> dict[str, Any]:
    """All regions on 64 electrodes."""
    parameters = SourceParameters(n_dipoles=40)
    _, positions = montage()
    inverse = inverse_operator(montage_lead_field(model(), positions))
    trial = make_trial(model(), truth(), positions, inverse, parameters)
    placed = {name: place_region(one, model()) for name, one in regions.items()}
    true = {name: place_region(one, truth()) for name, one in regions.items()}
    others = list(true.values())

    def resolution(name: str, among: list[SourceRegion] | None = None) -> Any:
        pair = (placed[name], true[name])
        return resolve_montage(pair, others if among is None else among, trial, parameters)

    return {"resolution": resolution, "true": true, "trial": trial, "placed": placed}


def test_cortex_is_found_and_depth_is_not(tried: dict[str, Any]) -> None:
    for name in ("dlpfc", "angular_gyrus", "somatosensory"):
        one = tried["resolution"](name)
        assert one.eeg_class == "good" and one.reason is None
        assert one.localisation_error <= 12
    for name in ("amygdala", "ventral_striatum", "pcc"):
        one = tried["resolution"](name)
        assert one.eeg_class == "not_claimed"
        assert one.reason.split(":")[0] in {"fair", "max_crosstalk"}
        assert one.localisation_error > tried["resolution"]("dlpfc").localisation_error


def test_crosstalk_is_that_of_single_dipoles(tried: dict[str, Any]) -> None:
    """Each dipole by itself through electrodes and operator."""
    trial, true, placed = tried["trial"], tried["true"], tried["placed"]
    found = tried["resolution"]("ifg").crosstalk
    assert set(found) == set(true) - {"ifg", "ifg_insula"}

    def response(name: str) -> float:
        total = 0.0
        for source, share in zip(true[name].sources, true[name].shares, strict=True):
            (moment,) = true[name].moments(trial.truth.sources[[source]])
            solution = np.einsum("soc,c->so", trial.inverse, trial.lead_field[:, source] @ moment)
            at = placed["ifg"].moments(trial.sources[placed["ifg"].sources])
            course = (solution[placed["ifg"].sources] * at).sum(axis=1)
            total += share * np.average(course, weights=placed["ifg"].shares) ** 2
        return float(np.sqrt(total))

    for other in ("insula", "visual"):
        assert_allclose(found[other], response(other) / response("ifg"), rtol=1e-6)
    assert found["insula"] > 3 * found["visual"]


def test_a_region_is_tried_by_itself(tried: dict[str, Any]) -> None:
    """What a montage makes of a region does not depend on which others are tried."""
    whole = tried["resolution"]("acc")
    alone = tried["resolution"]("acc", [])
    assert alone.localisation_error == whole.localisation_error
    assert alone.point_spread == whole.point_spread
    assert alone.crosstalk_max is None and alone.crosstalk_region is None
    assert whole.crosstalk[whole.crosstalk_region] == whole.crosstalk_max
    assert tried["resolution"]("acc") == whole


def test_merged_regions_hold_their_parts(tried: dict[str, Any]) -> None:
    true = tried["true"]
    assert _contained(true["angular_tpj"], true["tpj"])
    assert not _contained(true["angular_gyrus"], true["visual"])
    merged = tried["resolution"]("ifg_insula")
    assert not {"ifg", "insula", "ifg_insula"} & set(merged.crosstalk)
    assert merged.crosstalk_max < tried["resolution"]("insula").crosstalk_max


def test_noise_and_displaced_electrodes_cost(tried: dict[str, Any]) -> None:
    assert_allclose(tried["trial"].lead_field.mean(axis=0), 0, atol=1e-9)
    _, positions = montage()
    trial = tried["trial"]
    errors = []
    for snr in (1000.0, 0.5):
        parameters = SourceParameters(n_dipoles=40, simulated_snr=snr, jitter=0)
        exact = replace(
            trial,
            lead_field=average_reference(trial.truth.at(positions)),
        )
        one = resolve_montage(
            (tried["placed"]["visual"], tried["true"]["visual"]), [], exact, parameters
        )
        errors.append(one.localisation_error)
    assert errors[0] < errors[1]
