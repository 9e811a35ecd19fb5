"""What the report says of the tables of a release: counted in them, and summed up."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from braindata.report.site import TrialCounts
from braindata.tables.reading import Tables

_NO_REASON = "no reason is known"


def trial_counts(tables: Tables) -> TrialCounts:
    """Return how many trials there are, how many are estimated, and why others are not."""
    columns = ["dataset", "recording", "trial", "estimate", "reason"]
    table = tables["trials"].to_pyarrow(columns)
    n_trials = table.group_by(columns[:3]).aggregate([]).num_rows
    missing = table.filter(pc.is_null(table["estimate"]))
    reasons = pc.fill_null(missing["reason"], _NO_REASON).value_counts().to_pylist()
    counts = {one["values"]: one["counts"] for one in reasons}
    ordered = dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))
    return TrialCounts(n_trials, table.num_rows - missing.num_rows, ordered)


def signal_evidence(tables: Tables) -> list[dict[str, Any]]:
    """Return what is known of each process, per data set and task: the same in all of its rows."""
    key = ["dataset", "task", "process"]
    evidence = [f"evidence_{name}" for name in ("r", "lower", "upper", "p", "people", "reason")]
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns = [*key, "regions", "target", "target_model", *evidence]
    for batch in tables["signals"].to_pyarrow(columns).to_batches(max_chunksize=10_000):
        keys = batch.select(key).to_pandas().drop_duplicates()
        for row in batch.take(pa.array(keys.index)).to_pylist():
            found.setdefault((row["dataset"], row["task"] or "", row["process"]), row)
    return [found[name] for name in sorted(found)]


def least_coverage(tables: Tables) -> dict[str, float]:
    """Return each region's least coverage over recordings."""
    table: pa.Table = tables["series"].to_pyarrow(["region", "coverage"])
    least = table.group_by("region").aggregate([("coverage", "min")]).to_pylist()
    return {row["region"]: row["coverage_min"] for row in least if row["coverage_min"] is not None}


def region_quality(tables: Tables) -> dict[str, dict[str, float | None]]:
    """Return the median over recordings of each region's tSNR and signal loss."""
    names = ["tsnr", "signal_loss"]
    table = tables["series"].to_pandas(["region", *names], where={"strategy": "none"})
    medians = table.groupby("region")[names].median().reset_index().to_dict("records")
    return {
        row["region"]: {name: None if pd.isna(row[name]) else row[name] for name in names}
        for row in medians
    }
