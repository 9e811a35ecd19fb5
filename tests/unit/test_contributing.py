"""The worked example of CONTRIBUTING.md does what it says."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from braindata.regions.kinds import Shapes


@pytest.fixture
def boxes(repository: Path) -> types.ModuleType:
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(\"\"\"Regions made of boxes.*?)```", text, re.DOTALL)
    module = types.ModuleType("boxes")
    sys.modules["boxes"] = module  # pydantic looks types up in their module
    exec(code, module.__dict__)
    return module


def test_the_box_of_the_example(boxes: types.ModuleType) -> None:
    box = {"center": (4, 0, 0), "half": (2, 4, 3), "hemisphere": "right", "source": "made for it"}
    region: Shapes = boxes.Boxes(boxes=[box], grey_matter=False)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -10
    shape = (11, 11, 11)
    found = region.voxels(affine, shape, np.zeros(shape, np.float32))
    centres = np.indices(shape).reshape(3, -1).T * 2 - 10
    inside = (np.abs(centres - [4, 0, 0]) <= [2, 4, 3]).all(axis=1)
    assert found.tolist() == np.flatnonzero(inside).tolist()
    assert len(found) == 3 * 5 * 3
    changed = boxes.Boxes(boxes=[box | {"half": (2, 4, 2)}], grey_matter=False)
    assert changed.decisive() != region.decisive()
    assert region.sources() == ["made for it"]
    with pytest.raises(ValidationError):
        boxes.Boxes(boxes=[box | {"half": (0, 4, 3)}])
    with pytest.raises(ValidationError, match="a right box"):
        boxes.Boxes(boxes=[box | {"center": (-4, 0, 0)}])
