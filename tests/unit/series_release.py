"""A release with series, for tests of what reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from braindata.tables.publish import publish
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard

LEVELS = {"insula": "valuation", "visual": "perception", "vmpfc": "valuation"}


def recording(
    subject: str, n_samples: int, run: str = "1", dataset: str = "ds", **more: Any
) -> dict[str, Any]:
    """Return a row of `recordings`, with what its series need in `_series`."""
    name = f"sub-{subject}_task-t_run-{run}_bold"
    who = {"dataset": dataset, "recording": name, "subject": subject, "task": "t", "run": run}
    row = who | {"modality": "fmri", "status": "used", "licence": "CC0", "licence_class": "CC0"}
    return row | {"dataset_version": "1.0", "_n_samples": n_samples} | more


def series_values(row: dict[str, Any], region: str) -> np.ndarray:
    """Return values that tell recording, region and sample."""
    base = 10_000 * int(row["subject"]) + 1_000 * int(row["run"])
    return base + 300.0 * list(LEVELS).index(region) + np.arange(row["_n_samples"])


def series_rows(
    recordings: Sequence[dict[str, Any]], region: str, **more: Any
) -> list[dict[str, Any]]:
    """Return the rows of `series` of one region."""
    keys = ("dataset", "recording", "subject", "task", "run")
    return [
        {key: row[key] for key in keys}
        | {
            "region": region,
            "strategy": "none",
            "values": series_values(row, region).tolist(),
            "kept": [True] * row["_n_samples"],
            "start": 1.0,
            "sampling_frequency": 0.5,
            "unit": "a.u.",
        }
        | more
        for row in recordings
    ]


def release(
    folder: Path,
    recordings: Sequence[dict[str, Any]],
    series: dict[str, list[dict[str, Any]]],
    tables: dict[str, list[dict[str, Any]]] | None = None,
) -> Path:
    """Publish recordings, their regions' series, and rows of other tables."""
    clean = [{k: v for k, v in row.items() if not k.startswith("_")} for row in recordings]
    content: dict[str, list[list[dict[str, Any]]]] = {
        "recordings": [clean],
        "regions": [[{"region": name, "level": LEVELS[name]}] for name in series],
        "series": list(series.values()),
        **{name: [rows] for name, rows in (tables or {}).items()},
    }
    shards: dict[str, list[Path]] = {}
    for name, pieces in content.items():
        for number, rows in enumerate(pieces):
            path = folder / "shards" / name / f"{number}.parquet"
            write_shard(pa.Table.from_pylist(rows, TABLES[name]), path, name)
            shards.setdefault(name, []).append(path)
    publish(folder / "tables", shards, {"parameters": {"datasets": ["ds"]}})
    return folder
