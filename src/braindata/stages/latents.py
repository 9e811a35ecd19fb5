"""`latents`: the events of a data set → what models of behaviour say of each trial."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from braindata.bids.events import read_events
from braindata.curate.behaviour import has_behaviour_only
from braindata.derive.parameters import EventMapping
from braindata.derive.trials import behaviour_trials
from braindata.errors import DataError
from braindata.latents.columns import Columns, RunEvents
from braindata.latents.names import ModelName
from braindata.latents.parameters import BehaviourMapping
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, merkle, receipt_beside
from braindata.stages.events import require_codes, require_columns
from braindata.stages.job import Result, read_inventory, run_job
from braindata.tables.keys import RecordingKey
from braindata.tables.shards import write_shard


class Parameters(BaseModel):
    """What decides the latents of a data set.

    Attributes
    ----------
    models : tuple of str
        Which models are fitted.
    events : EventMapping
        Which columns of this data set's events hold what of a trial.
    behaviour : BehaviourMapping
        Which hold what else models need.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    models: tuple[ModelName, ...] = ()
    events: EventMapping = EventMapping()
    behaviour: BehaviourMapping = BehaviourMapping()


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Fit the models to all people of a data set, and list trials of which there is no image."""
    manifest = read_manifest(layout.manifest(dataset))
    rows = [row for row in read_inventory(layout, dataset) if _has_behaviour(row)]
    rows = [row for row in rows if row["events"] in manifest]
    latents, fits, behaviour = (
        path(dataset) for path in (layout.latents, layout.latent_fits, layout.behaviour)
    )

    def work() -> Result:
        runs, without_image = [], []
        outcomes: dict[str, Outcome] = {}
        for row in rows:
            try:
                events = read_events(layout.raw(dataset) / row["events"])
            except DataError as error:
                outcomes[row["recording"]] = Outcome.quarantine(error)
                continue
            one = RunEvents(RecordingKey.from_row(row), events)
            runs.append(one)
            outcomes[row["recording"]] = Outcome("done")
            if has_behaviour_only(row):
                without_image.append(one)
        tables = [one.events for one in runs]
        named = parameters.events.columns() | parameters.behaviour.columns()
        require_columns(named, tables, dataset)
        require_codes(parameters.events, tables, dataset)
        outcomes |= {
            name: Outcome("done", reason, "see docs/latents.md")
            for name, reason in _fit(parameters, runs, latents, fits).items()
        }
        trials = behaviour_trials(
            [(one.key, one.events) for one in without_image], parameters.events
        )
        write_shard(trials, behaviour, "trials")
        return Result([latents, fits, behaviour], outcomes)

    return run_job(
        layout,
        "latents",
        dataset,
        receipt_beside(latents),
        parameters=parameters,
        inputs={
            "events": merkle({row["recording"]: manifest[row["events"]].sha256 for row in rows}),
            "without image": merkle(
                {row["recording"]: row["events"] for row in rows if has_behaviour_only(row)}
            ),
        },
        libraries=("numba", "numpy", "scipy"),
        work=work,
    )


def _has_behaviour(row: dict[str, Any]) -> bool:
    return row["events"] is not None and (row["status"] == "used" or has_behaviour_only(row))


def _fit(parameters: Parameters, runs: list[RunEvents], latents: Any, fits: Any) -> dict[str, str]:
    # numba and its models take a second to import, which a data set without models need not.
    from braindata.latents.derive_latents import derive_latents
    from braindata.latents.registry import MODELS

    models = [MODELS[name] for name in parameters.models]
    tables = derive_latents(runs, models, _columns(parameters))
    write_shard(tables[0], latents, "latents")
    write_shard(tables[1], fits, "latent_fits")
    return tables[2]


def _columns(parameters: Parameters) -> Columns:
    events, behaviour = parameters.events, parameters.behaviour
    scale = 1e-3 if events.response_time and events.response_time_unit == "ms" else 1.0
    return Columns(
        # What was chosen is the response, unless a column of its own says so.
        choice=events.choice or events.response or "response",
        outcome=events.outcome,
        stimulus=behaviour.stimulus,
        response_time=events.response_time or "response_time",
        gain=behaviour.gain,
        loss=behaviour.loss,
        evidence=behaviour.evidence,
        choices=behaviour.choices,
        response_time_scale=scale,
    )
