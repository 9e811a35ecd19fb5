"""The stage `connectivity`: only new pairs are made, and the bytes are those of making all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from braindata.derive.connectivity_parameters import ConnectivityParameters
from braindata.layout import Layout
from braindata.pack.eeg_store import Montage, write_eeg_store
from braindata.receipts import Outcome, Receipt, hash_outputs, receipt_beside
from braindata.stages import connectivity
from braindata.tables.keys import RecordingKey
from braindata.tables.schemas.recordings import RECORDINGS
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard

REGIONS = {
    name: f"{name}-{index:012x}" for index, name in enumerate(["acc", "dlpfc", "ifg", "tpj"])
}
BOLD = [f"sub-{label}_task-x_bold" for label in ("01", "02")]
EEG = "sub-03_task-x_eeg"
N_VOLUMES, SFREQ, SECONDS = 120, 100.0, 50


def key(name: str) -> RecordingKey:
    return RecordingKey("ds", name, name[4:6], task="x")


def series_rows(region: str, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows = []
    kept = np.arange(N_VOLUMES) % 11 != 0
    for name in BOLD:
        same = {**vars(key(name)), "region": region, "definition_hash": REGIONS[region][-12:]}
        for strategy in ("none", "simple"):
            values = rng.standard_normal(N_VOLUMES)
            good = np.ones(N_VOLUMES, bool) if strategy == "none" else kept
            told = [float(v) if k else None for v, k in zip(values, good, strict=True)]
            rows.append({**same, "strategy": strategy, "values": told, "kept": good.tolist(),
                         "sampling_frequency": 0.5, "unit": "z"})  # fmt: skip
    values = rng.standard_normal(round(SECONDS * SFREQ)) * 1e-9
    rows.append({**vars(key(EEG)), "region": region, "definition_hash": REGIONS[region][-12:],
                 "strategy": "none", "values": values.tolist(), "kept": None, "unit": "A·m",
                 "sampling_frequency": SFREQ,
                 "crosstalk": json.dumps({o: 0.9 if {o, region} == {"acc", "ifg"} else 0.1
                                          for o in REGIONS if o != region})})  # fmt: skip
    return rows


def trial_rows(region: str, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed + 100)
    return [
        {**vars(key(name)), "trial": trial, "region": region, "trial_type": "ab"[trial % 2],
         "feature": "bold", "model": model, "estimate": float(rng.standard_normal())}
        for name in BOLD for model in ("lss", "lsa") for trial in range(30)
    ]  # fmt: skip


def prepare(folder: Path, changed: Sequence[str] = ()) -> Layout:
    """Write series and trials; of regions that changed, other ones."""
    layout = Layout(folder)
    rows = [
        {**vars(key(name)), "modality": "eeg" if name == EEG else "fmri", "unit": name[:6],
         "status": "used", "path": name, "events": "events.tsv"} for name in (*BOLD, EEG)
    ]  # fmt: skip
    write_shard(pa.Table.from_pylist(rows, schema=RECORDINGS), layout.inventory("ds"), "recordings")
    Receipt("curate", "ds", 1, {}, {}).write(layout.receipt("curated", "ds"))
    done = {name: Outcome("done") for name in (*BOLD, EEG)}
    for seed, (name, region) in enumerate(REGIONS.items()):
        at = seed + 50 * (name in changed)
        for path, made, table in (
            (layout.series("ds", region), series_rows(name, at), SERIES),
            (layout.trials("ds", region), trial_rows(name, at), TRIALS),
        ):
            kind = "series" if table is SERIES else "trials"
            write_shard(pa.Table.from_pylist(made, schema=table), path, kind)
            Receipt(
                kind, region, 1, {}, {"packed": "same"}, hash_outputs([path], folder), done
            ).write(receipt_beside(path))
    write_eeg_store(
        layout.store("ds", EEG),
        np.zeros((2, round(SECONDS * SFREQ)), np.float32),
        Montage(("A", "B"), np.full((2, 3), np.nan), "none", "average"),
        SFREQ,
    )
    return layout


def run(layout: Layout, names: Sequence[str], **chosen: Any) -> bool:
    parameters = connectivity.Parameters(
        connectivity=ConnectivityParameters(**chosen), regions=[REGIONS[name] for name in names]
    )
    return connectivity.run(layout, "ds", parameters)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of how many pairs, and how many of kinds of the set, values are made each time."""
    found: list[tuple[int, int]] = []
    original = connectivity.correlation_batches

    def counted(strategy: str, courses: Any, pairs: Any, of_set: Any, chosen: Any) -> Any:
        found.append((len(pairs), len(of_set)))
        return original(strategy, courses, pairs, of_set, chosen)

    monkeypatch.setattr(connectivity, "correlation_batches", counted)
    return found


