"""Native fMRI preprocessing of one person (or session): raw images in, BIDS derivatives out.

The T1w image is registered to MNI152NLin2009aSym; each run is corrected for head motion, registered
to the T1w image, and brought to the template in one interpolation. Slice timing and susceptibility
distortion are not corrected.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.masking import compute_epi_mask
from numpy.typing import NDArray
from scipy import ndimage

from braindata.errors import DataError
from braindata.fmri.anatomical_outputs import write_anatomy
from braindata.fmri.anatomy import Anatomy, analyse_anatomy
from braindata.fmri.confounds import (
    OutlierRule,
    confounds_table,
    count_non_steady,
    describe,
    dvars,
    framewise_displacement,
)
from braindata.fmri.coregistration import Boundary, register_to_t1w, white_matter_boundary
from braindata.fmri.defacing import looks_defaced
from braindata.fmri.images import FloatArray, Image, Series, load_volume, open_series, write_volume
from braindata.fmri.motion import Motion, estimate_motion, make_reference, typical_volume
from braindata.fmri.outputs import (
    Names,
    describe_dataset,
    software,
    write_confounds,
    write_itk_transforms,
    write_json,
)
from braindata.fmri.parameters import NativeParameters
from braindata.fmri.resampling import (
    Target,
    find_target,
    on_template,
    resample_run,
)
from braindata.fmri.template import (
    SPACE,
    Template,
    load_template,
    ventricles,
    white_matter_core,
)
from braindata.receipts import Outcome

__all__ = [
    "SPACE",
    "AnatomicalImage",
    "BoldRun",
    "NativeParameters",
    "RunResult",
    "preprocess_unit",
]

# EPI brain and template brain, where the run covers it; right registrations reach 0.9.
MINIMUM_DICE = 0.7
# A voxel darker than this share of the brain's median has lost its signal.
_DROPOUT = 0.3
_THUMBNAIL_STEP = 2


@dataclass(frozen=True)
class BoldRun:
    """A run to preprocess.

    Attributes
    ----------
    recording : str
        Its BIDS stem with suffix: ``sub-02_task-oneback_run-01_bold``.
    bold : Path
        The image.
    tr : float
        Repetition time in s.
    """

    recording: str
    bold: Path
    tr: float


@dataclass(frozen=True)
class AnatomicalImage:
    """A T1w image.

    Attributes
    ----------
    stem : str
        Its BIDS stem with suffix: ``sub-02_T1w``.
    path : Path
        The image.
    """

    stem: str
    path: Path


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    outcome : Outcome
        Done or quarantined.
    outputs : list of Path
        What was written; empty when quarantined.
    quality : dict of str to float or str
        ``fd_mean`` and ``fd_max`` (mm), ``tsnr_median`` (brain), ``registration_dice`` (EPI brain
        with template brain, where the run covers it), ``brain_coverage`` (share of the template's
        brain in the field of view), ``t1w_defaced`` (yes, no or unknown).
    """

    outcome: Outcome
    outputs: list[Path] = field(default_factory=list)
    quality: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Unit:
    template: Template
    anatomy: Anatomy
    boundary: Boundary
    parameters: NativeParameters
    derivatives: Path
    scratch: Path


def preprocess_unit(
    runs: Sequence[BoldRun],
    t1w: AnatomicalImage,
    derivatives: Path,
    parameters: NativeParameters,
    scratch: Path,
) -> tuple[list[Path], dict[str, RunResult]]:
    """Preprocess the runs that share one T1w image.

    Parameters
    ----------
    runs : sequence of BoldRun
        The runs.
    t1w : AnatomicalImage
        Their T1w image.
    derivatives : Path
        Root of the BIDS derivatives; made if it is not there.
    parameters : NativeParameters
        What changes the result.
    scratch : Path
        An existing folder for temporary files.

    Returns
    -------
    anatomical : list of Path
        What was written about the T1w image.
    results : dict of str to RunResult
        By recording. A run whose data are bad is quarantined; the others go on.

    Raises
    ------
    DataError
        When the T1w image is unusable: then no run can be normalised.
    """
    template = load_template(parameters.resolution)
    try:
        volume = load_volume(t1w.path)
        anatomy = analyse_anatomy(volume, template, parameters.seed, scratch)
        boundary = white_matter_boundary(anatomy)
    except DataError as error:
        raise _in_file(error, t1w.path) from error
    describe_dataset(derivatives)
    names = Names.of(derivatives, t1w.stem, "anat", SPACE, parameters.resolution)
    anatomical = write_anatomy(anatomy, template, names)
    unit = _Unit(template, anatomy, boundary, parameters, derivatives, scratch)
    defaced = looks_defaced(volume.data, volume.affine)
    results = {}
    for run in runs:
        try:
            result = _preprocess_run(run, unit)
            quality: dict[str, float | str] = {**result.quality, "t1w_defaced": defaced}
            results[run.recording] = replace(result, quality=quality)
        except DataError as error:
            # Outputs of an earlier attempt, when the data were still good, would mislead.
            for path in _run_names(run, unit).values():
                path.unlink(missing_ok=True)
            outcome = Outcome.quarantine(_in_file(error, run.bold))
            results[run.recording] = RunResult(outcome)
    return anatomical, results


