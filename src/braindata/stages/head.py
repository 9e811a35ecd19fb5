"""`head`: the lead fields of EEG, which regions are made with and tried on; once for all."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from braindata.eeg.forward import (
    SIMULATED,
    SIMULATED_SHIFT,
    make_lead_fields,
    write_lead_fields,
)
from braindata.eeg.source_parameters import HeadParameters
from braindata.layout import Layout
from braindata.regions.definition import Region
from braindata.stages.job import Result, run_job

MODEL, TRUTH = "model", "truth"


class Parameters(BaseModel):
    """What decides the heads, and what regions are told apart from there.

    Attributes
    ----------
    head : HeadParameters
        What the user chose.
    others : tuple of Region
        The regions whose crosstalk is looked at: those that come with the package, whichever the
        user has. Else a new region would change what is claimed of another.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    head: HeadParameters = HeadParameters()
    others: tuple[Region, ...] = ()


def run(layout: Layout, parameters: Parameters) -> bool:
    """Compute and write both lead fields."""
    chosen = parameters.head

    def work() -> Result:
        paths = [layout.head(MODEL), layout.head(TRUTH)]
        write_lead_fields(make_lead_fields(chosen.spacing, model=chosen.model), paths[0])
        truth = make_lead_fields(
            chosen.spacing, shift=SIMULATED_SHIFT, conductivity=SIMULATED, model=chosen.model
        )
        write_lead_fields(truth, paths[1])
        return Result(paths)

    return run_job(
        layout,
        "head",
        "all",
        layout.receipt("head", "head"),
        parameters=parameters,
        inputs={},
        libraries=("h5py", "mne", "nilearn", "numpy", "scipy"),
        work=work,
    )
