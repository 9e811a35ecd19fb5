"""`signals`: the trials of regions, and latents → one cognitive process in each trial."""

from __future__ import annotations

import json

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from braindata.derive.signal_tables import MAPPED, Process, derive_signals
from braindata.errors import UsageError, nearest
from braindata.layout import Layout
from braindata.receipts import Outcome, Receipt, merkle, receipt_beside
from braindata.stages.job import Result, run_job
from braindata.tables.shards import read_shard, write_shard


class Parameters(BaseModel):
    """What decides the estimates of a process in a data set.

    Attributes
    ----------
    regions : tuple of str
        The regions that are tied to it, as ``name-hash``.
    targets : tuple of str
        What it is held against, the first that a task has.
    required : bool
        Whether the data set itself names the target: then it must be there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    regions: tuple[str, ...]
    targets: tuple[str, ...] = ()
    required: bool = False


def run(layout: Layout, dataset: str, process: str, parameters: Parameters) -> bool:
    """Estimate a process in all trials of a data set whose regions have responses."""
    shards = {region: layout.trials(dataset, region) for region in parameters.regions}
    derived = {region: Receipt.read(receipt_beside(path)) for region, path in shards.items()}
    fitted = Receipt.read(receipt_beside(layout.latents(dataset)))
    targets = [layout.signals(dataset, process), layout.signal_fits(dataset, process)]

    def work() -> Result:
        trials = [read_shard(path, "trials") for path in shards.values()]
        latents = read_shard(layout.latents(dataset), "latents")
        if parameters.required:
            _require(parameters.targets[0], dataset, process, trials)
        made = derive_signals(Process(process, parameters.targets), trials, latents)
        for table, path, name in zip(made, targets, ("signals", "signal_fits"), strict=True):
            write_shard(table, path, name)
        names = sorted(set(made[0]["recording"].to_pylist()))
        return Result(targets, {name: Outcome("done") for name in names})

    # Of latents only the table counts: what else that job made is not looked at.
    own = layout.latents(dataset).relative_to(layout.output).as_posix()
    return run_job(
        layout,
        "signals",
        f"{dataset}/{process}",
        receipt_beside(targets[0]),
        parameters=parameters,
        inputs={
            "trials": merkle({name: merkle(one.outputs) for name, one in derived.items()}),
            "latents": fitted.outputs[own],
        },
        libraries=("numpy", "pandas", "scipy"),
        work=work,
    )


def _require(target: str, dataset: str, process: str, trials: list[pa.Table]) -> None:
    """Check that a column that a data set names is in its events, or it is a slip of the pen."""
    kind, _, name = target.partition(":")
    # A region that is too small for the data set's voxels has no trials; the others have.
    filled = [table for table in trials if table.num_rows]
    if kind != "column" or not filled:
        return
    one = {json.dumps(sorted(json.loads(text))) for text in set(filled[0]["columns"].to_pylist())}
    there = sorted({*MAPPED, *(column for text in one for column in json.loads(text))})
    if name not in there:
        raise UsageError(
            f"targets.{process}: no events file of {dataset} has a column {name}",
            hint=nearest(name, there, f"there are {', '.join(there)}"),
        )
