"""The report's page, from the tables of one release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import jinja2
import pandas as pd

from braindata.regions.definition import Level
from braindata.report.figures import responses_figure
from braindata.report.responses import average_responses

# The strategy whose series are averaged: drifts and head motion would drown single responses.
STRATEGY = "simple"


def render(tables: Mapping[str, pd.DataFrame], release: int) -> str:
    """Return the report as one HTML page that needs no other file.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        `recordings`, `regions`, `series`, `trials` and `stimuli` of one release.
    release : int
        Its number.
    """
    recordings, regions = tables["recordings"], tables["regions"]
    series, trials = tables["series"], tables["trials"]
    order = regions["level"].map({name: i for i, name in enumerate(get_args(Level))})
    regions = regions.assign(order=order).sort_values(["order", "region"], kind="stable")
    averages = average_responses(series[series["strategy"] == STRATEGY], trials)
    recordings = recordings.sort_values(["dataset", "recording"], kind="stable")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("braindata.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    left_out = recordings[recordings["status"] != "used"]
    return environment.get_template("page.html.j2").render(
        release=release,
        datasets=_dataset_rows(recordings),
        used=_records(recordings[recordings["status"] == "used"]),
        left_out=_records(left_out),
        in_part=_records(
            recordings[(recordings["status"] == "used") & recordings["reason"].notna()]
        ),
        validator=_validator_rows(recordings),
        regions=_records(regions),
        coverage=_coverage(series),
        n_trials=len(trials[["dataset", "recording", "trial"]].drop_duplicates()),
        n_estimates=int(trials["estimate"].notna().sum()),
        n_nulls=int(trials["estimate"].isna().sum()),
        null_reasons=trials.loc[trials["estimate"].isna(), "reason"].value_counts().to_dict(),
        figure=responses_figure(averages, list(regions["region"])),
        strategy=STRATEGY,
    )


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(k): v for k, v in row.items()} for row in plain.to_dict("records")]


def _dataset_rows(recordings: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for (dataset, version), frame in recordings.groupby(["dataset", "dataset_version"]):
        counts = frame["status"].value_counts()
        rows.append(
            {
                "dataset": dataset,
                "version": version,
                "subjects": frame["subject"].nunique(),
                **{s: int(counts.get(s, 0)) for s in ("used", "excluded", "quarantined")},
            }
        )
    return rows


def _validator_rows(recordings: pd.DataFrame) -> list[str]:
    found = {error for errors in recordings["validator_errors"].dropna() for error in errors}
    return sorted(found)


def _coverage(series: pd.DataFrame) -> dict[str, float]:
    return {str(k): float(v) for k, v in series.groupby("region")["coverage"].min().items()}


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
