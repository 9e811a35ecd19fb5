"""The whole chain through Snakemake, as a user runs it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

import braindata
from braindata.status.overview import overview
from braindata.tables.releases import list_releases, read_release
from braindata.tables.rules import QUALITY
from braindata.tables.schemas import TABLES

from .conftest import REGIONS, TINY, Project, Run, reverse_in_time
from .counting import files_of_person

# Figures of quality that fMRI does not have.
OF_EEG = {
    "n_bad_channels",
    "n_components_removed",
    "share_rejected",
    "line_noise_ratio",
    "evoked_snr",
    "aperiodic_exponent",
}


def release_files(project: Project) -> list[str]:
    return sorted(read_release(project.results / "tables").paths())


def test_from_a_bids_folder_to_tables(finished: tuple[Project, Run]) -> None:
    project, run = finished
    assert run.returncode == 0, run.text
    tables = braindata.open_tables(project.results)
    assert tables.release == 1
    recordings = tables["recordings"].to_pandas()
    assert list(recordings["status"]) == ["used"] * TINY.n_subjects
    assert set(recordings["space"]) == {"MNI152NLin2009aSym"}
    assert recordings[["fd_mean", "tsnr_median", "registration_dice"]].notna().all(axis=None)
    trials = tables["trials"].to_pandas()
    assert len(trials) == TINY.n_subjects * TINY.n_trials * len(REGIONS)
    assert set(trials["region"]) == set(REGIONS)
    assert list(trials.columns) == TABLES["trials"].names
    signals = tables["signals"].to_pandas()
    assert len(signals) == TINY.n_subjects * TINY.n_trials * 5
    assert signals["estimate"].notna().sum() == trials["estimate"].notna().sum() / 2 * 5
    assert signals["evidence_r"].isna().all()
    assert signals["evidence_reason"].notna().all()
    fits = tables["signal_fits"].to_pandas()
    assert len(fits) == TINY.n_subjects * 5
    series = tables["series"].to_pandas()
    assert set(series["strategy"]) == {"none", "simple"}
    assert all(len(values) == TINY.n_volumes for values in series["values"])
    assert sorted(tables["regions"].to_pandas()["region"]) == sorted(REGIONS)
    report = project.results / "report"
    assert "<svg" in (report / "index.html").read_text()
    assert "vmpfc" in (report / "regions.html").read_text()
    assert len(list((report / "recordings/tiny").glob("*.html"))) == TINY.n_subjects
    pictures = Counter(path.name.split("-")[0] for path in (report / "pictures").glob("*-*"))
    of_recording = ("carpet", "motion", "boldref", "t1w", "before", "edges", "tsnr", "dropout")
    each = dict.fromkeys(of_recording, TINY.n_subjects)
    assert pictures == each | dict.fromkeys(("glass", "slices"), len(REGIONS)) | {"template": 1}


def test_all_data_sets_are_pulled_and_curated_side_by_side(
    bids: Path, new_project: Callable[[Path], Project]
) -> None:
    project = new_project(bids)
    body = yaml.safe_load((project.folder / "my.yaml").read_text())
    one = body["datasets"][0]
    project.configure(datasets=[one | {"id": name} for name in ("first", "second", "third")])
    planned = dict(re.findall(r"^(pull|curate) +(\d+)$", project.run("-n").text, re.MULTILINE))
    assert planned == {"pull": "3", "curate": "3"}


def test_raw_data_are_linked_and_not_changed(finished: tuple[Project, Run], bids: Path) -> None:
    links = list((finished[0].results / "raw").rglob("*.nii.gz"))
    assert links
    assert all(path.is_symlink() and path.resolve().is_relative_to(bids) for path in links)


def test_a_recording_is_few_files(finished: tuple[Project, Run]) -> None:
    files = files_of_person(finished[0], "01")
    # One run a person: the store, two receipts, a log, a benchmark, a note of Snakemake, pages of
    # the run and of the person. 12 are allowed; one more, times 20,000, is worth a thought.
    assert len(files) == 8, files


def test_the_same_command_again_does_nothing(project: Project) -> None:
    before = project.files("packed", "series", "derived", "tables", "report")
    run = project.run()
    assert run.returncode == 0, run.text
    assert "Nothing to be done" in run.text
    assert run.jobs == Counter()
    assert "Nothing to be done" in project.run("-n", "only_tiny").text
    assert project.files("packed", "series", "derived", "tables", "report") == before


@pytest.mark.slow
def test_any_deleted_file_is_made_again(project: Project) -> None:
    before = release_files(project)
    shards = {name: (project.results / "tables" / name).read_bytes() for name in before}
    deleted = sorted(
        path for name in ("packed", "series", "derived") for path in project.files(name)
    )
    # One region stands for all, so that this takes seconds: a store, its receipt and the sum;
    # 2 shards and 2 receipts of a region; 3 shards and a receipt of behaviour; of connectivity a
    # shard, what it was made from, and a receipt.
    deleted = [name for name in deleted if "visual" not in name]
    # Of two people one.
    deleted = [name for name in deleted if "sub-02" not in name]
    # Of one process 2 shards and a receipt.
    deleted = [n for n in deleted if "/signal" not in n or Path(n).name.startswith("value.")]
    assert len(deleted) == 2 + 1 + 4 + 4 + 3 + 3
    # Of what was preprocessed the receipt alone; it is no file that Snakemake knows.
    deleted.append("derivatives/tiny/sub-01.receipt.json")
    for name in deleted:
        (project.results / name).unlink()
        run = project.run()
        assert run.returncode == 0, run.text
        assert (project.results / name).is_file(), name
    assert "Nothing to be done" in project.run("-n").text
    # A published file, too: its contents are those of the job's shard.
    (project.results / "tables" / before[0]).unlink()
    assert project.run().jobs == Counter(publish=1, report=1, all=1)
    assert list_releases(project.results / "tables") == [1]
    assert release_files(project) == before
    assert {n: (project.results / "tables" / n).read_bytes() for n in before} == shards


def test_a_new_region_runs_its_own_jobs_only(project: Project, regions: Path) -> None:
    added = project.folder / "mine.yaml"
    body = yaml.safe_load((regions / "valuation.yaml").read_text())
    body["regions"][0]["name"] = "my_vmpfc"
    body["regions"][0]["definition"]["spheres"][0]["radius"] = 6
    added.write_text(yaml.safe_dump(body))
    project.configure(regions=[str(regions), "mine.yaml"])
    before = project.files("raw", "curated", "derivatives", "packed", "series", "derived", "tables")
    pictures = project.files("report/pictures")
    run = project.run()
    assert run.returncode == 0, run.text
    assert run.jobs == Counter(
        extract=1, derive=1, connectivity=1, signals=3, publish=1, report=1, all=1
    )
    after = project.files("raw", "curated", "derivatives", "packed", "series", "derived", "tables")
    kept = {name: facts for name, facts in after.items() if name in before}
    changed = {name for name, facts in before.items() if kept.get(name) != facts}
    # The processes that the new region is tied to as well, and no others.
    tied = ("value", "confidence", "self_control")
    # Of connectivity only the new pairs are computed, but a data set has one file.
    of_pairs = {f"derived/tiny/connectivity.{e}" for e in ("parquet", "parts.json", "receipt.json")}
    assert changed == {"tables/publish.receipt.json", *of_pairs} | {
        f"derived/tiny/{file}"
        for name in tied
        for file in (
            f"signals/{name}.parquet",
            f"signals/{name}.receipt.json",
            f"signal_fits/{name}.parquet",
        )
    }
    drawn = {n: f for n, f in project.files("report/pictures").items() if pictures.get(n) != f}
    # Of the new region alone: where it lies, and how it responds.
    assert sorted(re.split(r"[-/.]", name)[2] for name in drawn if "-" in name) == [
        "glass",
        "slices",
    ]
    assert len(drawn) == 4
    assert list_releases(project.results / "tables") == [1, 2]
    first = braindata.open_tables(project.results, version=1)
    assert set(first["trials"].to_pandas()["region"]) == set(REGIONS)
    newest = braindata.open_tables(project.results)
    assert set(newest["trials"].to_pandas()["region"]) == {*REGIONS, "my_vmpfc"}
    # Without it again: the first contents, in a new release.
    project.configure(regions=str(regions))
    run = project.run()
    assert run.jobs == Counter(connectivity=1, signals=3, publish=1, report=1, all=1), run.text
    third = braindata.open_tables(project.results)
    assert third.release == 3
    assert read_release(project.results / "tables", 3).paths() == (
        read_release(project.results / "tables", 1).paths()
    )


def test_any_shard_is_readable_by_pandas_and_a_moved_folder_by_us(project: Project) -> None:
    for name, schema in TABLES.items():
        for path in read_release(project.results / "tables").paths():
            if path.startswith(f"{name}/"):
                frame = pd.read_parquet(project.results / "tables" / path)
                assert list(frame.columns) == schema.names
    moved = project.folder.parent / "moved"
    before = braindata.open_tables(project.results)["trials"].to_pandas()
    shutil.move(project.results, moved)
    pd.testing.assert_frame_equal(braindata.open_tables(moved)["trials"].to_pandas(), before)


def test_a_new_subject_touches_no_other(
    project: Project, bids: Path, tmp_path: Path, finished: tuple[Project, Run]
) -> None:
    source = tmp_path / "bids"
    shutil.copytree(bids, source)
    for path in sorted((source / "sub-02").rglob("*")):
        if path.is_file():
            target = Path(str(path).replace("sub-02", "sub-03"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (source / "participants.tsv").unlink()
    project.configure(datasets=[{"id": "tiny", "source": str(source)}])
    before = project.files("derivatives/tiny/sub-01", "packed/tiny")
    run = project.run()
    assert run.returncode == 0, run.text
    after = project.files("derivatives/tiny/sub-01", "packed/tiny")
    assert {name: after[name] for name in before} == before
    assert run.jobs["preprocess"] == 1
    trials = braindata.open_tables(project.results)["trials"].to_pandas()
    assert set(trials["subject"]) == {"01", "02", "03"}
    # The copied person has the same brain and so the same numbers.
    values = trials.pivot_table(index=["region", "trial"], columns="subject", values="estimate")
    assert (values["02"] == values["03"]).all()
    assert not project.run().jobs
    # Whose data change is computed again, also where Snakemake's notes are gone or not asked.
    shutil.rmtree(project.folder / ".snakemake")
    (bold,) = (source / "sub-03/func").glob("*_bold.nii.gz")
    reverse_in_time(bold)
    run = project.run("--rerun-triggers", "mtime")
    assert run.returncode == 0, run.text
    assert run.jobs["preprocess"] == 1
    later = project.files("derivatives/tiny/sub-01", "packed/tiny")
    different = {name for name in after if later[name] != after[name]}
    assert different
    assert all("sub-03" in name or name.endswith("units.json") for name in different)


def test_bad_data_are_left_out_and_the_rest_goes_on(
    bids: Path, new_project: Callable[[Path], Project], tmp_path: Path
) -> None:
    source = tmp_path / "bids"
    shutil.copytree(bids, source)
    (bold,) = (source / "sub-01/func").glob("*_bold.nii.gz")
    whole = bold.read_bytes()
    bold.write_bytes(whole[: len(whole) // 2])
    project = new_project(source)
    run = project.run()
    assert run.returncode == 0, run.text
    recordings = braindata.open_tables(project.results)["recordings"].to_pandas()
    status = dict(zip(recordings["subject"], recordings["status"], strict=True))
    assert status == {"01": "quarantined", "02": "used"}
    hurt = recordings[recordings["subject"] == "01"].iloc[0]
    assert hurt["stage"] == "preprocess"
    assert hurt["reason"]
    assert hurt["hint"]
    assert hurt["reason"] in (project.results / "report/index.html").read_text()
    page = project.results / f"report/recordings/tiny/{hurt['recording']}.html"
    assert "logs/preprocess/tiny/sub-01.log" in page.read_text()
    assert (project.results / "logs/preprocess/tiny/sub-01.log").is_file()
    # Mended, it comes in; the other person is not computed again.
    bold.write_bytes(whole)
    run = project.run()
    assert run.returncode == 0, run.text
    assert run.jobs["preprocess"] == 1
    recordings = braindata.open_tables(project.results)["recordings"].to_pandas()
    assert list(recordings["status"]) == ["used", "used"]


def test_a_killed_run_goes_on_and_gives_the_same_bytes(
    bids: Path, new_project: Callable[[Path], Project], finished: tuple[Project, Run]
) -> None:
    project = new_project(bids)
    process = project.start()
    deadline = time.monotonic() + 400
    while not list(project.results.glob("derivatives/tiny/sub-*/anat/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    run = project.run()
    assert run.returncode == 0, run.text
    assert release_files(project) == release_files(finished[0])


def test_an_edited_source_is_not_forgotten_by_a_kill(
    project: Project, bids: Path, tmp_path: Path
) -> None:
    source = tmp_path / "bids"
    shutil.copytree(bids, source)
    project.configure(datasets=[{"id": "tiny", "source": str(source)}])
    assert project.run().returncode == 0
    (events,) = (source / "sub-01/func").glob("*_events.tsv")
    lines = events.read_text().splitlines(keepends=True)
    cells = lines[2].split("\t")
    cells[0] = f"{float(cells[0]) + 0.5:g}"
    events.write_text("".join([*lines[:2], "\t".join(cells), *lines[3:]]))
    # As if killed when the inventory was made: what follows did not run.
    assert project.run("--until", "curate").returncode == 0
    shutil.rmtree(project.folder / ".snakemake" / "log")
    assert project.run().returncode == 0
    trials = braindata.open_tables(project.results)["trials"].to_pandas()
    edited = trials[(trials["subject"] == "01") & (trials["trial"] == 1)]
    assert set(edited["onset"]) == {float(cells[0])}
    assert "up to date" in project.log("preprocess", "tiny", "sub-01.log")


def test_an_edited_description_reaches_the_tables(project: Project, regions: Path) -> None:
    copy = project.folder / "regions"
    shutil.copytree(regions, copy)
    body = yaml.safe_load((copy / "valuation.yaml").read_text())
    body["regions"][0]["processes"] = ["value"]
    (copy / "valuation.yaml").write_text(yaml.safe_dump(body))
    project.configure(regions=str(copy))
    assert project.run().returncode == 0
    tables = braindata.open_tables(project.results)
    described = tables["regions"].to_pandas().set_index("region")
    assert list(described.loc["vmpfc", "processes"]) == ["value"]
    # Its voxels are the same, and so are the shards that hold numbers.
    first, second = (set(read_release(project.results / "tables", n).paths()) for n in (1, 2))
    # But it stands for other processes now.
    changed = {name.split("/")[0] for name in first ^ second}
    assert changed == {"regions", "signals", "signal_fits"}


def test_a_rule_of_quality_recomputes_nothing_before_publish(project: Project) -> None:
    before = project.files("curated", "derivatives", "packed", "series", "derived")
    released = release_files(project)
    recordings = braindata.open_tables(project.results)["recordings"].to_pandas()
    worst = recordings.sort_values("fd_mean").iloc[-1]
    threshold = recordings["fd_mean"].mean()

    def run(said: str) -> dict[str, pd.DataFrame]:
        done = project.run()
        assert done.returncode == 0, done.text
        assert done.jobs == Counter({"publish": 1, "report": 1, "all": 1})
        assert project.files(*("curated", "derivatives", "packed", "series", "derived")) == before
        left_out = overview(project.results).with_state("excluded")
        assert len(left_out) == (1 if said else 0)
        assert all(said in str(one.reason) and one.stage == "publish" for one in left_out)
        assert said in (project.results / "report/index.html").read_text()
        tables = braindata.open_tables(project.results)
        return {name: tables[name].to_pandas() for name in ("recordings", "series", "trials")}

    # Every figure is there, and any can leave out.
    figures = [name for name, kind in QUALITY.items() if kind == "number" and name not in OF_EEG]
    assert set(figures) <= set(recordings.columns)
    assert recordings[figures].notna().all(axis=None)
    rules = [f"mean_fd > {threshold}", "boundary_cost > 1.9", "ofc_signal_loss > 1"]
    project.configure(publish={"exclude": rules})
    held = run("publish.exclude has the rule")
    row = held["recordings"].set_index("recording").loc[worst["recording"]]
    assert (row["status"], row["stage"]) == ("excluded", "publish")
    assert row["fd_mean"] == worst["fd_mean"]
    for table in ("series", "trials"):
        assert set(held[table]["recording"]) == set(recordings["recording"]) - {worst["recording"]}
    # A person brings it back, and another one leaves it out.
    signed = {"who": "A. Author", "when": "2026-01-31", "why": "its end only", "stage": "publish"}
    decision = {"recording": worst["recording"], **signed}
    file = project.folder / "config/exclusions/tiny.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump({"include": [decision]}))
    run("")
    assert [name for name in release_files(project) if "recordings" not in name] == [
        name for name in released if "recordings" not in name
    ]
    file.write_text(yaml.safe_dump({"exclude": [decision]}))
    run("its end only (A. Author, 2026-01-31)")


def test_what_snakemake_forgot_is_in_the_receipts(project: Project) -> None:
    # Without its metadata, a changed option is still noticed.
    shutil.rmtree(project.folder / ".snakemake")
    project.configure(derive={"high_pass": 0.01})
    (project.results / "curated/tiny.parquet").unlink()
    run = project.run()
    assert run.returncode == 0, run.text
    assert run.jobs["derive"] == len(REGIONS)
    assert (project.results / "curated/tiny.parquet").is_file()
    assert braindata.open_tables(project.results).release == 2


def test_two_at_once_are_refused(bids: Path, new_project: Callable[[Path], Project]) -> None:
    project = new_project(bids)
    first = project.start()
    deadline = time.monotonic() + 60
    while not (project.results / "raw").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = project.run()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert second.returncode != 0
    assert "another Snakemake" in second.text
    assert "Traceback" not in second.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regoins": "x"}, "did you mean regions?"),
        ({"datasets": [{"id": "tiny", "source": "nowhere"}]}, "there is no folder nowhere"),
    ],
)
def test_a_wrong_config_is_one_error(
    bids: Path, new_project: Callable[[Path], Project], changes: dict[str, object], message: str
) -> None:
    project = new_project(bids)
    project.configure(**changes)
    run = project.run()
    assert run.returncode != 0
    assert message in run.text
    assert "Traceback" not in run.text
    assert not project.results.exists()
