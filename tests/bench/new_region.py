"""Bench: one more region in a corpus that is already extracted.

    python -m tests.bench.new_region --recordings 200

Builds a corpus of a quarter of the recordings and one of all (97×115×97×100 each, 18 regions,
packed, extracted, published and reported by Snakemake), adds one region of about 500 voxels to each
and gives the plain command again. Takes wall time from prompt to release and report, CPU time, peak
memory of Snakemake with all its jobs, and which jobs ran. What lies between the two corpora gives
the cost of one recording; 5,000 are extrapolated from it along a straight line. Ends with code 1
when the larger corpus takes 30 s or 1 GiB, or when another job ran than the new region's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from braindata.tables.releases import list_releases
from tests.bench.corpus import preprocess_all, write_bids
from tests.bench.region import REGION

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = {"extract": 1, "derive": 1, "publish": 1, "report": 1, "all": 1}
LARGE = 5000


@dataclass(frozen=True)
class Cost:
    """What a run of Snakemake took: s, CPU s, MiB, and its jobs by rule."""

    wall: float
    cpu: float
    peak: float
    jobs: Counter[str]


def snakemake(folder: Path, *files: Path) -> Cost:
    """Run the plain command and watch it."""
    command = [str(Path(sys.executable).with_name("snakemake")), "-s", str(ROOT / "Snakefile")]
    # Its own messages name each job.
    command += ["--cores", "2", "--logger-braindata-style", "snakemake", "--configfile"]
    command += [str(file) for file in files]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    with (folder / "snakemake.log").open("w+") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        peak = _watch(process)
        wall = time.monotonic() - began
        log.seek(0)
        text = log.read()
    if process.returncode:
        raise SystemExit(f"failed:\n{text[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    jobs = re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)$", text, re.MULTILINE)
    return Cost(wall, cpu, peak, Counter(jobs))


def _watch(process: subprocess.Popen[str]) -> float:
    """Wait for a process; return the peak of what it and its children held, in MiB."""
    ended = threading.Event()
    peaks = [0.0]

    def look() -> None:
        while not ended.wait(0.1):
            held = 0
            try:
                family = psutil.Process(process.pid).children(recursive=True)
                for one in [psutil.Process(process.pid), *family]:
                    held += one.memory_info().rss
            except psutil.NoSuchProcess:
                continue
            peaks[0] = max(peaks[0], held / 2**20)

    watcher = threading.Thread(target=look)
    watcher.start()
    process.wait()
    ended.set()
    watcher.join()
    return peaks[0]


def measure(work: Path, n_recordings: int) -> Cost:
    """Build a corpus, add a region, and return what that took."""
    folder = work / str(n_recordings)
    write_bids(folder / "bids", n_recordings)
    config, output = folder / "config.json", folder / "results"
    preprocess_all(output, folder / "bids", config)
    regions = str(ROOT / "config/regions/spheres")
    body = json.loads(config.read_text())
    config.write_text(json.dumps(body | {"regions": [regions]}))
    first = snakemake(folder, config)
    print(
        f"{n_recordings} recordings, 18 regions: {first.wall:.0f} s, {first.cpu:.0f} CPU s, "
        f"{first.peak:.0f} MiB at once"
    )
    stores = {path: path.stat().st_mtime_ns for path in output.rglob("*.h5")}
    (folder / "mine.yaml").write_text(REGION)
    config.write_text(json.dumps(body | {"regions": [regions, str(folder / "mine.yaml")]}))
    cost = snakemake(folder, config)
    assert list_releases(output / "tables") == [1, 2]
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.h5")} == stores
    jobs = ", ".join(f"{n} {rule}" for rule, n in sorted(cost.jobs.items()))
    print(
        f"{n_recordings} recordings, one more region: {cost.wall:.1f} s, {cost.cpu:.1f} CPU s, "
        f"{cost.peak:.0f} MiB at once; jobs: {jobs}"
    )
    for stage in ("extract", "derive"):
        for file in sorted((output / "benchmarks" / stage).rglob("anterior_caudate-*.tsv")):
            print(f"  {stage}: {file.read_text().splitlines()[1].split()[0]} s")
    for stage in ("publish", "report"):
        text = (output / "benchmarks" / f"{stage}.tsv").read_text()
        print(f"  {stage}: {text.splitlines()[1].split()[0]} s")
    sys.stdout.flush()
    return cost


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--recordings", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept")
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    sizes = [options.recordings // 4, options.recordings]
    with tempfile.TemporaryDirectory(prefix="new-region-") as scratch:
        costs = [measure(options.keep or Path(scratch), size) for size in sizes]
    small, large = costs
    for name in ("wall", "cpu"):
        each = (getattr(large, name) - getattr(small, name)) / (sizes[1] - sizes[0])
        base = getattr(large, name) - each * sizes[1]
        print(
            f"{name}: {base:.1f} s and {each * 1000:.1f} ms a recording; for {LARGE:,} "
            f"recordings {base + each * LARGE:.0f} s (a straight line through both sizes)"
        )
    reached = large.wall < 30 and large.peak < 1024 and all(c.jobs == EXPECTED for c in costs)
    print("ok" if reached else "MISS: under 30 s, under 1,024 MiB, only the new region's jobs")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
