"""`preprocess`: the recordings of a subject (or of one session) → BIDS derivatives.

A backend does it: a module `preprocess_<backend>` beside this one, imported when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, cast

from pydantic import BaseModel, ConfigDict

from braindata.eeg.parameters import EegParameters
from braindata.errors import BraindataError
from braindata.fmri.backends import FmriParameters
from braindata.fmri.fmriprep.parameters import FmriprepRun
from braindata.layout import Layout
from braindata.receipts import MADE_FROM, Receipt
from braindata.stages.job import (
    Result,
    read_inventory,
    remove_superseded,
    run_job,
    used,
    void_other_division,
)

Rows = list[dict[str, Any]]


class Parameters(BaseModel):
    """What decides what becomes of a unit's recordings.

    Attributes
    ----------
    fmri : FmriParameters or None
        Of recordings whose `modality` is `fmri`; None where the data set's are not used.
    eeg : EegParameters or None
        Of those whose it is `eeg`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fmri: FmriParameters | None = None
    eeg: EegParameters | None = None

    def of_job(self) -> dict[str, Any]:
        """Return what the receipt says: of each modality, the backend and its own parameters."""
        fmri = None if self.fmri is None else self.fmri.chosen()
        eeg = None if self.eeg is None else self.eeg.model_dump(mode="json")
        return {name: own for name, own in (("fmri", fmri), ("eeg", eeg)) if own is not None}


class Machine(BaseModel):
    """How a unit's recordings are preprocessed here, which changes no result.

    Attributes
    ----------
    fmriprep : FmriprepRun
        Of the backend `fmriprep`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fmriprep: FmriprepRun = FmriprepRun()

    def limited(self, limits: Mapping[str, int]) -> Machine:
        """Return the machine with the threads and memory (MB) that the job was given."""
        return Machine(fmriprep=self.fmriprep.model_copy(update=dict(limits)))


class Backend(Protocol):
    """The module of a backend.

    Attributes
    ----------
    LIBRARIES : tuple of str
        Distributions that touch the numbers.
    """

    LIBRARIES: tuple[str, ...]

    def inputs(self, layout: Layout, dataset: str, rows: Rows) -> dict[str, str]:
        """Return the content hash of what each recording is made from."""

    def preprocess(self, layout: Layout, dataset: str, rows: Rows, parameters: Any) -> Result:
        """Preprocess recordings of one unit.

        Parameters
        ----------
        layout : Layout
            The output folder.
        dataset : str
            Its name.
        rows : list of dict
            Rows of the inventory, all of one modality.
        parameters : BaseModel
            The backend's own.

        Returns
        -------
        Result
            An outcome for each recording; as notes, by recording: `files` (its own outputs below
            the output folder), `quality` (columns of `recordings`), `space`, `backend` and
            `distortion_corrected` (None where nobody knows).
        """


def run(
    layout: Layout,
    dataset: str,
    unit: str,
    parameters: Parameters,
    machine: Machine | None = None,
) -> bool:
    """Preprocess one unit of a data set."""
    rows = [row for row in used(read_inventory(layout, dataset)) if row["unit"] == unit]
    if not rows:
        raise BraindataError(
            f"{unit} has no recording in use",
            file=layout.inventory(dataset),
            hint="run curate again, or look there why its recordings are left out",
        )
    parts = list(_parts(rows, _on(machine or Machine(), parameters)))
    receipt = layout.receipt("derivatives", dataset, unit)
    inputs: dict[str, str] = {}
    for module, _, own in parts:
        inputs |= module.inputs(layout, dataset, own)

    curated = Receipt.read(layout.receipt("curated", dataset))

    def work() -> Result:
        void_other_division(layout, dataset, unit, curated.notes["units"])
        result = Result([])
        for module, chosen, own in parts:
            _merge(result, module.preprocess(layout, dataset, own, chosen))
        # Whatever the backend was, a recording that is done is looked at here in the same way, by
        # its files: result.notes["files"]; what is found goes into result.notes["quality"].
        remove_superseded(layout, receipt, result.outputs)
        return result

    return run_job(
        layout,
        "preprocess",
        f"{dataset}/{unit}",
        receipt,
        parameters=parameters.of_job(),
        inputs=inputs,
        libraries=tuple(sorted({name for module, _, _ in parts for name in module.LIBRARIES})),
        work=work,
        marks={MADE_FROM: curated.notes.get(MADE_FROM, {}).get(unit)},
    )


def _on(machine: Machine, parameters: Parameters) -> Parameters:
    fmri = parameters.fmri
    if fmri is None:
        return parameters
    fmriprep = fmri.fmriprep.model_copy(update={"run": machine.fmriprep})
    return parameters.model_copy(update={"fmri": fmri.model_copy(update={"fmriprep": fmriprep})})


def _parts(rows: Rows, parameters: Parameters) -> Iterator[tuple[Backend, BaseModel, Rows]]:
    """Yield for each modality of a unit its backend, that one's parameters, and its rows."""
    for modality in sorted({row["modality"] for row in rows}):
        name, own = _backend(modality, parameters)
        module = importlib.import_module(f"braindata.stages.preprocess_{name}")
        yield cast(Backend, module), own, [row for row in rows if row["modality"] == modality]


def _backend(modality: str, parameters: Parameters) -> tuple[str, BaseModel]:
    if modality == "eeg":
        return "eeg", parameters.eeg or EegParameters()
    fmri = parameters.fmri or FmriParameters()
    chosen: BaseModel = getattr(fmri, fmri.backend)
    return fmri.backend, chosen


def _merge(whole: Result, part: Result) -> None:
    whole.outputs += part.outputs
    whole.recordings |= part.recordings
    by_recording: Mapping[str, Mapping[str, Any]] = part.notes
    for name, values in by_recording.items():
        whole.notes.setdefault(name, {}).update(values)
