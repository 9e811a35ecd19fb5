"""Fault runs: twelve kinds of faults, five of each, and the same command again after each.

    python -m tests.faults.run                               all sixty
    python -m tests.faults.run --kinds "disk full" --seeds 0 3
    python -m tests.faults.run --keep faults                 keeps the undisturbed project, and
                                                             copies that went wrong

A tiny project of two people (fMRI, one EEG recording) is run once, undisturbed. Each fault run
begins with a copy of it in which one stage is still to be done (for the first seed: and all that
rests on it), or with the finished copy where the fault hits what is done. The fault is inflicted at
a random moment of that stage, the same command is given again, and then

- every file of the stages and the list of active files of the release are equal to the
  undisturbed ones (Delta's logs hold times and random numbers and are not compared);
- after the fault no release was there that was not whole, and in the end there is one;
- nothing is left over: temporary files, marks and locks, processes, half downloads, or anything
  that `braindata verify` finds.

Ends with code 1 when anything of that does not hold, or when the interrupted command ended or
spoke otherwise than it should. Needs root, for small disks and read-only folders.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.processes import still_working
from tests.unit.openneuro_server import OpenNeuro

from .compare import at_work, differences, digest, half_released, leftovers
from .kinds import KINDS, Kind
from .project import Project, base_project, downstream
from .scene import Missed, Scene, ended

N_SEEDS = 5
ATTEMPTS = 5
# People are preprocessed anew only where preprocessing itself is hit: it takes most of the time.
# What is hit before it makes the same again, or they would be.
KEPT = "preprocess"
WIDTHS = (17, 5, 12, 58, 5, 10, 10, 8)
HEADINGS = ("kind", "seed", "stage", "hit", "exit", "identical", "left over", "seconds")


@dataclass(frozen=True)
class Base:
    """What fault runs start from.

    Attributes
    ----------
    project : Project
        One that has run to its end, undisturbed.
    digest : dict
        What must be equal.
    seconds : dict of str to float
        How long a job of each stage takes.
    site : OpenNeuro
        The server.
    work : Path
        Where copies lie.
    """

    project: Project
    digest: dict[str, object]
    seconds: dict[str, float]
    site: OpenNeuro
    work: Path


@dataclass(frozen=True)
class Verdict:
    """What became of one fault run.

    Attributes
    ----------
    cells : tuple of str
        Its row of the table.
    wrong : list of str
        What does not hold; empty when all does.
    """

    cells: tuple[str, ...]
    wrong: list[str]


def stage_of(kind: Kind, seed: int) -> str:
    """Return the stage that a run hits: together, runs of a few kinds hit all of them."""
    return kind.stages[(KINDS.index(kind) * N_SEEDS + seed) % len(kind.stages)]


def prepare(base: Base, kind: Kind, stage: str, seed: int, chance: random.Random) -> Project:
    """Return a copy of the finished project in which a stage is still to be done."""
    folder = base.work / "copy"
    shutil.rmtree(folder, ignore_errors=True)
    project = base.project.copy(folder)
    # So that what is read there is of the fault.
    shutil.rmtree(project.results / "logs")
    if kind.finished:
        return project
    if stage == KEPT:
        # Of two people one.
        person = chance.choice(("sub-01", "sub-02"))
        for path in project.made(KEPT):
            if person in path.name:
                path.unlink()
    # Of the first seed everything that rests on the stage as well, as in a first run. Of the others
    # the stage alone: what rests on it is looked at and found to hold, and a release is there all
    # the while.
    gone = downstream(stage) if seed == 0 or stage == "publish" else {stage}
    project.remove(*(gone - {KEPT}))
    return project


def run(base: Base, kind: Kind, seed: int, stage: str) -> Verdict:
    """Inflict one fault, give the same command again, and compare."""
    began = time.monotonic()
    chance = random.Random(f"{kind.name} {seed}")
    for attempt in range(ATTEMPTS):
        project = prepare(base, kind, stage, seed, chance)
        # The machine may be faster than it was: earlier, then.
        seconds = base.seconds.get(stage, 1.0) / 3**attempt
        scene = Scene(project, stage, seed, chance, seconds, base.site)
        with ended(scene):
            try:
                faulty = kind.inflict(scene)
            except Missed:
                continue
            wrong = [kind.misses(faulty)]
            # A job that is hit may go on for a moment; a reader comes at any time.
            if not kind.finished:
                wrong += half_released(project, base.digest)
            again = project.run()
            break
    else:
        return Verdict((kind.name, str(seed), stage, "", "", "", "", ""), ["nothing was hit"])
    if again:
        wrong.append(f"the same command again ends with {again}: {project.said[-1500:]}")
    # The job of a Snakemake that was killed: it may take as long as it needs.
    still_working(at_work(project), 300)
    different = differences(digest(project.results), base.digest)
    left = leftovers(project)
    wrong += [f"differs: {name}" for name in different] + [f"left over: {name}" for name in left]
    cells = (
        kind.name,
        str(seed),
        stage,
        scene.hit,
        "-" if faulty.exit_code is None else str(faulty.exit_code),
        "no" if different or again else "yes",
        str(len(left)) if left else "none",
        f"{time.monotonic() - began:.0f}",
    )
    return Verdict(cells, [one for one in wrong if one])


def row(cells: tuple[str, ...]) -> str:
    """Return a row of the table."""
    pairs = zip(cells, WIDTHS, strict=True)
    return " ".join(cell.ljust(width) for cell, width in pairs).rstrip()


def run_all(kinds: list[Kind], seeds: list[int], work: Path, *, keep: bool) -> int:
    """Make the runs; return how many went wrong."""
    n_wrong, n_runs = 0, 0
    with base_project(work) as (project, site):
        base = Base(project, digest(project.results), project.durations(), site, work)
        left = leftovers(project)
        if left:
            raise SystemExit(f"the undisturbed run leaves over: {left}")
        print(f"{len(base.digest)} files and lists are compared")
        print(row(HEADINGS), flush=True)
        for seed in seeds:
            for kind in kinds:
                verdict = run(base, kind, seed, stage_of(kind, seed))
                n_runs += 1
                n_wrong += bool(verdict.wrong)
                print(row(verdict.cells), flush=True)
                for one in verdict.wrong:
                    print(f"    WRONG: {one}", flush=True)
                copy = work / "copy"
                if verdict.wrong and keep:
                    kept = work / f"{kind.name} {seed}".replace(" ", "-")
                    shutil.rmtree(kept, ignore_errors=True)
                    copy.rename(kept)
                shutil.rmtree(copy, ignore_errors=True)
    print(f"{n_runs} runs, {n_wrong} went wrong")
    return n_wrong


def main() -> int:
    """Parse the command line and run."""
    names = [kind.name for kind in KINDS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=names, default=names, metavar="KIND")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(N_SEEDS)))
    parser.add_argument("--keep", type=Path, help="a folder to work in, which is kept")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("only root may mount a small disk, or make a folder read-only: sudo -E …")
    kinds = [kind for kind in KINDS if kind.name in options.kinds]
    with tempfile.TemporaryDirectory(prefix="faults-") as scratch:
        work = (options.keep or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        return 1 if run_all(kinds, options.seeds, work, keep=bool(options.keep)) else 0


if __name__ == "__main__":
    sys.exit(main())
