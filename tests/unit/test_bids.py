"""Names and events of BIDS files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from braindata.bids.entities import entities, entity_columns, stem, unit_of
from braindata.bids.events import find_events, read_events
from braindata.errors import DataError

BOLD = "sub-007/ses-01/func/sub-007_ses-01_task-a_run-01_bold.nii.gz"

labels = st.text("abcXYZ0123456789", min_size=1, max_size=6)


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def test_leading_zeros_stay() -> None:
    columns = entity_columns(BOLD)
    assert (columns["subject"], columns["session"], columns["run"]) == ("007", "01", "01")
    assert columns["echo"] is None
    assert stem(BOLD) == "sub-007_ses-01_task-a_run-01_bold"
    assert unit_of("007", None) == "sub-007"
    assert unit_of("007", "01") == "sub-007_ses-01"


@given(labels, labels, st.integers(0, 99))
def test_entities_are_what_the_name_says(subject: str, task: str, run: int) -> None:
    found = entities(f"sub-{subject}/func/sub-{subject}_task-{task}_run-{run:02d}_bold.nii.gz")
    assert found == {
        "sub": subject,
        "task": task,
        "run": f"{run:02d}",
        "suffix": "bold",
        "ext": ".nii.gz",
    }


def test_events_keep_types_and_order(tmp_path: Path) -> None:
    # A byte-order mark, Windows line ends, labels that look like numbers: all are in real data.
    path = write(
        tmp_path / "a_events.tsv",
        "onset\tduration\ttrial_type\tcode\tgain\tnote\r\n"
        "2.5\t1\tgo\t007\t10\tn/a\r\n"
        "1.0\tn/a\tn/a\t012\t-3\tNone\r\n",
        "utf-8-sig",
    )
    table = read_events(path)
    assert list(table["onset"]) == [2.5, 1.0]
    assert table["duration"].iloc[0] == 1.0
    assert pd.isna(table["duration"].iloc[1])
    assert list(table["code"]) == ["007", "012"]
    assert list(table["gain"]) == [10, -3]
    assert table["gain"].dtype == "int64"
    assert table["trial_type"].iloc[1] is None
    assert table["note"].iloc[1] == "None"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("onset\tduration\n", "no rows"),
        ("", "cannot be read"),
        ("onset\ttrial_type\n1\ta\n", "no column duration"),
        ("onset,duration\n1,2\n", "no column onset"),
        ("onset\tduration\nlate\t1\n", "'late', not a number"),
        ("onset\tduration\n1\t1\nn/a\t1\n", "onset is missing in row 3"),
        ("onset\tduration\n1\t1\n2\t1\tmore\n", "cannot be read"),
    ],
)
def test_bad_events_are_named(tmp_path: Path, text: str, problem: str) -> None:
    path = write(tmp_path / "a_events.tsv", text)
    with pytest.raises(DataError, match=problem) as caught:
        read_events(path)
    assert caught.value.file == str(path)
    assert caught.value.hint


def test_labels_that_resemble_numbers_stay_labels(tmp_path: Path) -> None:
    rows = ["E1\t101\t.5\t5.", "E2\tn/a\t1\t6."]
    text = "onset\tduration\tcode\tstim_file\ta\tb\n" + "".join(f"1\t1\t{r}\n" for r in rows)
    table = read_events(write(tmp_path / "a_events.tsv", text))
    assert list(table["code"]) == ["E1", "E2"]
    assert list(table["stim_file"]) == ["101", None]
    assert list(table["a"]) == [0.5, 1.0]
    assert list(table["b"]) == [5.0, 6.0]


def test_a_lone_quotation_mark_swallows_no_rows(tmp_path: Path) -> None:
    text = 'onset\tduration\tnote\n1\t1\t"oh\n2\t1\tb\n3\t1\t"c\n\n'
    assert list(read_events(write(tmp_path / "a_events.tsv", text))["note"]) == ['"oh', "b", '"c']
    # One alone, still open at the end of the file.
    text = 'onset\tduration\tnote\n1\t1\t"oh\n2\t1\tb\n'
    assert list(read_events(write(tmp_path / "a_events.tsv", text))["note"]) == ['"oh', "b"]
    text = 'onset\tduration\tnote\n1\t1\t"a\tb"\n'
    assert list(read_events(write(tmp_path / "a_events.tsv", text))["note"]) == ["a\tb"]


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e4, allow_nan=False),
            st.floats(0, 100, allow_nan=False),
            st.text("abc019 .-", min_size=1).filter(lambda t: t.strip() == t and t != ""),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_written_table_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, str]]
) -> None:
    path = tmp_path_factory.mktemp("events") / "a_events.tsv"
    body = "".join(f"{onset!r}\t{duration!r}\tx{label}\n" for onset, duration, label in rows)
    write(path, "onset\tduration\tlabel\n" + body)
    table = read_events(path)
    assert list(table["onset"]) == [row[0] for row in rows]
    assert list(table["duration"]) == [row[1] for row in rows]
    assert list(table["label"]) == [f"x{row[2]}" for row in rows]


def test_the_nearest_events_file_applies(tmp_path: Path) -> None:
    assert find_events(tmp_path, BOLD) is None
    (tmp_path / BOLD).parent.mkdir(parents=True)
    write(tmp_path / "task-a_events.tsv", "")
    write(tmp_path / "task-b_events.tsv", "")
    assert find_events(tmp_path, BOLD) == "task-a_events.tsv"
    write(tmp_path / "sub-007/sub-007_task-a_events.tsv", "")
    assert find_events(tmp_path, BOLD) == "sub-007/sub-007_task-a_events.tsv"
    own = BOLD.replace("_bold.nii.gz", "_events.tsv")
    write(tmp_path / own, "")
    write(tmp_path / own.replace("run-01", "run-02"), "")
    assert find_events(tmp_path, BOLD) == own


def test_events_of_bids_examples(shared_data: Path) -> None:
    root = shared_data / "bids-examples" / "ds114"
    bold = "sub-01/ses-test/func/sub-01_ses-test_task-fingerfootlips_bold.nii.gz"
    assert find_events(root, bold) == "task-fingerfootlips_events.tsv"
    assert len(read_events(root / "task-fingerfootlips_events.tsv")) > 0
