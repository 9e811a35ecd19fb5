"""Bench: how planning grows with the corpus, from 100 to 20,000 recordings.

    make bench-scale

Two kinds of corpora (see `scale_corpus`): one that is curated and nothing more, of which everything
is planned (`snakemake -n`); and one of which everything is there, with Snakemake's metadata, in
which nothing is to be done, or the jobs of one new person, region or parameter. CPU seconds and
peak memory of the whole command, and the jobs that it plans. Exponents are fitted to what
recordings add to one recording, which has a data set's jobs too; and, to tell how much that makes,
to what they add to a run without a job. Ends with code 1 when a target is missed, or the first of
the two exponents.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.bench.region import REGION

ROOT = Path(__file__).resolve().parents[2]
SIZES = (100, 1000, 2000, 5000, 20_000)
LARGEST_DONE = 5000
PER_DATASET = 400
TARGETS = {"plan": (20_000, 60.0, 1024.0), "nothing to do": (5000, 15.0, 1024.0)}
EXPONENT = 1.1


@dataclass(frozen=True)
class Cost:
    """CPU seconds and peak memory (MiB) of a command, and the jobs that it planned by rule."""

    cpu: float
    peak: float
    jobs: Counter[str]


def snakemake(config: Path, *arguments: str) -> Cost:
    """Run Snakemake on a corpus, in its folder."""
    command = [str(Path(sys.executable).with_name("snakemake")), "-s", str(ROOT / "Snakefile")]
    command += ["--logger-braindata-style", "snakemake", "--cores", "2", "--configfile"]
    command += [str(config), *arguments]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=config.parent, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise SystemExit(f"failed:\n{text[-4000:]}")
    # A table of rules and counts, up to `total`.
    table = text.partition("Job stats:\n")[2].partition("\ntotal")[0]
    jobs = Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)})
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, jobs)


def touch(config: Path) -> None:
    """Let Snakemake note that everything is done.

    Its `--touch`, without the tenth of a second that it sleeps for each job.
    """
    program = (
        "import sys; from snakemake.executors import touch; from snakemake.cli import main;"
        " touch.Executor.SLEEPING_TIME = 0; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", program, "-s", str(ROOT / "Snakefile"), "--configfile"]
    command += [str(config), "--cores", "8", "--touch", "--forceall", "--quiet", "all"]
    command += ["--scheduler", "greedy", "--scheduler-subsample", "100"]
    done = subprocess.run(command, cwd=config.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"failed:\n{(done.stdout + done.stderr)[-4000:]}")


def show(what: str, size: int, cost: Cost) -> None:
    """Print one line."""
    jobs = ", ".join(f"{n} {rule}" for rule, n in sorted(cost.jobs.items()) if rule != "all")
    print(f"{what:20s}{size:8d}{cost.cpu:9.1f}{cost.peak:9.0f}   {jobs or 'none'}", flush=True)


def corpus(what: str, folder: Path, *sizes: int) -> Path:
    """Make a corpus, `curated` or `done`, and return its configuration."""
    command = [sys.executable, "-m", "tests.bench.scale_corpus", what, str(folder)]
    subprocess.run([*command, *map(str, sizes)], check=True, stdout=subprocess.DEVNULL)
    return folder / "config.json"


def changes(config: Path, size: int) -> dict[str, Cost]:
    """Return what one new region, parameter and person cost to plan, one after the other."""
    body = json.loads(config.read_text())
    found = {}
    mine = config.with_name("mine.yaml")
    mine.write_text(REGION)
    config.write_text(json.dumps(body | {"regions": [*body["regions"], str(mine)]}))
    found["one new region"] = snakemake(config, "-n")
    config.write_text(json.dumps(body | {"derive": {"hrf_model": "glover"}}))
    found["one parameter"] = snakemake(config, "-n")
    config.write_text(json.dumps(body))
    folder = config.parent
    # Another person's files will do.
    people = folder / "bids" / "ds00"
    shutil.copytree(people / "sub-00000", people / "sub-99999")
    for file in (people / "sub-99999").rglob("sub-00000*"):
        file.rename(file.with_name(file.name.replace("00000", "99999")))
    found["one new person"] = snakemake(config, "-n")
    for what, cost in found.items():
        show(what, size, cost)
    return found


def least_of_three(config: Path, *targets: str) -> Cost:
    """Return the least that planning costs in three attempts."""
    return min((snakemake(config, "-n", *targets) for _ in range(3)), key=lambda cost: cost.cpu)


def exponent(costs: dict[int, Cost], base: float) -> float:
    """Return the slope of log CPU over log recordings, beyond `base` (CPU seconds)."""
    sizes = [size for size in costs if costs[size].cpu > 1.5 * base]
    if len(sizes) < 2:
        return float("nan")
    over = [np.log(costs[size].cpu - base) for size in sizes]
    return float(np.polyfit(np.log(sizes), over, 1)[0])


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    found: dict[str, dict[int, Cost]] = {what: {} for what in TARGETS}
    missed = []
    print(f"{'':20s}{'records':>8s}{'CPU s':>9s}{'MiB':>9s}   jobs")
    with tempfile.TemporaryDirectory(prefix="scale-") as name:
        for size in options.sizes:
            n_datasets = max(1, size // PER_DATASET)
            config = corpus("curated", Path(name) / str(size), size, n_datasets)
            found["plan"][size] = snakemake(config, "-n")
            show("plan", size, found["plan"][size])
            if size <= LARGEST_DONE:
                corpus("done", config.parent)
                touch(config)
                found["nothing to do"][size] = snakemake(config)
                show("nothing to do", size, found["nothing to do"][size])
                if found["nothing to do"][size].jobs:
                    missed.append(f"something to do for {size}")
                new = changes(config, size)["one new region"].jobs
                # Its pairs with other regions are new, and two processes count it in.
                expected = dict.fromkeys(("extract", "derive", "connectivity"), n_datasets)
                expected["signals"] = 2 * n_datasets
                if new != Counter(expected | {"publish": 1, "report": 1, "all": 1}):
                    missed.append(f"other jobs than the new region's: {new}")
            shutil.rmtree(config.parent)
        # What grows is what lies above it: the least of three, as others may use the machine.
        one = corpus("curated", Path(name) / "one", 1, 1)
        first = least_of_three(one)
        # It is there already.
        start = least_of_three(one, "results/curated/ds00.receipt.json")
    show("plan", 1, first)
    show("start", 0, start)
    for what, costs in found.items():
        if len(costs) > 1:
            grown = exponent(costs, first.cpu)
            print(
                f"{what}: CPU grows with recordings to the power of {grown:.2f}; without what "
                f"one data set's jobs take off: {exponent(costs, start.cpu):.2f}"
            )
            if grown > EXPONENT:
                missed.append(f"{what} grows faster than to the power of {EXPONENT}")
        size, cpu, peak = TARGETS[what]
        if size in costs and (costs[size].cpu > cpu or costs[size].peak > peak):
            missed.append(f"{what} of {size}: above {cpu} CPU s or {peak} MiB")
    print("ok" if not missed else "MISS: " + "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
