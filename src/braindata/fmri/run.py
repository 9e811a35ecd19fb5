"""One run, from the raw image to its derivatives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from braindata.bids.entities import entities
from braindata.errors import DataError
from braindata.fmri.anatomy import Anatomy, Normalisation
from braindata.fmri.compcor import compcor
from braindata.fmri.confounds import (
    OutlierRule,
    confounds_table,
    cosine_basis,
    describe,
    dvars,
    framewise_displacement,
)
from braindata.fmri.coregistration import Boundary, boundary_cost, register_to_t1w
from braindata.fmri.epi_normalisation import normalise_epi
from braindata.fmri.images import FloatArray, Image, Series, open_series, write_volume
from braindata.fmri.motion import Motion, estimate_motion, make_reference
from braindata.fmri.outputs import (
    Names,
    software,
    write_confounds,
    write_displacement,
    write_itk_transforms,
    write_json,
)
from braindata.fmri.parameters import NativeParameters
from braindata.fmri.reference import epi_brain, survey
from braindata.fmri.resampling import Target, find_target, on_template, resample_run
from braindata.fmri.signal_loss import has_signal, signal_loss
from braindata.fmri.slice_timing import CorrectedSeries, SliceTimes, slice_times
from braindata.fmri.template import (
    SPACE,
    Template,
    noise_tissues,
    ventricles,
    white_matter_core,
)
from braindata.receipts import Outcome

# EPI brain and template brain, where the run covers it; right registrations reach 0.9.
MINIMUM_DICE = 0.7
# Boundary cost with the T1w image. The own one gave .07 to .45 (simulated, real), another person's
# .54 to 1.02, and 1 is chance: this refuses what is certainly wrong, and no more.
MAXIMUM_COST = 0.8
# What is longer is in milliseconds; sparse sampling reaches 20 s.
LONGEST_TR = 30.0


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
    slice_timing, slice_direction : object
        ``SliceTiming`` and ``SliceEncodingDirection`` as its sidecars state them, right or wrong;
        None where they do not.
    """

    recording: str
    bold: Path
    tr: float
    slice_timing: object = None
    slice_direction: object = None


@dataclass(frozen=True)
class RunResult:
    """What became of a run.

    Attributes
    ----------
    outcome : Outcome
        Done or quarantined.
    outputs : list of Path
        What was written; empty when quarantined.
    quality : dict of str to float, str or None
        ``fd_mean`` and ``fd_max`` (mm), ``tsnr_median`` (brain), ``registration_dice`` (EPI brain
        with template brain, where the run covers it), ``brain_coverage`` (share of the template's
        brain in the field of view), ``coregistration_cost`` (boundary cost of the registration
        with the T1w image: 0 best, 1 without contrast; not there without one), ``t1w_defaced``
        (yes, no or unknown; None without one).
    normalisation : str or None
        How it got into the template: ``t1w``, or ``epi`` where there is no T1w image.
    """

    outcome: Outcome
    outputs: list[Path] = field(default_factory=list)
    quality: dict[str, float | str | None] = field(default_factory=dict)
    normalisation: str | None = None


@dataclass(frozen=True)
class Unit:
    """What the runs of a person share.

    Attributes
    ----------
    template : Template
        The output grid.
    anatomy, boundary : Anatomy and Boundary, or None
        Of their T1w image; None where there is none.
    parameters : NativeParameters
        What changes the result.
    derivatives, scratch : Path
        Where outputs and temporary files go.
    """

    template: Template
    anatomy: Anatomy | None
    boundary: Boundary | None
    parameters: NativeParameters
    derivatives: Path
    scratch: Path

    def names(self, recording: str) -> Names:
        """Return the names of a run's outputs."""
        return Names.of(self.derivatives, recording, "func", SPACE, self.parameters.resolution)

    def paths(self, recording: str) -> dict[str, Path]:
        """Return all that can be written about a run."""
        names = self.names(recording)
        return {
            "boldref": names.standard("boldref.nii.gz"),
            "mask": names.standard("desc-brain_mask.nii.gz"),
            "mask_sidecar": names.standard("desc-brain_mask.json"),
            "bold": names.standard("desc-preproc_bold.nii.gz"),
            "sidecar": names.standard("desc-preproc_bold.json"),
            "confounds": names.native("desc-confounds_timeseries.tsv"),
            "confounds_sidecar": names.native("desc-confounds_timeseries.json"),
            "coregistration": names.native("from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt"),
            "motion": names.native("from-orig_to-boldref_mode-image_desc-hmc_xfm.txt"),
            "normalisation": names.native(f"from-boldref_to-{SPACE}_mode-image_xfm.nii.gz"),
        }


