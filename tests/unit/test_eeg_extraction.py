"""Series of regions from packed EEG."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose

from braindata.config_regions import load_regions
from braindata.eeg.extraction import EegRegions, extract_eeg, montage_hash
from braindata.eeg.inverse import lcmv
from braindata.eeg.regions import montage_lead_field, place_region, region_operators
from braindata.eeg.source_parameters import SourceParameters
from braindata.errors import DataError
from braindata.regions.definition import Region
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.series import SERIES
from tests.unit.eeg_heads import model, montage, truth

CONFIG = Path(__file__).parents[2] / "config" / "regions"
KEY = RecordingKey("ds", "sub-01_task-x_eeg", "01", task="x")


@dataclass
class Packed:
    """A recording in memory."""

    names: list[str]
    positions: np.ndarray | None
    sfreq: float
    data: np.ndarray

    def read(self) -> np.ndarray:
        """Return the samples."""
        return self.data


@pytest.fixture(scope="module")
def regions() -> list[Region]:
    return load_regions(str(CONFIG / "spheres"))


@pytest.fixture(scope="module")
def on_sources(regions: list[Region]) -> EegRegions:
    return EegRegions(model(), truth(), regions, SourceParameters(n_dipoles=30))


@pytest.fixture
def packed() -> Packed:
    names, positions = montage()
    data = np.random.default_rng(3).standard_normal((64, 200)) * 1e-5
    return Packed(names, positions, 100.0, data)


def _by_region(rows: list[dict]) -> dict[str, dict]:
    return {row["region"]: row for row in rows}


def test_rows_of_the_table(regions: list[Region], on_sources: EegRegions, packed: Packed) -> None:
    rows = extract_eeg(KEY, packed, regions, on_sources)
    table = pa.Table.from_pylist(rows, schema=SERIES)
    assert table.num_rows == 18
    found = _by_region(rows)
    dlpfc = found["dlpfc"]
    assert dlpfc["eeg_class"] == "good" and dlpfc["reason"] is None and dlpfc["unit"] == "A·m"
    assert dlpfc["sampling_frequency"] == 100 and len(dlpfc["values"]) == 200
    (place,) = [one for one in regions if one.name == "dlpfc"]
    operators = on_sources.operators([place], packed.positions)
    assert_allclose(dlpfc["values"], operators.apply(packed.data)[0], rtol=1e-6)
    assert "filter" not in dlpfc
    crosstalk = json.loads(dlpfc["crosstalk"])
    assert crosstalk[dlpfc["crosstalk_region"]] == dlpfc["crosstalk_max"]
    amygdala = found["amygdala"]
    assert amygdala["eeg_class"] == "not_claimed" and amygdala["values"] is None
    assert amygdala["reason"] and amygdala["localisation_error"] > 12


def test_the_configuration_can_insist(regions: list[Region], packed: Packed) -> None:
    parameters = SourceParameters(n_dipoles=30, insist=("amygdala",))
    chosen = [region for region in regions if region.name in {"amygdala", "pcc"}]
    rows = extract_eeg(KEY, packed, chosen, EegRegions(model(), truth(), regions, parameters))
    found = _by_region(rows)
    assert found["amygdala"]["eeg_class"] == "not_claimed"
    assert len(found["amygdala"]["values"]) == 200 and found["amygdala"]["reason"] is None
    assert found["pcc"]["values"] is None


def test_without_positions_there_is_a_reason(
    regions: list[Region], on_sources: EegRegions, packed: Packed
) -> None:
    rows = extract_eeg(KEY, replace(packed, positions=None), regions, on_sources)
    assert len(rows) == 18
    assert all(row["values"] is None and row["reason"].startswith("positions: ") for row in rows)
    assert pa.Table.from_pylist(rows, schema=SERIES).column("eeg_class").null_count == 18
    muse = Packed(["TP9", "AF7", "AF8", "TP10"], packed.positions[:4], 256.0, packed.data[:4])
    rows = extract_eeg(KEY, muse, regions[:1], on_sources)
    assert rows[0]["reason"].startswith("positions: 4 of 4 electrodes have a position; 8 are")


def test_channels_without_positions_are_left_out(
    regions: list[Region], on_sources: EegRegions, packed: Packed
) -> None:
    some = packed.positions.copy()
    some[[3, 40]] = np.nan
    data = packed.data.copy()
    data[3] = 1e6
    rows = extract_eeg(KEY, replace(packed, positions=some, data=data), regions, on_sources)
    assert np.abs(_by_region(rows)["dlpfc"]["values"]).max() < 1e-6


def test_wrong_units_and_samples_are_told(
    regions: list[Region], on_sources: EegRegions, packed: Packed
) -> None:
    with pytest.raises(DataError, match="from the middle of the head") as told:
        extract_eeg(KEY, replace(packed, positions=packed.positions * 1e3), regions, on_sources)
    assert "coordsystem" in str(told.value.hint)
    packed.data[5, 7] = np.nan
    with pytest.raises(DataError, match="NaN or infinity"):
        extract_eeg(KEY, packed, regions, on_sources)


def test_montages_are_met_once(
    regions: list[Region], packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(fields: object, positions: np.ndarray) -> np.ndarray:
        calls.append(len(positions))
        return montage_lead_field(fields, positions)

    monkeypatch.setattr("braindata.eeg.extraction.montage_lead_field", counted)
    fresh = EegRegions(model(), truth(), regions, SourceParameters(n_dipoles=10))
    first = extract_eeg(KEY, packed, regions[:3], fresh)
    again = extract_eeg(KEY, packed, regions[:3], fresh)
    assert first == again and calls == [64]
    assert montage_hash(packed.positions) == montage_hash(packed.positions.round(5))
    assert montage_hash(packed.positions) != montage_hash(packed.positions[::-1])
    # Another process makes the same bytes, and a region its own, whatever others are asked for.
    new = extract_eeg(
        KEY,
        packed,
        regions[2:3],
        EegRegions(model(), truth(), regions, SourceParameters(n_dipoles=10)),
    )
    assert new == first[2:3]


def test_lcmv_has_the_filters_of_the_recording(regions: list[Region], packed: Packed) -> None:
    parameters = SourceParameters(method="lcmv", n_dipoles=10)
    chosen = [region for region in regions if region.name in ("dlpfc", "amygdala")]
    some = packed.positions.copy()
    some[3] = np.nan
    packed = replace(packed, positions=some)
    rows = extract_eeg(KEY, packed, chosen, EegRegions(model(), truth(), regions, parameters))
    found = _by_region(pa.Table.from_pylist(rows, schema=SERIES).to_pylist())
    there = np.arange(64) != 3
    filters = lcmv(montage_lead_field(model(), some[there]), np.cov(packed.data[there]))
    dlpfc = next(region for region in chosen if region.name == "dlpfc")
    expected = region_operators([place_region(dlpfc, model())], filters, "A·m").operators[0]
    assert_allclose(found["dlpfc"]["filter"], expected, rtol=1e-9)
    channels = found["dlpfc"]["filter_channels"]
    assert channels == [name for name, one in zip(packed.names, there, strict=True) if one]
    # With what is stored the course comes out again.
    again = np.array(found["dlpfc"]["filter"]) @ packed.data[there]
    assert_allclose(found["dlpfc"]["values"], again, rtol=1e-5, atol=1e-6 * np.abs(again).max())
    assert found["amygdala"]["filter"] is None and found["amygdala"]["values"] is None
