"""Keys of recordings and stimuli."""

from __future__ import annotations

import pytest

from braindata.tables.keys import RecordingKey, stimulus_id


def test_key_of_a_row() -> None:
    row = {
        "dataset": "ds",
        "recording": "sub-01_bold",
        "subject": "01",
        "session": None,
        "task": "x",
        "run": "02",
    }
    assert vars(RecordingKey.from_row(row | {"tr": 2.0})) == row
    with pytest.raises(KeyError):
        RecordingKey.from_row({"dataset": "ds"})


def test_stimulus_id_tells_data_sets_and_files_apart() -> None:
    pairs = [("a", "b.png"), ("a", "c.png"), ("ab", ".png"), ("b", "b.png")]
    assert len({stimulus_id(*pair) for pair in pairs}) == len(pairs)
    assert stimulus_id("a", "b.png") == stimulus_id("a", "b.png")
