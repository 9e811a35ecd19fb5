"""Whether a recording's file holds as much as its header says.

MNE reads what is there, be it half of a recording, without a word.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Callable
from pathlib import Path

from braindata.errors import DataError

AGAIN = "is it truncated? fetch it again"
_SAMPLE_BYTES = {"INT_16": 2, "UINT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}


def require_whole(path: Path, n_samples: int | None = None, n_channels: int | None = None) -> None:
    """Check that the file of a recording is as long as its header says.

    Parameters
    ----------
    path : Path
        The recording, as BIDS names it: of BrainVision and EEGLAB the header.
    n_samples, n_channels : int, optional
        What MNE reads from the header, for EEGLAB.

    Raises
    ------
    DataError
        When it is shorter, or the file of its samples or markers is missing or another one's.
    """
    check: Callable[[Path], None] | None = {
        ".vhdr": _brainvision,
        ".edf": _european,
        ".bdf": _european,
    }.get(path.suffix.lower())
    if check is not None:
        check(path)
    elif path.suffix.lower() == ".set" and n_samples and n_channels:
        _eeglab(path, n_samples, n_channels)


def _brainvision(path: Path) -> None:
    header = _ini(path)
    common = header["Common Infos"] if header.has_section("Common Infos") else {}
    data_name, n_channels = common.get("datafile"), common.get("numberofchannels", "")
    if data_name is None or not n_channels.isdigit():
        raise DataError(
            "the header names no DataFile or NumberOfChannels", file=path, hint="fetch it again"
        )
    data = path.with_name(data_name.replace("$b", path.stem))
    if not data.is_file():
        raise DataError(
            f"its samples, {data.name}, are not there",
            file=path,
            hint="fetch them (git annex get, datalad get), or correct DataFile in the header",
        )
    marker_name = common.get("markerfile")
    if marker_name is not None:
        _markers(path, path.with_name(marker_name.replace("$b", path.stem)), data)
    binary = header["Binary Infos"] if header.has_section("Binary Infos") else {}
    n_bytes = _SAMPLE_BYTES.get(binary.get("binaryformat", ""))
    if n_bytes is None:
        return
    frame = n_bytes * int(n_channels)
    size = data.stat().st_size
    if size == 0 or size % frame:
        raise DataError(
            f"{data.name} has {size} bytes, which are no whole number of samples of {n_channels} "
            f"channels",
            file=data,
            hint=AGAIN,
        )
    stated = common.get("datapoints", "")
    if stated.isdigit() and 0 < int(stated) != size // frame:
        raise DataError(
            f"{data.name} has {size // frame} samples, its header says {stated}",
            file=data,
            hint=AGAIN,
        )


def _markers(path: Path, markers: Path, data: Path) -> None:
    if not markers.is_file():
        raise DataError(
            f"its markers, {markers.name}, are not there",
            file=path,
            hint="fetch them, or correct MarkerFile in the header",
        )
    listed = _ini(markers)
    common = listed["Common Infos"] if listed.has_section("Common Infos") else {}
    of = common.get("datafile", data.name).replace("$b", markers.stem)
    # Who renames a recording often forgets the name within its markers; another recording's
    # markers are those of a file that is there.
    if of != data.name and path.with_name(of).is_file():
        raise DataError(
            f"the header names the markers of another recording: {markers.name} is of {of}",
            file=path,
            hint="correct MarkerFile in the header",
        )


def _ini(path: Path) -> configparser.ConfigParser:
    text = path.read_bytes().decode("utf-8", errors="replace")
    # The first line is a title; what follows [Comment] is free.
    body = re.split(r"(?im)^\[comment\]", text.partition("\n")[2])[0]
    parser = configparser.ConfigParser(
        interpolation=None, strict=False, comment_prefixes=(";",), delimiters=("=",)
    )
    try:
        parser.read_string(body)
    except configparser.Error as error:
        raise DataError(
            "this is no BrainVision header", file=path, hint="fetch it again"
        ) from error
    return parser


def _european(path: Path) -> None:
    with path.open("rb") as handle:
        head = handle.read(256)
        try:
            n_header, n_records, n_signals = (
                int(head[at : at + n]) for at, n in ((184, 8), (236, 8), (252, 4))
            )
            # Behind the fixed part: labels, transducers, units, ranges, filters, then the counts.
            handle.seek(256 + 216 * n_signals)
            counts = handle.read(8 * n_signals)
            per_record = sum(int(counts[8 * i : 8 * i + 8]) for i in range(n_signals))
        except ValueError as error:
            raise DataError("this is no EDF or BDF header", file=path, hint=AGAIN) from error
    n_bytes = 3 if path.suffix.lower() == ".bdf" else 2
    size, stated = path.stat().st_size, n_header + n_records * per_record * n_bytes
    # -1: its length was not known when it was written.
    if n_records > 0 and size < stated:
        raise DataError(
            f"the file has {size} bytes, its header says {stated}", file=path, hint=AGAIN
        )


def _eeglab(path: Path, n_samples: int, n_channels: int) -> None:
    samples = path.with_suffix(".fdt")
    if samples.is_file() and samples.stat().st_size != 4 * n_samples * n_channels:
        raise DataError(
            f"{samples.name} has {samples.stat().st_size} bytes, its header says "
            f"{4 * n_samples * n_channels}",
            file=samples,
            hint=AGAIN,
        )
