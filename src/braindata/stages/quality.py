"""The quality figures of a recording, from what packing saw of it and what its files say.

They are made at `pack`, where the image is open anyway and which comes after every backend: one
definition for all of them, and another threshold preprocesses nothing again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.errors import DataError
from braindata.fmri.quality import VoxelMoments, image_figures, motion_figures, read_brain
from braindata.pack.derivatives import Packed, steady_volumes
from braindata.pack.parameters import QualityParameters

NOTE = "quality_note"
DICE = "registration_dice"
# fMRIPrep 1.0 and 1.1 wrote the second.
_MASKS = ("_desc-brain_mask.nii.gz", "_brainmask.nii.gz")
_SPACE = "_space-"


def recording_quality(
    packed: Packed,
    files: Sequence[Path],
    known: Mapping[str, Any],
    parameters: QualityParameters,
) -> dict[str, Any]:
    """Return the quality figures of a recording, by their column in `recordings`.

    Parameters
    ----------
    packed : Packed
        What packing saw.
    files : sequence of Path
        What the backend wrote for it.
    known : mapping
        What the backend measured itself. Its `registration_dice` counts: a backend that takes its
        brain mask from the template can compare another one only while it registers.
    parameters : QualityParameters
        From where on what counts as bad.
    """
    motion = motion_figures(
        packed.confounds,
        np.array(steady_volumes(packed.confounds)),
        fd_threshold=parameters.fd_threshold,
        std_dvars_threshold=parameters.std_dvars_threshold,
    )
    brain, problem = _brain(files, packed)
    grid, moments = packed.grid, packed.moments
    image = image_figures(
        VoxelMoments(
            grid.shape, grid.affine, packed.voxels, moments.mean, moments.sd, packed.signal_floor
        ),
        brain,
    )
    values = motion.values | image.values
    if known.get(DICE) is not None:
        values[DICE] = known[DICE]
    notes = [*motion.notes, *([problem] if problem else []), *image.notes]
    return {**values, NOTE: "; ".join(notes) or None}


def _brain(files: Sequence[Path], packed: Packed) -> tuple[NDArray[np.bool_] | None, str | None]:
    """Return the brain mask in template space, or why there is none."""
    found = [path for path in files if path.name.endswith(_MASKS) and _SPACE in path.name]
    if len(found) != 1:
        return None, f"{len(found) or 'no'} brain mask{'s' if len(found) > 1 else ''}"
    try:
        return read_brain(found[0], packed.grid.shape, packed.grid.affine), None
    except DataError as error:
        return None, f"the brain mask {found[0].name} is of no use: {error.problem}"
