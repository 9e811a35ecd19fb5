"""Status, damage and repair of what Snakemake made, as a user meets them."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import braindata
from braindata.status.overview import overview
from braindata.status.verify import verify
from braindata.tables.releases import read_release

from .conftest import REGIONS, TINY, Project, Run


def command(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "braindata.cli", *arguments]
    return subprocess.run(line, cwd=project.folder, capture_output=True, text=True, check=False)


def one(project: Project, pattern: str) -> Path:
    return sorted(project.results.glob(pattern))[0]


def flip(path: Path) -> None:
    """Change one byte in the middle, in place."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_status_of_a_finished_run(project: Project, finished: tuple[Project, Run]) -> None:
    assert "Release 1: 2 recordings used.\n" in finished[1].text
    run = command(project, "status", "results", "--json")
    assert run.returncode == 0, run.stderr
    body = json.loads(run.stdout)
    assert body["state"] == "done"
    assert body["planned"]
    assert {stage: row["done"] for stage, row in body["jobs"].items()} == {
        "pull": 1,
        "curate": 1,
        "preprocess": TINY.n_subjects,
        "pack": TINY.n_subjects,
        "extract": len(REGIONS),
        "derive": len(REGIONS),
        "latents": 1,
        "connectivity": 1,
        "signals": 5,
        "publish": 1,
        "report": 1,
    }
    assert sum(sum(row.values()) for row in body["jobs"].values()) == 19
    assert body["recordings"]["used"] == TINY.n_subjects
    assert command(project, "verify", "results", "--raw").returncode == 0


@pytest.mark.slow
def test_a_failed_job_is_told_and_where_its_log_is(project: Project) -> None:
    # The store cannot be written: somebody put a folder in its place.
    one(project, "packed/tiny/sub-01*.h5").unlink()
    (project.results / "packed/tiny/sub-01_task-gamble_run-01_bold.h5" / "x").mkdir(parents=True)
    run = project.run()
    assert run.returncode == 1
    told = run.text[run.text.index("1 job failed") :]
    assert "pack tiny/sub-01: " in told
    assert "log: results/logs/preprocess/tiny/sub-01.log" in told
    assert "the same command goes on from there" in told
    shown = command(project, "status", "results")
    assert shown.returncode == 1
    assert "Failed jobs" in shown.stdout
    assert "pack tiny/sub-01" in shown.stdout
    # In its results are no unknown files, and what failed is no damage.
    shutil.rmtree(one(project, "packed/tiny/sub-01*.h5"))
    assert command(project, "run", *RUN(project)).returncode == 0
    assert command(project, "status", "results").returncode == 0


def RUN(project: Project) -> list[str]:
    return [
        "--cores", "2", "--configfile", "my.yaml", "--", "-s", str(project.repository / "Snakefile")
    ]  # fmt: skip


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a derivative altered": ("derivatives/tiny/sub-01/func/*confounds*.tsv", flip, "altered"),
    "a derivative cut": ("derivatives/tiny/sub-01/func/*desc-preproc_bold.nii.gz", cut, "altered"),
    "a derivative gone": ("derivatives/tiny/sub-01/anat/*_T1w.json", Path.unlink, "missing"),
    "a store altered": ("packed/tiny/sub-02*.h5", flip, "altered"),
    "series cut": ("series/tiny/visual*.parquet", cut, "altered"),
    "trials emptied": ("derived/tiny/trials/vmpfc*.parquet", empty, "altered"),
    "an inventory altered": ("curated/tiny.parquet", flip, "altered"),
    "a receipt cut": ("series/tiny/vmpfc*.receipt.json", cut, "unreadable"),
    "a receipt of another job": (
        "derived/tiny/trials/visual*.receipt.json",
        lambda p: p.write_text(p.read_text().replace('"derive"', '"extract"')),
        "altered",
    ),
    "a published file altered": ("tables/series/*/*.parquet", flip, "altered"),
    "a published file cut": ("tables/recordings/*/*.parquet", cut, "altered"),
    "a published file gone": ("tables/regions/*/*.parquet", Path.unlink, "missing"),
    "the release altered": (
        "tables/releases/1.json",
        lambda p: p.write_text(p.read_text().replace('"created": "2', '"created": "1')),
        "altered",
    ),
    "a raw link gone": ("raw/tiny/README.md", Path.unlink, "missing"),
    "a verdict altered": ("curated/tiny.validation.json", flip, "altered"),
    "the page altered": ("report/index.html", flip, "altered"),
}  # fmt: skip


