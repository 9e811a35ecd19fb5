"""CompCor: the principal components of voxels where there is noise and little else.

By fMRIPrep's conventions: anatomical components of cerebrospinal fluid, of white matter and of
both, and temporal ones of the most variable voxels; slow drifts are taken out before, volumes
before the steady state are left out, and as many components are kept as explain half of the
variance.

References
----------
Behzadi et al. 2007, doi:10.1016/j.neuroimage.2007.04.042
Muschelli et al. 2014, doi:10.1016/j.neuroimage.2014.03.028
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from braindata.fmri.images import FloatArray

# Share of the variance that the components that are kept explain, and share of the brain's voxels
# that are the most variable: fMRIPrep's.
VARIANCE = 0.5
MOST_VARIABLE = 0.02
# Fewer voxels are no tissue.
MINIMUM_VOXELS = 20
_BLOCK = 20_000
# Where components come from: what their names begin with, and what the JSON calls it.
ANATOMICAL = {"c": "CSF", "w": "WM", "a": "combined"}
TEMPORAL = "t"


@dataclass(frozen=True)
class Components:
    """The components of one mask.

    Attributes
    ----------
    courses : ndarray of float64, shape (n_volumes, n_components)
        Of unit length; 0 before the steady state.
    singular_values : ndarray of float64, shape (n_components,)
        Largest first.
    explained : ndarray of float64, shape (n_components,)
        Share of the variance of the mask's voxels.
    """

    courses: FloatArray
    singular_values: FloatArray
    explained: FloatArray

    def describe(self, letter: str) -> dict[str, dict[str, object]]:
        """Return what the JSON beside the confounds says of each, by column."""
        mask = {"Mask": ANATOMICAL[letter]} if letter in ANATOMICAL else {}
        method = "aCompCor" if letter in ANATOMICAL else "tCompCor"
        total = np.cumsum(self.explained)
        return {
            name: {
                "Method": method,
                **mask,
                "Retained": True,
                "SingularValue": round(float(self.singular_values[k]), 6),
                "VarianceExplained": round(float(self.explained[k]), 8),
                "CumulativeVarianceExplained": round(float(total[k]), 8),
            }
            for k, name in enumerate(self.columns(letter))
        }

    def columns(self, letter: str) -> dict[str, FloatArray]:
        """Return the components by the names of their columns."""
        return {f"{letter}_comp_cor_{k:02d}": one for k, one in enumerate(self.courses.T)}


def compcor(
    stored: NDArray[np.int16],
    brain: NDArray[np.bool_],
    tissues: Mapping[str, NDArray[np.bool_]],
    drifts: FloatArray,
    skip: int,
) -> dict[str, Components]:
    """Find all components of a run.

    Parameters
    ----------
    stored : ndarray of int16, shape (n_volumes, n_voxels)
        The run; any scale.
    brain : ndarray of bool, shape (n_voxels,)
        Where temporal components are looked for.
    tissues : mapping of str to ndarray of bool, shape (n_voxels,)
        ``CSF``, ``WM`` and ``combined``.
    drifts : ndarray of float64, shape (n_volumes, n_cosines)
        What is taken out of each voxel before, besides its mean.
    skip : int
        How many first volumes are not in a steady state.

    Returns
    -------
    dict of str to Components
        By letter: ``c``, ``w``, ``a`` and ``t``; those are missing whose mask is too small.
    """
    basis = _orthonormal(drifts[skip:])
    masks = {letter: tissues[name] for letter, name in ANATOMICAL.items()}
    masks[TEMPORAL] = _most_variable(stored, brain, basis, skip)
    found = {
        letter: _components(stored[:, mask], basis, skip)
        for letter, mask in masks.items()
        if mask.sum() >= MINIMUM_VOXELS
    }
    return {letter: one for letter, one in found.items() if one is not None}


def _orthonormal(drifts: FloatArray) -> FloatArray:
    constant = np.ones((len(drifts), 1))
    basis: FloatArray = np.linalg.qr(np.hstack([constant, drifts]))[0]
    return basis


def _filtered(block: NDArray[np.int16], basis: FloatArray) -> FloatArray:
    data = block.astype(np.float64)
    data -= basis @ (basis.T @ data)
    return data


def _most_variable(
    stored: NDArray[np.int16], brain: NDArray[np.bool_], basis: FloatArray, skip: int
) -> NDArray[np.bool_]:
    where = np.flatnonzero(brain)
    spread = np.empty(len(where))
    for start in range(0, len(where), _BLOCK):
        block = _filtered(stored[skip:, where[start : start + _BLOCK]], basis)
        spread[start : start + _BLOCK] = (block**2).sum(axis=0)
    count = round(MOST_VARIABLE * len(where))
    mask = np.zeros(stored.shape[1], np.bool_)
    # Stable: of equal voxels the first count.
    mask[where[np.argsort(-spread, kind="stable")[:count]]] = True
    return mask


def _components(stored: NDArray[np.int16], basis: FloatArray, skip: int) -> Components | None:
    n_volumes = len(stored)
    gram = np.zeros((n_volumes - skip, n_volumes - skip))
    for start in range(0, stored.shape[1], _BLOCK):
        block = _filtered(stored[skip:, start : start + _BLOCK], basis)
        spread = block.std(axis=0)
        # Rounding leaves a trace in voxels that do not vary.
        block = block[:, spread > 1e-6] / spread[spread > 1e-6]
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if not values[0] > 0:
        return None
    explained = values / values.sum()
    count = int(np.searchsorted(np.cumsum(explained), VARIANCE)) + 1
    courses = np.zeros((n_volumes, count))
    courses[skip:] = vectors[:, :count]
    # A component has no sign of its own: its largest value is positive.
    largest = np.abs(courses).argmax(axis=0)
    courses *= np.sign(courses[largest, np.arange(count)])
    return Components(courses, np.sqrt(values[:count]), explained[:count])
