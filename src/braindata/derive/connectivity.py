"""The table `connectivity`: pairs of regions in each recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.derive.correlations import (
    correlation,
    effective_sizes,
    fisher_z,
    partial_correlation,
    regularised,
)
from braindata.derive.phase_coupling import METHODS, cut_epochs, phase_coupling
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import CONNECTIVITY

Floats = NDArray[np.float64]
Pair = tuple[str, str]

# These depend on which other regions there are.
OF_THE_SET = (
    "partial_correlation",
    "ledoit_wolf_correlation",
    "ledoit_wolf_partial_correlation",
)
# Fewer values than this have no correlation with an error.
MIN_VALUES = 10
CONSTANT = "a series is constant"
SAME = "the two series are the same"
NO_INVERSE = "the regions of the set cannot be told from each other"
TOO_SLOW = "the recording was sampled too slowly"
UNKNOWN_CROSSTALK = "max_crosstalk: what one region contributes to the other is not known"
ORDER = ("recording", "region_a", "region_b", "kind", "strategy", "band", "condition")


@dataclass(frozen=True)
class Course:
    """The course of one region in a recording.

    Attributes
    ----------
    values : ndarray, shape (n_times,), or None
        NaN where a value is not kept; None for the `reason`.
    kept : ndarray of bool, shape (n_times,)
        Which values are kept; empty without values.
    reason : str or None
        Why there are no values.
    crosstalk : mapping of str to float
        What other regions contribute to it, in EEG.
    """

    values: Floats | None
    kept: NDArray[np.bool_]
    reason: str | None = None
    crosstalk: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Values of one kind in one recording, of several pairs.

    Attributes
    ----------
    kind, unit : str
        As in the table.
    pairs : sequence of (str, str)
        Names of the regions, in alphabetical order.
    values : ndarray, shape (n_pairs,)
        NaN where there is none.
    reasons : sequence of (str or None)
        Why.
    columns : mapping of str to object
        Further columns: one value for all, or a sequence with one for each pair.
    """

    kind: str
    unit: str
    pairs: Sequence[Pair]
    values: Floats
    reasons: Sequence[str | None]
    columns: Mapping[str, Any]


def correlation_batches(
    strategy: str,
    courses: Mapping[str, Course],
    pairs: Sequence[Pair],
    of_set: Sequence[Pair],
    parameters: ConnectivityParameters,
) -> list[Batch]:
    """Return the correlations of cleaned series of fMRI.

    Parameters
    ----------
    strategy : str
        How they were cleaned.
    courses : mapping of str to Course
        By name of the region.
    pairs : sequence of (str, str)
        Whose correlation is wanted.
    of_set : sequence of (str, str)
        Those of which the kinds are wanted that depend on the other regions.
    parameters : ConnectivityParameters
        How they are made.
    """
    there = [name for name, one in courses.items() if one.values is not None]
    kept = np.zeros(0, dtype=bool)
    if there:
        kept = np.logical_and.reduce([courses[name].kept for name in there])
    series = np.array([courses[name].values for name in there]).T.reshape(len(kept), len(there))
    n_kept = int(kept.sum())
    reasons = {name: courses[name].reason or "it has no series" for name in courses}
    if n_kept < MIN_VALUES:
        reasons |= dict.fromkeys(there, f"{n_kept} volumes are kept, {MIN_VALUES} are needed")
        there = []
    moving = [index for index, name in enumerate(there) if np.ptp(series[kept, index]) > 0]
    reasons |= {name: CONSTANT for index, name in enumerate(there) if index not in moving}
    names = [there[index] for index in moving]
    series = series[:, moving]
    place = {name: index for index, name in enumerate(names)}
    sizes = effective_sizes(series, kept) if names else np.zeros((0, 0))
    made = _Matrices(series[kept], place, parameters.given)
    common = {"strategy": strategy, "n_kept": n_kept}

    def batch(kind: str, wanted: Sequence[Pair]) -> Batch:
        values, why = np.full(len(wanted), np.nan), list[str | None]()
        effective = np.full(len(wanted), np.nan)
        errors, given = np.full(len(wanted), np.nan), list[list[str] | None]()
        for number, pair in enumerate(wanted):
            lacking = [name for name in pair if name not in place]
            given.append(None)
            if lacking:
                why.append(f"{lacking[0]}: {reasons[lacking[0]]}")
                continue
            a, b = (place[name] for name in pair)
            effective[number] = sizes[a, b]
            value, others = made.value(kind, pair)
            if kind in OF_THE_SET:
                given[-1] = others
            why.append(SAME if kind == "correlation" else NO_INVERSE)
            if value is None or not np.isfinite(value):
                continue
            values[number], why[-1] = value, None
            freedom = sizes[a, b] - 3 - (len(others) if kind == "partial_correlation" else 0)
            if kind in ("correlation", "partial_correlation") and freedom > 0:
                errors[number] = freedom**-0.5
        more = {"n_effective": effective, "standard_error": errors, "given": given}
        return Batch(kind, "z", wanted, values, why, common | more)

    return [batch("correlation", pairs), *(batch(kind, of_set) for kind in OF_THE_SET)]


