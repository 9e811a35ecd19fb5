"""The series of regions in packed EEG."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from braindata.eeg.forward import LeadFields
from braindata.eeg.head import Floats
from braindata.eeg.inverse import UNITS, lcmv
from braindata.eeg.regions import (
    NoSourcesError,
    RegionOperators,
    SourceRegion,
    inverse_operator,
    montage_lead_field,
    place_region,
    region_operators,
)
from braindata.eeg.resolution import Resolution, Trial, make_trial, resolve_montage
from braindata.eeg.source_parameters import SourceParameters
from braindata.errors import DataError
from braindata.regions.definition import Region
from braindata.regions.files import Placing
from braindata.tables.keys import RecordingKey

STRATEGY = "none"
# Fewer electrodes have less to say than a dipole has unknowns: place, direction and size.
MIN_CHANNELS = 8
# m: median distance of electrodes from the origin of head coordinates. Else the unit is not m.
RADIUS = (0.05, 0.2)


class PackedEeg(Protocol):
    """A recording of EEG as it is packed: cleaned, continuous."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the channels."""

    @property
    def positions(self) -> Floats | None:
        """Positions (n_channels, 3) in head coordinates in m, NaN where there is none."""

    @property
    def sfreq(self) -> float:
        """Samples per second."""

    def read(self) -> NDArray[np.floating[Any]]:
        """Return the samples (n_channels, n_times) in V."""


@dataclass(frozen=True)
class Montage:
    """What is fixed for all recordings with the same electrodes.

    Attributes
    ----------
    lead_field : ndarray, shape (n_channels, n_sources, 3)
        V for 1 A·m.
    inverse : ndarray, shape (n_sources, 3, n_channels)
        The operator; with LCMV that of eLORETA, which the montage is tried with.
    trial : Trial
        What it is tried on.
    """

    lead_field: Floats
    inverse: Floats
    trial: Trial


@dataclass
class EegRegions:
    """Regions on the sources of EEG, and the montages that were met.

    Parameters
    ----------
    model, truth : LeadFields
        The head that operators are made with, and that which montages are tried on.
    others : sequence of Region
        The regions whose crosstalk is looked at. They are placed as the package places its own,
        not by `placing`: what is claimed of a region depends on no space that a user accepts.
    parameters : SourceParameters
        How courses are made, and what is claimed.
    placing : Placing, optional
        Where the files of regions lie, and how they get into the space of the template.
    """

    model: LeadFields
    truth: LeadFields
    others: Sequence[Region]
    parameters: SourceParameters = field(default_factory=SourceParameters)
    placing: Placing | None = None

    def __post_init__(self) -> None:
        self._placed: dict[tuple[str, bool], SourceRegion] = {}
        self._others: list[SourceRegion] | None = None
        self._montages: dict[str, Montage] = {}
        self._resolutions: dict[tuple[str, str], Resolution] = {}

    def resolution(self, region: Region, positions: Floats) -> Resolution:
        """Return how well a montage resolves a region.

        Parameters
        ----------
        region : Region
            The region.
        positions : ndarray, shape (n_channels, 3)
            Electrodes in head coordinates in m.
        """
        key = (montage_hash(positions), region.key)
        if key not in self._resolutions:
            self._resolutions[key] = resolve_montage(
                (self._place(region, truth=False), self._place(region, truth=True)),
                self._placed_others(),
                self._montage(positions).trial,
                self.parameters,
            )
        return self._resolutions[key]

    def operators(
        self, regions: Sequence[Region], positions: Floats, covariance: Floats | None = None
    ) -> RegionOperators:
        """Return the rows that make regions from electrodes.

        Parameters
        ----------
        regions : sequence of Region
            The regions.
        positions : ndarray, shape (n_channels, 3)
            Electrodes in head coordinates in m.
        covariance : ndarray, shape (n_channels, n_channels), optional
            Of the recording in V², for LCMV only.
        """
        montage = self._montage(positions)
        inverse = montage.inverse
        if self.parameters.method == "lcmv":
            if covariance is None:
                raise ValueError("LCMV needs the covariance of the recording")
            inverse = lcmv(montage.lead_field, covariance, self.parameters.reg)
        placed = [self._place(region, truth=False) for region in regions]
        return region_operators(placed, inverse, UNITS[self.parameters.method])

    def _placed_others(self) -> list[SourceRegion]:
        if self._others is None:
            self._others = [place_region(other, self.truth) for other in self.others]
        return self._others

    def _place(self, region: Region, *, truth: bool) -> SourceRegion:
        key = (region.key, truth)
        if key not in self._placed:
            fields = self.truth if truth else self.model
            self._placed[key] = place_region(region, fields, self.placing)
        return self._placed[key]

    def _montage(self, positions: Floats) -> Montage:
        key = montage_hash(positions)
        if key not in self._montages:
            lead_field = montage_lead_field(self.model, positions)
            method = self.parameters.method
            inverse = inverse_operator(
                lead_field, "eLORETA" if method == "lcmv" else method, self.parameters.snr
            )
            trial = make_trial(self.model, self.truth, positions, inverse, self.parameters)
            self._montages[key] = Montage(lead_field, inverse, trial)
        return self._montages[key]


