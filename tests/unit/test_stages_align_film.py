"""A real film through `align`: the scores are those that the library gives by itself."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from braindata.align import DeterministicSRM
from braindata.align.evaluation import MATCHING, evaluate
from braindata.align.parameters import AlignSettings, find_groups
from braindata.config_regions import read_regions
from braindata.extract.strategies import Preset
from braindata.layout import Layout
from braindata.pack.store import Grid, write_store
from braindata.pull.local import write_manifest
from braindata.regions.files import RegionFiles
from braindata.stages import align
from braindata.stages.region_files import provide
from tests.bench.align_film import FOLDER, film
from tests.unit.align_stores import SPACE, TR, write_inventory

MASK = FOLDER / "roi-pmc_mask.nii"
REGION = """level: integration
regions:
- {name: pmc, processes: [memory], references: [the mask of the film data], space: MNI152,
   definition: {kind: mask, file: mask.nii.gz, source: the mask of the film data}}
"""


@pytest.mark.skipif(not MASK.is_file(), reason=f"{FOLDER} is not there")
def test_a_film_is_scored_as_the_library_scores_it(tmp_path: Path) -> None:
    image = nib.load(MASK)
    mask = np.asarray(image.dataobj) > 0
    # MATLAB counts along the first axis first.
    inside = np.array(np.unravel_index(np.flatnonzero(mask.ravel(order="F")), mask.shape, "F"))
    voxels = np.ravel_multi_index(inside, mask.shape)
    grid = Grid((mask.shape[0], mask.shape[1], mask.shape[2]), image.affine, SPACE)
    layout, halves, rows = Layout(tmp_path / "out"), film(), []
    for label, parts in halves.items():
        series = 1000 + 10 * np.concatenate(list(parts.values())).T
        name = f"sub-{label}_task-movie_bold"
        nothing = pd.DataFrame(index=range(series.shape[1]))
        everywhere = np.ones(len(voxels), bool)
        write_store(layout.store("ds", name), series, grid, voxels, everywhere, TR, nothing, {})
        told = {"dataset": "ds", "recording": name, "modality": "fmri", "subject": label}
        rows.append(told | {"unit": f"sub-{label}", "fits_alignment": True, "status": "used"})
    write_manifest(layout.manifest("ds"), [])
    write_inventory(layout, rows)
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), image.affine), tmp_path / "mask.nii.gz")
    (tmp_path / "pmc.yaml").write_text(REGION)
    found = read_regions(str(tmp_path / "pmc.yaml"))
    provide(layout, found.regions, RegionFiles(layout.regions(), found.files))
    group = find_groups(found.regions, ["pmc"])[0]
    chosen = align.Parameters(
        group=group,
        align=AlignSettings(method="srm", parcel_size=500, n_permutations=10),
        cleaning=Preset(strategy=(), detrend=False),
        shared_stimulus=True,
    )
    align.run(layout, "ds", chosen)
    table = pq.read_table(layout.alignment("ds", group.key)).to_pandas()
    scores = evaluate(DeterministicSRM, halves, [["second"]], n_permutations=1)
    expected = [one.after for one in scores if one.metric == MATCHING]
    # Not the same series: the stage standardises a whole run, the data are standardised already.
    assert np.allclose(table["matching_after"], expected, atol=0.03)
    assert table["matching_after"].mean() > 7 * table["matching_before"].mean()
    assert table["prediction_after"].mean() > table["prediction_before"].mean()
    assert table["matching_chance"].max() < 0.005
