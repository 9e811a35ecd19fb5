"""Writes a phantom: a valid BIDS data set, and its truth in another folder."""

from __future__ import annotations

import functools
import gzip
import json
import multiprocessing
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from braindata.errors import UsageError
from braindata.files import atomic_path, sha256_file, write_text
from braindata.phantom import description
from braindata.phantom.anatomy import Array, Matrix, functional, random_warp, structural
from braindata.phantom.ideal import drift_regressors, single_trials
from braindata.phantom.parameters import REGIONS, TASK, PhantomParameters
from braindata.phantom.scan import (
    GREY_INTENSITY,
    Scanner,
    displacement,
    random_motion,
    random_pose,
    rigid,
)
from braindata.phantom.task import (
    Person,
    draw_events,
    frame_times,
    random_person,
    trial_responses,
    true_amplitudes,
)

# Part of what decides the bytes: raise it with every change that a seed's phantom shows.
STEP_VERSION = 1
MOTION_COLUMNS = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]


def generate(folder: Path, truth: Path, parameters: PhantomParameters, *, n_jobs: int = 1) -> None:
    """Write a phantom: a valid BIDS data set in `folder`, what is true about it in `truth`.

    The same parameters give the same bytes. A phantom that is there already, whole and unchanged,
    is left as it is; any other phantom is replaced.

    Parameters
    ----------
    folder : Path
        Where the data set goes: a folder that is empty, or not there, or holds a phantom.
    truth : Path
        Where the truth goes, outside of `folder`: `trials_truth.tsv`, `ideal_observer.tsv`,
        `motion_truth.tsv`, `regions_truth.tsv`, `noise_truth.tsv`, `people_truth.json`,
        `parameters.json`.
    parameters : PhantomParameters
        What decides it.
    n_jobs : int
        People that are simulated at the same time, about 1 GB of memory each. Changes no byte.

    Raises
    ------
    UsageError
        When `folder` holds something else, or the truth would lie in it.
    """
    if folder.resolve() in (truth.resolve(), *truth.resolve().parents):
        raise UsageError(
            "the truth would lie within the data set, where the pipeline could read it",
            file=truth,
            hint="choose a folder beside the data set",
        )
    if _is_done(folder, truth, parameters):
        return
    _clear(folder, truth)
    description.write_description(folder, parameters)
    labels = [f"{number:02d}" for number in range(1, parameters.n_subjects + 1)]
    subject = functools.partial(_simulate, folder, parameters)
    if n_jobs == 1:
        records = [subject(label) for label in labels]
    else:
        # Each person has random numbers of their own, so the order in time does not matter.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(n_jobs, mp_context=context) as pool:
            records = list(pool.map(subject, labels))
    description.write_participants(folder, labels, parameters.seed)
    _Truth.joined(records).write(truth)
    body = {
        "step_version": STEP_VERSION,
        "parameters": parameters.model_dump(mode="json"),
        "files": _hashes(folder),
    }
    write_text(truth / "parameters.json", json.dumps(body, indent=2, sort_keys=True) + "\n")


@dataclass
class _Truth:
    """Rows of the truth's tables, collected run by run."""

    trials: list[pd.DataFrame] = field(default_factory=list)
    ideal: list[pd.DataFrame] = field(default_factory=list)
    motion: list[pd.DataFrame] = field(default_factory=list)
    noise: list[dict[str, object]] = field(default_factory=list)
    people: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def joined(cls, records: list[_Truth]) -> _Truth:
        whole = cls()
        for record in records:
            whole.trials += record.trials
            whole.ideal += record.ideal
            whole.motion += record.motion
            whole.noise += record.noise
            whole.people |= record.people
        return whole

    def write(self, truth: Path) -> None:
        regions = [
            {"region": region.name, "x": x, "y": y, "z": z, "sigma": region.sigma}
            for region in REGIONS
            for x, y, z in region.centers
        ]
        _write_table(truth / "trials_truth.tsv", pd.concat(self.trials))
        _write_table(truth / "ideal_observer.tsv", pd.concat(self.ideal))
        _write_table(truth / "motion_truth.tsv", pd.concat(self.motion))
        _write_table(truth / "noise_truth.tsv", pd.DataFrame(self.noise))
        _write_table(truth / "regions_truth.tsv", pd.DataFrame(regions))
        write_text(truth / "people_truth.json", json.dumps(self.people, indent=2) + "\n")