@pytest.mark.slow
def test_damage_is_found_and_mended_by_the_advice(project: Project) -> None:
    """All at once, each named; then what the advice says, and the same command."""
    before = read_release(project.results / "tables").paths()
    shards = {name: (project.results / "tables" / name).read_bytes() for name in before}
    expected = {}
    for pattern, damage, kind in DAMAGE.values():
        path = one(project, pattern)
        damage(path)
        expected[path.relative_to(project.results).as_posix()] = kind
    assert len(expected) == len(DAMAGE)
    run = command(project, "verify", "results", "--json")
    assert run.returncode == 1, run.stderr
    findings = {finding["file"]: finding for finding in json.loads(run.stdout)["findings"]}
    assert {name: finding["kind"] for name, finding in findings.items()} == expected
    shown = command(project, "verify", "results").stdout
    for name, finding in findings.items():
        assert name in shown
        assert finding["hint"] in shown
        assert all(deleted.split("/")[-1] in finding["hint"] or deleted == name
                   for deleted in finding["delete"])  # fmt: skip
    for name in {name for finding in findings.values() for name in finding["delete"]}:
        (project.results / name).unlink(missing_ok=True)
    assert project.run().returncode == 0
    assert verify(project.results, raw=True).findings == ()
    assert overview(project.results).exit_code == 0
    assert read_release(project.results / "tables").paths() == before
    assert {n: (project.results / "tables" / n).read_bytes() for n in before} == shards
    braindata.open_tables(project.results)["trials"].to_pandas()


def test_a_damaged_report_alone_is_mended(project: Project) -> None:
    """Of its files Snakemake knows the first page and the receipt only."""
    style = project.results / "report/assets/site.css"
    before = style.read_bytes()
    flip(style)
    assert command(project, "verify", "results", "--repair").returncode == 0
    assert command(project, "status", "results").returncode == 1
    assert project.run().jobs == Counter(report=1, all=1)
    assert style.read_bytes() == before
    assert command(project, "status", "results").returncode == 0


def test_shared_contents_are_damaged_twice_and_mended(project: Project) -> None:
    # As where the folder was made: the published file is a link to the job's shard.
    shard = one(project, "series/tiny/visual*.parquet")
    (published,) = (
        path
        for path in project.results.glob("tables/series/*/*.parquet")
        if path.read_bytes() == shard.read_bytes()
    )
    published.unlink()
    os.link(shard, published)
    before = shard.read_bytes()
    flip(shard)
    (project.results / "tables/.part-7-x.parquet").write_bytes(b"x")
    (project.results / "notes.txt").write_text("mine")
    run = command(project, "verify", "results", "--repair", "--json")
    body = json.loads(run.stdout)
    assert run.returncode == 0, run.stdout
    kinds = {finding["file"]: finding["kind"] for finding in body["findings"]}
    names = [path.relative_to(project.results).as_posix() for path in (shard, published)]
    assert kinds == {
        names[0]: "altered",
        names[1]: "altered",
        "tables/.part-7-x.parquet": "temporary",
        "notes.txt": "unknown",
    }
    assert set(body["deleted"]) == {
        names[0].replace(".parquet", ".receipt.json"), names[1], "tables/.part-7-x.parquet"
    }  # fmt: skip
    assert project.run().returncode == 0
    assert shard.read_bytes() == published.read_bytes() == before
    after = verify(project.results)
    assert [finding.file for finding in after.findings] == ["notes.txt"]
    assert after.exit_code == 0


