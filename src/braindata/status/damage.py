"""What `verify` finds: one finding per file, with what to do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from braindata.errors import EXIT_DONE, EXIT_FAILED

FORMAT = "braindata-verify"
FORMAT_VERSION = 1

Kind = Literal["missing", "altered", "unreadable", "outdated", "unknown", "temporary"]
RUN_AGAIN = "run again"
HARMLESS = ("unknown", "temporary")


@dataclass(frozen=True, order=True)
class Finding:
    """One file with which something is wrong.

    Attributes
    ----------
    file : str
        Relative to the output folder.
    kind : {"missing", "altered", "unreadable", "outdated", "unknown", "temporary"}
        `altered` are files with other contents than were written, cut ones too; `outdated`
        receipts of jobs whose inputs are others now. `unknown` (nobody's file) and `temporary`
        (left by a kill) are no damage.
    problem, hint : str
        What is wrong, and what to do.
    delete : tuple of str
        Files that are to be deleted so that the next run makes them anew; empty where running
        again, or deleting, does not help.
    """

    file: str
    kind: Kind
    problem: str
    hint: str
    delete: tuple[str, ...] = ()

    @property
    def is_damage(self) -> bool:
        """Whether something is lost or wrong, rather than lying about."""
        return self.kind not in HARMLESS


@dataclass(frozen=True)
class Verdict:
    """What `verify` saw.

    Attributes
    ----------
    output : Path
        The output folder.
    findings : tuple of Finding
        Sorted by file.
    n_files, n_bytes : int
        Files whose contents were hashed.
    n_superseded : int
        Whole files of tables that the newest release does not need: of older ones, or of none.
    n_unfinished : int
        Files of jobs that are not done, which the next run replaces.
    process : str or None
        The Snakemake at work; then what only a folder at rest can tell was left out.
    """

    output: Path
    findings: tuple[Finding, ...]
    n_files: int
    n_bytes: int
    n_superseded: int
    n_unfinished: int
    process: str | None

    @property
    def damage(self) -> list[Finding]:
        """The findings that are damage."""
        return [finding for finding in self.findings if finding.is_damage]

    @property
    def exit_code(self) -> int:
        """0 no damage, 1 damage."""
        return EXIT_FAILED if self.damage else EXIT_DONE

    @property
    def exit_code_of_repair(self) -> int:
        """0 when the next run mends all damage, after what is to be deleted is; 1 otherwise."""
        left = any(not f.delete and not f.hint.startswith(RUN_AGAIN) for f in self.damage)
        return EXIT_FAILED if left else EXIT_DONE

    def to_dict(self) -> dict[str, Any]:
        """Return what `braindata verify --json` prints; its help says what the keys hold."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "output": str(self.output),
            "damaged": bool(self.damage),
            "exit_code": self.exit_code,
            "process": self.process,
            "files": self.n_files,
            "bytes": self.n_bytes,
            "superseded": self.n_superseded,
            "unfinished": self.n_unfinished,
            "findings": [dataclasses.asdict(finding) for finding in self.findings],
        }
