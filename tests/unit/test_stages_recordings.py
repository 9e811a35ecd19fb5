"""What became of a recording: what is told first, and what counts as a part."""

from __future__ import annotations

from braindata.receipts import Outcome, Receipt
from braindata.stages.recordings import find_fault

DONE = Outcome("done")
PART = Outcome("done", "strategy compcor: the confounds have no CompCor components", "see there")
BAD = Outcome("quarantined", "no data")


def receipts(stage: str, *outcomes: Outcome) -> list[Receipt]:
    return [
        Receipt(stage, f"ds/region{number}", 1, {}, {}, recordings={"a": outcome})
        for number, outcome in enumerate(outcomes)
    ]


def test_a_recording_done_everywhere_has_no_fault() -> None:
    assert find_fault("a", {"extract": receipts("extract", DONE, DONE)}) is None
    assert find_fault("b", {"extract": receipts("extract", BAD)}) is None


def test_a_strategy_that_is_not_there_leaves_the_recording_in_use() -> None:
    fault = find_fault("a", {"extract": receipts("extract", PART, PART)})
    assert fault is not None
    assert (fault.status, fault.in_part, fault.stage) == ("used", True, "extract")
    assert fault.reason_in("a.nii.gz") == PART.reason


def test_what_is_worse_is_told_first() -> None:
    stages = {"extract": receipts("extract", PART, DONE), "derive": receipts("derive", BAD, BAD)}
    fault = find_fault("a", stages)
    assert fault is not None
    assert (fault.stage, fault.outcome, fault.status) == ("derive", BAD, "used")
    # A region that is not there hides neither that there are no trials at all ...
    small = Outcome("quarantined", "region speck: too small")
    extracted = receipts("extract", small, DONE, DONE)
    fault = find_fault("a", {"extract": extracted, "derive": receipts("derive", BAD, BAD)})
    assert fault is not None
    assert (fault.stage, fault.outcome, fault.status) == ("derive", BAD, "used")
    # ... nor does it give way to what costs as much, or less than all of its series.
    for first, stage in ((extracted, "extract"), (receipts("extract", small), "extract")):
        fault = find_fault("a", {"extract": first, "derive": receipts("derive", BAD, DONE, DONE)})
        assert fault is not None and fault.stage == stage
    assert fault.status == "quarantined"
    fault = find_fault("a", {"extract": receipts("extract", PART, BAD)})
    assert fault is not None
    assert fault.reason_in("a.nii.gz") == "no data (in 1 of 2 regions)"