@pytest.mark.slow
def test_a_lost_delta_log(project: Project) -> None:
    log = one(project, "tables/trials/_delta_log/*.json")
    cut(log)
    shutil.move(log, log.with_suffix(".txt"))
    (finding,) = verify(project.results).findings
    assert (finding.file, finding.kind) == ("tables/trials/_delta_log", "unreadable")
    assert "delete the folder tables and run again" in finding.hint
    assert command(project, "verify", "results", "--repair").returncode == 1
    shutil.rmtree(project.results / "tables")
    assert project.run().jobs == Counter(publish=1, report=1, all=1)
    assert verify(project.results).findings == ()
    assert braindata.open_tables(project.results).release == 1


def test_repair_and_status_while_a_run_goes_on(project: Project) -> None:
    one(project, "derivatives/tiny/sub-01.receipt.json").unlink()
    process = project.start()
    log = project.results / "logs/preprocess/tiny/sub-01.log"
    started = time.time()
    try:
        while not (log.exists() and log.stat().st_mtime > started):
            assert time.time() < started + 60
            assert process.poll() is None
            time.sleep(0.05)
        body = json.loads(command(project, "status", "results", "--json").stdout)
        assert body["state"] == "running"
        assert body["process"] == str(process.pid)
        assert [job["job"] for job in body["unfinished_jobs"]] == ["tiny/sub-01"]
        assert [job["state"] for job in body["unfinished_jobs"]] == ["running"]
        refused = command(project, "verify", "results", "--repair")
        assert refused.returncode == 1
        assert "another Snakemake" in refused.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    (job,) = (s for s in overview(project.results).jobs if s.state not in ("done", "waiting"))
    assert (job.job.name, job.state) == ("tiny/sub-01", "interrupted")
    verdict = verify(project.results)
    assert not verdict.damage
    assert verdict.n_unfinished > 0


@pytest.mark.slow
def test_run_tells_what_became_of_all(bids: Path, project: Project, tmp_path: Path) -> None:
    source = tmp_path / "bids"
    shutil.copytree(bids, source)
    (events,) = (source / "sub-01/func").glob("*_events.tsv")
    events.write_text(events.read_text().replace("\t", "\tsoon\t", 1).replace("onset", "on", 1))
    (bold,) = (source / "sub-02/func").glob("*_bold.nii.gz")
    bold.write_bytes(gzip.compress(gzip.decompress(bold.read_bytes())[:-1000]))
    project.configure(datasets=[{"id": "tiny", "source": str(source)}])
    run = command(project, "run", *RUN(project))
    assert run.returncode == 3, run.stderr
    assert "Why: braindata status results" in run.stderr + run.stdout
    seen = overview(project.results)
    table = braindata.open_tables(project.results)["recordings"].to_pandas()
    status = dict(zip(table["recording"], table["status"], strict=True))
    assert {r.recording: r.state for r in seen.recordings} == status
    assert set(status.values()) == {"quarantined"}
    for recording in seen.recordings:
        assert recording.log is not None
        assert recording.recording in (project.results / recording.log).read_text()
    # Nothing to be done is no change of that.
    assert command(project, "run", *RUN(project)).returncode == 3
    project.configure(regoins="x")
    assert command(project, "run", *RUN(project)).returncode == 2


def test_run_passes_signals_on(project: Project) -> None:
    one(project, "derivatives/tiny/sub-01.receipt.json").unlink()
    process = subprocess.Popen(
        [sys.executable, "-m", "braindata.cli", "run", *RUN(project)],
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while (run := overview(project.results).run) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1
    assert not Path(f"/proc/{run.process}").exists()
    assert overview(project.results).run is None
