"""A data set of six people: two are sound, the others' recordings are each damaged in one way."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

TASK = "gamble"
SOUND = ("01", "02")


@dataclass(frozen=True)
class Target:
    """The files of one recording, sound until they are damaged.

    Attributes
    ----------
    recording : str
        Its BIDS stem.
    bold, sidecar, events, t1w : Path
        Its files. There is no sidecar of its own until one is written.
    """

    recording: str
    bold: Path
    sidecar: Path
    events: Path
    t1w: Path


@dataclass(frozen=True)
class Damage:
    """One kind of damage and what must become of the recording.

    Attributes
    ----------
    subject : str
        Whose recording it is.
    make : callable
        Damages the files of a target.
    stage : str
        The stage that finds it.
    reason : str
        A part of the reason that is given.
    file : str
        The file at fault: an attribute of `Target`, or a name beside the image.
    """

    subject: str
    make: Callable[[Target], object]
    stage: str
    reason: str
    file: str = "bold"


def _bytes(change: Callable[[bytes], bytes], file: str = "bold") -> Callable[[Target], object]:
    """Change the bytes of a file."""

    def make(target: Target) -> None:
        path: Path = getattr(target, file)
        whole = path.read_bytes()
        # A link to a sound file, which stays as it is.
        path.unlink()
        path.write_bytes(change(whole))

    return make


def _flip(whole: bytes) -> bytes:
    # Far enough from the end that it hits compressed data, not the checksum behind them.
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :]


def _image(
    change: Callable[[nib.Nifti1Image, np.ndarray], np.ndarray | None], file: str = "bold"
) -> Callable[[Target], object]:
    """Change data (in float32) or header of an image, and write it again."""

    def make(target: Target) -> None:
        path: Path = getattr(target, file)
        image = nib.load(path)
        data = image.get_fdata(dtype=np.float32)
        changed = change(image, data)
        header = image.header.copy()
        header.set_data_dtype(np.float32)
        path.unlink()
        # Without an affine, nibabel writes the header's own, whatever it is.
        nib.save(nib.Nifti1Image(data if changed is None else changed, None, header), path)

    return make


def _values(where: object, value: float, file: str = "bold") -> Callable[[Target], object]:
    def change(_: nib.Nifti1Image, data: np.ndarray) -> None:
        data[where] = value

    return _image(change, file)


def _affine(value: float, file: str = "bold") -> Callable[[Target], object]:
    def change(image: nib.Nifti1Image, _: np.ndarray) -> None:
        image.header["qform_code"], image.header["sform_code"] = 0, 1
        for row in ("srow_x", "srow_y", "srow_z"):
            image.header[row] = value

    return _image(change, file)


def _complex(target: Target) -> None:
    image = nib.load(target.bold)
    numbers = nib.Nifti1Image(image.get_fdata().astype(np.complex64), image.affine, image.header)
    numbers.set_data_dtype(np.complex64)
    target.bold.unlink()
    nib.save(numbers, target.bold)


def _unplaced(image: nib.Nifti1Image, _: np.ndarray) -> None:
    image.header["qform_code"] = image.header["sform_code"] = 0


def _no_tr(target: Target) -> None:
    def change(image: nib.Nifti1Image, _: np.ndarray) -> None:
        image.header["pixdim"][4] = 0

    _image(change)(target)
    target.sidecar.write_text('{"RepetitionTime": null}')


def _other_tr(target: Target) -> None:
    def change(image: nib.Nifti1Image, _: np.ndarray) -> None:
        image.header["pixdim"][4] = 1.5

    _image(change)(target)
    target.sidecar.write_text('{"RepetitionTime": 2.0}')


def _text(file: str, text: str) -> Callable[[Target], object]:
    """Write a text file anew."""

    def make(target: Target) -> None:
        getattr(target, file).write_text(text)

    return make


def _events(change: Callable[[list[str]], list[str]]) -> Callable[[Target], object]:
    """Change the lines of the events."""

    def make(target: Target) -> None:
        lines = change(target.events.read_text().splitlines())
        target.events.write_text("".join(f"{line}\n" for line in lines))

    return make


def _column(
    name: str, value: Callable[[str], str], rows: slice = slice(None)
) -> Callable[[Target], object]:
    """Change some values of a column of the events."""

    def change(lines: list[str]) -> list[str]:
        cells = [line.split("\t") for line in lines]
        place = cells[0].index(name)
        for row in cells[1:][rows]:
            row[place] = value(row[place])
        return ["\t".join(row) for row in cells]

    return _events(change)


def _gone(file: str) -> Callable[[Target], object]:
    """As an annexed file that nobody fetched: a link that leads nowhere."""

    def make(target: Target) -> None:
        path: Path = getattr(target, file)
        path.unlink(missing_ok=True)
        path.symlink_to("../../.git/annex/objects/MD5E-s1--0")

    return make


def _twice(target: Target) -> None:
    nib.save(nib.load(target.bold), target.bold.with_name(f"{target.recording}.nii"))


def _contradiction(target: Target) -> None:
    run = target.recording.removesuffix("_bold").rsplit("_", 1)[1]
    target.sidecar.write_text('{"RepetitionTime": 2.0}')
    other = target.bold.with_name(f"sub-04_{run}_bold.json")
    other.write_text('{"RepetitionTime": 2.01}')


def _latin(target: Target) -> None:
    _column("trial_type", lambda _: "Straße")(target)
    target.events.write_bytes(target.events.read_text().encode("latin-1"))


def _forbid(target: Target) -> None:
    _bytes(lambda whole: whole)(target)
    target.bold.chmod(0)


def _folder(target: Target) -> None:
    target.bold.unlink()
    target.bold.mkdir()
    (target.bold / "slice.dcm").write_bytes(b"")


# What is damaged, in the order of the runs of each person.
KINDS: dict[str, Damage] = {
    # Found by reading images to their ends.
    "data cut off": Damage(
        "03", _bytes(lambda b: b[: len(b) // 2]), "preprocess", "cannot be read to its end"
    ),
    "one bit flipped": Damage("03", _bytes(_flip), "preprocess", "cannot be read to its end"),
    "a volume of NaN": Damage("03", _values((..., 7), np.nan), "preprocess", "volume 7 holds NaN"),
    "one infinite value": Damage(
        "03", _values((5, 5, 5, 9), np.inf), "preprocess", "volume 9 holds NaN or infinite"
    ),
    "a volume of zeros": Damage("03", _values((..., 11), 0), "preprocess", "volume 11 is constant"),
    "all values equal": Damage("03", _values(..., 100), "preprocess", "volume 0 is constant"),
    "all volumes equal": Damage(
        "03",
        _image(lambda _, data: np.repeat(data[..., :1], data.shape[3], axis=3)),
        "preprocess",
        "all volumes are equal",
    ),
    "negative values": Damage("03", _image(lambda _, d: -d), "preprocess", "no head can be seen"),
    "no orientation": Damage("03", _image(_unplaced), "preprocess", "neither sform nor qform"),
    "few voxels": Damage("03", _image(lambda _, d: d[:4, :4, :4]), "preprocess", "too small"),
    "complex numbers": Damage("03", _complex, "preprocess", "complex"),
    # Found in headers.
    "header cut off": Damage("03", _bytes(lambda b: b[:60]), "curate", "cannot be opened"),
    "an empty file": Damage("03", _bytes(lambda _: b""), "curate", "cannot be opened"),
    "text by that name": Damage(
        "03", _bytes(lambda _: b"text " * 99), "curate", "cannot be opened"
    ),
    "three dimensions": Damage("03", _image(lambda _, d: d[..., 0]), "curate", "four dimensions"),
    "one volume": Damage("03", _image(lambda _, d: d[..., :1]), "curate", "four dimensions"),
    "an affine of zeros": Damage("03", _affine(0), "curate", "affine in its header is singular"),
    "an affine of NaN": Damage("03", _affine(np.nan), "curate", "affine in its header is singular"),
    "a recording twice": Damage("03", _twice, "curate", "there are two files of it"),
    "contents not fetched": Damage("03", _gone("bold"), "curate", "the contents of"),
    "a folder by that name": Damage("03", _folder, "curate", "folder"),
    # Events.
    "events without rows": Damage(
        "04", _events(lambda lines: lines[:1]), "curate", "a header and no rows", "events"
    ),
    "empty events": Damage("04", _events(lambda _: []), "curate", "cannot be read", "events"),
    "text in onset": Damage(
        "04",
        _column("onset", lambda _: "early", slice(3, 4)),
        "curate",
        "onset in row 5 is 'early', not a number",
        "events",
    ),
    "no onset column": Damage(
        "04",
        _events(lambda lines: [lines[0].replace("onset", "start"), *lines[1:]]),
        "curate",
        "no column onset",
        "events",
    ),
    "an onset missing": Damage(
        "04",
        _column("onset", lambda _: "n/a", slice(2, 3)),
        "curate",
        "the onset is missing in row 4",
        "events",
    ),
    "an infinite onset": Damage(
        "04", _column("onset", lambda _: "inf", slice(0, 1)), "curate", "row 2 is 'inf'", "events"
    ),
    "onsets in ms": Damage(
        "04",
        _column("onset", lambda onset: str(float(onset) * 1000)),
        "curate",
        "start after the end of the run",
        "events",
    ),
    "commas for tabs": Damage(
        "04",
        _events(lambda lines: [line.replace("\t", ",") for line in lines]),
        "curate",
        "no column onset",
        "events",
    ),
    "events not in UTF-8": Damage("04", _latin, "curate", "cannot be read", "events"),
    "events not fetched": Damage("04", _gone("events"), "curate", "the contents of", "events"),
    # Sidecars.
    "sidecar against header": Damage(
        "04",
        _other_tr,
        "curate",
        "the sidecar states a repetition time of 2 s, the header",
        "sidecar",
    ),
    "two sidecars": Damage("04", _contradiction, "curate", "contradict each other", "sidecar"),
    "sidecar no JSON": Damage(
        "04", _text("sidecar", '{"RepetitionTime": 2.0,'), "curate", "no valid JSON", "sidecar"
    ),
    "sidecar a list": Damage("04", _text("sidecar", "[]"), "curate", "no JSON object", "sidecar"),
    "sidecar not fetched": Damage(
        "04", _gone("sidecar"), "curate", "sidecar cannot be read", "sidecar"
    ),
    "TR of zero": Damage(
        "04", _text("sidecar", '{"RepetitionTime": 0}'), "curate", "0 s is not plausible", "sidecar"
    ),
    "TR as text": Damage(
        "04",
        _text("sidecar", '{"RepetitionTime": "2"}'),
        "curate",
        "RepetitionTime is '2'",
        "sidecar",
    ),
    "TR in ms": Damage(
        "04",
        _text("sidecar", '{"RepetitionTime": 2000}'),
        "curate",
        "2000 s is not plausible",
        "sidecar",
    ),
    "no TR": Damage("04", _no_tr, "curate", "neither the sidecar nor the header", "sidecar"),
    # The anatomical image, one session each.
    "T1w of NaN": Damage("05", _values(..., np.nan, "t1w"), "preprocess", "NaN", "t1w"),
    "T1w constant": Damage("05", _values(..., 1, "t1w"), "preprocess", "constant", "t1w"),
    "T1w cut off": Damage(
        "05", _bytes(lambda b: b[: len(b) // 2], "t1w"), "preprocess", "read to its end", "t1w"
    ),
    "T1w affine of zeros": Damage("05", _affine(0, "t1w"), "preprocess", "affine", "t1w"),
    "T1w not fetched": Damage("05", _gone("t1w"), "curate", "the contents of", "t1w"),
}
if os.geteuid() != 0:
    # Root may read everything.
    KINDS["may not be read"] = Damage("04", _forbid, "curate", "nobody permits you to read")
# Not faults: a recording without events, and one event of which nothing can be said.
REST = "sub-03_task-rest_bold"
NEGATIVE = f"sub-03_task-{TASK}_acq-negative_bold"
# Nor a person without a T1w image: the EPI is normalised by itself.
ALONE = f"sub-06_task-{TASK}_acq-alone_bold"


def make_damaged(sound: Path, root: Path) -> dict[str, Target]:
    """Write the data set, and return the files of each kind of damage.

    Parameters
    ----------
    sound : Path
        A phantom of two people with one run each.
    root : Path
        Where to.
    """
    shutil.copytree(sound, root)
    (root / "participants.tsv").unlink()
    shutil.copy(root / "task-gamble_bold.json", root / "task-rest_bold.json")
    targets = {}
    for number, (kind, damage) in enumerate(KINDS.items(), 1):
        session = f"ses-{number:02}" if damage.subject == "05" else None
        entities = f"task-{TASK}" if session else f"task-{TASK}_run-{number:02}"
        targets[kind] = _sound_target(root, damage.subject, session, entities)
        damage.make(targets[kind])
    rest = _sound_target(root, "03", None, "task-rest")
    rest.events.unlink()
    negative = _sound_target(root, "03", None, f"task-{TASK}_acq-negative")
    _column("duration", lambda _: "-1", slice(4, 5))(negative)
    _sound_target(root, "06", None, f"task-{TASK}_acq-alone").t1w.unlink()
    return targets


def _sound_target(root: Path, subject: str, session: str | None, entities: str) -> Target:
    """Give a person the run of the first one, by a link, and their T1w image."""
    folder = root / f"sub-{subject}" / (session or "")
    prefix = f"sub-{subject}" + (f"_{session}" if session else "")
    (folder / "anat").mkdir(parents=True, exist_ok=True)
    (folder / "func").mkdir(exist_ok=True)
    stem = folder / "func" / f"{prefix}_{entities}"
    target = Target(
        recording=f"{stem.name}_bold",
        bold=stem.with_name(f"{stem.name}_bold.nii.gz"),
        sidecar=stem.with_name(f"{stem.name}_bold.json"),
        events=stem.with_name(f"{stem.name}_events.tsv"),
        t1w=folder / "anat" / f"{prefix}_T1w.nii.gz",
    )
    original = root / "sub-01/func" / f"sub-01_task-{TASK}_run-01"
    target.bold.symlink_to(original.with_name(f"{original.name}_bold.nii.gz"))
    shutil.copy(original.with_name(f"{original.name}_events.tsv"), target.events)
    shutil.copy(root / "sub-01/anat/sub-01_T1w.nii.gz", target.t1w)
    return target
