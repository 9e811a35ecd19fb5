"""What rules and people leave out of a release, though it is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from braindata.receipts import Outcome
from braindata.tables.exclusions import Decisions
from braindata.tables.rules import first_match, without_figure
from braindata.tables.shards import read_shard, write_shard


def leave_out(row: dict[str, Any], rules: tuple[str, ...], decisions: Decisions) -> Outcome | None:
    """Return why a recording is left out of the tables; None when it is in them.

    That somebody brought it back is entered among its `warnings`, and so is a rule about a figure
    of quality that is not known of it.

    Parameters
    ----------
    row : dict
        Its row of `recordings`, quality included.
    rules : tuple of str
        Those of the configuration.
    decisions : Decisions
        Those about its data set that count here; including one overrules a rule.
    """
    outcome = _outcome(row, rules, decisions)
    back = decisions.including(row)
    if outcome is not None and back is None:
        return outcome
    said = [
        f"publish.exclude has the rule {rule}, but {rule.column} is not known: it is not left out"
        for rule in without_figure(rules, row)
    ]
    if outcome is not None and back is not None:
        said.append(f"{outcome.reason}; brought back: {back.signed()}")
    if said:
        row["warnings"] = [*(row["warnings"] or ()), *said]
    return None


def _outcome(
    row: Mapping[str, Any], rules: tuple[str, ...], decisions: Decisions
) -> Outcome | None:
    decision = decisions.excluding(row)
    if decision is not None:
        return Outcome("excluded", decision.signed(), f"see the exclusions of {row['dataset']}")
    rule = first_match(rules, row)
    if rule is not None:
        return Outcome(
            "excluded",
            rule.reason(row, "publish.exclude"),
            "change the rule, or bring the recording back under `include` in the exclusions of "
            f"{row['dataset']}: nothing is computed again",
        )
    return None


def without(shard: Path, table: str, recordings: Collection[str], target: Path) -> Path:
    """Return a shard that lacks the rows of some recordings; the shard itself stays as it is.

    Parameters
    ----------
    shard : Path
        What a job made.
    table : str
        Which table it belongs to.
    recordings : collection of str
        Which recordings to leave out; of none, the shard itself is returned.
    target : Path
        Where to write it to.
    """
    if not recordings:
        return shard
    rows = read_shard(shard, table)
    others = pc.invert(pc.is_in(rows["recording"], pa.array(sorted(recordings), pa.string())))
    write_shard(rows.filter(others), target, table)
    return target


# Of tables of people, the column with the recordings that a row rests on.
_RESTS_ON = {"latent_fits": "fitted_on", "alignment": "recordings", "signal_fits": "recordings"}


def without_people(shard: Path, table: str, recordings: Collection[str], target: Path) -> Path:
    """Return a shard of a table of people that lacks those of whom no recording is left.

    Parameters
    ----------
    shard : Path
        What the job made.
    table : str
        `latent_fits`, `alignment` or `signal_fits`.
    recordings : collection of str
        Which recordings are left out.
    target : Path
        Where to write it to.
    """
    if not recordings:
        return shard
    rows = read_shard(shard, table)
    gone = set(recordings)
    kept = [on is None or not set(on) <= gone for on in rows[_RESTS_ON[table]].to_pylist()]
    write_shard(rows.filter(pa.array(kept, pa.bool_())), target, table)
    return target
