"""`align`: packed recordings × a group of regions → templates, maps, scores and patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from braindata.align.group import Fitted, Kind, estimator, fit_group
from braindata.align.maps import save_maps
from braindata.align.parameters import AlignSettings, Group
from braindata.align.parcels import Piecewise
from braindata.align.sharing import why_not_shared
from braindata.align.split import Piece, split_runs
from braindata.align.template import save_templates
from braindata.derive.parameters import DeriveParameters, EventMapping
from braindata.errors import EmptyRegionError
from braindata.extract.strategies import BUILT_IN, Preset
from braindata.layout import Layout
from braindata.pull.local import read_manifest
from braindata.receipts import Outcome, content_hash, merkle, receipt_beside
from braindata.regions.files import Placing, RegionFiles
from braindata.regions.spaces import Spaces
from braindata.stages.align_inputs import GroupVoxels, Material, Recording, look, place_group, read
from braindata.stages.align_rows import Person, alignment_rows, pattern_rows
from braindata.stages.align_scores import FITTED, runs_of, score_people
from braindata.stages.job import (
    Result,
    log,
    read_inventory,
    receipts_hash,
    run_job,
    unit_receipts,
    used,
)
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard

SEE = "see the table `alignment`"


class Parameters(BaseModel):
    """What decides the alignment of a group of regions.

    Attributes
    ----------
    group : Group
        The regions.
    align : AlignSettings
        How people are aligned.
    cleaning : Preset
        How voxels are cleaned before.
    derive : DeriveParameters
        How responses to trials are estimated.
    events : EventMapping
        Which columns of this data set's events hold what.
    shared_stimulus : bool or None
        Whether people saw or heard the same on what maps are fitted on; None: as events say.
    members : tuple of str
        Labels of the people from whom templates are made; empty: all.
    spaces : Spaces
        How regions are placed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: Group
    align: AlignSettings = AlignSettings()
    cleaning: Preset = BUILT_IN["simple"]
    derive: DeriveParameters = DeriveParameters()
    events: EventMapping = EventMapping()
    shared_stimulus: bool | None = None
    members: tuple[str, ...] = ()
    spaces: Spaces = Spaces()


@dataclass(frozen=True)
class _Choice:
    """Which method, and why; none where it would align people to noise."""

    kind: Kind | None
    why: str


def run(layout: Layout, dataset: str, parameters: Parameters) -> bool:
    """Align the people of a data set in one group of regions."""
    packed = unit_receipts(layout, "packed", dataset)
    done = {name for receipt in packed.values() for name in receipt.with_state("done")}
    rows = [
        row
        for row in used(read_inventory(layout, dataset))
        if row["modality"] == "fmri" and row["recording"] in done
    ]
    manifest = read_manifest(layout.manifest(dataset))
    events = {row["recording"]: manifest[row["events"]].sha256 for row in rows if row["events"]}
    key = parameters.group.key
    shard = layout.alignment(dataset, key)

    def work() -> Result:
        recordings, grid = look(layout, rows, parameters.events)
        placing = Placing(RegionFiles(layout.regions()), parameters.spaces)
        size = parameters.align.parcel_size
        try:
            where = None if grid is None else place_group(parameters.group, grid, placing, size)
        except EmptyRegionError as error:
            where = None
            recordings = [replace(one, reason=one.reason or error.problem) for one in recordings]
        return _align(layout, dataset, parameters, recordings, where)

    return run_job(
        layout,
        "align",
        f"{dataset}/{key}",
        receipt_beside(shard),
        parameters=parameters,
        inputs={
            "packed": receipts_hash(packed),
            "events": merkle(events),
            "runs": merkle({row["recording"]: str(row["fits_alignment"]) for row in rows}),
        },
        libraries=("h5py", "nilearn", "numpy", "scipy"),
        work=work,
    )


def _align(
    layout: Layout,
    dataset: str,
    parameters: Parameters,
    recordings: list[Recording],
    where: GroupVoxels | None,
) -> Result:
    settings, key = parameters.align, parameters.group.key
    fit_pieces, score_pieces = split_runs([one.run for one in recordings if one.reason is None])
    by_name = {one.key.recording: one for one in recordings}
    choice = _choose(parameters, fit_pieces, by_name)
    material: dict[str, Material] = {}
    if where is not None:
        n_targets = settings.n_targets if choice.kind == "connectivity" else 0
        material = read(recordings, where, parameters.cleaning, parameters.derive, n_targets)
    fitted, scores, method = Fitted(None, {}), [], choice.kind
    people = _people(recordings, material, fit_pieces, score_pieces, where)
    if where is None:
        why = next((one.reason for one in recordings if one.reason), choice.why)
        fitted, method = Fitted(None, dict.fromkeys(people, why)), None
    elif method is None:
        fitted = Fitted(None, dict.fromkeys(people, choice.why))
    else:
        make = partial(_piecewise, method, settings, where)
        members = {f"sub-{label}" for label in parameters.members}
        for unknown in sorted(members - people.keys()):
            log.warning("%s: alignment.members: there is no %s", dataset, unknown)
        usable = {s: one for s, one in people.items() if one.coverage >= settings.min_coverage}
        fit = {s: runs_of(method, FITTED, material, one.fit) for s, one in usable.items()}
        fitted = fit_group(make, fit, where.labels, members, shared=method != "connectivity")
        fitted.left_out.update(
            {
                s: f"min_coverage: {100 * one.coverage:.0f} % of a parcel's voxels hold data in "
                f"all recordings, fewer than {100 * settings.min_coverage:g} %"
                for s, one in people.items()
                if s not in usable
            }
        )
        scores = score_people(
            settings,
            parameters.shared_stimulus,
            make,
            fit,
            fitted,
            method,
            material,
            usable,
            by_name,
            members,
        )
        if fitted.model is None:
            method = None
    template = _write_maps(layout, dataset, key, parameters.group, fitted, where)
    facts = (parameters.group, dataset, fitted, method, template)
    tables = {
        "alignment": alignment_rows(*facts, choice.why, people, scores, where),
        "patterns": pattern_rows(*facts, recordings, material, people),
    }
    paths = {"alignment": layout.alignment, "patterns": layout.patterns}
    for name, content in tables.items():
        table = pa.Table.from_pylist(content, schema=TABLES[name])
        write_shard(table, paths[name](dataset, key), name)
    outputs = [
        path(dataset, key)
        for path in (layout.alignment, layout.patterns, layout.maps, layout.alignment_template)
    ]
    lacking = "; ".join(where.left_out.values()) if where is not None else None
    reasons = {name: one.reason or lacking for name, one in by_name.items()}
    reasons |= {name: made.reason for name, made in material.items() if made.reason}
    outcomes = {
        name: Outcome("done", said, SEE) if said else Outcome("done")
        for name, said in reasons.items()
    }
    notes = {
        "method": method,
        "why": choice.why,
        "template": template,
        "n_people": len(people),
        "n_aligned": len(fitted.aligned),
    }
    return Result(outputs, outcomes, notes)


