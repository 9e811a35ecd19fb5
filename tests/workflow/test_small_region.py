"""A region smaller than the voxels of one data set: the others have it, and it says why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml

import braindata
from braindata.regions.template import template_grid
from tests.unit.region_images import entry, sphere, write_regions

from .conftest import REGIONS, Project

REASON = "holds no voxel of the image grid (voxels of 6 × 6 × 6 mm)"


def coarse_derivatives(project: Project, target: Path) -> Path:
    """Every second voxel along each axis of what was preprocessed at 3 mm, of one person."""
    source = project.results / "derivatives" / "tiny" / "sub-01" / "func"
    func = target / "sub-01" / "func"
    func.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name.endswith(("_desc-preproc_bold.nii.gz", "_desc-brain_mask.nii.gz")):
            nib.save(nib.load(path).slicer[::2, ::2, ::2], func / path.name)
        elif "_desc-confounds_timeseries." in path.name:
            shutil.copyfile(path, func / path.name)
    return target


def between(resolution: int) -> tuple[float, float, float]:
    """A voxel of the template's grid that a grid twice as coarse has not, inside the brain."""
    grid = template_grid(resolution)
    inside = [one for one in np.argwhere(grid.brain).tolist() if all(n % 2 for n in one)]
    x, y, z = (grid.affine @ [*inside[len(inside) // 2], 1])[:3].tolist()
    return x, y, z


def add_region(project: Project, name: str, center: tuple[float, float, float]) -> None:
    """Add a region of one sphere with a radius of 1 mm."""
    write_regions(project.folder, entry(name, sphere(center, 1.0), space="MNI152"))
    known = yaml.safe_load((project.folder / "my.yaml").read_text())["regions"]
    known = [known] if isinstance(known, str) else known
    project.configure(regions=sorted({*known, "mine.yaml"}))


@pytest.mark.slow
def test_a_data_set_with_larger_voxels_goes_without_a_small_region(
    project: Project, bids: Path
) -> None:
    center = between(3)
    add_region(project, "speck", center)
    coarse = {
        "id": "coarse",
        "source": str(bids),
        "derivatives": str(coarse_derivatives(project, project.folder / "others")),
        "subjects": ["01"],
    }
    tiny = yaml.safe_load((project.folder / "my.yaml").read_text())["datasets"][0]
    align = {"groups": ["levels", "speck"], "n_permutations": 10, "n_targets": 30}
    project.configure(datasets=[coarse, tiny], align=align)
    run = project.run()
    assert run.returncode == 0, run.text
    assert "3 recordings used (1 of them in part)" in run.text

    tables = braindata.open_tables(project.results)
    series = tables["series"].to_pandas().set_index(["dataset", "region"])
    assert set(series.index) == {
        *(("coarse", region) for region in REGIONS),
        *(("tiny", region) for region in (*REGIONS, "speck")),
    }
    assert series["values"].notna().all()
    assert set(series.loc[("tiny", "speck"), "n_voxels"]) == {1}
    trials = tables["trials"].to_pandas()
    assert set(trials[trials.region == "speck"]["dataset"]) == {"tiny"}
    # It is used, and says of which region nothing is there, why, and what to do.
    rows = tables["recordings"].to_pandas(where={"status": "used"}).set_index("dataset")
    assert sorted(rows.index) == ["coarse", "tiny", "tiny"]
    assert rows.loc["tiny", "reason"].isna().all()
    assert rows.loc["coarse", "stage"] == "extract"
    told = rows.loc["coarse", "reason"]
    assert told.startswith("region speck: the sphere of 1 × 1 × 1 mm around (")
    assert told.endswith(f"{REASON} (in 1 of 3 regions)")
    assert rows.loc["coarse", "hint"] == "check its coordinates, or make it larger"
    # Where it is and how large, from the data set that has it.
    row = tables["regions"].to_pandas().set_index("region").loc["speck"]
    assert (row["n_voxels"], row["volume"]) == (1, 27)
    assert np.allclose(row[["x", "y", "z"]].astype(float), center)
    pairs = tables["connectivity"].to_pandas()
    pairs = pairs[(pairs.dataset == "coarse") & (pairs.kind == "correlation")]
    missing = pairs[(pairs.region_a == "speck") | (pairs.region_b == "speck")]
    assert (len(pairs), len(missing)) == (3, 2)
    assert missing["value"].isna().all() and set(missing["reason"]) == {"speck: it has no series"}
    assert pairs.drop(missing.index)["value"].notna().all()
    people = tables["alignment"].to_pyarrow().to_pylist()
    groups = {(row["dataset"], row["region_group"]): row for row in people}
    assert REASON in groups["coarse", "speck"]["reason"]
    assert groups["coarse", "valuation"]["regions"] == ["vmpfc"]
    assert groups["tiny", "valuation"]["regions"] == ["speck", "vmpfc"]
    report = project.results / "report"
    assert len(list((report / "pictures").glob("glass-*.svg"))) == len(REGIONS) + 1
    assert REASON in (report / "index.html").read_text()

    state = project.braindata("status", "--json", "results")
    assert state.returncode == 3, state.stderr
    found = json.loads(state.stdout)["left_out"]
    (left,) = [one for one in found if one["state"] != "excluded"]
    assert (left["dataset"], left["state"], left["stage"]) == ("coarse", "used_in_part", "extract")
    assert set(project.run().jobs) <= {"all"}

    # Without the others there is nothing of it, and all else is there.
    project.configure(datasets=[coarse], align={})
    run = project.run()
    assert run.returncode == 0, run.text
    tables = braindata.open_tables(project.results)
    assert set(tables["series"].to_pandas()["region"]) == set(REGIONS)
    assert tables["regions"].to_pandas().set_index("region")["n_voxels"].isna()["speck"]
    assert len(list((report / "pictures").glob("glass-*.svg"))) == len(REGIONS)
    assert "speck" in (report / "regions.html").read_text()
    # Where it is all that was asked for, the recording is of no use.
    project.configure(regions=["mine.yaml"])
    run = project.run()
    assert run.returncode == 0, run.text
    (row,) = (
        braindata.open_tables(project.results)["recordings"]
        .to_pandas(where={"subject": "01"})
        .to_dict("records")
    )
    assert (row["status"], row["stage"]) == ("quarantined", "extract")
    assert row["reason"].endswith(REASON)

    # On no grid that is known before the run there is a voxel: nothing is begun.
    x, y, z = center
    add_region(project, "nowhere", (x + 1.5, y + 1.5, z + 1.5))
    before = project.files("series", "tables")
    refused = project.run()
    assert refused.returncode == 2, refused.text
    assert not refused.jobs
    assert "region nowhere: the sphere of 1 × 1 × 1 mm" in refused.text
    assert "(voxels of 3 × 3 × 3 mm)" in refused.text
    assert project.files("series", "tables") == before
