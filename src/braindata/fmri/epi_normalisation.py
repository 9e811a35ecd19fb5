"""EPI straight to the template, for people without a T1w image.

The template is given the contrast of EPI from its tissue probabilities; the rest is as for a T1w
image, with a stiffer warp: EPI has less detail to follow, and its distortions are no anatomy.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from braindata.errors import DataError
from braindata.fmri.anatomy import (
    WORK_MM,
    Normalisation,
    affine_to_template,
    axis_aligned,
    template_correlation,
)
from braindata.fmri.greedy import Pair, register_deformable
from braindata.fmri.images import Image, Volume
from braindata.fmri.motion import smooth
from braindata.fmri.template import Template, dilated

# T2*-weighted intensities at 3 T, relative to gray matter.
_WHITE, _FLUID = 0.8, 1.3
_EPI_FWHM = 3.0
_RIM_MM = 4.0
# Stiffer than for a T1w image.
_STIFFNESS = "5vox 2vox"
_ITERATIONS = "60x40x0"
# Below this correlation with the template in EPI's contrast the registration has failed.
MINIMUM_CORRELATION = 0.2


def normalise_epi(
    reference: Image, template: Template, seed: int, scratch: Path
) -> tuple[Normalisation, float]:
    """Register an EPI reference to the template, affinely and by a stiff warp.

    Parameters
    ----------
    reference : Image
        Mean of the motion-corrected run.
    template : Template
        At 2 or 3 mm.
    seed : int
        For greedy.
    scratch : Path
        Where temporary files go.

    Returns
    -------
    normalisation : Normalisation
        Template to EPI coordinates: its ``to_t1w`` gives positions in the EPI reference.
    correlation : float
        Of the warped EPI with the template in EPI's contrast, in the brain.

    Raises
    ------
    DataError
        When the image cannot be registered.
    """
    likened = replace(template, t1w=Image(_epi_contrast(template), template.affine))
    working = axis_aligned(reference, WORK_MM)
    affine = affine_to_template(working, likened, seed, scratch)
    rim = dilated(template.brain, _RIM_MM, template.t1w.zooms)
    warp = register_deformable(
        Pair(likened.t1w, working, rim), affine, _ITERATIONS, seed, scratch, _STIFFNESS
    )
    normalisation = Normalisation(affine, warp, template.affine)
    correlation = template_correlation(working, likened, normalisation)
    if correlation < MINIMUM_CORRELATION:
        raise DataError(
            f"the run does not match the template (r = {correlation:.2f} in the brain), and "
            "there is no T1w image",
            hint="look whether it shows a whole brain, with right orientation; a T1w image helps",
        )
    return normalisation, correlation


def _epi_contrast(template: Template) -> Volume:
    gray, white = template.gray_matter.data, template.white_matter.data
    fluid = np.clip(template.brain - gray - white, 0.0, 1.0)
    mixed = (gray + _WHITE * white + _FLUID * fluid) * template.brain
    return smooth(mixed.astype(np.float32), template.t1w.zooms, _EPI_FWHM)