def _in_file(error: DataError, path: Path) -> DataError:
    return DataError(error.problem, file=error.file or path, hint=error.hint)


def _run_names(run: BoldRun, unit: _Unit) -> dict[str, Path]:
    names = Names.of(unit.derivatives, run.recording, "func", SPACE, unit.parameters.resolution)
    return {
        "boldref": names.standard("boldref.nii.gz"),
        "mask": names.standard("desc-brain_mask.nii.gz"),
        "bold": names.standard("desc-preproc_bold.nii.gz"),
        "sidecar": names.standard("desc-preproc_bold.json"),
        "confounds": names.native("desc-confounds_timeseries.tsv"),
        "confounds_sidecar": names.native("desc-confounds_timeseries.json"),
        "coregistration": names.native("from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"),
        "motion": names.native("from-orig_to-boldref_mode-image_desc-hmc_xfm.txt"),
    }


def _preprocess_run(run: BoldRun, unit: _Unit) -> RunResult:
    parameters, template = unit.parameters, unit.template
    if not run.tr > 0:
        raise DataError(f"a repetition time of {run.tr} s", hint="correct it in the sidecar")
    series = open_series(run.bold)
    typical, non_steady = _survey(series)
    reference = make_reference(series, typical, non_steady, parameters.motion_fwhm)
    epi_brain = _epi_brain(reference)
    motion = estimate_motion(series, reference, parameters.motion_fwhm)
    t1w_to_reference = register_to_t1w(
        reference, epi_brain, unit.anatomy, unit.boundary, parameters.seed, unit.scratch
    )
    target = find_target(template, unit.anatomy.normalisation, t1w_to_reference, motion, reference)
    quality = _registration_quality(target, epi_brain, reference)
    boldref = on_template(reference, target, cubic=True)
    brain = _covered_brain(boldref, target)
    paths = _run_names(run, unit)
    stored, slope = resample_run(series, motion, reference, target, run.tr, paths["bold"])
    in_brain = brain[target.mask]
    signals = _tissue_signals(stored, slope, in_brain, target)
    rule = OutlierRule(parameters.fd_threshold, parameters.std_dvars_threshold)
    table = confounds_table(
        motion.parameters,
        signals,
        dvars(stored[:, in_brain]),
        run.tr,
        parameters.high_pass_period,
        non_steady,
        rule,
    )
    displacement = framewise_displacement(motion.parameters)[1:]
    quality |= {
        "fd_mean": float(displacement.mean()),
        "fd_max": float(displacement.max()),
        "tsnr_median": _median_tsnr(stored[non_steady:, in_brain]),
    }
    grid = template.affine
    write_volume(paths["boldref"], target.fill(boldref), grid, np.int16, space_code=4)
    write_volume(paths["mask"], brain, grid, np.uint8, space_code=4)
    write_json(paths["sidecar"], _sidecar(run, series, unit, motion))
    write_confounds(paths["confounds"], table)
    described = describe(list(table.columns), parameters.high_pass_period, rule)
    write_json(paths["confounds_sidecar"], dict(described))
    write_itk_transforms(paths["coregistration"], [t1w_to_reference])
    write_itk_transforms(paths["motion"], list(motion.transforms))
    return RunResult(Outcome("done"), list(paths.values()), dict(quality))


