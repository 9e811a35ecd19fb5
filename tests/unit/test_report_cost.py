"""What a corpus has cost: sums, and where they are read from."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from braindata.layout import Layout
from braindata.report.cost import Costs, JobCost
from braindata.report.pictures import Shelf
from braindata.report.site import pages
from braindata.stages.costs import describe_use, gather_costs
from braindata.stages.job import Result, run_job
from tests.synthetic_report import corpus

COSTS = Costs(
    [
        JobCost("preprocess", "a", 120.0, 90.0, 800.0),
        JobCost("preprocess", "a", 60.0, 30.0, 1200.5),
        JobCost("preprocess", "b", 30.0),
        JobCost("pull", "a", 2.0, 1.0, 50.0),
        JobCost("publish", None, None, 5.0, 100.0),
    ],
    {("preprocess", "a"): 7, ("preprocess", "b"): 5, ("pull", "b"): 1, ("logs", None): 2},
    ("pull", "preprocess", "publish"),
)


def test_sums_by_stage() -> None:
    rows = {row.stage: row for row in COSTS.by_stage()}
    # In the order of the chain; what is not in it comes last.
    assert list(rows) == ["pull", "preprocess", "publish", "logs"]
    one = rows["preprocess"]
    assert (one.n_jobs, one.n_unknown, one.disk) == (3, 1, 12)
    assert one.cpu_hours == pytest.approx(120 / 3600)
    assert (one.cpu_seconds, one.longest, one.memory) == (60.0, 2.0, 1200.5)
    assert (rows["publish"].longest, rows["publish"].cpu_seconds) == (None, 5.0)
    assert (rows["logs"].n_jobs, rows["logs"].cpu_hours, rows["logs"].memory) == (0, None, None)
    total = COSTS.total()
    assert (total.n_jobs, total.n_unknown, total.disk) == (5, 1, 15)
    assert total.cpu_hours == pytest.approx(126 / 3600)


def test_sums_by_data_set() -> None:
    rows = [(row.dataset, row.stage, row.n_jobs, row.disk) for row in COSTS.by_dataset()]
    assert rows == [
        ("a", "pull", 1, 0),
        ("a", "preprocess", 2, 7),
        ("b", "pull", 0, 1),
        ("b", "preprocess", 1, 5),
    ]


def test_the_page_says_it(tmp_path: Path) -> None:
    page = dict(pages(corpus(4, Shelf(tmp_path))))["cost.html"]
    # 60 + 61 + 62 + 63 + 8 s; three of four recordings are used.
    assert "6 jobs: 0.071 CPU hours" in page
    assert "161.0 MB on disk" in page
    cells = re.findall(r"<tr><td>preprocess</td>(.*)</tr>", page)
    assert re.findall(r"<td class=\"n\">([^<]*)</td>", cells[0]) == [
        "4", "0.068", "61.5", "1.5", "900", "160.0",
    ]  # fmt: skip
    assert "Of 1 of the jobs" in page


def test_what_a_process_has_used_is_its_own_and_what_it_called() -> None:
    """Against what the kernel tells the parent of such a process."""
    busy = "sum(k * k for k in range(3_000_000)); x = bytearray(90 << 20)"
    code = (
        f"import subprocess, sys; from braindata.stages.costs import describe_use; {busy};"
        f"subprocess.run([sys.executable, '-c', {busy!r}]); print(describe_use(), flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    match = re.fullmatch(r"used ([\d.]+) s of CPU time, (\d+) MiB\n", said)
    assert match is not None
    assert float(match[1]) == pytest.approx(used.ru_utime + used.ru_stime, abs=0.15)
    assert int(match[2]) == pytest.approx(used.ru_maxrss / 1024, abs=2)
    assert int(match[2]) > 90


def test_a_log_of_two_stages_tells_of_both(tmp_path: Path) -> None:
    table = "s\th:m:s\n60.0\t0:01:00\n"
    both = (
        "INFO: used 43.10 s of CPU time, 1157 MiB\nINFO: preprocess ds/sub-01: done, 9 files\n"
        "INFO: used 2.80 s of CPU time, 480 MiB\nINFO: pack ds/sub-01: done, 1 files\n"
    )
    packed_anew = "INFO: preprocess ds/sub-02: up to date\n" + both[both.index("INFO: used 2") :]
    for unit, said in {"sub-01": both, "sub-02": packed_anew, "sub-03": both}.items():
        for folder, name, text in (("benchmarks", "tsv", table), ("logs", "log", said)):
            path = tmp_path / folder / "preprocess/ds" / f"{unit}.{name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    # As an earlier version has left it, which packed in a job of its own.
    earlier = tmp_path / "benchmarks/pack/ds/sub-03.tsv"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("s\th:m:s\n4.0\t0:00:04\n")
    (tmp_path / "benchmarks/preprocess/ds/sub-02.tsv").write_bytes(b"s\xff")
    found = [(j.stage, j.seconds, j.cpu, j.memory) for j in gather_costs(Layout(tmp_path)).jobs]
    assert sorted(found, key=str) == [
        ("pack", 4.0, 2.8, 480.0),
        ("pack", None, 2.8, 480.0),
        ("pack", None, 2.8, 480.0),
        ("preprocess", 60.0, 43.1, 1157.0),
        ("preprocess", 60.0, 43.1, 1157.0),
        ("preprocess", None, None, None),
    ]


def test_costs_are_gathered_from_logs_benchmarks_and_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    table = "s\th:m:s\tmax_rss\n12.5\t0:00:12\tNA\n"
    for name in ("pack/ds/sub-01", "pack/ds/sub-02", "derive/ds/sensors", "publish", "report"):
        write(f"benchmarks/{name}.tsv", table)
    write("benchmarks/pack/ds/sub-02.tsv", "s\th:m")
    said = "INFO: used 9.50 s of CPU time, 321 MiB\nINFO: pack ds/sub-01: done, 1 files\n"
    write("logs/preprocess/ds/sub-01.log", f"{'words ' * 9999}\n{said}")
    write("logs/preprocess/ds/sub-02.log", "INFO: pack ds/sub-02: up to date\n")
    shard = write("series/ds/visual.parquet", "x" * 100)
    release = tmp_path / "tables/series/0/part.parquet"
    release.parent.mkdir(parents=True)
    release.hardlink_to(shard)
    write("tables/releases/1.json", "x" * 7)
    write("raw/ds.manifest.tsv", "x" * 30)
    (tmp_path / "raw/ds").mkdir()
    (tmp_path / "raw/ds/image.nii.gz").symlink_to(shard)
    write("raw/.store/blob", "x" * 11)
    write("derived/ds/latents.parquet", "x" * 5)
    write("derived/ds/trials/visual.parquet", "x" * 6)
    write("report/index.html", "x" * 1000)
    costs = gather_costs(layout)
    assert {(job.stage, job.dataset, job.seconds, job.cpu, job.memory) for job in costs.jobs} == {
        ("pack", "ds", 12.5, 9.5, 321.0),
        ("pack", "ds", None, None, None),
        ("derive", "ds", 12.5, None, None),
        ("publish", None, 12.5, None, None),
    }
    disk = {key: size for key, size in costs.disk.items() if key[0] != "logs"}
    assert disk == {
        ("pull", "ds"): 30,
        ("pull", None): 11,
        ("extract", "ds"): 100,
        ("latents", "ds"): 5,
        ("derive", "ds"): 6,
        ("publish", None): 7,
    }
    # What a job writes into its log is what is read from it.
    with caplog.at_level(logging.INFO):
        run_job(
            layout, "pack", "ds/sub-02", tmp_path / "receipt.json",
            parameters={}, inputs={}, libraries=(), work=lambda: Result([]),
        )  # fmt: skip
    write("logs/preprocess/ds/sub-02.log", "".join(f"INFO: {text}\n" for text in caplog.messages))
    (found,) = (job for job in gather_costs(layout).jobs if job.seconds is None)
    assert found.cpu is not None
    assert describe_use().startswith("used ")
    assert 0 < found.cpu < 1e5
