"""What jobs use: said in their logs, and gathered from there for the report.

Snakemake's benchmarks tell the time on the clock. CPU time and memory they have by looking at a
job twice a second, and after a quarter of a minute twice a minute only: what it used after the last
look is not in them. So each job says it itself, at its end.
"""

from __future__ import annotations

import os
import re
import resource
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from braindata.files import read_end
from braindata.layout import PER_UNIT, Layout
from braindata.report.cost import Costs, JobCost

# What `describe_use` writes, before the line that says which stage is done: the log of a person has
# two of them.
_USE = re.compile(
    r"^INFO: used ([\d.]+) s of CPU time, (\d+) MiB\nINFO: (\w+) \S+: done, ", re.MULTILINE
)
_TAIL = 32_768
# Whose results lie in each folder. Published shards are further names of the jobs' files: as each
# content is counted once, where it is met first, releases come after all that they are made of.
FOLDERS = {
    "raw": "pull",
    "curated": "curate",
    "templateflow": "templateflow",
    "fmriprep": "preprocess",
    "derivatives": "preprocess",
    "packed": "pack",
    "head": "head",
    "regions": "extract",
    "series": "extract",
    "aligned": "align",
    "derived": "derive",
    "tables": "publish",
    "logs": "logs",
    "benchmarks": "logs",
}
# Whose these are below the folder of a data set in `derived`.
DERIVED = {
    "trials": "derive",
    "signals": "signals",
    "signal_fits": "signals",
    "connectivity": "connectivity",
    "latents": "latents",
    "latent_fits": "latents",
    "behaviour": "latents",
}
# What lies in these belongs to no data set.
SHARED = ("templateflow", "head", "regions", "tables", "logs", "benchmarks")
ORDER = (
    *("pull", "curate", "templateflow", "preprocess", "pack", "gather", "align", "head"),
    *("extract", "derive", "latents", "connectivity", "signals", "publish", "logs"),
)


def describe_use() -> str:
    """Return what this process and all that it has called have used so far, for its log."""
    own, called = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = sum(one.ru_utime + one.ru_stime for one in (own, called))
    # KiB on Linux, bytes on macOS.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return f"used {cpu:.2f} s of CPU time, {max(own.ru_maxrss, called.ru_maxrss) // unit} MiB"


def gather_costs(layout: Layout) -> Costs:
    """Return what an output folder has cost, but for the report, which is not made yet."""
    jobs = []
    for path in sorted((layout.output / "benchmarks").rglob("*.tsv")):
        stage, *key = path.relative_to(layout.output / "benchmarks").with_suffix("").parts
        if stage == "report":
            continue
        used = _use(layout.log(stage, *key))
        dataset = key[0] if key else None
        jobs.append(JobCost(stage, dataset, _seconds(path), *used.get(stage, (None, None))))
        if stage == PER_UNIT[0]:
            following = PER_UNIT[1]
            own = layout.output.joinpath("benchmarks", following, *key).with_suffix(".tsv")
            # Earlier versions packed in a job of its own, which has its own benchmark.
            if not own.is_file():
                jobs.append(JobCost(following, dataset, None, *used.get(following, (None, None))))
    return Costs(jobs, _disk(layout), ORDER)


def _use(log: Path) -> dict[str, tuple[float, float]]:
    """Return CPU time (s) and memory (MiB) by stage, of the stages that a log tells of."""
    try:
        found = _USE.findall(read_end(log, _TAIL))
    except OSError:
        return {}
    return {stage: (float(cpu), float(memory)) for cpu, memory, stage in found}


def _seconds(benchmark: Path) -> float | None:
    """Return the time on the clock; None of a file that a full disk has cut off."""
    header, _, row = benchmark.read_text(encoding="utf-8", errors="replace").partition("\n")
    try:
        return float(dict(zip(header.split("\t"), row.split("\t"), strict=False))["s"])
    except (KeyError, ValueError):
        return None


def _disk(layout: Layout) -> dict[tuple[str, str | None], int]:
    """Return the bytes of all files by stage and data set, each content counted once."""
    sizes: dict[tuple[str, str | None], int] = {}
    known: set[tuple[int, int]] = set()
    for folder, owner in FOLDERS.items():
        for parts, status in _files(layout.output / folder):
            inode = status.st_dev, status.st_ino
            # Links to raw data take no space here.
            if not stat.S_ISREG(status.st_mode) or inode in known:
                continue
            known.add(inode)
            stage = owner
            if folder == "derived" and len(parts) > 1:
                stage = DERIVED.get(parts[1].partition(".")[0], owner)
            # No data set's name has a dot; what begins with one is of all.
            dataset = None if folder in SHARED else parts[0].partition(".")[0] or None
            sizes[stage, dataset] = sizes.get((stage, dataset), 0) + status.st_size
    return sizes


def _files(root: Path) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """Yield path (its parts below `root`) and status of each file; links are not followed."""
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder) / name
            try:
                yield path.relative_to(root).parts, path.lstat()
            except FileNotFoundError:
                # A log may be replaced at this moment.
                continue