def montage_hash(positions: Floats) -> str:
    """Return what a montage is known by: positions to a hundredth of a mm, in their order."""
    return hashlib.sha256(np.rint(positions * 1e5).astype("<i8").tobytes()).hexdigest()[:12]


def extract_eeg(
    key: RecordingKey, packed: PackedEeg, regions: Sequence[Region], on_sources: EegRegions
) -> list[dict[str, Any]]:
    """Make the courses of regions from one packed recording.

    Parameters
    ----------
    key : RecordingKey
        The recording.
    packed : PackedEeg
        Its cleaned data. Channels without a position are left out.
    regions : sequence of Region
        The regions.
    on_sources : EegRegions
        The head models and what is known of montages; one for all recordings.

    Returns
    -------
    list of dict
        Of the table `series`, a row for each region. Without values and with a reason where a
        region is not claimed and the configuration does not insist, where it lies away from all
        sources, or where the recording has too few positions. With LCMV the filter is there, too:
        it is this recording's, and follows from nothing else that is stored.

    Raises
    ------
    DataError
        When positions are no head's in m, or samples are not finite.
    """
    located, unfit = _located(packed)
    if unfit is not None:
        return [_row(key, region, packed, None, None, "", unfit) for region in regions]
    assert packed.positions is not None
    positions = packed.positions[located]
    parameters = on_sources.parameters
    resolutions: dict[str, Resolution] = {}
    reasons: dict[str, str | None] = {}
    for region in regions:
        try:
            resolution = on_sources.resolution(region, positions)
        except NoSourcesError as error:
            reasons[region.name] = f"sources: {error.problem}"
        else:
            resolutions[region.name] = resolution
            insisted = region.name in parameters.insist
            reasons[region.name] = None if insisted else resolution.reason
    claimed = [region for region in regions if reasons[region.name] is None]
    courses: dict[str, Floats] = {}
    filters: dict[str, dict[str, list[Any]]] = {}
    if claimed:
        data = np.asarray(packed.read(), np.float64)[located]
        if not np.isfinite(data).all():
            raise DataError(
                "samples that should hold data hold NaN or infinity",
                hint="look at the preprocessed recording",
            )
        covariance = np.cov(data) if parameters.method == "lcmv" else None
        operators = on_sources.operators(claimed, positions, covariance)
        courses = dict(zip(operators.names, operators.apply(data), strict=True))
        if parameters.method == "lcmv":
            pairs = zip(packed.names, located, strict=True)
            channels = [name for name, there in pairs if there]
            filters = {
                name: {"filter": row.tolist(), "filter_channels": channels}
                for name, row in zip(operators.names, operators.operators, strict=True)
            }
    rows = []
    for region in regions:
        known, course = resolutions.get(region.name), courses.get(region.name)
        unit = UNITS[parameters.method]
        row = _row(key, region, packed, course, known, unit, reasons[region.name])
        rows.append(row | filters.get(region.name, {}))
    return rows


def _located(packed: PackedEeg) -> tuple[Any, str | None]:
    """Return which channels have a position, and why they do not do."""
    if packed.positions is None:
        return None, "positions: no electrode of this recording has a position"
    located: NDArray[np.bool_] = np.all(np.isfinite(packed.positions), axis=1)
    count = int(located.sum())
    if count < MIN_CHANNELS:
        return located, (
            f"positions: {count} of {len(located)} electrodes have a position; {MIN_CHANNELS} are "
            "the least that sources can be found with"
        )
    radius = float(np.median(np.linalg.norm(packed.positions[located], axis=1)))
    if not RADIUS[0] <= radius <= RADIUS[1]:
        raise DataError(
            f"the electrodes are {radius:g} m from the middle of the head (median)",
            hint="state the unit of the positions in the *_coordsystem.json file",
        )
    return located, None


def _row(
    key: RecordingKey,
    region: Region,
    packed: PackedEeg,
    course: Floats | None,
    resolution: Resolution | None,
    unit: str,
    reason: str | None,
) -> dict[str, Any]:
    row = {
        **vars(key),
        "region": region.name,
        "definition_hash": region.definition_hash,
        "strategy": STRATEGY,
        "values": None if course is None else course.astype(np.float32).tolist(),
        "kept": None,
        "start": 0.0,
        "sampling_frequency": float(packed.sfreq),
        "unit": unit or None,
        "reason": reason,
    }
    if resolution is None:
        return row
    return row | {
        "eeg_class": resolution.eeg_class,
        "localisation_error": resolution.localisation_error,
        "point_spread": resolution.point_spread,
        "crosstalk_max": resolution.crosstalk_max,
        "crosstalk_region": resolution.crosstalk_region,
        "crosstalk": json.dumps(resolution.crosstalk, sort_keys=True),
    }
