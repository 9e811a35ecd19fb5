"""Rows of the tables `alignment` and `patterns`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from braindata.align.evaluation import DECODING, MATCHING, PREDICTION, Score
from braindata.align.group import Fitted
from braindata.align.parameters import Group
from braindata.align.split import Piece
from braindata.stages.align_inputs import GroupVoxels, Material, Recording

NO_RESPONSES = "the recording's trials could not be estimated"


@dataclass(frozen=True)
class Person:
    """What there is of one person.

    Attributes
    ----------
    recordings : list of str
        All that were looked at.
    fit, score : list of Piece
        Of those that can be used.
    coverage : float
        Share of the voxels that hold data in all of them, of the parcel that is covered least.
    share : float or None
        The same of the whole group; None where no recording can be used.
    n_volumes : int
        Volumes that a map is fitted on.
    reasons : list of str
        Why recordings cannot be used.
    """

    recordings: list[str]
    fit: list[Piece]
    score: list[Piece]
    coverage: float
    share: float | None
    n_volumes: int
    reasons: list[str]


def alignment_rows(
    group: Group,
    dataset: str,
    fitted: Fitted,
    method: str | None,
    template: str | None,
    method_reason: str,
    people: Mapping[str, Person],
    scores: Sequence[Score],
    where: GroupVoxels | None,
) -> list[dict[str, Any]]:
    """Return the rows of `alignment`, one per person, sorted.

    Parameters
    ----------
    group : Group
    dataset : str
    fitted : Fitted
        Who is aligned, and why others are not.
    method, template, method_reason : str or None
    people : mapping of subject (``sub-01``) to Person
    scores : sequence of Score
        Of those who are aligned.
    where : GroupVoxels or None
        None where there is no grid to place the group on.
    """
    models = [] if fitted.model is None else list(fitted.model.models_.values())
    members = models[0].template_.members if models else ()
    left_out = set[str]() if where is None else where.left_out.keys()
    rows = []
    for subject, person in sorted(people.items()):
        aligned = subject in fitted.aligned
        own = [score for score in scores if score.subject == subject]
        said = sorted({score.reason for score in own if score.reason})
        reason = None if aligned else _reason(fitted.left_out.get(subject), person)
        rows.append(
            {
                "dataset": dataset,
                "subject": subject.removeprefix("sub-"),
                **_names(group),
                "regions": sorted({part.name for part in group.parts} - left_out),
                "status": "aligned" if aligned else "unaligned",
                "reason": reason,
                "method": method,
                "method_reason": method_reason,
                "template": template,
                "in_template": subject in members if models else None,
                "n_members": len(members) if models else None,
                "dimensions": [model.template_.rank for model in models] if aligned else None,
                "n_voxels": None if where is None else len(where.voxels),
                "coverage": person.share,
                "n_volumes": person.n_volumes if aligned else None,
                "recordings": person.recordings,
                "fitted_on": _recordings(person.fit) if aligned else None,
                "scored_on": _recordings(person.score) if own else None,
                "matched_within_fit": _within_fit(own, person) if own else None,
                **_figures(own, method),
                "score_reason": "; ".join(said)
                or (None if own or not aligned else _unscored(person)),
            }
        )
    return rows


def pattern_rows(
    group: Group,
    dataset: str,
    fitted: Fitted,
    method: str | None,
    template: str | None,
    recordings: Sequence[Recording],
    material: Mapping[str, Material],
    people: Mapping[str, Person],
) -> list[dict[str, Any]]:
    """Return the rows of `patterns`: of all trials, recordings by name.

    Parameters
    ----------
    group, dataset, fitted, method, template, people
        As for `alignment_rows`.
    recordings : sequence of Recording
    material : mapping of recording to Material
    """
    rows = []
    for one in recordings:
        subject, person = one.run.subject, people[one.run.subject]
        aligned = subject in fitted.aligned
        fitted_on = _recordings(person.fit) if aligned else None
        vectors, reasons = _vectors(fitted, subject, one, material.get(one.key.recording))
        for number, trial in enumerate(one.trials["trial"]):
            onset = one.trials["onset"][number]
            why = reasons[number]
            if not aligned:
                why = f"the person is unaligned: {_reason(fitted.left_out.get(subject), person)}"
            rows.append(
                {
                    **vars(one.key),
                    "trial": trial,
                    **_names(group),
                    "onset": onset,
                    "duration": one.trials["duration"][number],
                    "trial_type": one.trials["trial_type"][number],
                    "vector": vectors[number],
                    "template": template if aligned else None,
                    "method": method if aligned else None,
                    "fitted_on": fitted_on,
                    "in_fit": _in_fit(person, one, onset) if aligned else None,
                    "reason": why,
                }
            )
    return rows


def _vectors(
    fitted: Fitted, subject: str, recording: Recording, made: Material | None
) -> tuple[list[Any], list[str | None]]:
    n = len(recording.trials["trial"])
    nothing: list[Any] = [None] * n
    if made is None or made.patterns is None:
        why = NO_RESPONSES if made is None else made.pattern_reason or NO_RESPONSES
        return nothing, [why] * n
    estimates, reasons = made.patterns.estimates, made.patterns.reasons
    there = [number for number, why in enumerate(reasons) if why is None]
    if subject not in fitted.aligned or fitted.model is None or not there:
        return nothing, list(reasons)
    mapped = fitted.model.transform(subject, estimates[there]).astype(np.float32)
    for number, vector in zip(there, mapped, strict=True):
        nothing[number] = vector
    return nothing, list(reasons)


def _in_fit(person: Person, recording: Recording, onset: float | None) -> bool:
    """Whether a map was fitted on a trial; in doubt it was."""
    pieces = [p for p in person.fit if p.run.recording == recording.key.recording]
    return any(p.is_whole or onset is None or onset < p.stop * recording.tr for p in pieces)


def _reason(said: str | None, person: Person) -> str:
    if person.fit or not person.reasons:
        return said or "nobody is aligned"
    return "; ".join(sorted(set(person.reasons)))


def _unscored(person: Person) -> str:
    return (
        "what is left to be scored is not the same in everybody, and has no kinds of trials"
        if person.score
        else "no recording is left to be scored"
    )


def _names(group: Group) -> dict[str, str]:
    return {"region_group": group.name, "grouping": group.grouping, "group_hash": group.hash}


def _within_fit(scores: Sequence[Score], person: Person) -> bool:
    held = {piece.name for piece in person.score}
    matched = {score.held_out for score in scores if score.metric == MATCHING}
    return bool(matched - held)


def _recordings(pieces: Sequence[Piece]) -> list[str]:
    return sorted({piece.run.recording for piece in pieces})


def _figures(scores: Sequence[Score], method: str | None) -> dict[str, float | None]:
    """Return the mean over a person's runs of each score."""
    names = {
        MATCHING: "matching",
        # Of connectomes, what is predicted is no course over time.
        PREDICTION: "connectivity" if method == "connectivity" else "prediction",
        DECODING: "decoding",
    }
    found: dict[str, float | None] = {}
    for metric, name in names.items():
        own = [score for score in scores if score.metric == metric and score.after is not None]
        if not own:
            continue
        chances = [score.chance for score in own if score.chance is not None]
        deviation = np.sqrt(sum(chance.std**2 for chance in chances)) / len(own)
        found |= {
            f"{name}_before": _mean([score.before for score in own]),
            f"{name}_after": _mean([score.after for score in own]),
            f"{name}_chance": _mean([chance.mean for chance in chances]),
            f"{name}_chance_sd": float(deviation),
            f"{name}_ceiling": _mean([score.ceiling for score in own]),
        }
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
