"""What curation finds out beside whether a recording is used."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from braindata.bids.events import EventTimes, read_event_times, read_events
from braindata.curate.accounting import MISNAMED, RECORDING, T1W
from braindata.curate.acquisition import acquisition, check_slice_timing
from braindata.curate.checks import check_events, check_text, same_bytes
from braindata.curate.inventory import EVERYTHING, Inventory, Source, build_inventory
from braindata.curate.licences import CLASSES, licence_class
from braindata.curate.parameters import Choice, CurateParameters
from braindata.curate.participants import read_participants
from braindata.curate.validator import Verdict
from braindata.errors import DataError
from braindata.files import sha256_file
from braindata.report.cards import dataset_cards

from .bids_images import save

SIDECAR = {
    "RepetitionTime": 2.0,
    "TaskName": "a",
    "Manufacturer": "Siemens",
    "ManufacturersModelName": "Prisma",
    "MagneticFieldStrength": 3,
    "EchoTime": 0.03,
    "FlipAngle": 77,
    "PhaseEncodingDirection": "j-",
    "SliceTiming": [0.0, 0.5, 1.0, 1.5],
}


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    """Three people, one run each, that are all alike."""
    root = tmp_path / "bids"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "x", "License": "CC-BY-4.0"}')
    (root / "task-a_bold.json").write_text(json.dumps(SIDECAR))
    for number in (1, 2, 3):
        person = root / f"sub-0{number}"
        save(person / f"anat/sub-0{number}_T1w.nii.gz", (4, 4, 4), fill=number)
        save(person / f"func/sub-0{number}_task-a_bold.nii.gz", (4, 4, 4, 60), fill=number)
        events = "onset\tduration\ttrial_type\n1\t1\ta\n20\t1\tb\n"
        (person / f"func/sub-0{number}_task-a_events.tsv").write_text(events)
    return root


def build(root: Path, choice: Choice = EVERYTHING, **parameters: Any) -> Inventory:
    files = {}
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            digest = sha256_file(path) if path.is_file() else ""
            files[path.relative_to(root).as_posix()] = digest
    source = Source("ds", "v1", root, files)
    return build_inventory(source, Verdict(), CurateParameters(**parameters), choice)


def row(root: Path, subject: str = "01") -> dict[str, Any]:
    return next(r for r in build(root).table.to_pylist() if r["subject"] == subject)


def test_what_is_known_before_preprocessing(bids: Path) -> None:
    found = row(bids)
    expected = {
        "manufacturer": "Siemens",
        "scanner": "Prisma",
        "field_strength": 3.0,
        "echo_time": 0.03,
        "flip_angle": 77.0,
        "phase_encoding": "j-",
        "slice_timing": True,
        "shape": [4, 4, 4],
        "voxel_size": [3.0, 3.0, 3.0],
        "n_echoes": 1,
        "n_events": 2,
        "event_columns": ["onset", "duration", "trial_type"],
        "field_maps": [],
        "fetched": True,
        "licence": "CC-BY-4.0",
        "licence_class": "CC-BY",
        "variant": "task-a_variant-1",
        "warnings": [],
        "status": "used",
    }
    assert {key: found[key] for key in expected} == expected


def test_contents_that_were_not_fetched_and_what_is_known_all_the_same(bids: Path) -> None:
    image = bids / "sub-01/func/sub-01_task-a_bold.nii.gz"
    image.unlink()
    image.symlink_to("../../.git/annex/objects/x")
    found = row(bids)
    assert (found["fetched"], found["status"]) == (False, "quarantined")
    assert (found["scanner"], found["voxel_size"], found["variant"]) == ("Prisma", None, None)


@pytest.mark.parametrize(
    "target",
    [
        "func/sub-01_task-a_bold.nii.gz",
        ["func/sub-01_task-a_bold.nii.gz", "func/sub-01_task-b_bold.nii.gz"],
        "bids::sub-01/func/sub-01_task-a_bold.nii.gz",
        "/func/sub-01_task-a_bold.nii.gz",
        "sub-01/func/sub-01_task-a_bold.nii.gz",
    ],
)
def test_field_maps_by_what_they_are_for(bids: Path, target: Any) -> None:
    save(bids / "sub-01/fmap/sub-01_dir-AP_epi.nii.gz", (4, 4, 4))
    side = bids / "sub-01/fmap/sub-01_dir-AP_epi.json"
    side.write_text(json.dumps({"IntendedFor": target}))
    assert row(bids)["field_maps"] == ["sub-01/fmap/sub-01_dir-AP_epi.nii.gz"]
    assert row(bids, "02")["field_maps"] == []


def test_field_maps_by_their_name(bids: Path) -> None:
    save(bids / "sub-01/fmap/sub-01_phasediff.nii.gz", (4, 4, 4))
    (bids / "sub-01/fmap/sub-01_phasediff.json").write_text('{"B0FieldIdentifier": "b0"}')
    (bids / "task-a_bold.json").write_text(json.dumps(SIDECAR | {"B0FieldSource": ["b0"]}))
    assert row(bids)["field_maps"] == ["sub-01/fmap/sub-01_phasediff.nii.gz"]
    assert row(bids, "02")["field_maps"] == []
    (bids / "sub-01/fmap/sub-01_phasediff.json").write_text("{")
    assert row(bids)["field_maps"] == []


def test_variants_and_their_names(bids: Path) -> None:
    side = bids / "sub-01/func/sub-01_task-a_bold.json"
    side.write_text('{"EchoTime": 0.035}')
    found = {r["subject"]: r["variant"] for r in build(bids).table.to_pylist()}
    first, second = "task-a_variant-1", "task-a_variant-2"
    assert found == {"01": second, "02": first, "03": first}
    side.write_text('{"EchoTime": 0.03000001}')
    assert {r["variant"] for r in build(bids).table.to_pylist()} == {first}
    save(bids / "sub-03/func/sub-03_task-a_bold.nii.gz", (4, 4, 4, 90), voxel=2.0)
    assert row(bids, "03")["variant"] == second


def test_echoes_are_counted(bids: Path) -> None:
    for echo in (1, 2, 3):
        save(bids / f"sub-01/func/sub-01_task-b_echo-{echo}_bold.nii.gz", (4, 4, 4, 60), fill=echo)
    counts = {r["recording"]: r["n_echoes"] for r in build(bids).table.to_pylist()}
    assert counts["sub-01_task-b_echo-2_bold"] == 3
    assert counts["sub-01_task-a_bold"] == 1


def test_two_people_with_the_same_bytes(bids: Path) -> None:
    image = bids / "sub-02/func/sub-02_task-a_bold.nii.gz"
    image.write_bytes((bids / "sub-01/func/sub-01_task-a_bold.nii.gz").read_bytes())
    found = row(bids)
    assert found["status"] == "used"
    assert found["warnings"] == [
        "sub-01_task-a_bold.nii.gz has the same bytes as sub-02/func/sub-02_task-a_bold.nii.gz"
    ]
    assert row(bids, "03")["warnings"] == []
    assert same_bytes({"a": "", "b": ""}, ["a", "b"]) == {}


def test_people_without_a_row_or_a_folder(bids: Path) -> None:
    text = "participant_id\tage\tsex\nsub-01\t93\tF\nsub-02\t30\tM\nsub-09\tn/a\tF\n"
    (bids / "participants.tsv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    (bids / "participants.json").write_text('{"age": {"Units": "year"}}')
    inventory = build(bids)
    facts = inventory.facts()
    assert facts["participants"]["n"] == 3
    # Above 89 years an age tells who somebody is.
    age = {"kind": "number", "n": 2, "unit": "year", "median": 60.0, "min": 30.0, "max": 90.0}
    assert facts["participants"]["columns"]["age"] == age | {"older": True}
    assert facts["participants"]["columns"]["sex"]["levels"] == {"F": 2, "M": 1}
    assert "participants.tsv has people without a folder: sub-09" in facts["warnings"]
    assert any("byte-order mark" in one for one in facts["warnings"])
    assert any("Windows" in one for one in facts["warnings"])
    assert row(bids, "03")["warnings"] == ["sub-03 has no row in participants.tsv"]
    assert row(bids, "01")["warnings"] == []
    assert json.loads(row(bids, "01")["participant"]) == {
        "age": 90,
        "age_over_89": True,
        "sex": "F",
    }
    assert json.loads(row(bids, "02")["participant"]) == {"age": 30, "sex": "M"}
    assert row(bids, "03")["participant"] is None


def test_of_people_no_dates_and_no_free_text(bids: Path) -> None:
    text = "participant_id\tage_months\thand\tborn\tremarks\tscore\n"
    for number in (1, 2, 3):
        text += f"sub-0{number}\t9{number}\tright\t1980-01-0{number}\tcame late {number}\t1.5\n"
    (bids / "participants.tsv").write_text(text)
    assert json.loads(row(bids, "02")["participant"]) == {
        "age_months": 92,
        "hand": "right",
        "score": 1.5,
    }


@pytest.mark.parametrize("text", [b"", b"a\tb\n1\t2\n", b"participant_id\n", b"\xff\xfe\x00"])
def test_lists_of_people_that_are_none(bids: Path, text: bytes) -> None:
    (bids / "participants.tsv").write_bytes(text)
    inventory = build(bids)
    assert len(inventory.warnings) == 1
    assert {r["status"] for r in inventory.table.to_pylist()} == {"used"}


def test_columns_of_people_have_kinds(tmp_path: Path) -> None:
    lines = ["participant_id\tdob\tnote\thand\tgroup\tiq"]
    lines += [f"sub-{n:02}\t198{n % 10}-01-02\tnote {n}\tR\t{n % 2}\t{100 + n}" for n in range(20)]
    (tmp_path / "participants.tsv").write_text("\n".join(lines))
    described = {"group": {"Levels": {"0": "control", "1": "patient"}}}
    (tmp_path / "participants.json").write_text(json.dumps(described))
    columns = read_participants(tmp_path).columns
    kinds = {name: column["kind"] for name, column in columns.items()}
    expected = {"dob": "date", "note": "text", "hand": "levels", "group": "levels", "iq": "number"}
    assert kinds == expected
    assert "198" not in json.dumps(columns["dob"])
    assert "note 3" not in json.dumps(columns["note"])


def test_what_few_people_have_tells_no_more_of_them(tmp_path: Path) -> None:
    text = "participant_id\tage\tageAtScan\tseen\tnote\thand\n"
    text += "sub-01\t?\t93\tunknown\tmother phoned, lives in Oslo\tright\n"
    text += "sub-02\t93\t30\t1930/05/05\tn/a\tright\n"
    text += "sub-03\t30\t30\tn/a\tn/a\tright\nsub-04\t30\t30\tunknown\tn/a\tleft\n"
    (tmp_path / "participants.tsv").write_text(text)
    read = read_participants(tmp_path)
    first = {"age": "?", "ageAtScan": 90, "ageAtScan_over_89": True, "hand": "right"}
    assert json.loads(read.people["01"]) == first
    assert json.loads(read.people["02"]) == {"age": "90", "ageAtScan": 30, "hand": "right"}
    said = json.dumps([read.columns, read.people])
    assert not any(word in said for word in ("93", "1930", "Oslo"))


EVENT_FAULTS = {
    "events start after the end of the run at 120 s": [(1.0, 1.0), (130.0, 1.0), (2.0, 1.0)],
    "1 event lasts longer than the run": [(1.0, 500.0), (2.0, 1.0)],
    "1 event starts before the run": [(-1.0, 1.0), (2.0, 1.0)],
    "1 event has a negative duration": [(1.0, -1.0), (2.0, 1.0)],
    "1 event is there twice": [(1.0, 1.0), (1.0, 1.0)],
    "1 event shares an onset with another": [(1.0, 1.0), (1.0, 2.0)],
    "not in the order of their onsets": [(2.0, 1.0), (1.0, 1.0)],
    "duration has a median of 900 s: is it in milliseconds?": [(1.0, 900.0), (2.0, 900.0)],
}


@pytest.mark.parametrize("said", EVENT_FAULTS)
def test_odd_events(said: str) -> None:
    events = EventTimes.of(pd.DataFrame(EVENT_FAULTS[said], columns=["onset", "duration"]))
    found = check_events(events, "x_events.tsv", 120.0, 2.0)
    assert any(said in one and one.startswith("x_events.tsv: ") for one in found), found


def test_events_that_are_in_order() -> None:
    times = {"onset": [0.0, 1.0], "duration": [1.0, np.nan], "response_time": [0.5, np.nan]}
    assert check_events(EventTimes.of(pd.DataFrame(times)), "x", 120.0, 2.0) == []
    times["response_time"] = [650.0, 700.0]
    (said,) = check_events(EventTimes.of(pd.DataFrame(times)), "x", 120.0, 2.0)
    assert "response_time has a median of 675 s: is it in milliseconds?" in said
    times["response_time"] = ["slow", "fast"]
    assert check_events(EventTimes.of(pd.DataFrame(times)), "x", 120.0, 2.0) == []


TABLES = [
    "onset\tduration\tresponse_time\n1\t1\t0.5\n2.5\tn/a\tn/a\n",
    "duration\tonset\tx\n1\t1\ta\n1\t1\ta\n",
    "onset\tduration\n007\t1\n2\t-1e-3",
    'onset\tduration\tx\n1\t1\t"a\n2\t1\tb\n',
    "onset\tduration\tx\n1\t1\ta\n\n2\t1\tb\n\n",
    "onset\tduration\tresponse_time\n1\t1\tslow\n2\t1\t0.1\n",
    "\ufeffonset\tduration\r\n1\t1\r\n2\t1\r\n",
    "onset\tduration\n1\t1\t1\n",
    "onset\tduration\n1\tinf\n",
    "onset\tduration\n1_0\t1\n",
    "onset\tduration\nn/a\t1\n",
    "onset\tonset\tduration\n1\t1\t1\n",
    "onset\tduration\n",
    "",
]


@pytest.mark.parametrize("text", TABLES)
def test_times_are_those_of_the_whole_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x_events.tsv"
    path.write_bytes(text.encode())
    try:
        expected = EventTimes.of(read_events(path))
    except DataError as error:
        with pytest.raises(DataError) as caught:
            read_event_times(path)
        assert caught.value.problem == error.problem
        return
    found = read_event_times(path)
    assert (found.columns, found.n_doubles) == (expected.columns, expected.n_doubles)
    for name in ("onset", "duration", "response_time"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_marks_and_line_ends_are_read_anyway(bids: Path) -> None:
    path = bids / "sub-01/func/sub-01_task-a_events.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    found = row(bids)
    assert found["status"] == "used"
    assert found["event_columns"] == ["onset", "duration", "trial_type"]
    assert [w.partition(" ")[2] for w in found["warnings"]] == [
        "begins with a byte-order mark",
        "has line ends of Windows or of an old Mac",
    ]
    assert check_text(bids / "task-a_bold.json") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"EchoTime": 30}, "EchoTime is 30 s: is it in milliseconds?"),
        ({"EchoTime": "0.03"}, "EchoTime is '0.03', not a number"),
        ({"MagneticFieldStrength": 30000}, "is it in gauss"),
        ({"PhaseEncodingDirection": "AP"}, "not one of i, j, k"),
        ({"Manufacturer": 3}, "Manufacturer is 3, not a text"),
        ({"FlipAngle": True}, "FlipAngle is True, not a number"),
        ({"FlipAngle": 10**400}, "FlipAngle is 1000"),
        ({"SliceTiming": [0.0, 0.5, 1.0]}, "SliceTiming has 3 times, the image 4 slices"),
        ({"SliceTiming": [0, 500, 1000, 1500]}, "are they in milliseconds?"),
        ({"SliceTiming": "interleaved"}, "SliceTiming is no list of numbers"),
        ({"SliceTiming": [0, -0.5, 1, 1.5]}, "a negative time"),
    ],
)
def test_odd_sidecars_are_warnings(bids: Path, change: dict[str, Any], said: str) -> None:
    (bids / "task-a_bold.json").write_text(json.dumps(SIDECAR | change))
    found = row(bids)
    assert found["status"] == "used"
    assert len(found["warnings"]) == 1
    assert said in found["warnings"][0]
    assert len(found["warnings"][0]) < 200


def test_sidecars_that_say_nothing() -> None:
    columns, odd = acquisition({"EchoTime": [0.01, 0.03], "Manufacturer": " "})
    assert odd == []
    assert columns.pop("slice_timing") is False
    assert set(columns.values()) == {None}
    assert check_slice_timing({}, (4, 4, 4), 2.0) == []
    assert check_slice_timing({**SIDECAR, "SliceEncodingDirection": "j"}, (3, 4, 5), 2.0) == []


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("CC0", "CC0"),
        ("cc0 1.0", "CC0"),
        ("Creative Commons Zero v1.0 Universal", "CC0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0"),
        ("CC0 unless stated otherwise", "unknown"),
        ("PDDL", "PDDL"),
        ("Open Data Commons Public Domain Dedication and License (PDDL)", "PDDL"),
        (
            "This dataset is made available under the Public Domain Dedication and License \nv1.0, "
            "whose full text can be found at \nhttp://www.opendatacommons.org/licenses/pddl/1.0/. "
            "\nWe hope that all users …",
            "PDDL",
        ),
        ("CCBY 4.0", "CC-BY"),
        (" Creative Commons Attribution 4.0 International License", "CC-BY"),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-SA"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC"),
        ("CC-BY-XY", "unknown"),
        ("ODbL (https://opendatacommons.org/licenses/odbl/summary/)", "ODbL"),
        ("BSD-3-Clause (eeg-notebooks v0.1)", "open source"),
        ("PD", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_licences_are_classed(stated: str | None, expected: str) -> None:
    assert licence_class(stated) == expected
    assert expected in CLASSES


def test_a_licence_can_be_required(bids: Path) -> None:
    found = build(bids, require_licence=("CC0", "PDDL"))
    reasons = {r["reason"] for r in found.table.to_pylist()}
    (reason,) = reasons
    assert "its licence is CC-BY" in reason
    assert "asks for CC0, PDDL" in reason
    assert {o.state for o in found.left_out.values()} == {"excluded"}
    assert build(bids, require_licence=("CC0", "CC-BY")).left_out == {}


def test_every_image_is_accounted_for(bids: Path) -> None:
    save(bids / "sub-01/func/sub-01_task-a_sbref.nii.gz", (4, 4, 4))
    save(bids / "sub-01/extra/some.nii.gz", (4, 4, 4))
    save(bids / "sub-01/anat/sub-01_T2w.nii.gz", (4, 4, 4))
    roles = build(bids).roles
    assert set(roles) == {p.relative_to(bids).as_posix() for p in bids.rglob("*.nii.gz")}
    assert roles["sub-01/func/sub-01_task-a_bold.nii.gz"] == RECORDING
    assert roles["sub-01/anat/sub-01_T1w.nii.gz"] == T1W
    assert roles["sub-01/func/sub-01_task-a_sbref.nii.gz"] == "not used: func/sbref"
    assert roles["sub-01/extra/some.nii.gz"] == MISNAMED


def loops(root: Path) -> None:
    (root / "sub-01/func/there").symlink_to(root / "sub-02")
    (root / "sub-02/func/back").symlink_to(root / "sub-01")


def deep(root: Path) -> None:
    # Deeper than a path can be long, and not deeper than what tidies up after tests.
    folder = os.open(root / "sub-01/func", os.O_RDONLY)
    for _ in range(300):
        os.mkdir("d" * 20, dir_fd=folder)
        inner = os.open("d" * 20, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)


DIRT: dict[str, Callable[[Path], object]] = {
    "loops": loops,
    "deep": deep,
    "loop": lambda root: (root / "sub-01/func/loop").symlink_to(root / "sub-01"),
    "long name": lambda root: (root / f"sub-01/func/{'x' * 240}.nii.gz").touch(),
    "pipe": lambda root: os.mkfifo(root / "sub-01/func/sub-01_task-a_bold.json"),
    "folder as sidecar": lambda root: (root / "sub-01/func/sub-01_task-a_bold.json").mkdir(),
}


@pytest.mark.parametrize("kind", DIRT)
def test_dirt_in_a_tree_costs_one_recording_at_most(bids: Path, kind: str) -> None:
    DIRT[kind](bids)
    states = [r["status"] for r in build(bids).table.to_pylist() if r["subject"] in ("02", "03")]
    assert states == ["used", "used"]


@pytest.mark.parametrize("name", ["_events.tsv", "_bold.json"])
def test_an_endless_line_is_refused_by_name_and_not_read(bids: Path, name: str) -> None:
    path = bids / f"sub-01/func/sub-01_task-a{name}"
    with path.open("wb") as handle:
        # A hole: nothing is written, but whoever reads it gets a gibibyte.
        handle.truncate(1024**3)
    files = dict.fromkeys(
        (p.relative_to(bids).as_posix() for p in bids.rglob("*") if p.is_file()), ""
    )
    tracemalloc.start()
    inventory = build_inventory(Source("ds", "v", bids, files), Verdict(), CurateParameters())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = {r["subject"]: r for r in inventory.table.to_pylist()}
    assert found["01"]["status"] == "quarantined"
    assert f"sub-01_task-a{name}: " in found["01"]["reason"]
    assert "1,024 MiB" in found["01"]["reason"]
    assert found["02"]["status"] == "used"
    assert peak < 50 * 1024**2


def test_terms_are_told_as_they_are_stated(bids: Path) -> None:
    description = {
        "Name": "x",
        "BIDSVersion": "1.9.0",
        "License": "CC0",
        "HowToAcknowledge": " cite us ",
        "EthicsApprovals": ["Board A, 12", 7, ""],
        "Acknowledgements": {"no": "text"},
        "DataUseAgreement": "word " * 1000,
    }
    (bids / "dataset_description.json").write_text(json.dumps(description))
    for name in ("README.md", "DUA.pdf", "CONSENT", "sub-01/README", "readme_old.txt"):
        (bids / name).write_text("x")
    inventory = build(bids)
    found = inventory.facts()["terms"]
    assert found["files"] == ["CONSENT", "DUA.pdf", "README.md"]
    agreement = found["stated"].pop("DataUseAgreement")
    assert len(agreement) == 2001
    assert found["stated"] == {
        "License": "CC0",
        "HowToAcknowledge": "cite us",
        "EthicsApprovals": "Board A, 12",
    }
    rows = inventory.table.to_pylist()
    (card,) = dataset_cards(rows, {"ds": inventory.facts()})
    assert card["terms"]["HowToAcknowledge"] == "cite us"
    assert card["terms_files"] == ["CONSENT", "DUA.pdf", "README.md"]


def test_what_is_doubtful_a_person_can_bring_back(bids: Path) -> None:
    events = "onset\tduration\n1\t1\n2000\t1\n3000\t1\n"
    (bids / "sub-01/func/sub-01_task-a_events.tsv").write_text(events)
    (bids / "sub-02/func/sub-02_task-a_bold.json").write_text('{"RepetitionTime": 1.9}')
    (bids / "sub-03/func/sub-03_task-a_bold.nii.gz").write_bytes(b"no image")
    hurt = {row["subject"]: row for row in build(bids).table.to_pylist()}
    assert {row["status"] for row in hurt.values()} == {"quarantined"}
    assert "`include`" in hurt["01"]["hint"]
    assert "`include`" in hurt["02"]["hint"]
    signed = {"who": "A", "when": "2026-01-31", "why": "asked the lab"}
    include = [{"subject": label, **signed} for label in ("01", "02", "03")]
    choice = Choice.model_validate({"decisions": {"include": include}})
    back = {row["subject"]: row for row in build(bids, choice).table.to_pylist()}
    assert [back[label]["status"] for label in ("01", "02", "03")] == [
        "used",
        "used",
        "quarantined",
    ]
    assert back["01"]["n_events"] == 3
    assert back["02"]["tr"] == 1.9
    for label in ("01", "02"):
        assert any(
            "brought back: asked the lab (A, 2026-01-31)" in w for w in back[label]["warnings"]
        )
    # No decision makes an image of what is none.
    assert back["03"]["reason"] == hurt["03"]["reason"]
    assert back["03"]["hint"].startswith("it is included (A), which mends no data: is it truncated")


@pytest.mark.parametrize(
    ("alignment", "fits"),
    [({}, True), ({"tasks": ["a"]}, True), ({"tasks": ["b"]}, False), ({"runs": ["1"]}, False)],
)
def test_what_maps_are_fitted_on(bids: Path, alignment: dict[str, list[str]], fits: bool) -> None:
    choice = Choice.model_validate({"alignment": alignment})
    assert {row["fits_alignment"] for row in build(bids, choice).table.to_pylist()} == {fits}
