"""`curate`: `raw/` → the inventory of recordings."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from braindata.bids.derived import Derivatives
from braindata.bids.events import MAX_TABLE
from braindata.curate.derived import Derived
from braindata.curate.inventory import Source, build_inventory
from braindata.curate.made_from import made_from
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.validator import Verdict, describe, validate
from braindata.errors import DataError
from braindata.files import write_text
from braindata.layout import Layout
from braindata.pull.local import PulledFile, read_manifest
from braindata.receipts import MADE_FROM, Receipt, merkle
from braindata.stages.job import Result, log, run_job
from braindata.tables.shards import write_shard

# Files that the validator reads as a whole.
TEXTS = (".tsv", ".json")


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


def _derived(
    layout: Layout, dataset: str, choice: Choice, published: Mapping[str, PulledFile]
) -> Derived | None:
    if choice.derivatives is None:
        return None
    return Derived(layout.published(dataset), Derivatives(published), choice.derivatives)


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Make the inventory of one data set."""
    pulled = Receipt.read(layout.receipt("raw", dataset))
    manifest = read_manifest(layout.manifest(dataset))
    chosen = parameters.choice.derivatives
    published = {} if chosen is None else read_manifest(layout.published_manifest(dataset))

    def work() -> Result:
        root = layout.raw(dataset)
        # The validator reads tables as a whole, which an endless one would make it die of.
        endless = [p for p, f in manifest.items() if p.endswith(TEXTS) and f.size > MAX_TABLE]
        verdict = Verdict() if endless else validate(root)
        unchecked = [f"{p} is too large for the BIDS validator, which did not run" for p in endless]
        for problem in unchecked:
            log.warning("%s", problem)
        for issue in verdict.errors:
            log.warning("BIDS validator: %s", describe(issue))
        source = Source(
            dataset,
            pulled.notes["version"],
            root,
            {p: f.sha256 for p, f in manifest.items()},
            _derived(layout, dataset, parameters.choice, published),
        )
        # Those in use are in the inventory; listing them here too would make a corpus' receipt big.
        inventory = build_inventory(source, verdict, parameters.curate, parameters.choice)
        for problem in inventory.warnings:
            log.warning("%s: %s", dataset, problem)
        rows = inventory.table.to_pylist()
        if not rows:
            wanted = " or ".join(parameters.choice.modalities)
            raise DataError(
                f"there is no recording of {wanted} in data set {dataset}",
                file=root,
                hint="; ".join(inventory.warnings) or "is this the folder of a BIDS data set?",
            )
        for problem in parameters.choice.decisions.about_nothing(rows):
            log.warning("exclusions of %s: %s", dataset, problem)
        write_shard(inventory.table, layout.inventory(dataset), "recordings")
        write_text(layout.validation(dataset), verdict.to_json())
        facts = inventory.facts()
        facts["warnings"] = [*unchecked, *facts["warnings"]]
        text = json.dumps(facts, indent=1, sort_keys=True, ensure_ascii=False)
        write_text(layout.facts(dataset), f"{text}\n")
        units: dict[str, int] = {}
        for row in rows:
            if row["status"] == "used":
                units[row["unit"]] = units.get(row["unit"], 0) + 1
        made = [layout.inventory(dataset), layout.validation(dataset), layout.facts(dataset)]
        notes = {
            "units": units,
            MADE_FROM: made_from(
                rows, source.sha256, {path: file.sha256 for path, file in published.items()}
            ),
            "terms": inventory.terms,
        }
        return Result(made, inventory.left_out, notes)

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
