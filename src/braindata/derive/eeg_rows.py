"""What trials of EEG have in common, at sensors and in regions: features, and rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from braindata.derive.parameters import EventMapping
from braindata.derive.sensor_parameters import APERIODIC, SensorParameters
from braindata.eeg.features import aperiodic_exponents, band_powers, erp_amplitudes
from braindata.tables.schemas.trials import TRIALS

Floats = NDArray[np.float64]

OUTSIDE = "its window is not within the recording"
TOO_SLOW = "the recording was sampled too slowly"
NO_FIT = "its spectrum fits no aperiodic model"


@dataclass(frozen=True)
class Feature:
    """A feature of all trials of a recording.

    Attributes
    ----------
    name, model, unit : str
        As `trials` has them.
    values : ndarray, shape (n_trials,)
        NaN where there is none.
    reason : str or None
        Why no trial has one.
    missing : tuple of str
        For each trial why it would have none; that its window is not within the recording, if
        empty.
    channels : tuple of str or None
        Which were averaged, at sensors.
    """

    name: str
    model: str
    unit: str
    values: Floats
    reason: str | None = None
    missing: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Scale:
    """The unit of features, and how many of it the unit of the data holds.

    Attributes
    ----------
    factor : float
        10⁶ of V where features are in µV.
    amplitude, power : str
        Names of the units of an amplitude and of a power density.
    """

    factor: float
    amplitude: str
    power: str


def of_eeg(mapping: EventMapping, events: pd.DataFrame) -> EventMapping:
    """Return which columns of the events of EEG hold what: without `trial_type`, `value` counts."""
    if "trial_type" in events.columns or mapping.trial_type is not None:
        return mapping
    return mapping.model_copy(update={"trial_type": "value"})


def erp_feature(
    data: Floats,
    sfreq: float,
    onsets: Floats,
    window: tuple[str, float, float],
    parameters: SensorParameters,
    scale: Scale,
) -> Feature:
    """Return a component of the event-related potential; `window` is its name, start and end."""
    name, tmin, tmax = window
    values = scale.factor * erp_amplitudes(
        data, sfreq, onsets, (tmin, tmax), parameters.baseline, parameters.erp_h_freq
    )
    return Feature(name, "erp", scale.amplitude, values)


def spectral_features(
    data: Floats, sfreq: float, onsets: Floats, parameters: SensorParameters, scale: Scale
) -> list[Feature]:
    """Return band power and the aperiodic exponent, averaged over the rows of `data`."""
    found = []
    if parameters.bands:
        bands = [(band.fmin, band.fmax) for band in parameters.bands]
        powers = scale.factor**2 * band_powers(data, sfreq, onsets, parameters.band_window, bands)
        found = [
            Feature(
                band.name,
                "multitaper",
                scale.power,
                powers[:, index],
                TOO_SLOW if band.fmax > 0.45 * sfreq else None,
            )
            for index, band in enumerate(parameters.bands)
        ]
    if parameters.aperiodic:
        exponents, within = aperiodic_exponents(data, sfreq, onsets, parameters.band_window)
        missing = tuple(NO_FIT if one else OUTSIDE for one in within)
        found.append(Feature(APERIODIC, "specparam", "1", exponents, missing=missing))
    return found


def feature_rows(
    feature: Feature,
    shared: Mapping[str, Sequence[Any]],
    rejected: Mapping[str, str],
    constant: Mapping[str, Any],
) -> pa.Table:
    """Return the rows of `trials` of one feature.

    Parameters
    ----------
    feature : Feature
        The feature.
    shared : mapping of str to sequence
        What `trial_columns` returns.
    rejected : mapping of str to str
        By row of the events, why its epoch is not clean.
    constant : mapping
        Further columns, the same in all rows.

    Returns
    -------
    pyarrow.Table
        Schema `TRIALS`. Without a value there is a reason.
    """
    n_trials = len(feature.values)
    missing = feature.missing or (OUTSIDE,) * n_trials
    reasons = [
        feature.reason or rejected.get(str(trial)) or (None if np.isfinite(value) else why)
        for trial, (value, why) in enumerate(zip(feature.values, missing, strict=True))
    ]
    estimates = [
        None if reason else float(value)
        for value, reason in zip(feature.values, reasons, strict=True)
    ]
    same = {
        "feature": feature.name,
        "channels": None if feature.channels is None else list(feature.channels),
        "unit": feature.unit,
        "model": feature.model,
        **constant,
    }
    values: dict[str, Sequence[Any]] = {name: [None] * n_trials for name in TRIALS.names}
    values |= dict(shared)
    values |= {name: [value] * n_trials for name, value in same.items()}
    values |= {"estimate": estimates, "reason": reasons}
    return pa.table(
        {name: pa.array(values[name], TRIALS.field(name).type) for name in TRIALS.names}, TRIALS
    )
