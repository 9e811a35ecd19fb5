"""People's runs as they are given: checked, centred, and matched row by row.

A row of the template is one volume of one run: rows are keyed by the run's name, which names
stimulus and run, and by the volume's number within it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.align.procrustes import Array, Person
from braindata.errors import DataError

Runs = Mapping[str, Any]
Subjects = Mapping[str, Runs]

# A row that one person has alone says nothing about what people share.
MINIMUM_PEOPLE = 2


@dataclass(frozen=True)
class Rows:
    """The rows of a template: how many volumes of which runs, in order."""

    runs: tuple[tuple[str, int], ...]

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(n for _, n in self.runs)

    def slices(self) -> dict[str, slice]:
        """Return where each run's rows are."""
        found, start = {}, 0
        for run, n in self.runs:
            found[run] = slice(start, start + n)
            start += n
        return found


def check_runs(subject: str, runs: Runs, *, dtype: Any, center: bool) -> dict[str, Array]:
    """Return a person's runs as arrays of one type, each voxel centred within each run.

    Parameters
    ----------
    subject : str
        Named in errors.
    runs : mapping of str to array, shape (n_volumes, n_voxels)
    dtype : dtype
    center : bool
        Whether each voxel's mean over each run is removed.

    Returns
    -------
    dict of str to array
        In the order of the runs' names.

    Raises
    ------
    DataError
        There are no runs, they differ in voxels, hold no series or non-finite values, are
        constant throughout, or so large or small that products of them are lost.
    """
    if not runs:
        raise DataError(
            f"subject {subject!r} has no runs", hint="leave out people without recordings"
        )
    checked = {}
    for run in sorted(runs):
        # Sums go along memory: in another order they end in other last bits, and another template.
        series = np.asarray(runs[run], dtype=dtype, order="C")
        if series.ndim != 2 or not series.size:
            raise DataError(
                f"run {run!r} of subject {subject!r} has shape {series.shape}, not (time, voxels)",
                hint="give each run as one two-dimensional array, volumes in rows",
            )
        # A sum is finite if all are: one pass, nothing of the size of the series is made.
        if not np.isfinite(series.sum(dtype=np.float64)) and not np.isfinite(series).all():
            bad = int((~np.isfinite(series)).any(axis=0).sum())
            raise DataError(
                f"run {run!r} of subject {subject!r} holds NaN or infinite values in {bad} voxels",
                hint="leave out these voxels, or interpolate what was censored",
            )
        checked[run] = series - series.mean(axis=0) if center else series
    widths = {run: series.shape[1] for run, series in checked.items()}
    if len(set(widths.values())) > 1:
        raise DataError(
            f"the runs of subject {subject!r} differ in their numbers of voxels: {widths}",
            hint="sample all runs of a person on the same voxels",
        )
    if all((series == series[:1]).all() for series in checked.values()):
        raise DataError(
            f"all voxels of subject {subject!r} are constant",
            hint="look at the recording: is the region within the field of view?",
        )
    _check_size(subject, checked)
    return checked


def _check_size(subject: str, runs: Mapping[str, Array]) -> None:
    # Weights are sums of products of four values: beyond, they are infinite or 0 without a word.
    squares = sum(float(np.vdot(series, series)) for series in runs.values())
    size = float(np.sqrt(squares / sum(series.size for series in runs.values())))
    limits = np.finfo(next(iter(runs.values())).dtype)
    least, most = float(limits.tiny) ** 0.2, float(limits.max) ** 0.2
    if not least < size < most:
        raise DataError(
            f"the values of subject {subject!r} have a size of {size:.1g}, beyond what"
            f" {limits.dtype} can be multiplied in ({least:.0e} to {most:.0e})",
            hint="give all people's series in another unit, or standardise them",
        )


def check_subjects(data: Subjects) -> None:
    """Refuse what is no group.

    Raises
    ------
    DataError
        There are fewer than two people.
    """
    if len(data) < MINIMUM_PEOPLE:
        raise DataError(
            f"alignment needs at least two people, and there is {len(data)}",
            hint="add people, or leave this group unaligned",
        )


def shared_rows(data: Mapping[str, Mapping[str, Array]]) -> Rows:
    """Return the rows that at least two people have.

    Raises
    ------
    DataError
        No run is shared, or the people fall into groups that share nothing with each other.
    """
    lengths: dict[str, list[int]] = {}
    for runs in data.values():
        for run, series in runs.items():
            lengths.setdefault(run, []).append(len(series))
    rows = Rows(
        tuple(
            (run, sorted(n)[-MINIMUM_PEOPLE])
            for run, n in sorted(lengths.items())
            if len(n) >= MINIMUM_PEOPLE
        )
    )
    hint = (
        "name runs by what was shown, the same for everybody; for data without a shared stimulus"
        " use ConnectivityHyperalignment"
    )
    if not rows.runs:
        raise DataError(
            f"no two people share a run: {_listed(data)}",
            hint=hint,
        )
    groups = connected({s: {run for run, _ in rows.runs} & set(runs) for s, runs in data.items()})
    if len(groups) > 1:
        raise DataError(
            "people without a common stimulus: "
            + " and ".join(", ".join(sorted(group)) for group in groups)
            + " share no runs",
            hint=hint,
        )
    return rows


def place(subject: str, runs: Mapping[str, Array], rows: Rows) -> Person:
    """Return a person's volumes that are rows of the template.

    Raises
    ------
    DataError
        The person has a run that the template does not know.
    """
    slices = rows.slices()
    unknown = sorted(set(runs) - set(slices))
    if unknown:
        raise DataError(
            f"runs {unknown} of subject {subject!r} are not among the template's {sorted(slices)}",
            hint="leave these runs out, or name them as the template does",
        )
    parts, index = [], []
    for run, series in runs.items():
        where = slices[run]
        n = min(len(series), where.stop - where.start)
        parts.append(series[:n])
        index.append(np.arange(where.start, where.start + n))
    series = parts[0] if len(parts) == 1 else np.concatenate(parts)
    placed: NDArray[np.intp] = np.concatenate(index)
    return Person(series, placed)


def connected(shared: Mapping[str, set[str]]) -> list[set[str]]:
    """Return the groups of people that are linked by shared runs.

    Parameters
    ----------
    shared : mapping of subject to set of run
        Each person's runs.
    """
    groups: list[tuple[set[str], set[str]]] = []
    for subject, runs in sorted(shared.items()):
        people, seen = {subject}, set(runs)
        rest = []
        for group in groups:
            if group[1] & seen:
                people |= group[0]
                seen |= group[1]
            else:
                rest.append(group)
        groups = [*rest, (people, seen)]
    return [people for people, _ in groups]


def _listed(data: Mapping[str, Mapping[str, Array]]) -> str:
    return "; ".join(f"{subject}: {', '.join(sorted(runs))}" for subject, runs in data.items())
