"""Bench: over several phantoms, how well the whole chain recovers the true trial values.

    python -m tests.bench.phantom_seeds --seeds 0 1 2 3 4 --keep bench

Prints, for each seed and region, the correlation of single-trial estimates with the true values
(z-scored within person, pooled), the same with the truth shuffled, and what an ideal observer
reaches: the true design on the true region's mean. Ends with code 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml

import braindata
from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters
from braindata.phantom.score import score

ROOT = Path(__file__).resolve().parents[2]
VALUE_REGIONS = ("vmpfc", "ventral_striatum")
ENOUGH = 0.5
NOTHING = 0.15
SHARE_OF_IDEAL = 0.8


def run_chain(folder: Path, cores: int) -> float:
    """Run the whole chain on the phantom in `folder`; return its wall time in s."""
    config = {
        "output": str(folder / "results"),
        "datasets": [{"id": "phantom", "source": str(folder / "phantom"), "modalities": ["fmri"]}],
        "regions": str(ROOT / "config" / "regions" / "spheres"),
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    scripts = Path(sys.executable).parent
    # One thread per job, as the Makefile has it; the rules call `braindata` by name.
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    path = os.pathsep.join([str(scripts), os.environ["PATH"]])
    command = [scripts / "snakemake", "--cores", str(cores), "--configfile", file]
    start = time.perf_counter()
    with (folder / "snakemake.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | threads | {"PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        print((folder / "snakemake.log").read_text(encoding="utf-8")[-5000:])
        raise SystemExit(f"the chain failed with code {done.returncode}")
    return time.perf_counter() - start


def required(region: str, ideal: float) -> float:
    """What `r` must reach: .5, or 80 % of an ideal observer that cannot reach it."""
    if region not in VALUE_REGIONS:
        return float("-inf")
    return ENOUGH if ideal >= ENOUGH else SHARE_OF_IDEAL * ideal


def bench(seed: int, folder: Path, cores: int) -> pd.DataFrame:
    """Make a phantom, run the chain on it, and score what came out."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.process_time()
    generate(folder / "phantom", folder / "truth", PhantomParameters(seed=seed))
    made = time.process_time() - start
    wall = run_chain(folder, cores)
    trials = braindata.open_tables(folder / "results")["trials"].to_pandas()
    table = score(trials, folder / "truth")
    table.insert(0, "seed", seed)
    table["share_of_ideal"] = (table["r"] / table["ideal_r"]).where(
        table["region"].isin(VALUE_REGIONS)
    )
    table["passed"] = [
        row.r >= required(row.region, row.ideal_r)
        and abs(row.r_shuffled) <= NOTHING
        and (row.region in VALUE_REGIONS or abs(row.r) <= NOTHING)
        for row in table.itertuples()
    ]
    noise = pd.read_csv(folder / "truth" / "noise_truth.tsv", sep="\t")["tsnr_grey"]
    table["tsnr_min"], table["tsnr_max"] = noise.min(), noise.max()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"seed {seed}: phantom {made:.0f} CPU s, chain {wall:.0f} s on {cores} cores, "
        f"largest process {peak:.0f} MiB",
        flush=True,
    )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="Folder in which everything is kept.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = (arguments.keep or Path(temporary)).resolve()
        tables = [bench(seed, base / f"seed-{seed}", arguments.cores) for seed in arguments.seeds]
    result = pd.concat(tables, ignore_index=True)
    print(result.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    columns = ["r", "r_shuffled", "ideal_r", "share_of_ideal"]
    summary = result.groupby("region", sort=False)[columns].agg(["median", "min", "max"])
    print("\nover the seeds:")
    print(summary.to_string(float_format=lambda value: f"{value:.3f}"))
    within = result["tsnr_min"].min() >= 40 and result["tsnr_max"].max() <= 80
    passed = bool(result["passed"].all() and within)
    print(
        f"\nr ≥ {ENOUGH} in {' and '.join(VALUE_REGIONS)} (or {SHARE_OF_IDEAL:.0%} of a lower "
        f"ideal), |r| ≤ {NOTHING} in visual and shuffled, tSNR within 40–80: "
        f"{'passed' if passed else 'FAILED'}"
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
