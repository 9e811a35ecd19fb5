"""The schema of every table, as data: each column with its type, unit and description.

Identifiers are strings, so that leading zeros stay. A missing value is null, never a dropped row
or column.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 2

_COUNTS = pa.list_(pa.field("element", pa.int64()))
_NUMBERS = pa.list_(pa.field("element", pa.float64()))
_STRINGS = pa.list_(pa.field("element", pa.string()))


def _column(name: str, kind: pa.DataType, description: str, unit: str | None = None) -> pa.Field:
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=True, metadata=metadata)


def _text(name: str, description: str) -> pa.Field:
    return _column(name, pa.string(), description)


def _number(name: str, description: str, unit: str | None = None) -> pa.Field:
    return _column(name, pa.float64(), description, unit)


def _count(name: str, description: str) -> pa.Field:
    return _column(name, pa.int64(), description, "1")


ENTITIES = [
    _text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
    _text("session", "Label of the session (BIDS `ses`)."),
    _text("task", "Label of the task (BIDS `task`)."),
    _text("acquisition", "Label of the acquisition (BIDS `acq`)."),
    _text("ceagent", "Label of the contrast agent (BIDS `ce`)."),
    _text("reconstruction", "Label of the reconstruction (BIDS `rec`)."),
    _text("direction", "Label of the phase-encoding direction (BIDS `dir`)."),
    _text("run", "Index of the run (BIDS `run`), as written in the file name."),
    _text("echo", "Index of the echo (BIDS `echo`), as written in the file name."),
    _text("part", "Part of a complex image (BIDS `part`)."),
]

_WHO = [
    _text("dataset", "Identifier of the data set in the configuration."),
    _text("recording", "File name of the raw recording without its extension."),
    _text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
    _text("session", "Label of the session (BIDS `ses`)."),
    _text("task", "Label of the task (BIDS `task`)."),
    _text("run", "Index of the run (BIDS `run`), as written in the file name."),
]

_REGION = [
    _text("region", "Name of the region, see `regions`."),
    _text("definition_hash", "Hash of the definition that was used, see `regions`."),
]

RECORDINGS = pa.schema(
    [
        _text("dataset", "Identifier of the data set in the configuration."),
        _text("dataset_version", "Pinned version; for a local folder the hash of its contents."),
        _text("recording", "File name of the raw recording without its extension."),
        _text("modality", "`fmri` or `eeg`."),
        *ENTITIES,
        _text("unit", "Subject or subject and session that are preprocessed as one job."),
        _text("path", "Path of the raw recording below the data set."),
        _text("sha256", "sha256 of the raw recording."),
        _text("t1w", "Path of the T1w image it is registered with, below the data set."),
        _text("events", "Path of its events file below the data set; null when it has none."),
        _number("tr", "Repetition time.", "s"),
        _count("n_volumes", "Number of volumes of the raw recording."),
        _number("sampling_frequency", "Samples per second.", "Hz"),
        _column("fetched", pa.bool_(), "Whether the contents of the raw recording are there."),
        _column("shape", _COUNTS, "Voxels of the raw recording along each axis.", "1"),
        _column("voxel_size", _NUMBERS, "Edges of a voxel of the raw recording.", "mm"),
        _count("n_echoes", "Echoes of the run that the data set holds."),
        _number("echo_time", "Echo time.", "s"),
        _number("flip_angle", "Flip angle.", "degree"),
        _text("phase_encoding", "Axis and sense of phase encoding: `i`, `j`, `k`, with `-`."),
        _column("slice_timing", pa.bool_(), "Whether the sidecars state the slices' times."),
        _column("field_maps", _STRINGS, "Paths of the field maps that are meant for it."),
        _text("manufacturer", "Manufacturer of the scanner."),
        _text("scanner", "Model of the scanner."),
        _number("field_strength", "Strength of its magnetic field.", "T"),
        _text(
            "variant",
            "Recordings of one kind that were acquired alike: `task-…_variant-1` is how most are.",
        ),
        _count("n_events", "Rows of its events file."),
        _column("event_columns", _STRINGS, "Columns of its events file."),
        _text("space", "Template space of the preprocessed recording, as BIDS names it."),
        _text("backend", "What preprocessed it: `native`, `fmriprep` or `derivatives`."),
        _column(
            "distortion_corrected", pa.bool_(), "Whether susceptibility distortion was corrected."
        ),
        _text("licence", "Licence of the data set as its description states it."),
        _text("licence_class", "Which licence that is: `CC0`, `PDDL`, `CC-BY` …, or `unknown`."),
        _text("status", "`used`, `excluded` (by a rule) or `quarantined` (bad data)."),
        _text("stage", "Stage at which `reason` arose."),
        _text(
            "reason", "Why it is excluded or quarantined, or which part of it could not be used."
        ),
        _text("hint", "What to do about it."),
        _column(
            "validator_errors",
            _STRINGS,
            "Errors that the official BIDS validator found in its files; kept, not fatal.",
        ),
        _column(
            "warnings",
            _STRINGS,
            "What our own checks found odd in it, and who brought it back if a rule leaves it out.",
        ),
        _number("fd_mean", "Mean framewise displacement (Power et al. 2012).", "mm"),
        _number("fd_max", "Largest framewise displacement.", "mm"),
        _number("tsnr_median", "Median over the brain of the temporal signal-to-noise ratio.", "1"),
        _number(
            "registration_dice",
            "Overlap of the EPI brain mask in template space with the template's mask (Dice).",
            "1",
        ),
    ]
)

REGIONS = pa.schema(
    [
        *_REGION,
        _text(
            "level", "Level in the paper's mapping: perception, valuation, execution, integration."
        ),
        _column("processes", _STRINGS, "Cognitive processes that the literature ties to it."),
        _text("kind", "Kind of definition, such as `spheres`."),
        _text("space", "Space of the definition's coordinates or image."),
        _text("template", "Template on whose grid the sizes below were counted."),
        _text(
            "placement",
            "How it got from `space` to `template`: `same space`, `transformed`, or `accepted` "
            "(coordinates taken over as they are, which the configuration accepts for this pair).",
        ),
        _text("definition", "The definition as JSON."),
        _column("references", _STRINGS, "Publications that tie the region to its processes."),
        _column("sources", _STRINGS, "Where its coordinates or images come from."),
        _number("x", "Centre of mass, to the right.", "mm"),
        _number("y", "Centre of mass, to the front.", "mm"),
        _number("z", "Centre of mass, upwards.", "mm"),
        _count("n_voxels", "Voxels on the template grid of the packed recordings."),
        _number("volume", "Volume on that grid.", "mm^3"),
    ]
)

SERIES = pa.schema(
    [
        *_WHO,
        *_REGION,
        _text(
            "strategy",
            "Cleaning: `none` (the uncleaned mean), a strategy of nilearn or a preset of the "
            "configuration.",
        ),
        _column(
            "values",
            pa.list_(pa.field("element", pa.float32())),
            "One value per volume, in `unit`; null throughout where there is a `reason`, and for "
            "volumes that a cleaning strategy does not keep.",
        ),
        _column(
            "kept",
            pa.list_(pa.field("element", pa.bool_())),
            "Whether each volume is kept by the strategy's scrubbing.",
        ),
        _number("start", "Time of the first value from the start of the recording.", "s"),
        _number("sampling_frequency", "Values per second.", "Hz"),
        _text(
            "unit",
            "`a.u.` (image intensity), `z` (standard deviations) or `percent` (of the region's "
            "mean).",
        ),
        _number("coverage", "Share of the region's voxels that hold data in this recording.", "1"),
        _count("n_voxels", "Voxels that were averaged."),
        _text(
            "reason",
            "Why there are no values: `min_coverage: …`, `min_time: …` (too little is left by "
            "scrubbing), or what the strategy lacks in this recording.",
        ),
    ]
)

TRIALS = pa.schema(
    [
        *_WHO,
        _count("trial", "Index of the row in the events file, from 0."),
        *_REGION,
        _number("onset", "Onset from the start of the recording.", "s"),
        _number("duration", "Duration.", "s"),
        _text("trial_type", "The events file's `trial_type`, or what `event_mapping` names."),
        _text("response", "Its `response`, or what `event_mapping` names; null without one."),
        _number("response_time", "Its `response_time`, or what `event_mapping` names.", "s"),
        _text("choice", "What was chosen: the column that `event_mapping` names."),
        _text("outcome", "What came of it: the column that `event_mapping` names."),
        _text("stimulus", "Identifier of the stimulus, see `stimuli`."),
        _text("columns", "All columns of the event's row as one JSON object, types kept."),
        _number(
            "estimate",
            "Height of the modelled response to the trial (Pernet 2014, "
            "doi:10.3389/fnins.2014.00001); "
            "null where it cannot be estimated (see `reason`).",
            "percent of the region's mean signal",
        ),
        _number(
            "estimate_se",
            "Its standard error, allowing for first-order autocorrelation.",
            "percent of the region's mean signal",
        ),
        _text("model", "How it was estimated: `lss` (least squares separate)."),
        _text("hrf_model", "Haemodynamic response function, as nilearn names it."),
        _text("reason", "Why the estimate is null."),
    ]
)

LATENTS = pa.schema(
    [
        *_WHO,
        _count("trial", "Index of the row in the events file, from 0."),
        _text("model", "Model of behaviour, see docs/latents.md."),
        _count("model_version", "Version of the model: raised whenever its results change."),
        _text("latent", "What is estimated: `prediction_error`, `confidence` …"),
        _number(
            "value",
            "The latent at this trial, by the person's parameters; null where there is no choice, "
            "or for the `reason`.",
            "values and prediction errors in units of the outcomes; else see docs/latents.md",
        ),
        _column(
            "fitted_on",
            _STRINGS,
            "Recordings that the person's parameters were fitted to; this one is among them.",
        ),
        _number(
            "held_out_log_likelihood",
            "Mean log-likelihood of the person's trials by parameters fitted without them.",
            "nat per trial",
        ),
        _number(
            "chance_log_likelihood",
            "The same by the person's own response rate, which the model has to beat.",
            "nat per trial",
        ),
        _text("reason", "Why there are no values."),
    ]
)

LATENT_FITS = pa.schema(
    [
        _text("dataset", "Identifier of the data set in the configuration."),
        _text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        _text("task", "Label of the task (BIDS `task`)."),
        _text("model", "Model of behaviour, see docs/latents.md."),
        _count("model_version", "Version of the model: raised whenever its results change."),
        _text("parameter", "Parameter of the model."),
        _number("value", "Its most probable value under the group's prior; null for the `reason`."),
        _number("standard_error", "Its standard error, by the curvature at that value."),
        _number("lower", "Lower end of its 95 % interval."),
        _number("upper", "Upper end of its 95 % interval."),
        _number("group_value", "Middle of the group's prior."),
        _count("n_trials", "Trials that the model was fitted to."),
        _number("log_likelihood", "Of these trials, at the most probable values.", "nat"),
        _number("bic", "Bayesian information criterion; the lowest is best.", "nat"),
        _number(
            "log_evidence",
            "Log-evidence of the model under the group's prior (Laplace), less the person's share "
            "of what fitting the prior costs.",
            "nat",
        ),
        _number(
            "model_probability",
            "That the person follows this model rather than the others fitted to the same "
            "behaviour (Stephan et al. 2009, doi:10.1016/j.neuroimage.2009.03.025).",
            "1",
        ),
        _number(
            "held_out_log_likelihood",
            "Mean log-likelihood of the trials by parameters fitted without their fold (run, or "
            "quarter of the only run).",
            "nat per trial",
        ),
        _number(
            "chance_log_likelihood",
            "The same by the person's own response rate in the other folds.",
            "nat per trial",
        ),
        _column(
            "beats_chance",
            pa.bool_(),
            "Whether held-out trials are predicted better than by the person's own response rate, "
            "by more than luck (one-sided, 95 %).",
        ),
        _column(
            "preferred",
            pa.bool_(),
            "Whether no other model of the same behaviour predicts this person's held-out trials "
            "better.",
        ),
        _column("fitted_on", _STRINGS, "Recordings that it was fitted to."),
        _text("reason", "Why there are no values, here or in `latents`."),
        _column("warnings", _STRINGS, "What was odd about the behaviour or about the fit."),
    ]
)

STIMULI = pa.schema(
    [
        _text("dataset", "Identifier of the data set in the configuration."),
        _text("stimulus", "Identifier: hash of data set and `stim_file`."),
        _text("stim_file", "Path as the events file names it, below `stimuli/`."),
        _text("sha256", "sha256 of the file; null when the data set does not hold it."),
        _count("n_trials", "Events that show it, over all used recordings."),
        _text("text", "Its text where the file is text."),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "recordings": RECORDINGS,
    "regions": REGIONS,
    "series": SERIES,
    "trials": TRIALS,
    "stimuli": STIMULI,
    "latents": LATENTS,
    "latent_fits": LATENT_FITS,
}
