"""Where electrodes are."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pytest

from braindata.bids.electrodes import channel_tables
from braindata.bids.inheritance import Tree
from braindata.eeg.montage import TEN_FIVE, place_channels, standard_positions
from braindata.eeg.reading import EegFiles
from braindata.errors import DataError

NAMES = ["Fz", "Cz", "Pz", "T7", "T8"]
# In head coordinates (m): x to the right, y to the front.
PLACES = np.array(
    [[0.001, 0.06, 0.09], [0.0, 0.0, 0.12], [0.0, -0.07, 0.09], [-0.08, 0.0, 0.04], [0.08, 0, 0.04]]
)
LANDMARKS = {"NAS": [0, 0.1, 0], "LPA": [-0.08, 0, 0], "RPA": [0.08, 0, 0]}


def _files(folder: Path, places: np.ndarray, system: dict | None, names=NAMES) -> EegFiles:
    lines = ["name\tx\ty\tz"]
    lines += [
        f"{name}\t" + "\t".join("n/a" if np.isnan(v) else repr(float(v)) for v in row)
        for name, row in zip(names, places, strict=True)
    ]
    electrodes = folder / "sub-01_electrodes.tsv"
    electrodes.write_text("\n".join(lines) + "\n")
    coordsystem = None
    if system is not None:
        coordsystem = folder / "sub-01_coordsystem.json"
        coordsystem.write_text(json.dumps(system))
    return EegFiles("x", folder / "x_eeg.vhdr", None, electrodes, coordsystem)


@pytest.mark.parametrize(("unit", "metre"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_measured_positions_by_name_in_any_unit(tmp_path: Path, unit: str, metre: float) -> None:
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": unit}
    # The table has another order, and one electrode more.
    places = np.vstack([PLACES[::-1], [[0.0, 0.11, 0.0]]]) * metre
    placed = place_channels(NAMES, _files(tmp_path, places, system, [*NAMES[::-1], "EOG"]), {})
    assert (placed.source, placed.montage, placed.warnings) == ("measured", None, [])
    np.testing.assert_allclose(placed.positions, PLACES, atol=1e-12)


def test_axes_of_eeglab_are_turned(tmp_path: Path) -> None:
    system = {"EEGCoordinateSystem": "EEGLAB", "EEGCoordinateUnits": "mm"}
    # To the nose, to the left ear, up.
    turned = np.column_stack([PLACES[:, 1], -PLACES[:, 0], PLACES[:, 2]]) * 1000
    placed = place_channels(NAMES, _files(tmp_path, turned, system), {})
    np.testing.assert_allclose(placed.positions, PLACES, atol=1e-12)


def test_landmarks_lead_from_any_system_to_the_head(tmp_path: Path) -> None:
    rotation = mne.transforms.rotation(0.3, -0.2, 0.5)[:3, :3]
    shift = np.array([0.02, -0.04, 0.01])

    def moved(points: object) -> np.ndarray:
        return (np.asarray(points) @ rotation.T + shift) * 1000

    system = {
        "EEGCoordinateSystem": "Other",
        "EEGCoordinateUnits": "mm",
        "AnatomicalLandmarkCoordinates": {k: list(moved(v)) for k, v in LANDMARKS.items()},
        "AnatomicalLandmarkCoordinateUnits": "mm",
    }
    placed = place_channels(NAMES, _files(tmp_path, moved(PLACES), system), {})
    assert placed.source == "measured"
    np.testing.assert_allclose(placed.positions, PLACES, atol=1e-7)


@pytest.mark.parametrize(
    ("system", "said"),
    [
        (None, "without which its positions mean nothing"),
        ({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "n/a"}, "the unit of its"),
        ({"EEGCoordinateSystem": "Other", "EEGCoordinateUnits": "m"}, "without landmarks"),
        ({"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}, "is the unit wrong"),
    ],
)
def test_positions_that_cannot_be_used_give_way_to_the_standard(
    tmp_path: Path, system: dict | None, said: str
) -> None:
    placed = place_channels(NAMES, _files(tmp_path, PLACES, system), {})
    assert placed.source == "standard"
    assert placed.montage == TEN_FIVE
    assert len(placed.warnings) == 1 and said in placed.warnings[0]


def test_a_table_of_other_electrodes_is_an_error(tmp_path: Path) -> None:
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}
    with pytest.raises(DataError, match="none of the recording's channels"):
        place_channels(["A", "B"], _files(tmp_path, PLACES, system), {})


def test_one_electrode_without_position(tmp_path: Path) -> None:
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}
    places = PLACES.copy()
    places[2] = np.nan
    placed = place_channels(NAMES, _files(tmp_path, places, system), {})
    assert placed.known.tolist() == [True, True, False, True, True]


def test_standard_montages_by_name() -> None:
    montage, places = standard_positions(["fp1", "Fc5.", "EEG Oz", "nonsense"])
    assert montage == TEN_FIVE
    assert set(places) == {"fp1", "Fc5.", "EEG Oz"}
    # To the left and in front; head coordinates have their origin between the ears.
    assert places["fp1"][0] < -0.02 and places["fp1"][1] > 0.08
    info = mne.create_info(["Oz"], 1.0, "eeg").set_montage(TEN_FIVE)
    np.testing.assert_allclose(places["EEG Oz"], info["chs"][0]["loc"][:3])
    assert standard_positions([f"E{i}" for i in range(1, 129)])[0] == "GSN-HydroCel-128"
    # A1 and A2 are ear lobes, A1 to A32 and B1 to B32 are BioSemi's.
    biosemi = [f"{letter}{i}" for letter in "ABCD" for i in range(1, 33)]
    assert standard_positions(biosemi)[0] == "biosemi128"
    assert standard_positions(["x1", "x2", "Cz"])[0] is None


def test_tables_are_inherited_with_their_space(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    for name in (
        "sub-01_task-x_channels.tsv",
        "sub-01_space-CTF_electrodes.tsv",
        "sub-01_space-CapTrak_electrodes.tsv",
        "sub-01_space-CTF_coordsystem.json",
        "sub-01_space-CapTrak_coordsystem.json",
        "sub-01_task-y_channels.tsv",
    ):
        (folder / name).write_text("")
    found = channel_tables(Tree(tmp_path), "sub-01/eeg/sub-01_task-x_eeg.edf")
    assert found.channels == "sub-01/eeg/sub-01_task-x_channels.tsv"
    assert found.electrodes == "sub-01/eeg/sub-01_space-CapTrak_electrodes.tsv"
    assert found.coordsystem == "sub-01/eeg/sub-01_space-CapTrak_coordsystem.json"
