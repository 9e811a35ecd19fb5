"""What a report shows, made up: any number of recordings, with hostile names among them."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from braindata.report.cost import Costs, JobCost
from braindata.report.measures import MEASURES
from braindata.report.pictures import PictureSet, Shelf
from braindata.report.responses import Average, Responses, times
from braindata.report.site import Corpus, Methods, TrialCounts
from braindata.tables.schemas import TABLES

HOSTILE = '<script>alert("x")</script>'
HOSTILE_RECORDING = 'sub-66_task-<b onmouseover="x">#1?%20&_bold'
LEVELS = ("perception", "valuation", "execution", "integration")
# Recordings share so many sets of pictures, as drawing them takes the time.
N_DRAWN = 6
# Only the first have any, as writing thousands of files takes longer than a test may.
MAX_PICTURED = 100
TYPES = ("go", "no-go", HOSTILE, "left hand", "right hand", "video", "audio", "rest")

FACTS = {
    "participants": {
        "n": 3,
        "columns": {
            "age": {
                "kind": "number",
                "n": 3,
                "min": 21.0,
                "median": 30.0,
                "max": 44.0,
                "unit": "a",
            },
            HOSTILE: {"kind": "levels", "levels": {"left": 1, HOSTILE: 2}, "description": HOSTILE},
        },
    },
    "images": {"recording": 6, "anatomical": 3, f"of no use {HOSTILE}": 1},
    "terms": {"stated": {"ReferencesAndLinks": f"https://doi.org/10.1016/{'j.neuroimage.' * 9}"}},
    "misnamed": [f"sub-01/func/{HOSTILE}_bold.nii.gz"],
    "warnings": [f"participants.tsv names {HOSTILE}, of whom there is no folder"],
}


def corpus(n: int, shelf: Shelf, n_regions: int = 4, n_types: int = 3) -> Corpus:
    """Return what is shown of `n` recordings; one in ten is quarantined, a few excluded."""
    rng = np.random.default_rng(n)
    recordings = [_recording(index, n, rng) for index in range(n)]
    pictures = {
        (row["dataset"], row["recording"]): shelf.get(
            {"recording": row["recording"], "made up": n},
            lambda index=index: (recording_pictures(index % N_DRAWN), None),
        )
        for index, row in enumerate(recordings)
        if row["status"] == "used" and index < MAX_PICTURED
    }
    regions = [_region(index) for index in range(n_regions)]
    return Corpus(
        release=7,
        recordings=recordings,
        regions=regions,
        trials=TrialCounts(80 * n, 320 * n - 13, {"too few volumes <after> it": 12, HOSTILE: 1}),
        coverage={row["region"]: 0.5 + 0.1 * index for index, row in enumerate(regions)},
        strategy="simple",
        responses={row["region"]: _responses(rng, n_types) for row in regions[:-1]},
        recording_pictures=pictures,
        region_pictures={
            row["region"]: shelf.get(
                {"region": row["region"]}, lambda index=index: (region_pictures(index), None)
            )
            for index, row in enumerate(regions)
        },
        template=_shelved_template(shelf),
        methods=Methods("<section><h2>Preprocessing</h2><p>Natively.</p></section>"),
        facts={"localizer": FACTS},
        signals=[
            _signal("value", 0.3123, None),
            _signal("salience", None, f"there is no column salience {HOSTILE}"),
        ],
        costs=Costs(
            [JobCost("pull", "localizer", 3.0)]
            + [JobCost("preprocess", "localizer", 90.0, 60.0 + k, 900.0) for k in range(n)]
            + [JobCost("publish", None, 12.0, 8.0, 300.0)],
            {("preprocess", "localizer"): 40_000_000 * n, ("publish", None): 1_000_000},
            ("pull", "preprocess", "publish"),
        ),
        region_quality={row["region"]: {"tsnr": 60.0, "signal_loss": 0.1} for row in regions[1:]},
    )


def _signal(process: str, r: float | None, reason: str | None) -> dict[str, Any]:
    return {
        "dataset": "localizer",
        "task": "oneback",
        "process": process,
        "regions": ["vmpfc", "ofc"],
        "target": None if r is None else "latent:value_chosen",
        "target_model": None if r is None else "prospect",
        "evidence_r": r,
        "evidence_lower": None if r is None else r - 0.1,
        "evidence_upper": None if r is None else r + 0.1,
        "evidence_p": None if r is None else 0.001,
        "evidence_people": 0 if r is None else 12,
        "evidence_reason": reason,
    }


def _shelved_template(shelf: Shelf) -> str:
    kept: PictureSet = shelf.get({"template": 1}, lambda: ({"template.webp": mosaic(0)}, None))
    return kept.files["template.webp"]


def _recording(index: int, n: int, rng: np.random.Generator) -> dict[str, Any]:
    subject, run = f"{index // 2 + 1:03d}", index % 2 + 1
    name = f"sub-{subject}_task-oneback_run-{run:02d}_bold"
    row: dict[str, Any] = dict.fromkeys(TABLES["recordings"].names) | {
        "dataset": "localizer" if index < 0.7 * n else "ds000117",
        "dataset_version": "1.0.0" if index < 0.7 * n else "local-0f3a5c77d1e2b3a4",
        "recording": name,
        "modality": "fmri",
        "subject": subject,
        "task": "oneback",
        "path": f"sub-{subject}/func/{name}.nii.gz",
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "tr": 2.0,
        "n_volumes": 160,
        "licence": "CC0" if index < 0.7 * n else None,
        "status": "used",
        "variant": f"oneback-{index % 2 + 1}",
        "voxel_size": [3.0, 3.0, 3.3],
        "shape": [80, 80, 35],
        "echo_time": 0.03,
        "licence_class": "CC0" if index < 0.7 * n else "unknown",
        "warnings": [f"{HOSTILE} stands in the header"] if index % 9 == 0 else [],
        "validator_errors": [f"/{name}.json: SIDECAR_KEY_RECOMMENDED"] if index % 7 == 0 else [],
        "brain_coverage": float(rng.uniform(0.93, 1)),
        "fd_mean": float(rng.gamma(3, 0.05)),
        "fd_max": float(rng.gamma(2, 0.5)),
        "tsnr_median": float(rng.normal(60, 12)),
        "registration_dice": float(rng.beta(40, 4)),
        "std_dvars_mean": float(rng.normal(1.1, 0.05)),
        "outlier_share": float(rng.beta(1, 20)),
        "boundary_cost": float(rng.normal(0.45, 0.05)),
        "ofc_signal_loss": float(rng.beta(4, 6)),
        "vmpfc_signal_loss": None if index % 8 == 3 else float(rng.beta(2, 20)),
        "quality_note": "no voxel of the area vmpfc holds data" if index % 8 == 3 else None,
        "backend": "native",
        "space": "MNI152NLin2009aSym",
        "distortion_corrected": False,
    }
    measures = (*(one.column for one in MEASURES), "space", "quality_note", "backend")
    if index % 10 == 1:
        row |= dict.fromkeys(measures) | {
            "recording": HOSTILE_RECORDING if index == 1 else name,
            "status": "quarantined",
            "stage": "preprocess",
            "reason": f"the image is cut off after 12 of 160 volumes {HOSTILE}",
            "hint": 'fetch it again: "datalad get" <file>',
            "file": f"raw/localizer/{name}.nii.gz",
            "log": f"logs/preprocess/localizer/sub-{subject}.log",
        }
    elif index % 25 == 4:
        row |= {"status": "quarantined", "stage": "extract", "reason": "no data in any region"}
    elif index % 25 == 7:
        row |= dict.fromkeys(measures) | {"status": "excluded", "stage": "curate"}
        row |= {"reason": "its task is not wanted"}
    elif index % 12 == 2:
        row |= {"stage": "derive", "reason": "the events file has a header only (in 2 regions)"}
    return row


def _region(index: int) -> dict[str, Any]:
    name = ("visual", "vmpfc", "dorsolateral_prefrontal", "tpj")[index % 4]
    return dict.fromkeys(TABLES["regions"].names) | {
        "region": name if index < 4 else f"{name}_{index}",
        "definition_hash": f"{index:012x}",
        "level": LEVELS[index % 4],
        "processes": ["vision", "confirmation of a rule"][: index % 2 + 1],
        "references": ["Bartra, McGuire & Kable 2013, doi:10.1016/j.neuroimage.2013.02.063"],
        "sources": [f"Harvard-Oxford parcel {index}", f"Glasser <{index}>"],
        "template": "MNI152NLin2009aSym",
        "x": -1.2,
        "y": 46.0,
        "z": -7.5,
        "n_voxels": 1321 + index,
    }


def _responses(rng: np.random.Generator, n_types: int) -> Responses:
    def average(number: int) -> Average:
        height = rng.normal(0.4, 0.2)
        lags = times()
        mean = height * np.exp(-((lags - 6) ** 2) / 8) + rng.normal(0, 0.02, lags.size)
        sem = np.full(lags.size, 0.06)
        whole = [
            None if number == 0 and lag > 18 else round(float(m), 4)
            for lag, m in zip(lags, mean, strict=True)
        ]
        return Average(
            TYPES[number],
            tuple(whole),
            tuple(None if m is None else float(s) for m, s in zip(whole, sem, strict=True)),
            40 * (number + 1),
            1 if number == 1 else 12,
            "trials" if number == 1 else "people",
        )

    shown = min(n_types, len(TYPES))
    averages = sorted((average(i) for i in range(shown)), key=lambda one: one.trial_type)
    return Responses(tuple(averages), n_types)


@cache
def recording_pictures(index: int) -> dict[str, bytes]:
    """Return stand-ins for a recording's pictures."""
    rng = np.random.default_rng(index)
    carpet = np.cumsum(rng.normal(size=(120, 640)), axis=1)
    line = " ".join(f"{x},{20 - y:.1f}" for x, y in enumerate(rng.gamma(2, 2, 160)))
    motion = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 24" preserveAspectRatio="none" '
        f'width="640" height="96"><polyline points="{line}" fill="none" stroke="#0068a8" '
        'vector-effect="non-scaling-stroke"/></svg>'
    )
    return {
        "carpet.webp": webp(carpet),
        "motion.svg": motion.encode(),
        "boldref.webp": mosaic(2, index),
        "before.webp": mosaic(3, index),
        "edges.webp": mosaic(2, index + 1),
        "tsnr.webp": mosaic(1, index + 2),
        "dropout.webp": mosaic(2, index + 3),
        # One T1w image for both runs of a person.
        "t1w.webp": mosaic(1, index // 2),
    }


def region_pictures(index: int) -> dict[str, bytes]:
    """Return stand-ins for a region's pictures."""
    circles = "".join(
        f'<circle cx="{60 + 120 * i}" cy="50" r="40" fill="none" stroke="#555"/>' for i in range(3)
    )
    glass = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 360 100">{circles}</svg>'
    return {"glass.svg": glass.encode(), "slices.webp": mosaic(0, index)}


def mosaic(kind: int, seed: int = 0) -> bytes:
    """Return six round heads, a little apart and of other brightness for each kind."""
    y, x = np.mgrid[0:110, 0:90]
    rng = np.random.default_rng(seed)
    heads = [
        np.hypot((x - 45 - rng.normal(0, kind)) / 36, (y - 55) / 46) < 1 - 0.1 * number
        for number in range(6)
    ]
    return webp(np.hstack(heads) * (1.0 + kind) + 0.1 * kind)


def webp(values: np.ndarray) -> bytes:
    """Return an array as a grey WebP image."""
    scaled = 255 * (values - values.min()) / max(float(np.ptp(values)), 1e-9)
    out = io.BytesIO()
    Image.fromarray(scaled.astype(np.uint8)).save(out, "WEBP", quality=40)
    return out.getvalue()
