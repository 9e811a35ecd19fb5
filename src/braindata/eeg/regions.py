"""Regions on the sources of EEG, and the rows that turn electrodes into their courses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from braindata.eeg.forward import LeadFields
from braindata.eeg.head import Floats
from braindata.eeg.inverse import Method, eloreta, sloreta
from braindata.eeg.scalp import fit_positions
from braindata.errors import BraindataError, EmptyRegionError
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.regions.resolve import resolve
from braindata.regions.template import template_grid

# mm: voxels on which regions are found before they go to the sources.
VOXEL = 2
# A voxel of a region goes to its nearest source within this many spacings; a region that has fewer
# than half of its voxels there is none of EEG's.
REACH = 1.5
MIN_COVERAGE = 0.5
# An orientation is outward where its angle with the way out of the head is this clear (6° off a
# right angle); else upwards decides, and then to the front.
CLEAR = 0.1


class NoSourcesError(BraindataError):
    """A region lies where EEG has no sources: a matter of the region, not of a recording."""


@dataclass(frozen=True)
class SourceRegion:
    """A region on the sources of a head model.

    Attributes
    ----------
    name : str
        The region's name.
    weights : csr_array, shape (1, 3 * n_sources)
        What makes its course from the three components of each source: the mean over its voxels
        of the current along its orientation.
    sources : ndarray of int64, shape (n,)
        Its sources, ascending.
    shares : ndarray, shape (n,)
        Their weights, with sum 1.
    orientation : ndarray, shape (3,)
        Unit vector (lateral, to the front, upwards); lateral is away from the midline.
    coverage : float
        Share of its voxels that have a source within reach.
    """

    name: str
    weights: csr_array
    sources: NDArray[np.int64]
    shares: Floats
    orientation: Floats
    coverage: float

    def moments(self, positions: Floats) -> Floats:
        """Return its orientation (n, 3) at positions in mm of MNI152: mirrored on the left."""
        return self.orientation * mirror(positions)


@dataclass(frozen=True)
class RegionOperators:
    """One matrix product from electrodes to regions.

    Attributes
    ----------
    names : tuple of str
        The regions, in the order of the rows.
    operators : ndarray, shape (n_regions, n_channels)
        `unit` for 1 V; each row sums to zero, so that the reference does not matter.
    unit : str
        `A·m` of a mean dipole in the region, or `1` where it is standardised.
    """

    names: tuple[str, ...]
    operators: Floats
    unit: str

    def apply(self, data: Floats) -> Floats:
        """Return the courses (n_regions, n_times) of data (n_channels, n_times) in V."""
        courses: Floats = self.operators @ data
        return courses


def mirror(positions: Floats) -> Floats:
    """Return (n, 3) of 1, with -1 along x on the left: from the right's axes to lateral ones."""
    signs = np.ones_like(positions)
    signs[:, 0] = np.where(positions[:, 0] < 0, -1.0, 1.0)
    return signs


def place_region(
    region: Region, fields: LeadFields, placing: Placing | None = None
) -> SourceRegion:
    """Find the sources of a region, and its orientation.

    Nothing here depends on a montage: the orientation is that which the whole scalp sees best, the
    first right singular vector of the lead fields of its sources, stacked, with its lateral axis
    mirrored between the hemispheres. It points outwards, away from the middle of the sources; where
    it is within 6° of a right angle to that, upwards, and else to the front. So a course has the
    same sign for everyone: positive is a current towards the scalp.

    Parameters
    ----------
    region : Region
        The region.
    fields : LeadFields
        The head model.
    placing : Placing, optional
        Where its files lie, and how it gets into the space of the template.

    Raises
    ------
    NoSourcesError
        When it has no voxel in the template, or less than half of it is near a source.
    UsageError
        When there is no way from its space to the template's.
    """
    grid = template_grid(VOXEL)
    try:
        resolved = resolve(region, grid.affine, grid.shape, grid.grey_matter, grid.space, placing)
    except EmptyRegionError as error:
        raise NoSourcesError(error.problem, hint=error.hint) from error
    index = np.column_stack(np.unravel_index(resolved.voxels, grid.shape))
    voxels = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    found = cKDTree(fields.sources).query(voxels)
    distance, nearest = np.asarray(found[0]), np.asarray(found[1])
    near = distance <= REACH * fields.spacing
    coverage = float(resolved.weights[near].sum() / resolved.weights.sum())
    if coverage < MIN_COVERAGE:
        raise NoSourcesError(
            f"region {region.name}: only {100 * coverage:.0f} % of it is near a source of EEG",
            hint="it lies outside the grey matter of the template, or where no source may be",
        )
    total = np.bincount(nearest[near], resolved.weights[near], len(fields.sources))
    sources = np.flatnonzero(total)
    shares = total[sources] / total.sum()
    orientation = _orientation(fields, sources, shares)
    moments = orientation * mirror(fields.sources[sources])
    weights = csr_array(
        (
            (shares[:, np.newaxis] * moments).ravel(),
            (3 * sources[:, np.newaxis] + np.arange(3)).ravel(),
            [0, 3 * len(sources)],
        ),
        shape=(1, 3 * len(fields.sources)),
    )
    return SourceRegion(region.name, weights, sources, shares, orientation, coverage)


def montage_lead_field(fields: LeadFields, positions: Floats) -> Floats:
    """Return the lead field (n_channels, n_sources, 3) of a montage in its own head coordinates.

    Parameters
    ----------
    fields : LeadFields
        The head model.
    positions : ndarray, shape (n_channels, 3)
        Head coordinates in m; the electrodes are brought onto the template's scalp.
    """
    return fields.at(fit_positions(fields.scalp, positions))


def inverse_operator(lead_field: Floats, method: Method = "eLORETA", snr: float = 3.0) -> Floats:
    """Return the operator (n_sources, 3, n_channels) of a method that is fixed per montage."""
    if method == "lcmv":
        raise ValueError("LCMV needs the covariance of a recording: braindata.eeg.inverse.lcmv")
    return (eloreta if method == "eLORETA" else sloreta)(lead_field, snr)


def region_operators(
    regions: Sequence[SourceRegion], inverse: Floats, unit: str
) -> RegionOperators:
    """Return the rows of regions from an operator of all sources.

    Parameters
    ----------
    regions : sequence of SourceRegion
        The regions.
    inverse : ndarray, shape (n_sources, 3, n_channels)
        From `inverse_operator`, or `lcmv` of one recording.
    unit : str
        What it gives for 1 V, see `braindata.eeg.inverse.UNITS`.
    """
    flat = inverse.reshape(-1, inverse.shape[2])
    rows = [region.weights @ flat for region in regions]
    names = tuple(region.name for region in regions)
    return RegionOperators(names, np.concatenate(rows), unit)


def _orientation(fields: LeadFields, sources: NDArray[np.int64], shares: Floats) -> Floats:
    positions = fields.sources[sources]
    signs = mirror(positions)
    columns = fields.values[:, sources].astype(np.float64)
    columns -= columns.mean(axis=0)
    columns *= signs * np.sqrt(shares)[:, np.newaxis]
    stacked = columns.reshape(-1, 3)
    _, vectors = np.linalg.eigh(stacked.T @ stacked)
    direction: Floats = vectors[:, -1]
    middle = fields.sources.mean(axis=0)
    outward = (shares[:, np.newaxis] * (positions - middle) * signs).sum(axis=0)
    outward /= np.linalg.norm(outward)
    for way in (outward, np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0, 0.0])):
        cosine = float(direction @ way)
        if abs(cosine) >= CLEAR:
            return direction if cosine > 0 else -direction
    return direction if direction[0] > 0 else -direction
