"""Receipts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.errors import BraindataError, DataError
from braindata.receipts import (
    Outcome,
    Receipt,
    content_hash,
    cut_off_outputs,
    hash_outputs,
    merkle,
    missing_outputs,
    output_sizes,
    read_matching,
    up_to_date,
)


def planned(**changes: object) -> Receipt:
    facts: dict[str, object] = {
        "stage": "pack",
        "job": "ds/sub-01",
        "step_version": 1,
        "parameters": {"a": [1, 2]},
        "inputs": {"x": "1" * 64},
    }
    return Receipt(**(facts | changes))  # type: ignore[arg-type]


def finished(output: Path) -> Path:
    made = output / "packed" / "ds" / "a.h5"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"store")
    receipt = planned()
    receipt.outputs = hash_outputs([made], output)
    receipt.recordings = {
        "a": Outcome("done"),
        "b": Outcome.quarantine(DataError("broken", file="raw/b", hint="fetch it")),
    }
    path = output / "packed" / "ds" / "sub-01.receipt.json"
    receipt.write(path)
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = finished(tmp_path)
    receipt = Receipt.read(path)
    assert receipt.with_state("done") == ["a"]
    assert receipt.recordings["b"] == Outcome("quarantined", "broken", "fetch it", "raw/b")
    assert path.read_text() == receipt.to_json()
    assert "time" not in json.loads(path.read_text())


@pytest.mark.parametrize(
    "changes",
    [{"step_version": 2}, {"parameters": {}}, {"inputs": {"x": "2" * 64}}, {"job": "ds/sub-02"}],
)
def test_any_change_makes_it_out_of_date(tmp_path: Path, changes: dict[str, object]) -> None:
    path = finished(tmp_path)
    assert up_to_date(planned(), path, tmp_path)
    assert not up_to_date(planned(**changes), path, tmp_path)


def test_a_missing_output_or_a_broken_receipt_is_out_of_date(tmp_path: Path) -> None:
    path = finished(tmp_path)
    (tmp_path / "packed/ds/a.h5").unlink()
    assert not up_to_date(planned(), path, tmp_path)
    path.write_text('{"stage": "pack"')
    assert not up_to_date(planned(), path, tmp_path)
    with pytest.raises(BraindataError, match="no receipt"):
        Receipt.read(path)


def broken(output: Path, folders: list[str]) -> list[Path]:
    """Return the receipts that cannot be read or lack a file."""
    known = read_matching(output, [f"{folder}/*/*" for folder in folders])
    return [p for p, one in known.items() if one is None or missing_outputs(one, output)]


def test_a_receipt_whose_output_is_gone_is_broken(tmp_path: Path) -> None:
    path = finished(tmp_path)
    assert broken(tmp_path, ["packed", "absent"]) == []
    (tmp_path / "packed/ds/a.h5").unlink()
    assert broken(tmp_path, ["packed"]) == [path]
    path.write_text("{")
    assert broken(tmp_path, ["packed"]) == [path]


def test_a_receipt_whose_output_is_cut_off_is_broken_and_out_of_date(tmp_path: Path) -> None:
    path = finished(tmp_path)
    made = tmp_path / "packed/ds/a.h5"
    receipt = Receipt.read(path)
    receipt.sizes = output_sizes([made], tmp_path)
    assert receipt.sizes == {"packed/ds/a.h5": 5}
    receipt.write(path)
    assert broken(tmp_path, ["packed"]) == []
    os.truncate(made, 3)
    assert missing_outputs(receipt, tmp_path) == cut_off_outputs(receipt, tmp_path)
    assert cut_off_outputs(receipt, tmp_path) == ["packed/ds/a.h5"]
    assert broken(tmp_path, ["packed"]) == [path]
    assert not up_to_date(planned(), path, tmp_path)
    made.unlink()
    assert cut_off_outputs(receipt, tmp_path) == []
    assert missing_outputs(receipt, tmp_path) == ["packed/ds/a.h5"]
    # Receipts of earlier versions know no sizes.
    body = json.loads(path.read_text())
    del body["sizes"]
    path.write_text(json.dumps(body))
    made.write_bytes(b"sto")
    assert broken(tmp_path, ["packed"]) == []


@given(st.dictionaries(st.text(min_size=1), st.text(), min_size=1))
def test_hashes_know_no_order(values: dict[str, str]) -> None:
    turned = dict(reversed(values.items()))
    assert merkle(values) == merkle(turned)
    assert content_hash(values) == content_hash(turned)
    name = next(iter(values))
    assert merkle(values) != merkle(values | {name: values[name] + "x"})


def test_a_reason_names_no_folder_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "a_bold.nii.gz"
    error = DataError(f"cannot open '{file}': it is empty", file=file)
    assert Outcome.quarantine(error).reason == "cannot open 'a_bold.nii.gz': it is empty"


def test_a_reason_for_a_table_names_the_file_that_is_not_the_recordings_own() -> None:
    image = "sub-01/func/sub-01_task-a_bold.nii.gz"
    error = DataError("it is constant", file=f"/x/{image}", hint="convert it")
    assert Outcome.quarantine(error).reason_in(image) == "it is constant"
    other = Outcome.quarantine(DataError("it is constant", file="/x/sub-01_T1w.nii.gz"))
    assert other.reason_in(image) == "sub-01_T1w.nii.gz: it is constant"
    named = Outcome.quarantine(DataError("a.json is no JSON", file="/x/a.json"))
    assert named.reason_in(image) == "a.json is no JSON"
    assert Outcome("excluded", "not asked for").reason_in(image) == "not asked for"
    assert Outcome("done").reason_in(image) is None
