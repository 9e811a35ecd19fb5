"""How people were aligned: scores before and after, person by person, and templates as curves."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from braindata.report.charts import Axis, axis_over

Row = Mapping[str, Any]
# In the order of the page: the columns of a score, and what it is.
SCORES = {
    "matching": "time-segment matching (share right)",
    "prediction": "prediction of voxels (r)",
    "connectivity": "prediction of connectivity (r)",
    "decoding": "decoding of trial types (balanced accuracy)",
}
N_DIMENSIONS = 3
# More points than these no screen shows.
MAX_POINTS = 400
# Of a large group the first parcels are drawn.
MAX_PARCELS = 6


@dataclass(frozen=True)
class Pair:
    """One person's score: `x` in percent, the others in percent of the axis, None where unknown."""

    x: float
    before: float | None
    after: float
    subject: str


@dataclass(frozen=True)
class ScoreChart:
    """One score of all people of a group.

    Attributes
    ----------
    name : str
        What it is.
    y : Axis
    pairs : tuple of Pair
    chance : float
        The mean chance level, in percent of the axis.
    before, after, chance_value, ceiling : float or None
        Medians over people.
    """

    name: str
    y: Axis
    pairs: tuple[Pair, ...]
    chance: float
    before: float | None
    after: float
    chance_value: float
    ceiling: float | None


@dataclass(frozen=True)
class Curve:
    """The first dimensions of one parcel's template.

    Attributes
    ----------
    region : str
    x, y : Axis
    lines : tuple of str
        Points of a polyline in percent, per dimension.
    """

    region: str
    x: Axis
    y: Axis
    lines: tuple[str, ...]


def template_curves(response: NDArray[Any]) -> list[list[float]]:
    """Return the first dimensions of a template over its rows, standardised, thinned out.

    Parameters
    ----------
    response : array, shape (n_rows, n_common)
        The template in its common dimensions.
    """
    first = response[:, :N_DIMENSIONS].astype(np.float64)
    spread = first.std(axis=0)
    first = (first - first.mean(axis=0)) / np.where(spread > 0, spread, 1)
    step = math.ceil(len(first) / MAX_POINTS)
    return [[round(value, 3) for value in column] for column in first[::step].T.tolist()]


def alignment_sections(
    rows: Sequence[Row], templates: Mapping[tuple[str, str, str], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return what the page says of each group of regions of each data set.

    Parameters
    ----------
    rows : sequence of mapping
        Of the table `alignment`.
    templates : mapping of (data set, group, hash) to mapping
        `parcels`: of each the `region`, `n_rows` and `curves` (see `template_curves`).
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        key = (row["dataset"], row["region_group"], row["group_hash"])
        groups.setdefault(key, []).append(row)
    sections = []
    for key, members in sorted(groups.items()):
        people = sorted(members, key=lambda row: str(row["subject"]))
        aligned = [row for row in people if row["status"] == "aligned"]
        first = people[0]
        reasons = Counter(str(row["reason"]) for row in people if row["status"] != "aligned")
        sections.append(
            {
                "id": "-".join(key),
                "dataset": key[0],
                "group": key[1],
                "grouping": first["grouping"],
                "regions": first["regions"],
                "method": first["method"],
                "why": first["method_reason"],
                "template": first["template"],
                "n_members": first["n_members"],
                "n_voxels": first["n_voxels"],
                "n_aligned": len(aligned),
                "n_people": len(people),
                "reasons": sorted(reasons.items()),
                "unscored": sorted({row["score_reason"] for row in aligned if row["score_reason"]}),
                "people": people,
                "charts": [c for name in SCORES if (c := score_chart(name, aligned))],
                "curves": _curves(templates.get(key, {})),
                "scored": [n for n in SCORES if any(r[f"{n}_after"] is not None for r in aligned)],
                "is_connectivity": first["method"] == "connectivity",
            }
        )
    return sections


def score_chart(name: str, rows: Sequence[Row]) -> ScoreChart | None:
    """Return the chart of one score; None where nobody has it."""
    known = [row for row in rows if row[f"{name}_after"] is not None]
    if not known:
        return None
    columns = {what: [row[f"{name}_{what}"] for row in known] for what in ("before", "after")}
    chance = float(np.mean([row[f"{name}_chance"] for row in known]))
    values = [v for column in columns.values() for v in column if v is not None]
    y = axis_over([*values, chance, 0.0])
    pairs = tuple(
        Pair(
            round(100 * (number + 0.5) / len(known), 2),
            None if row[f"{name}_before"] is None else y.at(row[f"{name}_before"]),
            y.at(row[f"{name}_after"]),
            str(row["subject"]),
        )
        for number, row in enumerate(known)
    )
    return ScoreChart(
        SCORES[name],
        y,
        pairs,
        y.at(chance),
        _median(columns["before"]),
        float(np.median([row[f"{name}_after"] for row in known])),
        chance,
        _median([row[f"{name}_ceiling"] for row in known]),
    )


def _curves(template: Mapping[str, Any]) -> list[Curve]:
    found = []
    for parcel in template.get("parcels", [])[:MAX_PARCELS]:
        series = parcel["curves"]
        if not series or not series[0]:
            continue
        y = axis_over([value for one in series for value in one], 4)
        x = axis_over([0.0, float(parcel["n_rows"])])
        step = parcel["n_rows"] / len(series[0])
        lines = tuple(
            " ".join(
                f"{x.at(number * step):.2f},{100 - y.at(value):.2f}"
                for number, value in enumerate(one)
            )
            for one in series
        )
        found.append(Curve(parcel["region"], x, y, lines))
    return found


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
