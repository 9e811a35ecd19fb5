"""Faces against houses, told from single trials' responses of regions of a real localizer run."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from nilearn.maskers import NiftiSpheresMasker
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

from braindata.derive.parameters import DeriveParameters
from braindata.derive.trials import RecordingEvents, derive_trials
from braindata.tables.keys import RecordingKey
from braindata.tables.reading import Tables
from braindata.tables.schemas import SERIES

from .test_localizer_contrasts import FUSIFORM, PARAHIPPOCAMPAL

TR = 2.0
SEEDS = [*FUSIFORM, *PARAHIPPOCAMPAL]


@pytest.fixture(scope="module")
def responses(localizer: Path, tables: Tables, events: pd.DataFrame) -> NDArray[np.float64]:
    """Responses to each picture: of all regions, and of spheres that prefer faces or places."""
    of_regions = tables["trials"].to_pandas(["region", "trial", "estimate"])
    wide = of_regions.pivot_table(index="trial", columns="region", values="estimate")
    folder = localizer / "derivatives/localizer/sub-02/func"
    (bold,) = folder.glob("*desc-preproc_bold.nii.gz")
    (mask,) = folder.glob("*desc-brain_mask.nii.gz")
    (confounds,) = folder.glob("*desc-confounds_timeseries.tsv")
    series = NiftiSpheresMasker(SEEDS, radius=8, mask_img=mask, standardize=None).fit_transform(
        nib.load(bold)
    )
    key = RecordingKey("localizer", "run", "02")
    table = pd.read_csv(confounds, sep="\t", na_values="n/a")
    recording = RecordingEvents(key, events, table, TR)
    columns = []
    for number, values in enumerate(series.T):
        row = {"recording": "run", "region": f"sphere{number}", "definition_hash": "x"}
        row |= {"strategy": "none", "values": values.tolist(), "sampling_frequency": 1 / TR}
        made, _ = derive_trials(
            pa.Table.from_pylist([row], schema=SERIES), [recording], DeriveParameters()
        )
        columns.append(made["estimate"].to_numpy())
    return np.column_stack([wide.to_numpy(), *columns])


def test_faces_are_told_from_houses(responses: NDArray[np.float64], events: pd.DataFrame) -> None:
    block = (events["trial_type"] != events["trial_type"].shift()).cumsum().to_numpy()
    chosen = events["trial_type"].isin(["face", "house"]).to_numpy()
    x, of_trial = responses[chosen], block[chosen]
    blocks = np.unique(of_trial)
    is_face = {one: bool((events["trial_type"][block == one] == "face").all()) for one in blocks}
    faces = {one for one in blocks if is_face[one]}
    assert (len(blocks), len(faces), len(x)) == (8, 4, 64)

    def accuracy(labelled: set[int]) -> float:
        y = np.isin(of_trial, list(labelled))
        right = []
        for out in blocks:
            test = of_trial == out
            scale = StandardScaler().fit(x[~test])
            # Equal priors: without a block, the other kind is more frequent.
            model = LinearDiscriminantAnalysis(
                solver="lsqr", shrinkage="auto", priors=[0.5, 0.5]
            ).fit(scale.transform(x[~test]), y[~test])
            right.append(model.predict(scale.transform(x[test])) == y[test])
        return float(np.concatenate(right).mean())

    found = accuracy(faces)
    # Pictures of a block are alike, so that blocks are what can be exchanged.
    chance = [accuracy(set(one)) for one in combinations(blocks, len(faces))]
    assert np.mean(chance) == pytest.approx(0.5, abs=0.1)
    assert found > 0.6
    assert np.mean(np.array(chance) >= found - 1e-9) <= 0.05