def _simulate(folder: Path, parameters: PhantomParameters, label: str) -> _Truth:
    record = _Truth()
    _write_subject(folder, label, parameters, record)
    return record


def _is_done(folder: Path, truth: Path, parameters: PhantomParameters) -> bool:
    """Whether this very phantom is there: the truth's last file is, and every hash agrees."""
    last = truth / "parameters.json"
    if not last.is_file():
        return False
    body = json.loads(last.read_text(encoding="utf-8"))
    return bool(
        body.get("step_version") == STEP_VERSION
        and body.get("parameters") == parameters.model_dump(mode="json")
        and body.get("files") == _hashes(folder)
    )


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _clear(folder: Path, truth: Path) -> None:
    """Remove an earlier phantom, and nothing else."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not description.is_phantom(folder):
            raise UsageError(
                "this is not empty and holds no phantom: it is left alone",
                file=folder,
                hint="choose another folder for the phantom",
            )
        for path in folder.glob("sub-*"):
            shutil.rmtree(path)
    (truth / "parameters.json").unlink(missing_ok=True)


def _write_subject(
    folder: Path, subject: str, parameters: PhantomParameters, record: _Truth
) -> None:
    def generator(*purpose: int) -> np.random.Generator:
        # One stream per purpose: more runs or trials leave a person's anatomy as it is.
        return np.random.default_rng([parameters.seed, int(subject), *purpose])

    warp = random_warp(generator(0), parameters)
    person = random_person(generator(1))
    image, affine = structural(warp, generator(2), parameters.t1w_voxel)
    name = f"sub-{subject}"
    anat = folder / name / "anat" / f"{name}_T1w.nii.gz"
    _write_image(anat, affine, image.shape, [image], tr=None)
    head = functional(warp, parameters.bold_voxel)
    # Between the structural and the functional scans the head moved.
    position = random_pose(generator(3), 4.0, 3.0)
    poses = [position + random_pose(generator(4, run), 1.0, 0.7) for run in _runs(parameters)]
    events = [draw_events(person, parameters, generator(5, run)) for run in _runs(parameters)]
    largest = max(float(table["utility"].abs().max()) for table in events)
    record.people[subject] = {
        **asdict(person),
        "largest_utility": largest,
        "head_to_template": warp.linear.tolist(),
        "t1w_to_bold": {
            f"{run:02d}": rigid(pose).tolist()
            for run, pose in zip(_runs(parameters), poses, strict=True)
        },
    }
    for run, pose, table in zip(_runs(parameters), poses, events, strict=True):
        scanner = Scanner(head, rigid(pose), parameters)
        _write_run(
            _Run(folder, subject, f"{run:02d}", parameters),
            scanner,
            person,
            table.assign(value=table["utility"] / largest),
            (generator(6, run), generator(7, run), generator(8, run)),
            record,
        )


def _runs(parameters: PhantomParameters) -> range:
    return range(1, parameters.n_runs + 1)


@dataclass(frozen=True)
class _Run:
    folder: Path
    subject: str
    run: str
    parameters: PhantomParameters

    @property
    def entities(self) -> dict[str, str]:
        return {"subject": self.subject, "task": TASK, "run": self.run}

    def path(self, suffix: str) -> Path:
        name = f"sub-{self.subject}_task-{TASK}_run-{self.run}_{suffix}"
        return self.folder / f"sub-{self.subject}" / "func" / name


def _write_run(
    run: _Run,
    scanner: Scanner,
    person: Person,
    events: pd.DataFrame,
    generators: tuple[np.random.Generator, np.random.Generator, np.random.Generator],
    record: _Truth,
) -> None:
    parameters = run.parameters
    for_motion, for_responses, for_noise = generators
    motion = random_motion(for_motion, parameters.n_volumes, parameters.motion)
    amplitudes = true_amplitudes(events["value"].to_numpy(), parameters, for_responses)
    onsets = events["onset"].to_numpy(dtype=float)
    design = trial_responses(onsets, frame_times(parameters), person.hrf_stretch)
    responses = design @ np.column_stack([amplitudes[name] for name in scanner.names])

    still = []
    moments = _Moments(scanner.grey)

    def volumes() -> Iterable[np.ndarray[tuple[int, ...], np.dtype[np.int16]]]:
        for volume in scanner.scan(responses, motion, for_noise):
            still.append(volume.still)
            moments.add(volume.data)
            yield volume.data

    shape = (*scanner.shape, parameters.n_volumes)
    _write_image(run.path("bold.nii.gz"), scanner.affine, shape, volumes(), tr=parameters.tr)
    shown = events.drop(columns=["utility", "value"])
    _write_table(run.path("events.tsv"), shown)

    series = np.array(still)
    nuisance = drift_regressors(parameters.n_volumes, parameters.tr)
    for column, name in enumerate(scanner.names):
        mean = series[:, column]
        rows = pd.DataFrame(
            {
                **run.entities,
                "trial": np.arange(len(events)),
                "region": name,
            }
        )
        estimate = single_trials(100 * (mean / mean.mean() - 1), design, nuisance)
        record.ideal.append(rows.assign(estimate=estimate))
        record.trials.append(
            rows.assign(onset=onsets, value=events["value"], response=100 * amplitudes[name])
        )
    table = pd.DataFrame(motion, columns=MOTION_COLUMNS)
    identity = pd.DataFrame({**run.entities, "volume": np.arange(len(table))})
    record.motion.append(pd.concat([identity, table], axis=1))
    record.noise.append(
        {
            **run.entities,
            "tsnr_grey": moments.tsnr(),
            "largest_displacement": float(displacement(motion).max()),
        }
    )


class _Moments:
    """Temporal SNR of what is written, in grey matter, summed up volume by volume."""

    def __init__(self, grey: Array):
        self._where = grey > 0.7 * grey.max()
        self._n = 0
        self._sum = np.zeros(int(self._where.sum()))
        self._squares = np.zeros_like(self._sum)

    def add(self, data: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> None:
        values = data[self._where].astype(float) - GREY_INTENSITY
        self._n += 1
        self._sum += values
        self._squares += values * values

    def tsnr(self) -> float:
        mean = self._sum / self._n
        deviation = np.sqrt(self._squares / self._n - mean * mean)
        return float(np.median((mean + GREY_INTENSITY) / deviation))


def _write_table(path: Path, table: pd.DataFrame) -> None:
    write_text(
        path,
        table.to_csv(sep="\t", index=False, na_rep="n/a", float_format="%.9g", lineterminator="\n"),
    )


def _write_image(
    path: Path,
    affine: Matrix,
    shape: tuple[int, ...],
    volumes: Iterable[np.ndarray[tuple[int, ...], np.dtype[np.generic]]],
    tr: float | None,
) -> None:
    """Write int16 volumes one after the other, with no time or name in the gzip header."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(affine, code="scanner")
    header.set_qform(affine, code="scanner")
    header.set_xyzt_units("mm", "sec")
    header.set_slope_inter(1.0, 0.0)
    header["pixdim"][4] = 0.0 if tr is None else tr
    header["descrip"] = b"braindata phantom"
    header["vox_offset"] = 352
    with (
        atomic_path(path) as part,
        part.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=file, mtime=0) as packed,
    ):
        packed.write(header.binaryblock + bytes(4))
        for volume in volumes:
            packed.write(np.asarray(np.rint(volume), dtype="<i2").tobytes(order="F"))
