"""What is written about a person's T1w image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from braindata.fmri.anatomy import Anatomy
from braindata.fmri.images import write_volume
from braindata.fmri.outputs import Names, software, write_displacement, write_json
from braindata.fmri.resampling import t1w_on_template
from braindata.fmri.template import SPACE, Template


def write_anatomy(anatomy: Anatomy, template: Template, names: Names) -> list[Path]:
    """Write images, masks and transform of a T1w image and return their paths.

    Parameters
    ----------
    anatomy : Anatomy
        From `analyse_anatomy`.
    template : Template
        The output grid.
    names : Names
        Where to.
    """
    in_template = t1w_on_template(anatomy.t1w, anatomy.normalisation, template)
    normalisation = anatomy.normalisation
    affine, grid = anatomy.t1w.affine, template.affine
    transform = names.native(f"from-T1w_to-{SPACE}_mode-image_xfm.nii.gz")
    mask = names.standard("desc-brain_mask.nii.gz")
    sources = {"RawSources": [names.raw("T1w")], "SoftwareVersions": software()}
    return [
        write_volume(
            names.native("desc-preproc_T1w.nii.gz"),
            anatomy.t1w.data,
            affine,
            np.int16,
            space_code=1,
        ),
        write_json(
            names.native("desc-preproc_T1w.json"),
            {"SkullStripped": False, "IntensityBiasCorrected": True, **sources},
        ),
        write_volume(
            names.native("desc-brain_mask.nii.gz"),
            anatomy.brain_mask(),
            affine,
            np.uint8,
            space_code=1,
        ),
        write_json(
            names.native("desc-brain_mask.json"),
            {"Type": "Brain", "Description": "The template's mask, carried back", **sources},
        ),
        write_volume(
            names.standard("desc-preproc_T1w.nii.gz"), in_template, grid, np.int16, space_code=4
        ),
        write_json(names.standard("desc-preproc_T1w.json"), {"SkullStripped": False, **sources}),
        write_volume(mask, template.brain, grid, np.uint8, space_code=4),
        write_json(
            names.standard("desc-brain_mask.json"),
            {"Type": "Brain", "Description": "The template's own mask"},
        ),
        write_displacement(transform, normalisation.to_t1w, template),
        write_json(
            transform.with_name(transform.name.replace(".nii.gz", ".json")),
            {
                "Description": "ITK displacement field in mm, LPS+: added to the position of a "
                f"{SPACE} voxel it gives the position in the T1w image. Affine and warp in one.",
                "CorrelationWithTemplate": round(anatomy.correlation, 4),
                **sources,
            },
        ),
    ]