def _survey(series: Series) -> tuple[int, int]:
    """Read a run once: the most typical volume, and how many are not in a steady state."""
    step = slice(None, None, _THUMBNAIL_STEP)
    thumbnails = np.empty(
        (series.n_volumes, int(np.prod([-(-n // _THUMBNAIL_STEP) for n in series.shape]))),
        np.float32,
    )
    means = np.empty(series.n_volumes)
    for number, volume in enumerate(series.volumes()):
        if volume.min() == volume.max():
            raise DataError(f"volume {number} is constant", hint="fetch or convert it again")
        thumbnails[number] = volume[step, step, step].ravel()
        means[number] = volume.mean(dtype=np.float64)
    if (thumbnails == thumbnails[0]).all():
        raise DataError("all volumes are equal", hint="a single volume, repeated? convert it again")
    non_steady = count_non_steady(means)
    return typical_volume(thumbnails, non_steady), non_steady


def _epi_brain(reference: Image) -> NDArray[np.bool_]:
    image = nib.Nifti1Image(reference.data, reference.affine)
    with warnings.catch_warnings():
        # nilearn warns of an empty mask; here that is an error.
        warnings.simplefilter("ignore")
        mask: NDArray[np.bool_] = compute_epi_mask(image, ensure_finite=False).get_fdata() > 0
    if not mask.any():
        raise DataError(
            "no brain can be found in the image", hint="look at it: is it BOLD, not its residuals?"
        )
    return mask


def _registration_quality(
    target: Target, epi_brain: NDArray[np.bool_], reference: Image
) -> dict[str, float]:
    brain = target.template.brain[target.mask]
    covered = float(brain.sum() / target.template.brain.sum())
    epi = on_template(Image(epi_brain.astype(np.float32), reference.affine), target, False) > 0.5
    both = int(brain.sum() + epi.sum())
    dice = float(2 * (brain & epi).sum() / both) if both else 0.0
    if dice < MINIMUM_DICE:
        raise DataError(
            f"the run does not match the T1w image (Dice {dice:.2f} of both brains)",
            hint="look whether both show the same person's whole brain, with right orientation",
        )
    return {"registration_dice": dice, "brain_coverage": covered}


def _covered_brain(boldref: NDArray[np.float32], target: Target) -> NDArray[np.bool_]:
    """Return the template's brain where the run has signal, on the template grid."""
    brain = target.template.brain[target.mask]
    floor = _DROPOUT * float(np.median(boldref[brain]))
    result = np.zeros(target.template.shape, np.bool_)
    result[target.mask] = brain & (boldref > floor)
    labels, _ = ndimage.label(result)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = labels == int(sizes.argmax())
    return largest


def _tissue_signals(
    stored: NDArray[np.int16], slope: float, in_brain: NDArray[np.bool_], target: Target
) -> dict[str, FloatArray]:
    masks = {
        "global_signal": in_brain,
        "csf": in_brain & ventricles(target.template)[target.mask],
        "white_matter": in_brain & white_matter_core(target.template)[target.mask],
    }
    empty = sorted(name for name, mask in masks.items() if not mask.any())
    if empty:
        raise DataError(f"no voxel for the signals {', '.join(empty)}", hint="a partial brain?")
    return {
        name: slope * stored[:, mask].mean(axis=1, dtype=np.float64) for name, mask in masks.items()
    }


def _median_tsnr(in_brain: NDArray[np.int16]) -> float:
    # Volume by volume: the squares of all at once would take the most memory of the whole run.
    mean = in_brain.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for volume in in_brain:
        squares += (volume - mean) ** 2
    spread = np.sqrt(squares / len(in_brain))
    return float(np.median(mean[spread > 0] / spread[spread > 0]))


def _sidecar(run: BoldRun, series: Series, unit: _Unit, motion: Motion) -> dict[str, object]:
    names = Names.of(unit.derivatives, run.recording, "func", SPACE, unit.parameters.resolution)
    body: dict[str, object] = {"RepetitionTime": run.tr}
    if (task := names.entity("task")) is not None:
        body["TaskName"] = task
    return body | {
        "SkullStripped": False,
        "SliceTimingCorrected": False,
        "Description": "Corrected for head motion, registered to T1w and template in one cubic "
        "B-spline interpolation; 0 more than three voxels outside the template's brain and where "
        "a volume does not cover the voxel. Not corrected for slice timing or distortion.",
        "RawSources": [names.raw("bold")],
        "SpatialReference": f"{SPACE} as in nilearn.datasets.load_mni152_template",
        "Resolution": f"{unit.parameters.resolution} mm, isotropic",
        "HeadCentre": [round(float(value), 4) for value in motion.centre],
        "AcquiredVoxelSize": [round(float(value), 4) for value in series.zooms],
        "SoftwareVersions": software(),
    }