class _Matrices:
    """Correlations of sets of regions, each set's matrices made once."""

    def __init__(self, series: Floats, place: Mapping[str, int], given: tuple[str, ...] | None):
        self._series, self._place, self._given = series, place, given
        self._of_set: dict[tuple[str, ...], dict[str, Floats | None]] = {}
        self._plain = correlation(series) if place else np.zeros((0, 0))

    def value(self, kind: str, pair: Pair) -> tuple[float | None, list[str]]:
        """Return Fisher's z of a pair, and the other regions that were taken account of."""
        a, b = (self._place[name] for name in pair)
        if kind == "correlation":
            return float(fisher_z(self._plain[a, b])), []
        others = [one for one in self._place if self._given is None or one in self._given]
        names = tuple(sorted({*others, *pair}))
        if names not in self._of_set:
            self._of_set[names] = self._made(names)
        matrix = self._of_set[names][kind]
        others = [one for one in names if one not in pair]
        if matrix is None:
            return None, others
        return float(fisher_z(matrix[names.index(pair[0]), names.index(pair[1])])), others

    def _made(self, names: tuple[str, ...]) -> dict[str, Floats | None]:
        places = [self._place[name] for name in names]
        shrunk = regularised(self._series[:, places])
        # With fewer volumes than regions there is no inverse, whatever rounding says.
        enough = len(self._series) > len(names) + 1
        plain = self._plain[np.ix_(places, places)]
        return {
            "partial_correlation": partial_correlation(plain) if enough else None,
            "ledoit_wolf_correlation": shrunk,
            "ledoit_wolf_partial_correlation": partial_correlation(shrunk),
        }


def beta_series_batches(
    betas: Mapping[str, pd.DataFrame], pairs: Sequence[Pair], parameters: ConnectivityParameters
) -> list[Batch]:
    """Return the correlations of beta series, condition by condition.

    Over the trials of a condition, of the responses that least squares separate estimates (Rissman
    et al. 2004, doi:10.1016/j.neuroimage.2004.06.035).

    Parameters
    ----------
    betas : mapping of str to pandas.DataFrame
        By name of the region, of one recording: `trial`, `trial_type`, `estimate`.
    pairs : sequence of (str, str)
        Which.
    parameters : ConnectivityParameters
        How many trials are needed.
    """
    filled = {name: table for name, table in betas.items() if len(table)}
    if not filled:
        return []
    first = next(iter(filled.values())).set_index("trial").sort_index()
    kinds = first["trial_type"].astype(object).where(first["trial_type"].notna(), None)
    wide = pd.DataFrame(
        {
            name: table.set_index("trial")["estimate"].reindex(first.index).astype(np.float64)
            for name, table in filled.items()
        }
    )
    batches = []
    conditions = sorted({str(one) for one in kinds if one is not None})
    wanted: list[str | None] = [*conditions] or [None]
    for condition in wanted:
        of_kind = np.array([condition is None or one == condition for one in kinds])
        if of_kind.sum() < 2:
            # One trial is no series.
            continue
        values, why = np.full(len(pairs), np.nan), list[str | None]()
        counts, errors = np.zeros(len(pairs), np.int64), np.full(len(pairs), np.nan)
        for number, pair in enumerate(pairs):
            if not set(pair) <= filled.keys():
                why.append("there are no trials of a region")
                continue
            both = wide.loc[of_kind, list(pair)].to_numpy()
            both = both[np.isfinite(both).all(axis=1)]
            n = counts[number] = len(both)
            if n < parameters.min_trials:
                why.append(f"min_trials: {n} trials have an estimate in both regions")
                continue
            if (np.ptp(both, axis=0) == 0).any():
                why.append(CONSTANT)
                continue
            value = fisher_z(correlation(both)[0, 1])
            why.append(None if np.isfinite(value) else SAME)
            if np.isfinite(value):
                values[number], errors[number] = value, (n - 3) ** -0.5
        more = {"condition": condition, "n_kept": counts, "standard_error": errors}
        batches.append(Batch("beta_series", "z", pairs, values, why, more))
    return batches