@dataclass(frozen=True)
class _Way:
    """From the template to a run's reference."""

    normalisation: Normalisation
    to_reference: FloatArray
    quality: dict[str, float]


def preprocess_run(run: BoldRun, unit: Unit) -> RunResult:
    """Preprocess one run and write its derivatives.

    Parameters
    ----------
    run : BoldRun
        The run.
    unit : Unit
        What it shares with the other runs of the person.

    Raises
    ------
    DataError
        When its data are bad.
    """
    _require_usable(run)
    parameters, template, paths = unit.parameters, unit.template, unit.paths(run.recording)
    series = open_series(run.bold)
    typical, non_steady = survey(series)
    reference = make_reference(series, typical, non_steady, parameters.motion_fwhm)
    brain_of_epi = epi_brain(reference)
    motion = estimate_motion(series, reference, parameters.motion_fwhm)
    way = _find_way(reference, brain_of_epi, unit)
    target = find_target(template, way.normalisation, way.to_reference, motion, reference)
    quality = way.quality | _overlap(target, brain_of_epi, reference)
    boldref = on_template(reference, target, cubic=True)
    in_view = template.brain[target.mask]
    in_brain = has_signal(boldref, in_view)
    # Motion is estimated before the slices' times are corrected: then it is still in the slices.
    timing = slice_times(run.slice_timing, run.slice_direction, series.shape, run.tr)
    volumes = (
        CorrectedSeries(series, timing, run.tr, non_steady)
        if isinstance(timing, SliceTimes)
        else series
    )
    stored, slope = resample_run(volumes, motion, reference, target, run.tr, paths["bold"])
    filled = target.fill(boldref)
    loss = signal_loss(np.asarray(filled, np.float32), template.brain, template.affine)
    displacement = framewise_displacement(motion.parameters)[1:]
    quality |= {
        "fd_mean": float(displacement.mean()),
        "fd_max": float(displacement.max()),
        "tsnr_median": _median_tsnr(stored[non_steady:, in_brain]),
    }
    _write_confounds(stored, slope, in_brain, target, motion, run.tr, non_steady, parameters, paths)
    grid = template.affine
    write_volume(paths["boldref"], filled, grid, np.int16, space_code=4)
    write_volume(paths["mask"], target.fill(in_view), grid, np.uint8, space_code=4)
    write_json(
        paths["mask_sidecar"],
        {
            "Type": "Brain",
            "Description": "The template's brain where every volume of the run covers it, whether "
            "there is signal or not",
        },
    )
    write_json(paths["sidecar"], _sidecar(run, series, unit, motion, timing, non_steady, loss))
    write_itk_transforms(paths["motion"], list(motion.transforms))
    if unit.anatomy is not None:
        write_itk_transforms(paths["coregistration"], [way.to_reference])
        paths["normalisation"].unlink(missing_ok=True)
        del paths["normalisation"]
    else:
        write_displacement(paths["normalisation"], way.normalisation.to_t1w, template)
        paths["coregistration"].unlink(missing_ok=True)
        del paths["coregistration"]
    how = "epi" if unit.anatomy is None else "t1w"
    return RunResult(Outcome("done"), list(paths.values()), {**quality}, how)


def _require_usable(run: BoldRun) -> None:
    if not 0 < run.tr <= LONGEST_TR:
        raise DataError(
            f"a repetition time of {run.tr:g} s",
            hint="correct it in the sidecar; is it in milliseconds?",
        )
    if "echo" in entities(run.recording):
        raise DataError(
            "it is one echo of a multi-echo run, which the native backend does not combine",
            hint="preprocess it with fMRIPrep: `backend: fmriprep`",
        )


def _find_way(reference: Image, brain_of_epi: NDArray[np.bool_], unit: Unit) -> _Way:
    seed, scratch = unit.parameters.seed, unit.scratch
    if unit.anatomy is None or unit.boundary is None:
        normalisation = normalise_epi(reference, unit.template, seed, scratch)
        return _Way(normalisation, np.eye(4), {})
    matrix = register_to_t1w(reference, brain_of_epi, unit.anatomy, unit.boundary, seed, scratch)
    cost = boundary_cost(reference, unit.boundary, matrix)(matrix)
    require_match(cost)
    return _Way(unit.anatomy.normalisation, matrix, {"coregistration_cost": cost})


