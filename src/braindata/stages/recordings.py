"""What became of a recording, from the receipts of all stages: the same for tables and status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from braindata.receipts import Outcome, Receipt

# The stage at which rules of quality and people leave recordings out of the tables.
PUBLISH = "publish"


@dataclass(frozen=True)
class Fault:
    """That a recording was not done, or not wholly, in some of a stage's jobs.

    Attributes
    ----------
    stage, job : str
        The first stage that could not use it, and the first of its jobs.
    outcome : Outcome
        What that job says.
    n_faulty, n_jobs : int
        In how many of the stage's jobs, and how many there are (one per region, or just one).
    """

    stage: str
    job: str
    outcome: Outcome
    n_faulty: int
    n_jobs: int

    @property
    def in_part(self) -> bool:
        """Whether the rest is used: series without trials, other regions, other strategies."""
        return self.outcome.state == "done" or self.stage == "derive" or self.n_faulty < self.n_jobs

    @property
    def status(self) -> str:
        """The recording's `status` in the table `recordings`."""
        return "used" if self.in_part else self.outcome.state

    def reason_in(self, path: str) -> str:
        """Return why (see `Outcome.reason_in`), and in how many regions if not in all."""
        part = f" (in {self.n_faulty} of {self.n_jobs} regions)"
        return f"{self.outcome.reason_in(path)}{part if self.n_faulty < self.n_jobs else ''}"


def find_fault(recording: str, stages: Mapping[str, Sequence[Receipt]]) -> Fault | None:
    """Return why a recording is not used, or not wholly; None when every job did it.

    Where several stages could not use it, the one is told that costs most.

    Parameters
    ----------
    recording : str
        Name of the recording.
    stages : mapping of str to sequence of Receipt
        The receipts of each stage that concern the recording, stages in the order of the chain.
    """
    # What is done in part counts only where nothing worse is to be told.
    for is_faulty in (_is_left_out, _is_done_in_part):
        faults = []
        for stage, receipts in stages.items():
            faulty = [
                receipt
                for receipt in receipts
                if recording in receipt.recordings and is_faulty(receipt.recordings[recording])
            ]
            if faulty:
                first = faulty[0]
                outcome = first.recordings[recording]
                faults.append(Fault(stage, first.job, outcome, len(faulty), len(receipts)))
        if faults:
            # One region that the voxels are too large for must not hide why there are no trials
            # at all. Of equals the first in the chain is told.
            return max(faults, key=lambda one: (not one.in_part, one.n_faulty / one.n_jobs))
    return None


def of_recording(notes: Mapping[str, Any], key: str, recording: str) -> Any:
    """Return what a receipt's notes say of a recording: of each by its name, or of all at once."""
    said = notes.get(key)
    return said.get(recording) if isinstance(said, Mapping) else said


def _is_left_out(outcome: Outcome) -> bool:
    return outcome.state != "done"


def _is_done_in_part(outcome: Outcome) -> bool:
    return outcome.state == "done" and outcome.reason is not None
