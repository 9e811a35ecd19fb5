"""What a region definition refuses, and what its hash depends on."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from braindata.errors import UsageError
from braindata.regions.definition import Region, validate_set


def entry(**changes: Any) -> dict[str, Any]:
    """A correct region as a YAML file would give it."""
    sphere = {
        "center": [-12, 12, -6],
        "radius": 6,
        "hemisphere": "left",
        "source": "a publication, with its year",
    }
    other = {**sphere, "center": [12, 10, -6], "hemisphere": "right"}
    return {
        "level": "valuation",
        "name": "ventral_striatum",
        "processes": ["reward"],
        "references": ["Bartra et al. (2013)"],
        "space": "MNI152",
        "definition": {"kind": "spheres", "spheres": [sphere, other]},
    } | changes


def sphere_entry(**changes: Any) -> dict[str, Any]:
    values = entry()
    values["definition"]["spheres"][0] |= changes
    return values


@pytest.mark.parametrize(
    "wrong",
    [
        entry(name="Ventral striatum"),
        entry(level="emotion"),
        entry(processes=[]),
        entry(references=["  "]),
        entry(space="Talairach"),
        entry(space="MNI152NLin6"),
        entry(radius=6),
        sphere_entry(hemisphere="right"),
        sphere_entry(hemisphere="midline"),
        sphere_entry(radius=0),
        sphere_entry(radius=float("nan")),
        sphere_entry(center=[-12, 12]),
        sphere_entry(center=[-12, float("nan"), -6]),
        sphere_entry(center=[-12, 1200, -6]),
        sphere_entry(source="?"),
    ],
)
def test_refuses_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Region(**wrong)


@pytest.mark.parametrize("space", ["MNI152", "MNI152NLin2009aSym", "MNI152NLin6Asym", "MNI152Lin"])
def test_accepts_every_version_of_the_template(space: str) -> None:
    assert Region(**entry(space=space)).space == space


def test_hash_depends_on_what_decides_the_voxels() -> None:
    region = Region(**entry())
    same = [
        entry(name="vs", processes=["value"], references=["another publication"]),
        entry(level="execution"),
        sphere_entry(source="the same publication, cited in full"),
        sphere_entry(center=[-12.0, 12.0, -6.0], radius=6.0),
    ]
    assert {Region(**values).definition_hash for values in same} == {region.definition_hash}

    other = [
        entry(space="MNI152NLin2009cAsym"),
        sphere_entry(radius=7),
        sphere_entry(center=[-12, 12, -5]),
        entry(definition=entry()["definition"] | {"grey_matter": False}),
        entry(definition=entry()["definition"] | {"grey_matter_threshold": 0.3}),
    ]
    hashes = {Region(**values).definition_hash for values in other}
    assert len(hashes | {region.definition_hash}) == len(other) + 1
    assert region.key == f"ventral_striatum-{region.definition_hash}"
    assert len(region.definition_hash) == 12


def test_a_set_has_each_name_once() -> None:
    first, second = Region(**entry()), Region(**entry(level="execution"))
    validate_set([first, Region(**entry(name="vmpfc"))])
    with pytest.raises(UsageError, match=r"ventral_striatum \(valuation\).*\(execution\)"):
        validate_set([first, second])
    # Names are lower case; should one ever come in another way, a folder may not tell them apart.
    shouting = first.model_copy(update={"name": "VENTRAL_STRIATUM"})
    with pytest.raises(UsageError, match=r"ventral_striatum .* VENTRAL_STRIATUM"):
        validate_set([first, shouting])
    with pytest.raises(UsageError):
        validate_set([first, first])
