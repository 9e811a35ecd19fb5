"""What is done before a run: its jobs' environment, and the output folder made ready for it."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

from braindata.errors import UsageError
from braindata.faults import require_space
from braindata.files import remove_dead_scratch, remove_parts, write_text
from braindata.layout import UNIT_FOLDERS
from braindata.locking import NAME as LOCK
from braindata.locking import lock
from braindata.planning import Plan
from braindata.planning_stale import stale_receipts
from braindata.receipts import void_beside
from braindata.snakemake_notes import drop_incomplete
from braindata.stages.region_files import check_definitions, provide
from braindata.status.planned import TOLD_VARIABLE, Planned

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# What rules name as input or output, of all files of a stage.
DECLARED = (
    "raw/*.*",
    "curated/*.*",
    "templateflow/*.*",
    "derivatives/*/*.json",
    "packed/*.json",
    "packed/*/*.json",
    "head/*.*",
    "series/*/*.*",
    "aligned/*/*.*",
    "derived/*/*.*",
    "derived/*/*/*.*",
    "tables/*.json",
    "report/*.*",
)


def job_environment() -> None:
    """Set what every job inherits: one thread of linear algebra, and this environment's commands.

    More threads make small problems slower, and their sums depend on the number of threads. The
    commands are found whether or not the environment is activated.
    """
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def collect_rarely() -> None:
    """Let Python look for cyclic garbage less often.

    Snakemake's graph is millions of objects that all stay; to look through them again and again
    takes a tenth of the time of planning.
    """
    gc.set_threshold(200_000, 20, 100)


def claim(plan: Plan) -> None:
    """Take the output folder for this process, and remove what no longer holds in it.

    The files that regions are made from are copied or fetched, and regions that are new are
    checked, so that no job runs for one that cannot be.

    What is planned is left in the folder, for `braindata status`, which knows no configuration.
    Before Snakemake plans, and not for a dry run, which changes nothing: so a dry run does not
    foresee the jobs of stores that somebody deleted.

    Raises
    ------
    BraindataError
        When another process has it, its disk is almost full, or an atlas cannot be fetched.
    UsageError
        When a region is not what it says.
    """
    _require_raw(plan)
    require_space(plan.layout.output)
    lock(plan.layout.output)
    # Asked for, where they are not noted, before any job is told of them.
    for dataset in plan.pins.remotes:
        plan.pins.of(dataset)
    plan.pins.write()
    provide(plan.layout, plan.regions.values(), plan.placing.files)
    stale = stale_receipts(plan)
    resolution = plan.config.preprocess.fmri.native.resolution
    spaces = plan.preprocess.spaces()
    check_definitions(plan.new_regions(stale), plan.placing, resolution, spaces)
    for receipt in stale:
        folder = receipt.relative_to(plan.layout.output).parts[0]
        # These jobs may name their files otherwise the next time, and remove the earlier ones.
        if folder in UNIT_FOLDERS and receipt.is_file():
            receipt.replace(void_beside(receipt))
        else:
            receipt.unlink(missing_ok=True)
    remove_parts(plan.layout.output)
    remove_dead_scratch()
    drop_incomplete(Path.cwd(), plan.layout.output)
    bring_to_present(plan.layout.output)
    Planned(
        tuple(plan.datasets),
        tuple(plan.regions),
        bool(plan.sensors),
        tuple(plan.groups),
        tuple(plan.signals.processes),
    ).write(plan.layout)
    if TOLD_VARIABLE in os.environ:
        write_text(Path(os.environ[TOLD_VARIABLE]), str(plan.layout.output.resolve()))


def bring_to_present(output: Path) -> list[Path]:
    """Give files of rules that are dated in the future the present time, and return their paths.

    They were written while a clock was ahead. Snakemake fails any job whose output is older than
    its input, so nothing that rests on them could be made before their time has come. Only for
    whoever holds the lock: what was last written to it says what time it is where the files lie.
    """
    now = (output / LOCK).stat().st_mtime_ns
    ahead = []
    for pattern in DECLARED:
        for path in sorted(output.glob(pattern)):
            if path.is_file() and path.stat().st_mtime_ns > now:
                os.utime(path, ns=(now, now))
                ahead.append(path)
    return ahead


def _require_raw(plan: Plan) -> None:
    for dataset, remote in plan.pins.remotes.items():
        if remote.derivatives and dataset in plan.datasets:
            raise UsageError(
                f"{dataset}: {remote.source} holds derivatives, and the chain begins with raw data",
                hint="give the raw data set as its source, and these as its derivatives",
            )
