"""How far a montage can be trusted for a region: shown by simulation on that montage.

The truth is simulated with another head than the operators are made for: another grid of sources,
other conductivities, electrodes beside their stated positions. The conductivities are those of a
meta-analysis (`SIMULATED`, in `braindata.eeg.forward`). Its skull conducts three times what mne's
does: that is how little is known of a person's.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from braindata.eeg.forward import LeadFields
from braindata.eeg.head import Floats
from braindata.eeg.inverse import average_reference
from braindata.eeg.regions import SourceRegion
from braindata.eeg.scalp import fit_positions
from braindata.eeg.source_parameters import SourceParameters

EegClass = Literal["good", "fair", "not_claimed"]

# A region that lies within another to this share, or is made of it, has no crosstalk with it.
CONTAINED = 0.5


@dataclass(frozen=True)
class Resolution:
    """How well a montage resolves a region.

    Attributes
    ----------
    name : str
        The region's name.
    eeg_class : {"good", "fair", "not_claimed"}
        What that makes of it.
    localisation_error : float
        Median distance in mm between a dipole of the region and the source with the largest
        estimated current, at the simulated signal-to-noise ratio.
    point_spread : float
        Median over these dipoles, without noise, of the root mean square distance in mm of the
        estimated current from the dipole (spatial deviation; Molins et al. 2008,
        doi:10.1016/j.neuroimage.2008.05.064).
    crosstalk : dict of str to float
        By other region: how much an equal current there contributes to this region's course,
        relative to a current in this one.
    reason : str or None
        Why it is not claimed.
    """

    name: str
    eeg_class: EegClass
    localisation_error: float
    point_spread: float
    crosstalk: dict[str, float]
    reason: str | None

    @property
    def crosstalk_max(self) -> float | None:
        """The largest crosstalk, None without other regions."""
        return max(self.crosstalk.values(), default=None)

    @property
    def crosstalk_region(self) -> str | None:
        """The region with the largest crosstalk."""
        return max(self.crosstalk, key=lambda name: self.crosstalk[name], default=None)


@dataclass(frozen=True)
class Trial:
    """A montage on the head that it is tried on, and the operator that is tried.

    Attributes
    ----------
    truth : LeadFields
        The head that the data are simulated with.
    lead_field : ndarray, shape (n_channels, n_simulated, 3)
        Of the truth for displaced electrodes, in average reference.
    inverse : ndarray, shape (n_sources, 3, n_channels)
        The operator.
    sources : ndarray, shape (n_sources, 3)
        Its sources in mm.
    """

    truth: LeadFields
    lead_field: Floats
    inverse: Floats
    sources: Floats


def make_trial(
    model: LeadFields,
    truth: LeadFields,
    positions: Floats,
    inverse: Floats,
    parameters: SourceParameters,
) -> Trial:
    """Put a montage on the head that it is tried on.

    Parameters
    ----------
    model, truth : LeadFields
        The head of the operator, and that of the simulation.
    positions : ndarray, shape (n_channels, 3)
        Electrodes in head coordinates in m.
    inverse : ndarray, shape (n_sources, 3, n_channels)
        The operator of this montage.
    parameters : SourceParameters
        How far the electrodes are displaced.
    """
    on_scalp = fit_positions(model.scalp, positions)
    rng = np.random.default_rng(parameters.seed)
    displaced = on_scalp + rng.normal(0, parameters.jitter / 1000, on_scalp.shape)
    return Trial(truth, average_reference(truth.at(displaced)), inverse, model.sources)


def resolve_montage(
    region: tuple[SourceRegion, SourceRegion],
    others: Sequence[SourceRegion],
    trial: Trial,
    parameters: SourceParameters,
) -> Resolution:
    """Try a montage on one region.

    Parameters
    ----------
    region : (SourceRegion, SourceRegion)
        The region on the sources of the operator, and on those of the truth.
    others : sequence of SourceRegion
        Regions of which crosstalk is looked at, on the sources of the truth.
    trial : Trial
        The montage.
    parameters : SourceParameters
        The simulation, and the limits of the classes.

    Returns
    -------
    Resolution
        A region's own, whatever other regions are tried: each has its own random numbers.
    """
    placed, true = region
    sources, moments = _dipoles(true, parameters)
    clean = np.einsum("cno,no->cn", trial.lead_field[:, sources], moments)
    clean /= np.sqrt((clean**2).mean(axis=0))
    rng = _generator(true.name, parameters.seed, 1)
    noise = rng.standard_normal(clean.shape)
    noisy = clean + average_reference(noise) / parameters.simulated_snr
    where = trial.truth.sources[sources]
    error = np.linalg.norm(trial.sources[_power(trial, noisy).argmax(axis=0)] - where, axis=1)
    spread = [
        np.sqrt(np.average(((trial.sources - at) ** 2).sum(axis=1), weights=column))
        for at, column in zip(where, _power(trial, clean).T, strict=True)
    ]
    row = (placed.weights @ trial.inverse.reshape(-1, trial.inverse.shape[2]))[0]
    response = np.einsum("c,cso->so", row, trial.lead_field)
    own = _contribution(response, true, trial.truth)
    crosstalk = {
        other.name: _contribution(response, other, trial.truth) / own
        for other in others
        if other.name != true.name and not _contained(true, other)
    }
    localisation_error = float(np.median(error))
    eeg_class, reason = _classify(localisation_error, crosstalk, parameters)
    return Resolution(
        name=true.name,
        eeg_class=eeg_class,
        localisation_error=localisation_error,
        point_spread=float(np.median(spread)),
        crosstalk=crosstalk,
        reason=reason,
    )


def _classify(
    error: float, crosstalk: dict[str, float], parameters: SourceParameters
) -> tuple[EegClass, str | None]:
    """Return the class, and why a region is not claimed."""
    if error > parameters.fair:
        return "not_claimed", (
            f"fair: on this montage dipoles of the region are found {error:.0f} mm away "
            f"(median), more than {parameters.fair:g} mm"
        )
    worst = max(crosstalk, key=lambda name: crosstalk[name], default=None)
    if worst is not None and crosstalk[worst] >= parameters.max_crosstalk:
        return "not_claimed", (
            f"max_crosstalk: on this montage {worst} contributes {crosstalk[worst]:.2f} times "
            "what the region itself does"
        )
    return ("good" if error <= parameters.good else "fair"), None


def _dipoles(
    region: SourceRegion, parameters: SourceParameters
) -> tuple[NDArray[np.int64], Floats]:
    """Return sources of a region, drawn by their shares, and directions drawn evenly."""
    rng = _generator(region.name, parameters.seed, 0)
    sources = rng.choice(region.sources, parameters.n_dipoles, p=region.shares)
    moments = rng.standard_normal((parameters.n_dipoles, 3))
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    return sources, moments


def _generator(name: str, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), purpose])


def _power(trial: Trial, data: Floats) -> Floats:
    """Return the squared current (n_sources, n) that the operator gives for data."""
    flat = trial.inverse.reshape(-1, trial.inverse.shape[2])
    power: Floats = ((flat @ data).reshape(len(trial.sources), 3, -1) ** 2).sum(axis=1)
    return power


def _contribution(response: Floats, region: SourceRegion, truth: LeadFields) -> float:
    """Return the root mean square response to a unit dipole along a region's orientation."""
    moments = region.moments(truth.sources[region.sources])
    each = (response[region.sources] * moments).sum(axis=1)
    return float(np.sqrt((region.shares * each**2).sum()))


def _contained(one: SourceRegion, other: SourceRegion) -> bool:
    inside = one.shares[np.isin(one.sources, other.sources)].sum()
    outside = other.shares[np.isin(other.sources, one.sources)].sum()
    return bool(max(inside, outside) >= CONTAINED)
