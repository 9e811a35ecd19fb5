"""The store of cleaned EEG."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from braindata.errors import DamageError, UsageError
from braindata.pack.eeg_store import Montage, open_eeg_store, write_eeg_store

NAMES = ("Fz", "Cz", "Pz")
PLACES = np.array([[0.0, 0.06, 0.08], [0.0, 0.0, 0.1], [np.nan] * 3])
MONTAGE = Montage(NAMES, PLACES, "measured", "average")


def _data(n_samples: int = 10_000) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-5, (3, n_samples))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data, kept = _data(), np.arange(10_000) % 7 > 0
    path = tmp_path / "one.h5"
    write_eeg_store(path, data, MONTAGE, 250.0, kept=kept, attributes={"recording": "x"})
    with open_eeg_store(path) as store:
        assert store.names == NAMES
        assert store.sfreq == 250.0
        np.testing.assert_array_equal(store.positions, PLACES)
        np.testing.assert_array_equal(store.kept, kept)
        np.testing.assert_array_equal(store.read(), data.astype(np.float32))
        # Across the border of two chunks.
        np.testing.assert_array_equal(store.read(4000, 4200), data.astype(np.float32)[:, 4000:4200])
        assert store.attributes == {"recording": "x"}
        assert store.montage.source == "measured"


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_eeg_store(tmp_path / name / "x.h5", _data(), MONTAGE, 250.0)
    assert (tmp_path / "a" / "x.h5").read_bytes() == (tmp_path / "b" / "x.h5").read_bytes()


def test_montages_are_told_apart() -> None:
    moved = replace(MONTAGE, positions=PLACES + 0.001)
    noise = replace(MONTAGE, positions=PLACES + 1e-9)
    assert noise.hash == MONTAGE.hash
    others = {moved.hash, replace(MONTAGE, reference="Cz").hash}
    others.add(replace(MONTAGE, names=("Fz", "Cz", "POz")).hash)
    assert len(others | {MONTAGE.hash}) == 4


def test_asking_for_what_is_not_there(tmp_path: Path) -> None:
    write_eeg_store(tmp_path / "x.h5", _data(100), MONTAGE, 250.0)
    with open_eeg_store(tmp_path / "x.h5") as store:
        assert store.read(0, 0).shape == (3, 0)
        for start, stop in ((0, 101), (-1, 5), (7, 3)):
            with pytest.raises(UsageError, match="of 100 are asked for"):
                store.read(start, stop)


@pytest.mark.parametrize("where", [0.5, 0.9])
def test_a_flipped_bit_or_a_cut_is_noticed(tmp_path: Path, where: float) -> None:
    path = tmp_path / "x.h5"
    write_eeg_store(path, _data(), MONTAGE, 250.0)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[int(len(whole) * where)] ^= 4
    path.write_bytes(bytes(flipped))
    with pytest.raises(DamageError), open_eeg_store(path) as store:
        store.read()
    path.write_bytes(whole[: int(len(whole) * where)])
    with pytest.raises(DamageError), open_eeg_store(path) as store:
        store.read()
