"""Receipts: what a job did, to which inputs, with which outcome for each recording.

A receipt is a small JSON file and a pure function of its job's inputs: no times, no host, no order
of a directory listing. A command compares it with what it is about to do and exits at once when
nothing has changed, which is what keeps Snakemake's re-runs cheap.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from braindata.errors import BraindataError, DataError
from braindata.files import sha256_file, write_text

SUFFIX = ".receipt.json"
# Of a receipt that no longer holds; its job still has to know what it made.
VOID = ".void"
# The note in which a unit's receipts say what they were made from (see `curate.made_from`), and in
# which the one of curation says what they would be made from now.
MADE_FROM = "made_from"
State = Literal["done", "excluded", "quarantined"]


@dataclass(frozen=True)
class Outcome:
    """What became of one recording in one job.

    Attributes
    ----------
    state : {"done", "excluded", "quarantined"}
        Excluded by a rule that was applied on purpose, quarantined because its data are bad.
    reason, hint, file : str or None
        Why, what to do about it, and which file is at fault. None when done; a reason beside
        `done` says which part of the recording's results there is not.
    """

    state: State
    reason: str | None = None
    hint: str | None = None
    file: str | None = None

    @classmethod
    def quarantine(cls, error: DataError) -> Outcome:
        """Return the outcome of a recording whose data raised `error`.

        Libraries put whole paths into their messages; the reason goes into tables, where only the
        file's name means something.
        """
        file = error.file
        reason = error.problem if file is None else error.problem.replace(file, Path(file).name)
        return cls("quarantined", reason, error.hint, file)

    def reason_in(self, path: str | None) -> str | None:
        """Return the reason for a table, in which only `path` says what it is about.

        Parameters
        ----------
        path : str or None
            The recording's own file; a reason that is about another one names it.
        """
        name = None if self.file is None else Path(self.file).name
        if name is None or self.reason is None or name in self.reason:
            return self.reason
        return self.reason if path and name == Path(path).name else f"{name}: {self.reason}"


@dataclass
class Receipt:
    """What one job did.

    Attributes
    ----------
    stage, job : str
        Which stage, and which of its jobs (``localizer/sub-02``).
    step_version : int
        The stage's `STEP_VERSION`: raised whenever its results change.
    parameters : dict
        What changes the result; never cores, paths or log levels.
    inputs : dict of str to str
        Name of each input and its content hash.
    outputs : dict of str to str
        Path of each output relative to the output folder, and its sha256.
    recordings : dict of str to Outcome
        Each recording that the job was asked for.
    versions : dict of str to str
        Versions of the libraries that touched the numbers. Recorded, not compared.
    notes : dict
        Further facts about the job, for the tables and the report.
    sizes : dict of str to int
        Bytes of each output: one that is cut off is noticed without reading it. Empty in receipts
        of earlier versions.
    """

    stage: str
    job: str
    step_version: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    recordings: dict[str, Outcome] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the receipt as JSON with sorted keys."""
        body = dict(self.__dict__)
        body["recordings"] = {
            name: {k: v for k, v in outcome.__dict__.items() if v is not None}
            for name, outcome in self.recordings.items()
        }
        return json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def write(self, path: Path) -> None:
        """Write the receipt atomically; the last thing that a job does."""
        write_text(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> Receipt:
        """Read a receipt.

        Raises
        ------
        BraindataError
            When the file is not there or is no receipt.
        """
        try:
            body = json.loads(path.read_bytes().decode())
            outcomes = {name: Outcome(**o) for name, o in body.pop("recordings").items()}
            return cls(**body, recordings=outcomes)
        except FileNotFoundError as error:
            raise BraindataError(
                "the receipt is missing", file=path, hint="run the stage that writes it"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BraindataError(
                "this is no receipt", file=path, hint="delete it and run again"
            ) from error

    def same_work(self, other: Receipt) -> bool:
        """Whether both describe the same job on the same inputs with the same parameters."""
        keys = ("stage", "job", "step_version", "parameters", "inputs")
        return all(getattr(self, key) == getattr(other, key) for key in keys)

    def with_state(self, state: State) -> list[str]:
        """Return the recordings in `state`, sorted."""
        return sorted(name for name, o in self.recordings.items() if o.state == state)


def receipt_beside(shard: Path) -> Path:
    """Return the path of the receipt of a job with one shard: it lies beside it."""
    return shard.with_name(shard.name.removesuffix(".parquet") + SUFFIX)


def void_beside(receipt: Path) -> Path:
    """Return where a receipt lies that no longer holds."""
    return receipt.with_name(receipt.name + VOID)


def up_to_date(planned: Receipt, path: Path, output: Path) -> bool:
    """Whether the receipt at `path` says that `planned` is done and its outputs are all there.

    Parameters
    ----------
    planned : Receipt
        The job that is about to run; its parameters as JSON would give them back.
    path : Path
        Where its receipt lies, if it ran before.
    output : Path
        The output folder, to which the paths in the receipt are relative.
    """
    if not path.is_file():
        return False
    earlier = read_or_none(path)
    # An unreadable receipt proves nothing: the job runs again and replaces it.
    return (
        earlier is not None and earlier.same_work(planned) and not missing_outputs(earlier, output)
    )


def missing_outputs(receipt: Receipt, output: Path) -> list[str]:
    """Return the outputs that a receipt names and that are not there in full, sorted."""
    found = []
    for name in receipt.outputs:
        there = _status(output / name)
        whole = there is not None and stat.S_ISREG(there.st_mode)
        if there is None or not whole or there.st_size != receipt.sizes.get(name, there.st_size):
            found.append(name)
    return sorted(found)


def cut_off_outputs(receipt: Receipt, output: Path) -> list[str]:
    """Return the outputs that are there with another size than they were written with, sorted.

    As after a loss of power: file systems may keep a file's name and lose its end.
    """
    # One that is gone is a matter of its own.
    return sorted(
        name
        for name, size in receipt.sizes.items()
        if (there := _status(output / name)) is not None and there.st_size != size
    )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def read_or_none(path: Path) -> Receipt | None:
    """Read a receipt; None where there is none that can be read."""
    try:
        return Receipt.read(path)
    except BraindataError:
        return None


def read_matching(output: Path, patterns: Iterable[str]) -> dict[Path, Receipt | None]:
    """Return the receipts whose paths match, by path; None where one cannot be read.

    Parameters
    ----------
    output : Path
        The output folder.
    patterns : iterable of str
        Below it, as for `Path.glob`, without `SUFFIX`.
    """
    return {
        path: read_or_none(path)
        for pattern in patterns
        for path in sorted(output.glob(f"{pattern}{SUFFIX}"))
    }


def hash_outputs(paths: Iterable[Path], output: Path) -> dict[str, str]:
    """Return path relative to `output` and sha256 of each file, sorted by path."""
    return {p.relative_to(output).as_posix(): sha256_file(p) for p in sorted(paths)}


def output_sizes(paths: Iterable[Path], output: Path) -> dict[str, int]:
    """Return path relative to `output` and size of each file, sorted by path."""
    return {p.relative_to(output).as_posix(): p.stat().st_size for p in sorted(paths)}


def merkle(hashes: Mapping[str, str]) -> str:
    """Return one sha256 over names and hashes, independent of their order."""
    lines = "".join(f"{name}\0{digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def content_hash(value: object) -> str:
    """Return the sha256 of a JSON-like value with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def library_versions(*names: str) -> dict[str, str]:
    """Return the installed versions of the distributions `names`, and of braindata."""
    return {name: importlib.metadata.version(name) for name in sorted({*names, "braindata"})}
