"""The whole chain on a real localizer run, held against committed figures.

To write the figures anew after a change that is meant to change them:
``BRAINDATA_WRITE_GOLDEN=1 python -m pytest tests/golden``, and say why in the commit.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from nilearn.glm.contrasts import compute_contrast
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

from braindata.tables.reading import Tables

FIGURES = Path(__file__).with_name("localizer.json")
# Allowed difference of each figure: a hundredth of what matters, and far more than another CPU
# makes. Means are relative, the others absolute.
TOLERANCE = {"n_voxels": 0, "mean": 0.002, "tsnr": 0.5, "t": 0.25, "estimate": 0.01}


def t_value(series: list[float], events: pd.DataFrame, tr: float, delay: float = 0.0) -> float:
    """All pictures > rest, by an OLS GLM with cosine drifts on the uncleaned mean."""
    design = make_first_level_design_matrix(
        (np.arange(len(series)) + 0.5) * tr,
        events[["onset", "duration"]].assign(
            trial_type="picture", onset=lambda frame: frame["onset"] + delay
        ),
        hrf_model="spm",
        drift_model="cosine",
        high_pass=0.01,
    )
    labels, results = run_glm(np.array(series)[:, None], design.to_numpy(), noise_model="ols")
    contrast = (np.array(design.columns) == "picture").astype(float)
    return float(compute_contrast(labels, results, contrast, stat_type="t").stat()[0])


def test_every_picture_is_a_trial_in_every_region(tables: Tables, events: pd.DataFrame) -> None:
    trials = tables["trials"].to_pandas()
    counts = trials.groupby("region")["estimate"].count()
    assert len(events) == 192
    assert len(counts) == 18
    assert (counts == 192).all()
    one = trials[trials["region"] == "visual"].sort_values("trial")
    np.testing.assert_allclose(one["onset"], events["onset"])
    assert list(one["trial_type"]) == list(events["trial_type"])
    assert json.loads(one["columns"].iloc[0])["stim_file"] == events["stim_file"].iloc[0]
    assert tables["stimuli"].to_pandas()["stim_file"].nunique() == events["stim_file"].nunique()
    assert tables["stimuli"].to_pandas()["sha256"].isna().all()


def test_the_visual_region_sees_the_pictures(tables: Tables, events: pd.DataFrame) -> None:
    series = tables["series"].to_pyarrow(where={"region": "visual", "strategy": "none"})
    (row,) = series.to_pylist()
    tr = 1 / row["sampling_frequency"]
    assert t_value(row["values"], events, tr) >= 6
    assert t_value(row["values"], events, tr, delay=10.0) <= 0


def figures(tables: Tables, events: pd.DataFrame) -> dict[str, dict[str, float]]:
    trials = tables["trials"].to_pandas()
    found = {}
    for row in tables["series"].to_pyarrow(where={"strategy": "none"}).to_pylist():
        values = np.array(row["values"], float)
        own = trials[trials["region"] == row["region"]]
        found[row["region"]] = {
            "n_voxels": row["n_voxels"],
            "mean": round(float(values.mean()), 3),
            "tsnr": round(float(values.mean() / values.std(ddof=1)), 3),
            "t": round(t_value(row["values"], events, 1 / row["sampling_frequency"]), 3),
            "estimate": round(float(own["estimate"].mean()), 4),
        }
    return dict(sorted(found.items()))


def test_all_regions_are_as_they_were(tables: Tables, events: pd.DataFrame) -> None:
    now = figures(tables, events)
    if os.environ.get("BRAINDATA_WRITE_GOLDEN"):
        FIGURES.write_text(json.dumps(now, indent=1) + "\n")
    before = json.loads(FIGURES.read_text())
    assert now.keys() == before.keys()
    wrong = [
        f"{region} {name}: {now[region][name]} was {value}"
        for region, values in before.items()
        for name, value in values.items()
        if abs(now[region][name] - value) > TOLERANCE[name] * (value if name == "mean" else 1)
    ]
    assert not wrong, "\n".join(wrong)