def test_all_pairs_of_all_recordings(tmp_path: Path) -> None:
    layout = prepare(tmp_path)
    assert run(layout, list(REGIONS))
    rows = pq.read_table(layout.connectivity("ds")).to_pandas()
    images, eeg = rows[rows["modality"] == "fmri"], rows[rows["modality"] == "eeg"]
    # 6 pairs × 4 kinds of `simple`, and two conditions of beta series; `none` is not correlated.
    assert len(images) == 2 * 6 * (4 + 2)
    assert set(images["strategy"].dropna()) == {"simple"}
    assert (images[images["kind"] == "beta_series"]["n_kept"] == 15).all()
    assert images["value"].notna().all()
    assert (images[images["kind"] == "correlation"]["n_kept"] == 109).all()
    assert len(eeg) == 6 * 3 * 4
    mixed = eeg[(eeg["region_a"] == "acc") & (eeg["region_b"] == "ifg")]
    assert mixed["value"].isna().all() and mixed["reason"].str.startswith("max_crosstalk").all()
    assert (mixed["crosstalk"] == 0.9).all()
    assert eeg["value"].notna().sum() == 5 * 3 * 4
    assert not run(layout, list(REGIONS))


@pytest.mark.parametrize("given", [None, ("acc", "dlpfc")])
def test_a_new_region_adds_its_pairs(
    tmp_path: Path, asked: list[tuple[int, int]], given: Any
) -> None:
    fresh = prepare(tmp_path / "fresh")
    run(fresh, list(REGIONS), given=given)
    expected = fresh.connectivity("ds").read_bytes()
    asked.clear()
    grown = prepare(tmp_path / "grown")
    run(grown, ["acc", "dlpfc", "tpj"], given=given)
    assert asked.pop() == (3, 3)
    asked.clear()
    # Planning voids the receipt, as its parameters are others.
    receipt_beside(grown.connectivity("ds")).unlink()
    assert run(grown, list(REGIONS), given=given)
    assert set(asked) == {(3, 6 if given is None else 3)}
    assert grown.connectivity("ds").read_bytes() == expected
    ours, theirs = (Receipt.read(receipt_beside(x.connectivity("ds"))) for x in (grown, fresh))
    assert ours == theirs
    # And without it again.
    asked.clear()
    assert run(grown, ["acc", "dlpfc", "tpj"], given=given)
    assert set(asked) <= {(0, 3)}
    small = prepare(tmp_path / "small")
    run(small, ["acc", "dlpfc", "tpj"], given=given)
    assert grown.connectivity("ds").read_bytes() == small.connectivity("ds").read_bytes()


def test_a_changed_region_makes_its_pairs_anew(
    tmp_path: Path, asked: list[tuple[int, int]]
) -> None:
    layout = prepare(tmp_path / "one")
    run(layout, list(REGIONS))
    before = pq.read_table(layout.connectivity("ds")).to_pandas()
    prepare(tmp_path / "one", changed=["tpj"])
    asked.clear()
    assert run(layout, list(REGIONS))
    assert set(asked) == {(3, 6)}
    after = pq.read_table(layout.connectivity("ds")).to_pandas()
    same = (before["region_b"] != "tpj") & (before["kind"] == "correlation")
    assert before[same]["value"].tolist() == after[same]["value"].tolist()
    other = prepare(tmp_path / "two", changed=["tpj"])
    run(other, list(REGIONS))
    assert layout.connectivity("ds").read_bytes() == other.connectivity("ds").read_bytes()


@pytest.mark.parametrize("harm", ["shard", "parts", "options"])
def test_what_is_damaged_or_of_other_options_is_made_anew(
    tmp_path: Path, asked: list[tuple[int, int]], harm: str
) -> None:
    layout = prepare(tmp_path)
    run(layout, ["acc", "dlpfc", "tpj"])
    if harm == "shard":
        layout.connectivity("ds").write_bytes(b"PAR1")
    if harm == "parts":
        layout.connectivity_parts("ds").write_text("[]")
    asked.clear()
    assert run(layout, list(REGIONS), min_trials=5 if harm == "options" else 10)
    assert set(asked) == {(6, 6)}
