"""Faces against houses, told from single trials' responses of regions of a real localizer run.

Leave-one-block-out; the regions are those that are known to prefer faces or places.
"""

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
from braindata.tables.schemas.series import SERIES

from .test_localizer_contrasts import FUSIFORM, PARAHIPPOCAMPAL

TR = 2.0
SEEDS = [*FUSIFORM, *PARAHIPPOCAMPAL]
Blocks = tuple[int, ...]


@pytest.fixture(scope="module")
def responses(localizer: Path, events: pd.DataFrame) -> NDArray[np.float64]:
    """Responses to each picture of spheres that prefer faces or places, (n_trials, n_spheres)."""
    folder = localizer / "derivatives/localizer/sub-02/func"
    (bold,) = folder.glob("*desc-preproc_bold.nii.gz")
    (mask,) = folder.glob("*desc-brain_mask.nii.gz")
    (confounds,) = folder.glob("*desc-confounds_timeseries.tsv")
    spheres = NiftiSpheresMasker(SEEDS, radius=8, mask_img=mask, standardize=None)
    table = pd.read_csv(confounds, sep="\t", na_values="n/a")
    recording = RecordingEvents(RecordingKey("localizer", "run", "02"), events, table, TR)
    columns = []
    for number, values in enumerate(spheres.fit_transform(nib.load(bold)).T):
        row = {"recording": "run", "region": f"sphere{number}", "definition_hash": "x"}
        row |= {"strategy": "none", "values": values.tolist(), "sampling_frequency": 1 / TR}
        made, _ = derive_trials(
            pa.Table.from_pylist([row], schema=SERIES), [recording], DeriveParameters()
        )
        columns.append(made["estimate"].to_numpy())
    return np.column_stack(columns)


def accuracy(
    responses: NDArray[np.float64], block: NDArray[np.int64], one: Blocks, other: Blocks
) -> float:
    """Return how many trials are told apart by what the other blocks show."""
    right = []
    for out in (*one, *other):
        train = np.isin(block, [*one, *other]) & (block != out)
        scale = StandardScaler().fit(responses[train])
        # Equal priors: without a block, the other kind is more frequent.
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=[0.5, 0.5])
        model.fit(scale.transform(responses[train]), np.isin(block[train], one))
        right.append(model.predict(scale.transform(responses[block == out])) == (out in one))
    return float(np.concatenate(right).mean())


def test_faces_are_told_from_houses(responses: NDArray[np.float64], events: pd.DataFrame) -> None:
    # Pictures of one kind come in blocks of 16, two of each kind.
    block = (events["onset"].diff() > 5).cumsum().to_numpy()
    kinds = events.groupby(block)["trial_type"].first()
    assert (len(kinds), len(events)) == (12, 192)
    faces, houses = (tuple(kinds.index[kinds == kind]) for kind in ("face", "house"))
    found = accuracy(responses, block, faces, houses)
    assert found > 0.75
    # Pictures of a block are alike, so that blocks are what is permuted: all pairs of pairs.
    pairs = list(combinations(kinds.index, 2))
    chance = [
        accuracy(responses, block, one, other)
        for number, one in enumerate(pairs)
        for other in pairs[number + 1 :]
        if not set(one) & set(other)
    ]
    assert len(chance) == 1485
    p = np.mean(np.array(chance) >= found - 1e-9)
    assert p <= 0.05
