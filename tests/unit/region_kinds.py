"""What every kind of region made of shapes must do; a new kind's test calls `check_shapes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from braindata.regions.kinds import Shapes
from braindata.regions.points import Points

SHAPE = (13, 11, 12)


def oblique_grid() -> NDArray[np.float64]:
    """A grid of `SHAPE` around the origin: unequal voxels, axes swapped, flipped and turned."""
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = (turn @ np.diag([-2.0, 1.5, 3.0]))[:, [1, 0, 2]]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def check_shapes(
    kind: type[Shapes],
    entry: dict[str, Any],
    inside: Callable[[NDArray[np.float64]], bool],
    refused: Sequence[dict[str, Any]],
) -> None:
    """Check a kind of shapes.

    Parameters
    ----------
    kind : type
        The kind.
    entry : dict
        One of its shapes as a region file states it, within 15 mm around the origin.
    inside : callable
        Whether a point of the space (x, y, z in mm) lies in that shape: an independent statement.
    refused : sequence of dict
        Changes of `entry` that must be refused.
    """

    def made(values: dict[str, Any]) -> Shapes:
        return kind.model_validate({kind.model_fields["kind"].default: [values]} | no_grey_matter)

    no_grey_matter = {"grey_matter": False}
    definition = made(entry)
    affine, nothing = oblique_grid(), np.zeros(SHAPE, np.float32)
    centres = [affine[:3, :3] @ index + affine[:3, 3] for index in np.ndindex(SHAPE)]
    expected = [flat for flat, centre in enumerate(centres) if inside(centre)]
    assert len(expected) > 50, "too small to tell anything: a larger shape, please"
    points = Points(affine, SHAPE, nothing, space="MNI152", image_space="MNI152")
    voxels, weights = definition.evaluate(points)
    assert voxels.tolist() == expected
    assert set(weights.tolist()) == {1.0}
    (shape,) = definition.shapes()
    fine = np.stack(np.meshgrid(*[np.arange(-30, 30.5, 0.5)] * 3), axis=-1).reshape(-1, 3)
    beyond = (np.abs(fine) > np.array(shape.extent) + 1e-9).any(axis=1)
    assert not shape.contains(fine[beyond]).any(), "it reaches farther than its `extent`"
    # Every number decides the voxels, so each must change the region's hash.
    others = [made(changed) for changed in _each_number_changed(entry)]
    assert all(other.decisive() != definition.decisive() for other in others)
    assert len(others) >= 4
    assert definition.sources() == [entry["source"]]
    for change in refused:
        with pytest.raises(ValidationError):
            made(entry | change)


def _each_number_changed(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key, value in entry.items():
        if isinstance(value, tuple):
            for i, number in enumerate(value):
                yield entry | {key: (*value[:i], number + 0.5, *value[i + 1 :])}
        elif isinstance(value, int | float):
            yield entry | {key: value + 0.5}
