"""The template space of native output: what nilearn's wheel brings, at the resolution asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from nilearn import datasets
from numpy.typing import NDArray
from scipy import ndimage

from braindata.fmri.images import FloatArray, Image

SPACE = "MNI152NLin2009aSym"
# From this far inside the brain only the ventricles are fluid; sulci and cisterns are nearer.
_VENTRICLE_DEPTH_MM = 15.0


@dataclass(frozen=True)
class Template:
    """MNI152NLin2009aSym on one grid (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033).

    Attributes
    ----------
    t1w : Image
        T1w, without skull, 0 to 1.
    gray_matter, white_matter : Image
        Probability of each tissue.
    brain : ndarray of bool
        The brain's mask.
    """

    t1w: Image
    gray_matter: Image
    white_matter: Image
    brain: NDArray[np.bool_]

    @property
    def affine(self) -> FloatArray:
        """Voxel indices to mm."""
        return self.t1w.affine

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        nx, ny, nz = self.brain.shape
        return nx, ny, nz


@cache
def load_template(resolution: int) -> Template:
    """Load the template at `resolution` mm (1, 2, 3 or 4)."""

    def load(name: str) -> Image:
        image = getattr(datasets, f"load_mni152_{name}")(resolution=resolution)
        data = np.ascontiguousarray(image.get_fdata(dtype=np.float32))
        return Image(data, np.array(image.affine, np.float64))

    return Template(
        t1w=load("template"),
        gray_matter=load("gm_template"),
        white_matter=load("wm_template"),
        brain=load("brain_mask").data > 0.5,
    )


def white_matter_core(template: Template) -> NDArray[np.bool_]:
    """Return white matter (probability above 0.95) eroded by one voxel, for its mean signal."""
    return _eroded(template.white_matter.data > 0.95)


def ventricles(template: Template) -> NDArray[np.bool_]:
    """Return the cerebrospinal fluid deep in the brain, for its mean signal.

    Less than 5 % gray and white matter, deeper than 15 mm below the surface of the brain mask:
    the ventricles, so that fluid next to cortex does not lend the signal cortical activity. These
    are too thin to be eroded.
    """
    tissue = template.gray_matter.data + template.white_matter.data
    zooms = template.t1w.zooms
    depth = ndimage.distance_transform_edt(template.brain, sampling=zooms)
    result: NDArray[np.bool_] = (tissue < 0.05) & (depth > _VENTRICLE_DEPTH_MM)
    return result


def noise_tissues(template: Template) -> dict[str, NDArray[np.bool_]]:
    """Return where anatomical CompCor looks: ``CSF``, ``WM`` and ``combined``.

    Without what lies beside gray matter, as fMRIPrep has it: one voxel around where gray matter is
    likelier than not.
    """
    zooms = template.t1w.zooms
    beside = dilated(template.gray_matter.data > 0.5, float(zooms.max()), zooms)
    fluid, white = ventricles(template) & ~beside, white_matter_core(template) & ~beside
    return {"CSF": fluid, "WM": white, "combined": fluid | white}


def dilated(mask: NDArray[np.bool_], mm: float, zooms: FloatArray) -> NDArray[np.bool_]:
    """Return a mask grown by `mm` in all directions."""
    away = ndimage.distance_transform_edt(~mask, sampling=zooms)
    result: NDArray[np.bool_] = away <= mm
    return result


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = ndimage.binary_erosion(mask)
    return result
