"""Bench: killed again and again, the same command gives the same bytes.

    python -m tests.bench.kills --kills 20            the phantom of `make demo`
    python -m tests.bench.kills --kills 20 --size tiny

Runs the chain undisturbed once. Then starts it over, kills Snakemake and all its children
(SIGKILL) at a random moment, and gives the same command again, which may be killed as well, until
all kills have been made. Whenever a run gets to its end, its output is held against the undisturbed
one: every file of the stages and the lists of active files in the release must be equal, and there
is one release. Delta's logs hold times and random numbers and are not compared. Ends with code 1
when anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import yaml

from braindata.files import PART_PREFIX, remove_dead_scratch
from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters
from tests.faults.compare import differences, digest
from tests.processes import still_working

ROOT = Path(__file__).resolve().parents[2]
# What a job is, among Snakemake's children.
JOB = re.compile(r"bin/braindata (\w+) .*?--output \S+ ?(.*?)(?: --parameters.*)?$")
STAGES = ("curated", "derivatives", "packed", "series", "derived", "tables")
SIZES = {
    "tiny": PhantomParameters(
        seed=1, n_subjects=2, n_runs=1, n_trials=25, bold_voxel=6.0, t1w_voxel=3.0
    ),
    "demo": PhantomParameters(),
}


# Two regions and coarse voxels are enough to see every stage killed.
TINY_REGIONS = ("visual", "vmpfc")


def write_config(file: Path, size: str, phantom: Path) -> None:
    """Write a configuration, and region files for it where it takes only some regions."""
    regions = ROOT / "config" / "regions" / "spheres"
    config: dict[str, object] = {
        "output": "results",
        "datasets": [{"id": "phantom", "source": str(phantom), "modalities": ["fmri"]}],
        "regions": str(regions),
    }
    if size == "tiny":
        chosen = file.with_name("regions")
        chosen.mkdir()
        for path in sorted(regions.glob("*.yaml")):
            body = yaml.safe_load(path.read_text(encoding="utf-8"))
            body["regions"] = [r for r in body["regions"] if r["name"] in TINY_REGIONS]
            if body["regions"]:
                (chosen / path.name).write_text(yaml.safe_dump(body), encoding="utf-8")
        config |= {"regions": str(chosen), "preprocess": {"fmri": {"native": {"resolution": 3}}}}
    file.write_text(yaml.safe_dump(config), encoding="utf-8")


class Chain:
    """The chain on one phantom, in a working directory of its own.

    Parameters
    ----------
    folder : Path
        The working directory; it is made.
    config : Path
        The configuration.
    cores : int
        Cores for Snakemake.
    """

    def __init__(self, folder: Path, config: Path, cores: int):
        folder.mkdir(parents=True)
        self.folder = folder
        self.results = folder / "results"
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        self._command = [snakemake, "-s", str(ROOT / "Snakefile"), "--cores", str(cores)]
        self._command += ["--configfile", str(config), "--config", f"output={self.results}"]

    def start(self) -> subprocess.Popen[bytes]:
        """Start Snakemake; what it says is added to a log."""
        with (self.folder / "snakemake.log").open("ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of a run.

        Raises
        ------
        SystemExit
            When it failed.
        """
        if process.wait():
            log = (self.folder / "snakemake.log").read_text(encoding="utf-8")
            raise SystemExit(f"failed in {self.folder}:\n{log[-4000:]}")

    def digest(self) -> dict[str, object]:
        """Return what must be equal: sha256 by file, active files, and releases."""
        files = digest(self.results, STAGES)
        files["left over"] = sorted(map(str, self.results.rglob(f"{PART_PREFIX}*")))
        return files


def kill(process: subprocess.Popen[bytes]) -> list[str]:
    """Kill a process and its descendants; return the jobs that were running."""
    family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    jobs = set()
    for member in family:
        try:
            found = JOB.search(" ".join(member.cmdline()))
        except psutil.NoSuchProcess:
            continue
        if found:
            jobs.add(" ".join([found[1], *re.findall(r"--(?:unit|region) (\S+)", found[2])]))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    alive = still_working(family, timeout=10)
    if alive:
        raise SystemExit(f"still alive after SIGKILL: {alive}")
    return sorted(jobs)


def run(size: str, kills: int, seed: int, cores: int, work: Path) -> int:
    """Make the kills; return how many runs differed from the undisturbed one."""
    phantom = work / "phantom"
    generate(phantom, work / "truth", SIZES[size], n_jobs=cores)
    config = work / "config.yaml"
    write_config(config, size, phantom)
    began = time.monotonic()
    undisturbed = Chain(work / "undisturbed", config, cores)
    undisturbed.finish(undisturbed.start())
    duration = time.monotonic() - began
    wanted = undisturbed.digest()
    print(f"undisturbed: {duration:.1f} s, {len(wanted)} files and lists compared", flush=True)
    chance = random.Random(seed)
    made, demo, wrong = 0, 0, 0
    while made < kills:
        demo += 1
        chain = Chain(work / f"demo-{demo}", config, cores)
        finished = False
        before, began = made, time.monotonic()
        while not finished:
            process = chain.start()
            if made == kills:
                chain.finish(process)
                finished = True
                continue
            # Not before Snakemake is up: most of a run is the running of its jobs.
            delay = chance.uniform(0.3, duration)
            try:
                process.wait(timeout=delay)
            except subprocess.TimeoutExpired:
                made += 1
                jobs = ", ".join(kill(process)) or "no job"
                print(f"kill {made:2d}: demo {demo}, after {delay:6.2f} s: {jobs}", flush=True)
            else:
                chain.finish(process)
                finished = True
                if made == before:
                    # The machine has become faster: later moments would miss the run.
                    duration = time.monotonic() - began
        different = differences(chain.digest(), wanted)
        wrong += bool(different)
        print(f"demo {demo}: {', '.join(different) or 'the same bytes'}", flush=True)
        if not different:
            shutil.rmtree(chain.folder)
    left = remove_dead_scratch()
    print(f"{made} kills in {demo} demos, {wrong} differ; {len(left)} scratch folders left over")
    return wrong


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="demo")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, which is kept")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        work = (options.keep or Path(scratch)).resolve()
        wrong = run(options.size, options.kills, options.seed, options.cores, work)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