def phase_batches(
    courses: Mapping[str, Course],
    sfreq: float,
    pairs: Sequence[Pair],
    parameters: ConnectivityParameters,
) -> list[Batch]:
    """Return the coupling in phase of courses of EEG, band by band.

    Parameters
    ----------
    courses : mapping of str to Course
        By name of the region.
    sfreq : float
        Samples per second.
    pairs : sequence of (str, str)
        Which.
    parameters : ConnectivityParameters
        How it is made.
    """
    crosstalk = [_crosstalk(courses, pair) for pair in pairs]
    reasons = [
        _unfit(courses, pair, mixed, parameters)
        for pair, mixed in zip(pairs, crosstalk, strict=True)
    ]
    fit = [number for number, reason in enumerate(reasons) if reason is None]
    names = sorted({name for number in fit for name in pairs[number]})
    n_epochs = 0
    bands = [(band.fmin, band.fmax) for band in parameters.bands]
    found = {kind: np.full((len(pairs), len(bands)), np.nan) for kind in METHODS}
    if names:
        values = np.array([courses[name].values for name in names])
        kept = np.logical_and.reduce([courses[name].kept for name in names])
        epochs = cut_epochs(values, kept, round(parameters.epoch * sfreq))
        n_epochs = len(epochs)
        if n_epochs < parameters.min_epochs:
            for number in fit:
                reasons[number] = f"min_epochs: {n_epochs} pieces of {parameters.epoch:g} s"
        else:
            places = [tuple(names.index(name) for name in pairs[number]) for number in fit]
            coupled = phase_coupling(epochs, sfreq, [(a, b) for a, b in places], bands)
            for kind, one in coupled.items():
                found[kind][fit] = one
    batches = []
    for kind in METHODS:
        for column, band in enumerate(parameters.bands):
            one = found[kind][:, column]
            why = [
                reason or (None if np.isfinite(value) else TOO_SLOW)
                for reason, value in zip(reasons, one, strict=True)
            ]
            more = {
                "strategy": "none",
                "band": band.name,
                "n_kept": n_epochs,
                "crosstalk": np.array([np.nan if c is None else c for c in crosstalk]),
            }
            batches.append(Batch(kind, "1", pairs, one, why, more))
    return batches


def _crosstalk(courses: Mapping[str, Course], pair: Pair) -> float | None:
    known = [
        courses[one].crosstalk[other]
        for one, other in (pair, pair[::-1])
        if other in courses[one].crosstalk
    ]
    return max(known, default=None)


def _unfit(
    courses: Mapping[str, Course],
    pair: Pair,
    crosstalk: float | None,
    parameters: ConnectivityParameters,
) -> str | None:
    for name in pair:
        if courses[name].values is None:
            return f"{name}: {courses[name].reason or 'it has no series'}"
        if np.ptp(np.asarray(courses[name].values)) == 0:
            return CONSTANT
    limit = parameters.max_crosstalk
    if limit is None:
        return None
    if crosstalk is None:
        return UNKNOWN_CROSSTALK
    if crosstalk > limit:
        return f"max_crosstalk: one region contributes {crosstalk:.2f} of the other's own"
    return None


def connectivity_rows(
    key: RecordingKey, modality: str, hashes: Mapping[str, str], batches: Iterable[Batch]
) -> pa.Table:
    """Return the rows of one recording.

    Parameters
    ----------
    key : RecordingKey
        The recording.
    modality : str
        `fmri` or `eeg`.
    hashes : mapping of str to str
        The definition of each region.
    batches : iterable of Batch
        Its values.

    Returns
    -------
    pyarrow.Table
        Schema `CONNECTIVITY`, not sorted.
    """
    tables = [CONNECTIVITY.empty_table()]
    for batch in batches:
        n = len(batch.pairs)
        first, second = ([pair[side] for pair in batch.pairs] for side in (0, 1))
        columns: dict[str, Any] = {
            **vars(key),
            "modality": modality,
            "region_a": first,
            "region_b": second,
            "definition_hash_a": [hashes[name] for name in first],
            "definition_hash_b": [hashes[name] for name in second],
            "kind": batch.kind,
            "unit": batch.unit,
            "value": batch.values,
            "reason": list(batch.reasons),
            **batch.columns,
        }
        tables.append(
            pa.table([_column(columns.get(f.name), f.type, n) for f in CONNECTIVITY], CONNECTIVITY)
        )
    return pa.concat_tables(tables)


def _column(value: Any, kind: pa.DataType, n: int) -> pa.Array:
    if isinstance(value, np.ndarray):
        # A count of none is a count; a number that is not there is null.
        return pa.array(value, kind, from_pandas=pa.types.is_floating(kind))
    return pa.array(value if isinstance(value, list) else [value] * n, kind)


def in_order(table: pa.Table) -> pa.Table:
    """Return rows in the order of the table, whatever order they were made in."""
    return table.sort_by([(name, "ascending") for name in ORDER])
