"""One recording's cleaned EEG in one HDF5 file: what regions and features are computed from.

Only this module knows the format. A region is one matrix product with all channels, so chunks hold
all channels and some samples.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from braindata.errors import DamageError, UsageError, first_line
from braindata.files import atomic_path
from braindata.pack.hdf5 import ERRORS, new_file, write_array
from braindata.receipts import content_hash

FORMAT = "braindata-eeg-store"
FORMAT_VERSION = 1
# Samples in a chunk: about half a megabyte of 32 channels.
CHUNK_SAMPLES = 4096
# Positions count as equal when they agree to a hundredth of a millimetre.
POSITION_DIGITS = 5
HINT = "delete it and run again: it is made anew"

PositionSource = Literal["measured", "standard", "none"]


@dataclass(frozen=True)
class Montage:
    """The channels of a recording and where they are.

    Attributes
    ----------
    names : tuple of str
        Names of the EEG channels.
    positions : ndarray of float64, shape (n_channels, 3)
        In m, in MNE's head coordinates; NaN where a position is not known.
    source : {"measured", "standard", "none"}
        How they are known: from `electrodes.tsv` or the recording itself, from a standard montage
        by name, or not at all.
    reference : str
        What the potentials are against, such as `average`.
    """

    names: tuple[str, ...]
    positions: NDArray[np.float64]
    source: PositionSource
    reference: str

    def __post_init__(self) -> None:
        if self.positions.shape != (len(self.names), 3):
            raise ValueError(f"{len(self.names)} names and {self.positions.shape} positions")

    @property
    def hash(self) -> str:
        """Hash of names, positions and reference: equal where one operator fits both."""
        rounded = np.round(self.positions, POSITION_DIGITS) + 0.0
        places = [None if np.isnan(row).any() else row.tolist() for row in rounded]
        return content_hash([list(self.names), places, self.reference])[:16]


@dataclass(frozen=True)
class EegStore:
    """An open store of EEG; made by `open_eeg_store`.

    Attributes
    ----------
    montage : Montage
        Channels, positions, reference.
    sfreq : float
        Samples per second.
    n_samples : int
        Number of samples.
    kept : ndarray of bool, shape (n_samples,)
        Whether a sample is free of what is marked as bad.
    attributes : dict
        Further facts about the recording (JSON).
    path : Path
        Where it lies.
    """

    montage: Montage
    sfreq: float
    n_samples: int
    kept: NDArray[np.bool_]
    attributes: dict[str, Any]
    path: Path
    _file: Any = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the channels."""
        return self.montage.names

    @property
    def positions(self) -> NDArray[np.float64]:
        """Positions of the channels, shape (n_channels, 3), see `Montage`."""
        return self.montage.positions

    def read(self, start: int | None = None, stop: int | None = None) -> NDArray[np.float32]:
        """Read samples of all channels.

        Parameters
        ----------
        start, stop : int, optional
            First sample, and the one behind the last; the whole recording if not given.

        Returns
        -------
        ndarray of float32, shape (n_channels, n_samples)
            In V.

        Raises
        ------
        UsageError
            When the recording has no such samples.
        DamageError
            When a checksum is wrong.
        """
        first, last = start or 0, self.n_samples if stop is None else stop
        if not 0 <= first <= last <= self.n_samples:
            raise UsageError(
                f"samples {first} to {last} of {self.n_samples} are asked for", file=self.path
            )
        try:
            data: NDArray[np.float32] = self._file["data"][:, first:last]
        except ERRORS as error:
            raise DamageError("the EEG store is damaged", file=self.path, hint=HINT) from error
        return data


def write_eeg_store(
    path: Path,
    data: NDArray[np.floating[Any]],
    montage: Montage,
    sfreq: float,
    *,
    kept: NDArray[np.bool_] | None = None,
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write a store of EEG atomically.

    Parameters
    ----------
    path : Path
        Where to.
    data : ndarray, shape (n_channels, n_samples)
        Potentials in V.
    montage : Montage
        Its channels.
    sfreq : float
        Samples per second.
    kept : ndarray of bool, shape (n_samples,), optional
        Whether a sample is free of what is marked as bad; all are if it is not given.
    attributes : dict, optional
        Further facts about the recording (JSON).
    """
    n_channels, n_samples = data.shape
    good = np.ones(n_samples, bool) if kept is None else kept
    if n_channels != len(montage.names) or good.shape != (n_samples,):
        raise ValueError("data, montage and kept differ in length")
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "names": list(montage.names),
        "position_source": montage.source,
        "reference": montage.reference,
        "montage_hash": montage.hash,
        "sfreq": sfreq,
        "n_samples": n_samples,
        "attributes": attributes or {},
    }
    with new_file(path.name) as file:
        # No attribute: HDF5 keeps no checksum of texts, and a flipped bit there may hang it.
        text = json.dumps(header, sort_keys=True).encode()
        write_array(file, "header", np.frombuffer(text, np.uint8))
        write_array(file, "positions", montage.positions.astype(np.float64))
        write_array(file, "kept", np.packbits(good))
        chunks = (n_channels, min(CHUNK_SAMPLES, n_samples))
        write_array(file, "data", np.ascontiguousarray(data, np.float32), chunks)
        file.flush()
        image = file.id.get_file_image()
    with atomic_path(path) as part:
        part.write_bytes(image)


@contextmanager
def open_eeg_store(path: Path) -> Iterator[EegStore]:
    """Open a store of EEG for reading.

    Raises
    ------
    DamageError
        When the file is missing, truncated, no store of EEG, or one of another version.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DamageError(
            f"the EEG store cannot be opened ({first_line(error)})", file=path, hint=HINT
        ) from error
    with file:
        try:
            header = json.loads(file["header"][:].tobytes())
            if (header["format"], header["format_version"]) != (FORMAT, FORMAT_VERSION):
                raise DamageError("an EEG store of another version", file=path, hint=HINT)
            store = EegStore(
                montage=Montage(
                    tuple(header["names"]),
                    file["positions"][:],
                    header["position_source"],
                    header["reference"],
                ),
                sfreq=header["sfreq"],
                n_samples=header["n_samples"],
                kept=np.unpackbits(file["kept"][:], count=header["n_samples"]).astype(bool),
                attributes=header["attributes"],
                path=path,
                _file=file,
            )
        except ERRORS as error:
            raise DamageError("this is no EEG store", file=path, hint=HINT) from error
        yield store