def _choose(
    parameters: Parameters, pieces: Sequence[Piece], recordings: dict[str, Recording]
) -> _Choice:
    asked = parameters.align.method
    if parameters.shared_stimulus is None:
        shown = [recordings[piece.run.recording].shown(piece.name) for piece in pieces]
        why_not = why_not_shared(shown)
        said = why_not or "the events of all people are the same"
    else:
        why_not = None if parameters.shared_stimulus else "not shared"
        said = (
            "the configuration says that people saw or heard the same"
            if parameters.shared_stimulus
            else "the configuration says that people did not see or hear the same"
        )
    if asked == "connectivity":
        return _Choice("connectivity", "the configuration asks for it")
    if asked == "auto":
        return _Choice("connectivity" if why_not else "procrustes", said)
    if why_not:
        return _Choice(
            None,
            f"{asked} needs a common stimulus, and there is none: {said}; take `method: auto`, or "
            "say `shared_stimulus: true` in `alignment` of the data set",
        )
    return _Choice(asked, said)


def _people(
    recordings: Sequence[Recording],
    material: dict[str, Material],
    fit: Sequence[Piece],
    score: Sequence[Piece],
    where: GroupVoxels | None,
) -> dict[str, Person]:
    """Return each person's pieces of recordings that can be used, and what they cover."""
    found = {}
    for subject in sorted({one.run.subject for one in recordings}):
        names = [one.key.recording for one in recordings if one.run.subject == subject]
        made = {name: material[name] for name in names if name in material}
        voxels = {name: one.voxels for name, one in made.items() if one.voxels}
        kept: dict[str, NDArray[np.bool_]] = {name: one.kept for name, one in voxels.items()}
        least = share = 0.0
        if voxels and where is not None:
            there = np.logical_and.reduce([one.has_data for one in voxels.values()])
            share = float(there.mean())
            least = min(float(there[where.labels == label].mean()) for label in where.regions)
        own_fit, own_score = (
            [p for p in pieces if p.run.subject == subject and p.run.recording in kept]
            for pieces in (fit, score)
        )
        found[subject] = Person(
            recordings=names,
            fit=own_fit,
            score=own_score,
            # Somebody without a usable recording is told that, and not of coverage.
            coverage=least if voxels else 1.0,
            share=share if voxels else None,
            n_volumes=sum(int(kept[p.run.recording][p.start : p.stop].sum()) for p in own_fit),
            reasons=[one.reason for one in made.values() if one.reason],
        )
    return found


def _piecewise(method: Kind, settings: AlignSettings, where: GroupVoxels) -> Piecewise:
    return Piecewise(partial(estimator, method, settings), where.labels, where.hashes())


def _write_maps(
    layout: Layout,
    dataset: str,
    key: str,
    group: Group,
    fitted: Fitted,
    where: GroupVoxels | None,
) -> str | None:
    """Write templates and maps, and return the hash of the templates."""
    models = {} if fitted.model is None else fitted.model.models_
    templates = {str(label): model.template_ for label, model in models.items()}
    name = content_hash([one.id for one in templates.values()])[:16] if templates else None
    arrays: dict[str, Any] = {}
    meta: dict[str, Any] = {"group": group.name, "grouping": group.grouping, "template": name}
    if where is not None:
        arrays = {
            "voxels": where.voxels,
            "labels": where.labels,
            "affine": np.asarray(where.grid.affine),
        }
        meta |= {
            "space": where.grid.space,
            "shape": list(where.grid.shape),
            "regions": {str(label): region for label, region in where.regions.items()},
        }
    save_templates(templates, layout.alignment_template(dataset, key), arrays, meta)
    aligned = set(fitted.aligned)
    save_maps(
        {
            str(label): {s: one for s, one in model.maps_.items() if s in aligned}
            for label, model in models.items()
        },
        layout.maps(dataset, key),
    )
    return name
