"""The official BIDS validator's verdict, kept but not fatal."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from braindata.errors import BraindataError


@dataclass(frozen=True)
class Verdict:
    """What the validator says of a data set.

    Attributes
    ----------
    errors : list of dict
        Each with `location`, `code` and, where given, `subCode`, `issueMessage`, `line`.
    n_warnings : dict of str to int
        Number of warnings by code.
    version : str
        Version of the BIDS schema that it was checked against.
    """

    errors: list[dict[str, Any]] = field(default_factory=list)
    n_warnings: dict[str, int] = field(default_factory=dict)
    version: str = ""

    def errors_of(self, *paths: str | None) -> list[str]:
        """Return the errors in any of the files, one short sentence each, sorted."""
        found = self.by_location()
        return sorted(error for path in set(paths) if path for error in found.get(f"/{path}", ()))

    def by_location(self) -> dict[str, list[str]]:
        """Return the errors by the path that the validator names, with a slash before it."""
        found: dict[str, list[str]] = {}
        for issue in self.errors:
            found.setdefault(str(issue["location"]), []).append(describe(issue))
        return found

    def to_json(self) -> str:
        """Return the verdict as JSON with sorted keys."""
        return json.dumps(self.__dict__, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def describe(issue: dict[str, Any]) -> str:
    """Return one validator error as a short sentence."""
    what = ".".join(str(issue[key]) for key in ("code", "subCode") if key in issue)
    line = f", line {issue['line']}" if "line" in issue else ""
    message = f": {issue['issueMessage'].strip()}" if issue.get("issueMessage") else ""
    return f"{issue['location']}{line}: {what}{message}"


def validate(root: Path) -> Verdict:
    """Run the official validator (`bids-validator-deno`) on a BIDS folder.

    Raises
    ------
    BraindataError
        When the validator itself fails.
    """
    # The console script lies beside the interpreter, whether or not its folder is on PATH.
    command = [str(Path(sys.executable).with_name("bids-validator-deno"))]
    command += ["--format", "json", str(root)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        report = json.loads(run.stdout)
        issues = report["issues"]["issues"]
    except (OSError, ValueError, KeyError) as error:
        raise BraindataError(
            f"the BIDS validator gave no verdict ({error})",
            file=root,
            hint="run it by hand: bids-validator-deno --format json FOLDER",
        ) from error
    errors: list[dict[str, Any]] = []
    warnings: dict[str, int] = {}
    for issue in issues:
        if issue["severity"] == "error":
            errors.append({key: value for key, value in issue.items() if key != "severity"})
        elif issue["severity"] == "warning":
            warnings[issue["code"]] = warnings.get(issue["code"], 0) + 1
    errors.sort(key=lambda issue: json.dumps(issue, sort_keys=True))
    version = str(report.get("summary", {}).get("schemaVersion", ""))
    return Verdict(errors, dict(sorted(warnings.items())), version)
