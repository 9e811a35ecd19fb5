"""How well single-trial estimates recover a phantom's truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from braindata.errors import UsageError

KEY = ["subject", "task", "run", "trial", "region"]
TEXT = {"subject": str, "task": str, "run": str, "region": str}


def score(trials: pd.DataFrame, truth: Path, seed: int = 0) -> pd.DataFrame:
    """Correlate estimates with the true trial values, z-scored within person and pooled.

    Parameters
    ----------
    trials : DataFrame
        The pipeline's table `trials` of the phantom: `subject`, `task`, `run`, `trial`, `region`,
        `estimate`. Trials without an estimate are left out and counted.
    truth : Path
        The folder that `generate` wrote the truth to.
    seed : int
        Seed of the shuffle.

    Returns
    -------
    DataFrame
        A row per true region: `region`; `r`; `r_shuffled`, with the truth shuffled once within each
        person; `ideal_r`, of single trials estimated with the true design from the true region's
        mean; `n_trials`, how many went into `r`; `n_missing`, how many had no estimate.
        `r` is NaN where no trial has an estimate.

    Raises
    ------
    UsageError
        When there is no truth, or a trial occurs twice.
    """
    true, ideal = (_read(truth / name) for name in ("trials_truth.tsv", "ideal_observer.tsv"))
    estimates = trials[[*KEY, "estimate"]]
    if estimates.duplicated(KEY).any():
        raise UsageError(
            "a trial occurs twice in the table of trials",
            hint="select one data set, one model and one region set first",
        )
    found = true.merge(estimates, on=KEY, how="left", validate="one_to_one")
    best = true.merge(ideal, on=KEY, how="left", validate="one_to_one")
    rng = np.random.default_rng(seed)
    rows = []
    for region in true["region"].unique():
        here = found[found["region"] == region]
        used = here[np.isfinite(here["estimate"].to_numpy(dtype=float))]
        shuffled = used.assign(
            value=used.groupby("subject")["value"].transform(
                lambda values: rng.permutation(values.to_numpy())
            )
        )
        rows.append(
            {
                "region": region,
                "r": _pooled(used),
                "r_shuffled": _pooled(shuffled),
                "ideal_r": _pooled(best[best["region"] == region]),
                "n_trials": len(used),
                "n_missing": len(here) - len(used),
            }
        )
    return pd.DataFrame(rows)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise UsageError(
            "there is no such file",
            file=path,
            hint="give the folder to which the phantom's truth was written",
        )
    return pd.read_csv(path, sep="\t", dtype=TEXT)


def _pooled(table: pd.DataFrame) -> float:
    """Correlation of z-scores that were made within each person."""
    if table.empty:
        return float("nan")
    groups = table.groupby("subject")[["value", "estimate"]]
    z = (table[["value", "estimate"]] - groups.transform("mean")) / groups.transform("std", ddof=0)
    return float(np.corrcoef(z["value"], z["estimate"])[0, 1])
