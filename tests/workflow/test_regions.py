"""Regions made from files and from other regions, through Snakemake."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import yaml
from nilearn.datasets import load_mni152_brain_mask

import braindata
from braindata.files import sha256_file
from tests.unit.region_images import atlas, entry, sphere, write_labels, write_regions

from .conftest import REGIONS, Project


def leave_atlas(folder: Path) -> None:
    """Two parcels in the template's brain, one on each side."""
    template = load_mni152_brain_mask(resolution=2)
    labels = np.zeros(template.shape, np.int16)
    labels[34:39, 60:66, 40:46], labels[59:64, 60:66, 40:46] = 1, 2
    nib.save(nib.Nifti1Image(labels, template.affine), folder / "atlas.nii.gz")
    write_labels(folder, {"LH_one": 1, "RH_two": 2})


def add_regions(project: Project, *entries: dict[str, object]) -> None:
    file = write_regions(project.folder, *entries)
    regions = yaml.safe_load((project.folder / "my.yaml").read_text())["regions"]
    before = [regions] if isinstance(regions, str) else [one for one in regions if one != file.name]
    project.configure(regions=[*before, file.name])


def test_a_region_of_an_atlas_is_computed_alone(project: Project) -> None:
    leave_atlas(project.folder)
    both = {"kind": "union", "of": ["parcel", "vmpfc"]}
    union = {key: value for key, value in entry("both", both).items() if key != "space"}
    add_regions(project, entry("parcel", atlas()), union)
    planned = project.run("--dry-run")
    assert planned.returncode == 0, planned.text
    assert not (project.results / "regions").exists()
    run = project.run()
    assert run.returncode == 0, run.text
    once = dict.fromkeys(["connectivity", "signals", "publish", "report", "all"], 1)
    assert run.jobs == {"extract": 2, "derive": 2, **once}
    sha256 = sha256_file(project.folder / "atlas.nii.gz")
    assert [path.name for path in (project.results / "regions").iterdir()] == [f"{sha256}.nii.gz"]
    rows = braindata.open_tables(project.results)["regions"].to_pandas().set_index("region")
    assert set(rows.index) == {*REGIONS, "parcel", "both"}
    assert rows.loc["parcel", "placement"] == "same space"
    assert rows.loc["both", "placement"] == "accepted"
    assert rows.loc["both", "space"] == "MNI152+MNI152NLin2009aSym"
    assert rows.loc["parcel", "x"] < 0
    assert rows.loc["both", "n_voxels"] <= rows.loc[["parcel", "vmpfc"], "n_voxels"].sum()
    assert json.loads(rows.loc["parcel", "definition"])["sha256"] == sha256
    series = braindata.open_tables(project.results)["series"].to_pandas()
    assert series[series.region == "parcel"]["values"].notna().all()
    report = project.results / "report"
    assert "parcel" in (report / "regions.html").read_text()
    assert len(list((report / "pictures").glob("glass-*.svg"))) == len(REGIONS) + 2
    assert "1 region of parcels of an atlas" in (report / "methods.md").read_text()
    # Nothing changed, nothing is done.
    again = project.run()
    assert set(again.jobs) <= {"all"}, again.text
    # A parcel more is another region.
    add_regions(project, entry("parcel", atlas(parcels=["LH_one", "RH_two"])), union)
    assert project.run().jobs["extract"] == 2
    add_regions(project, entry("parcel", atlas(file="gone.nii.gz")))
    refused = project.run()
    assert refused.returncode == 2
    assert "there is no file gone.nii.gz" in refused.text


def test_faults_are_told_before_any_job(project: Project) -> None:
    leave_atlas(project.folder)
    write_labels(project.folder, {"LH_one": 2, "RH_two": 1})
    add_regions(project, entry("parcel", atlas()), entry("outside", sphere((-90, 80, 70))))
    before = project.files("series", "tables")
    run = project.run()
    assert run.returncode == 2, run.text
    assert not run.jobs
    assert "Traceback" not in run.text
    assert "region parcel: the parcel LH_one is left by its name" in run.text
    assert "region outside: 100% of it lies outside the brain" in run.text
    assert project.files("series", "tables") == before
