"""Derivatives of others in place of preprocessing: the same series, whatever they are called."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from braindata.layout import Layout
from braindata.receipts import Receipt
from braindata.stages.job import read_inventory
from tests.workflow.conftest import Project, Run

# What fMRIPrep 1.1 called the columns that it had; it had no derivatives and squares.
OLD_COLUMNS = {
    **{f"trans_{axis}": axis.upper() for axis in "xyz"},
    **{f"rot_{axis}": f"Rot{axis.upper()}" for axis in "xyz"},
    "csf": "CSF",
    "white_matter": "WhiteMatter",
    "global_signal": "GlobalSignal",
    "framewise_displacement": "FramewiseDisplacement",
    "std_dvars": "stdDVARS",
    "dvars": "non-stdDVARS",
}
SPACE = "space-MNI152NLin2009aSym"


def old_name(column: str) -> str:
    """Return the name that a column had in fMRIPrep 1.1."""
    column = re.sub(r"^([at])_comp_cor_(\d+)$", r"\1CompCor\2", column)
    column = re.sub(r"^cosine(\d+)$", r"Cosine\1", column)
    return OLD_COLUMNS.get(column, column)


def as_1_1(name: str) -> str | None:
    """Return the name of a file in fMRIPrep 1.1, if it wrote such a file."""
    renamed = {
        rf"_{SPACE}_res-3_desc-preproc_bold\.nii\.gz": f"_bold_{SPACE}_preproc.nii.gz",
        rf"_{SPACE}_res-3_desc-brain_mask\.nii\.gz": f"_bold_{SPACE}_brainmask.nii.gz",
        r"_desc-confounds_timeseries\.tsv": "_bold_confounds.tsv",
    }
    for pattern, new in renamed.items():
        if re.search(pattern, name):
            return re.sub(pattern, new, name).replace("run-01", "run-1")
    return None


def as_20(name: str) -> str | None:
    """Return the name of a file in fMRIPrep 20.0 and 20.1."""
    return name.replace("desc-confounds_timeseries", "desc-confounds_regressors")


def as_25(name: str) -> str | None:
    """Return the name of a file in fMRIPrep 25."""
    return name


def rename(source: Path, target: Path, named: Callable[[str], str | None]) -> Path:
    """Copy derivatives of one person under other names."""
    for path in sorted((source / "sub-01" / "func").iterdir()):
        name = named(path.name)
        if name is not None:
            (target / "sub-01" / "func").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / "sub-01" / "func" / name)
    return target


def rewrite_columns(folder: Path, *, drop: bool) -> None:
    """Give tables the columns of fMRIPrep 1.1, numbers as they are written."""
    for path in folder.rglob("*_confounds.tsv"):
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        if drop:
            table = table[[c for c in table if not re.search(r"_(derivative1|power2)", c)]]
        table.rename(columns=old_name).to_csv(path, sep="\t", index=False)


@pytest.fixture(scope="module")
def run(
    finished: tuple[Project, Run], bids: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Run]:
    """Our own derivatives under four conventions, beside raw data whose images nobody fetched."""
    folder = tmp_path_factory.mktemp("derivatives")
    made = finished[0].results / "derivatives" / "tiny"
    conventions = {"v1": as_1_1, "v1less": as_1_1, "v20": as_20, "v25": as_25}
    for name, named in conventions.items():
        rename(made, folder / name, named)
    rewrite_columns(folder / "v1", drop=False)
    rewrite_columns(folder / "v1less", drop=True)
    # A derivative that no recording was made of, and one of a person who has none.
    extra = folder / "v25" / "sub-01" / "func" / "sub-01_task-other_desc-confounds_timeseries.tsv"
    extra.write_text("csf\n1\n")
    shutil.copytree(bids, folder / "raw")
    for image in (folder / "raw").rglob("*.nii.gz"):
        image.unlink()
        image.symlink_to("../../.git/annex/objects/not-here")
    config = yaml.safe_load((finished[0].folder / "my.yaml").read_text())
    config["datasets"] = [
        {
            "id": name,
            "source": str(folder / "raw"),
            "derivatives": str(folder / name),
            "subjects": ["01"] if name != "v25" else [],
        }
        for name in conventions
    ]
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    project = Project(folder, finished[0].repository)
    shards = sorted((finished[0].results / "series" / "tiny").glob("*.receipt.json"))
    wanted = [f"results/series/{name}/{shard.name}" for name in conventions for shard in shards]
    return project, project.run(*wanted)


def series(project: Project, dataset: str) -> pd.DataFrame:
    """Return the series of one person, without what must differ."""
    tables = [
        pd.read_parquet(path)
        for path in sorted((project.results / "series" / dataset).glob("*.parquet"))
    ]
    table = pd.concat(tables)
    table = table[table["subject"] == "01"].drop(columns=["dataset"])
    return table.sort_values(["region", "recording", "strategy"]).reset_index(drop=True)


def assert_identical(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Compare bit by bit; pandas compares lists within a tolerance."""
    lists = ["values", "kept"]
    pd.testing.assert_frame_equal(
        found.drop(columns=lists), expected.drop(columns=lists), check_exact=True
    )
    for name in lists:
        for ours, theirs in zip(found[name], expected[name], strict=True):
            assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


@pytest.mark.parametrize("convention", ["v1", "v20", "v25"])
def test_every_convention_gives_the_series_of_native(
    finished: tuple[Project, Run], run: tuple[Project, Run], convention: str
) -> None:
    assert run[1].returncode == 0, run[1].text
    expected = series(finished[0], "tiny")
    assert set(expected["strategy"]) == {"none", "simple"}
    assert_identical(series(run[0], convention), expected)


def test_what_version_1_did_not_write_is_computed(
    finished: tuple[Project, Run], run: tuple[Project, Run]
) -> None:
    """Derivatives and squares of rounded numbers: the cleaned series differ in the last digits."""
    expected, found = series(finished[0], "tiny"), series(run[0], "v1less")
    uncleaned = expected["strategy"] == "none"
    assert_identical(found[uncleaned], expected[uncleaned])
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-4, atol=1e-5)


def test_what_is_not_there_on_either_side_is_told(run: tuple[Project, Run]) -> None:
    layout = Layout(run[0].results)
    rows = {row["subject"]: row for row in read_inventory(layout, "v25")}
    assert rows["01"]["status"] == "used"
    assert (rows["01"]["fetched"], rows["01"]["sha256"]) == (False, None)
    # That their images are not there is what was asked for.
    assert rows["01"]["validator_errors"] == []
    assert rows["02"]["status"] == "quarantined"
    assert "hold nothing of this recording" in rows["02"]["reason"]
    assert "fMRIPrep fail" in rows["02"]["hint"]
    log = run[0].log("curate", "v25.log")
    assert "the derivatives of sub-01_task-other have no raw recording" in log


def test_contents_are_there_once(run: tuple[Project, Run]) -> None:
    layout = Layout(run[0].results)
    receipt = Receipt.read(layout.receipt("derivatives", "v1", "sub-01"))
    (name,) = receipt.with_state("done")
    assert receipt.notes["backend"] == {name: "derivatives"}
    assert receipt.notes["space"] == {name: "MNI152NLin2009aSym"}
    bold = next(p for p in receipt.notes["files"][name] if p.endswith("_bold.nii.gz"))
    assert "run-01_space" in bold or "run-" not in bold
    real = (layout.output / bold).resolve()
    assert real.is_relative_to(run[0].folder / "v1")