def require_match(cost: float) -> None:
    """Check that the folds of a run's brain are those of the T1w image.

    Parameters
    ----------
    cost : float
        Boundary cost of their registration (Greve & Fischl 2009,
        doi:10.1016/j.neuroimage.2009.06.060).

    Raises
    ------
    DataError
        When it is so high that they cannot be.
    """
    if cost > MAXIMUM_COST:
        raise DataError(
            f"the run does not match the T1w image (boundary cost {cost:.2f}; 1 is chance)",
            hint="look whether both are of the same person, and the image has grey-white contrast; "
            "without the T1w image the EPI is normalised by itself",
        )


def _overlap(target: Target, brain_of_epi: NDArray[np.bool_], reference: Image) -> dict[str, float]:
    brain = target.template.brain[target.mask]
    covered = float(brain.sum() / target.template.brain.sum())
    epi = on_template(Image(brain_of_epi.astype(np.float32), reference.affine), target, False) > 0.5
    both = int(brain.sum() + epi.sum())
    dice = float(2 * (brain & epi).sum() / both) if both else 0.0
    if dice < MINIMUM_DICE:
        raise DataError(
            f"the run does not match the brain (Dice {dice:.2f} of its brain and the template's)",
            hint="look whether run and T1w image show the same person's whole brain, with right "
            "orientation",
        )
    return {"registration_dice": dice, "brain_coverage": covered}


def _write_confounds(
    stored: NDArray[np.int16],
    slope: float,
    in_brain: NDArray[np.bool_],
    target: Target,
    motion: Motion,
    tr: float,
    non_steady: int,
    parameters: NativeParameters,
    paths: dict[str, Path],
) -> None:
    rule = OutlierRule(parameters.fd_threshold, parameters.std_dvars_threshold)
    tissues = noise_tissues(target.template)
    components = compcor(
        stored,
        in_brain,
        {name: in_brain & mask[target.mask] for name, mask in tissues.items()},
        cosine_basis(len(stored), tr, parameters.high_pass_period, non_steady),
        non_steady,
    )
    table = confounds_table(
        motion,
        _tissue_signals(stored, slope, in_brain, target),
        dvars(stored[:, in_brain]),
        tr,
        parameters.high_pass_period,
        non_steady,
        rule,
        components,
    )
    write_confounds(paths["confounds"], table)
    described = describe(list(table.columns), parameters.high_pass_period, rule, components)
    write_json(paths["confounds_sidecar"], dict(described))


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


def _sidecar(
    run: BoldRun,
    series: Series,
    unit: Unit,
    motion: Motion,
    timing: SliceTimes | str,
    non_steady: int,
    loss: dict[str, float],
) -> dict[str, object]:
    names = unit.names(run.recording)
    body: dict[str, object] = {"RepetitionTime": run.tr}
    if (task := names.entity("task")) is not None:
        body["TaskName"] = task
    corrected = isinstance(timing, SliceTimes)
    body |= {"SkullStripped": False, "SliceTimingCorrected": corrected}
    if isinstance(timing, SliceTimes):
        # What the slices are corrected to: the time of each volume is this plus a multiple of TR.
        body["StartTime"] = timing.reference
    by_t1w = unit.anatomy is not None
    done = ["slice timing"] if corrected else []
    to = "T1w and template" if by_t1w else "the template directly, for want of a T1w image,"
    return body | {
        "Description": f"Corrected for {' and '.join([*done, 'head motion'])}, registered to {to} "
        "in one cubic B-spline interpolation; 0 more than three voxels outside the template's "
        "brain and where a volume does not cover the voxel. Not corrected for susceptibility "
        "distortion.",
        **({} if isinstance(timing, SliceTimes) else {"SliceTimingNotCorrectedBecause": timing}),
        "DistortionCorrected": False,
        "SignalLoss": {name.rpartition("_")[2]: round(v, 4) for name, v in loss.items()},
        "Normalisation": "t1w" if by_t1w else "epi",
        "NonSteadyStateVolumes": non_steady,
        "RawSources": [names.raw("bold")],
        "SpatialReference": f"{SPACE} as in nilearn.datasets.load_mni152_template",
        "Resolution": f"{unit.parameters.resolution} mm, isotropic",
        "HeadCentre": [round(float(value), 4) for value in motion.centre],
        "AcquiredVoxelSize": [round(float(value), 4) for value in series.zooms],
        "SoftwareVersions": software(),
    }
