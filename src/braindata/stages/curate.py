"""`curate`: `raw/` → the inventory of recordings."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from braindata.curate.inventory import Source, build_inventory
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.validator import describe, validate
from braindata.files import write_text
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Receipt, merkle
from braindata.stages.job import Result, log, run_job
from braindata.tables.shards import write_shard


class Parameters(BaseModel):
    """What decides the inventory of a data set.

    Attributes
    ----------
    curate : CurateParameters
        What holds for all data sets.
    choice : Choice
        What is chosen of this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    curate: CurateParameters = CurateParameters()
    choice: Choice = Choice()


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Make the inventory of one data set."""
    pulled = Receipt.read(layout.receipt("raw", dataset))
    manifest = read_manifest(layout.manifest(dataset))

    def work() -> Result:
        root = layout.raw(dataset)
        verdict = validate(root)
        for issue in verdict.errors:
            log.warning("BIDS validator: %s", describe(issue))
        source = Source(
            dataset, pulled.notes["version"], root, {p: f.sha256 for p, f in manifest.items()}
        )
        # Those in use are in the inventory; listing them here too would make a corpus' receipt big.
        table, left_out = build_inventory(source, verdict, parameters.curate, parameters.choice)
        rows = table.to_pylist()
        for problem in parameters.choice.decisions.about_nothing(rows):
            log.warning("exclusions of %s: %s", dataset, problem)
        write_shard(table, layout.inventory(dataset), "recordings")
        write_text(layout.validation(dataset), verdict.to_json())
        units: dict[str, int] = {}
        for row in rows:
            if row["status"] == "used":
                units[row["unit"]] = units.get(row["unit"], 0) + 1
        return Result(
            [layout.inventory(dataset), layout.validation(dataset)], left_out, {"units": units}
        )

    return run_job(
        layout,
        "curate",
        dataset,
        layout.receipt("curated", dataset),
        parameters=parameters,
        inputs={"raw": merkle(pulled.inputs)},
        libraries=("bids2table", "bids-validator-deno", "nibabel"),
        work=work,
    )
