"""What fine patterns say in the common space, and means do not: a phantom through the stages.

    python -m tests.bench.align_phantom [--people 12] [--seeds 3] [--voxel 3]

People with an own fine topography of vmPFC and ventral striatum see one film; gains and losses of a
task differ in patterns whose mean over the region is 0. Each person's trials are decoded from those
of the others: from `patterns` of recordings that no map was fitted on, from the region's means, and
from voxels in anatomical space.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from braindata.align.parameters import AlignSettings, Group, Method, find_groups
from braindata.layout import Layout
from braindata.stages import align
from tests.unit.align_stores import Phantom, region, write_phantom
from tests.unit.test_stages_align import by_person, decoded, means

# What the figures are held against.
METHODS: tuple[Method, ...] = ("procrustes", "srm")
LEAST, MOST_OF_MEANS = 0.7, 0.6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--voxel", type=float, default=3.0)
    chosen = parser.parse_args()
    regions = (region("vmpfc"), region("ventral_striatum"))
    groups = [
        g for g in find_groups(regions, ["levels", "regions"]) if g.name != "ventral_striatum"
    ]
    print("seed  method      group      patterns  nested  anatomy  means  CPU s")
    for seed in range(chosen.seeds):
        with tempfile.TemporaryDirectory() as folder:
            layout = Layout(Path(folder) / "out")
            write_phantom(
                layout, Phantom(regions, n_people=chosen.people, voxel=chosen.voxel, seed=seed)
            )
            of_means = decoded(by_person(means(layout), "estimate"))
            for method in METHODS:
                for group in groups:
                    _measure(layout, group, method, seed, of_means)


def _measure(layout: Layout, group: Group, method: Method, seed: int, of_means: float) -> None:
    start = time.process_time()
    settings = AlignSettings(method=method, n_permutations=20)
    align.run(layout, "ds", align.Parameters(group=group, align=settings, shared_stimulus=True))
    seconds = time.process_time() - start
    rows = pq.read_table(layout.alignment("ds", group.key)).to_pylist()
    patterns = pq.read_table(layout.patterns("ds", group.key)).to_pylist()
    fair = [row for row in patterns if row["in_fit"] is False and row["task"] == "task"]
    found = decoded(by_person(fair, "vector"))
    nested, anatomy = (
        float(np.mean([row[f"decoding_{name}"] for row in rows])) for name in ("after", "before")
    )
    print(
        f"{seed:<4}  {method:<12}{group.name:<11}{found:8.3f}{nested:8.3f}{anatomy:9.3f}"
        f"{of_means:7.3f}{seconds:7.1f}"
    )
    assert min(found, nested) >= LEAST
    assert of_means <= MOST_OF_MEANS


if __name__ == "__main__":
    main()
