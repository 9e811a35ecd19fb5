"""The schema of every table, as data: each column with its type, unit and description.

Identifiers are strings, so that leading zeros stay. A missing value is null, never a dropped row
or column.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA_VERSION = 3

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
        _count("n_samples", "Samples of the raw recording (EEG)."),
        _number("duration", "Duration of the raw recording.", "s"),
        _count("n_channels", "EEG channels of the raw recording."),
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
            "distortion_corrected",
            pa.bool_(),
            "Whether susceptibility distortion was corrected; null where that is unknown.",
        ),
        _text(
            "normalisation",
            "How it was brought into the template: `t1w`, by the person's T1w image, or `epi`, by "
            "itself, less exactly; null where that is unknown.",
        ),
        _column(
            "fits_alignment",
            pa.bool_(),
            "Whether people's maps into a common space may be fitted on it, as `alignment` of its "
            "data set in the configuration says.",
        ),
        _text(
            "participant",
            "What `participants.tsv` says of the person, as one JSON object, types kept; without "
            "dates and free text. An age above 89 is 90, and `age_over_89` stands beside it.",
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
        _number(
            "dvars_mean",
            "Mean DVARS over volumes in a steady state that follow one, as the confounds have it.",
            "1",
        ),
        _number("dvars_max", "Largest DVARS of these volumes.", "1"),
        _number("std_dvars_mean", "Mean standardised DVARS of these volumes.", "1"),
        _number("std_dvars_max", "Largest standardised DVARS of these volumes.", "1"),
        _count(
            "n_outliers",
            "Those of these volumes whose framewise displacement or standardised DVARS is above "
            "the thresholds of `pack.quality`.",
        ),
        _number("outlier_share", "Their share of these volumes.", "1"),
        _count("n_non_steady", "First volumes before the steady state."),
        _number(
            "tsnr_median",
            "Median over the brain of the temporal signal-to-noise ratio: mean over standard "
            "deviation of a voxel's volumes in a steady state, in template space.",
            "1",
        ),
        _number(
            "registration_dice",
            "Overlap of the recording's brain mask in template space with the template's (Dice); "
            "natively of the mask found in the EPI, where the run covers it.",
            "1",
        ),
        _number(
            "boundary_cost",
            "How the mean volume contrasts across the template's border of white matter (cost of "
            "Greve & Fischl 2009): 0 is perfect, 1 is what chance gives.",
            "1",
        ),
        _number(
            "coregistration_cost",
            "The same of the EPI across the border in the person's T1w image, where that was used.",
            "1",
        ),
        _number("brain_coverage", "Share of the template's brain that holds data.", "1"),
        _number(
            "ofc_signal_loss",
            "Share of orbitofrontal voxels with data whose mean is below `pack.quality."
            "signal_floor` of the brain's median; in the default set's spheres, whatever regions "
            "are in use.",
            "1",
        ),
        _number("vmpfc_signal_loss", "The same of ventromedial prefrontal cortex.", "1"),
        _text("quality_note", "Why a quality figure is null, or what it was made from instead."),
        _text(
            "electrode_positions",
            "How electrodes' positions are known: `measured`, `standard` (by name) or `none`.",
        ),
        _text("reference", "What the potentials of the cleaned EEG are against."),
        _number("n_bad_channels", "EEG channels that were found or marked as bad.", "1"),
        _number(
            "n_components_removed",
            "Independent components that were removed as artefacts; null where ICA was not done.",
            "1",
        ),
        _number(
            "share_rejected", "Share of its events that have no clean epoch; null without any.", "1"
        ),
        _number(
            "line_noise_ratio",
            "Power at the line frequency of the raw EEG over that of its neighbourhood, median "
            "over channels.",
            "1",
        ),
        _number(
            "evoked_snr",
            "Signal-to-noise ratio (power) of the evoked responses, by split halves.",
            "1",
        ),
        _number(
            "aperiodic_exponent",
            "Exponent of the aperiodic part of the cleaned spectrum, 2 to 40 Hz (Donoghue et al. "
            "2020, doi:10.1038/s41593-020-00744-x).",
            "1",
        ),
        _text(
            "t1w_defaced",
            "Whether the face was removed from its T1w image, by the outline of the head: `yes`, "
            "`no` or `unknown`; null where the image was not opened.",
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
            "One value per volume or sample, in `unit`; null throughout where there is a `reason`, "
            "and for volumes that a cleaning strategy does not keep.",
        ),
        _column(
            "kept",
            pa.list_(pa.field("element", pa.bool_())),
            "Whether each volume is kept by the strategy's scrubbing.",
        ),
        _number(
            "start",
            "Time of the first value from the start of the recording; null where slice times are "
            "not corrected: the first volume then holds slices of all of its repetition time.",
            "s",
        ),
        _number("sampling_frequency", "Values per second.", "Hz"),
        _text(
            "unit",
            "`a.u.` (image intensity), `z` (standard deviations), `percent` (of the region's "
            "mean), or of EEG `A·m` (mean dipole along the region's orientation, towards the scalp "
            "positive) or `1` (standardised by sLORETA).",
        ),
        _number("coverage", "Share of the region's voxels that hold data in this recording.", "1"),
        _count("n_voxels", "Voxels that were averaged."),
        _number(
            "tsnr",
            "Median over the region's voxels with data of the temporal signal-to-noise ratio of "
            "the preprocessed image, before cleaning; see `tsnr_median` of `recordings`.",
            "1",
        ),
        _number(
            "signal_loss",
            "Share of the region, of what holds data, whose mean over time is below "
            "`pack.quality.signal_floor` of the brain's median: lost to susceptibility, mostly.",
            "1",
        ),
        _text(
            "reason",
            "Why there are no values: `min_coverage: …`, `min_time: …` (too little is left by "
            "scrubbing), or what the strategy lacks in this recording.",
        ),
        _text(
            "eeg_class",
            "How far EEG with this montage can be trusted for the region: `good`, `fair` or "
            "`not_claimed`; null for other modalities.",
        ),
        _number(
            "localisation_error",
            "Median distance at which this montage finds simulated dipoles of the region.",
            "mm",
        ),
        _number(
            "point_spread",
            "Median over these dipoles of the root mean square distance of what is estimated.",
            "mm",
        ),
        _number(
            "crosstalk_max",
            "How much an equal current in another region contributes to these values, relative "
            "to the region's own; the largest.",
            "1",
        ),
        _text("crosstalk_region", "The region with `crosstalk_max`."),
        _text("crosstalk", "That of every other region as one JSON object, by name."),
        _column(
            "filter",
            _NUMBERS,
            "Of `lcmv`, which is made from each recording's own covariance: what each of "
            "`filter_channels` counts in the values. Null for operators that the montage fixes.",
            "A·m/V",
        ),
        _column("filter_channels", _STRINGS, "The channels of `filter`."),
    ]
)

TRIALS = pa.schema(
    [
        *_WHO,
        _count("trial", "Index of the row in the events file, from 0."),
        _text(
            "event_recording",
            "The recording that the event is known by: of fMRI and EEG recorded at the same time "
            "the first by name, else its own. With `event` it joins the trials of both.",
        ),
        _count("event", "The event's row in the events file of `event_recording`, from 0."),
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
        _text(
            "feature",
            "What was estimated: `bold`; of EEG a component of the event-related potential such as "
            "`P300`, a band such as `alpha`, or `aperiodic_exponent`; `region` is null at sensors.",
        ),
        _column("channels", _STRINGS, "Channels of EEG that were averaged; null for regions."),
        _text(
            "unit",
            "Of the estimate: `percent` (of the region's mean signal), of sensors `uV` or "
            "`uV^2/Hz`, of regions in EEG `pA·m` or `(pA·m)^2/Hz` (of sLORETA `1` or `1/Hz`), of "
            "an exponent `1`.",
        ),
        _number(
            "estimate",
            "In `unit`; null where it cannot be estimated (see `reason`). Of fMRI the height of "
            "the modelled response to the trial (Pernet 2014, doi:10.3389/fnins.2014.00001).",
            "see the column `unit`",
        ),
        _number(
            "estimate_se",
            "Its standard error, allowing for first-order autocorrelation; null for EEG.",
            "see the column `unit`",
        ),
        _text(
            "model",
            "How it was estimated: `lss` (least squares separate), `lsa` (all trials in one "
            "model), `fir` (finite impulse response, at `delay`), `window` (mean in a window), "
            "`erp` (mean amplitude against the baseline), `multitaper` (power density) or "
            "`specparam` (Donoghue et al. 2020, doi:10.1038/s41593-020-00744-x).",
        ),
        _text("hrf_model", "Haemodynamic response function, as nilearn names it."),
        _number(
            "delay",
            "Of `fir`: start of the repetition time whose volumes it is of, from the onset; null "
            "for other models.",
            "s",
        ),
        _number(
            "variance_inflation",
            "By how much the other trials, each on its own, inflate the variance of an estimate "
            "of this one, whatever `model` the row is of; null for EEG, or where it is infinite "
            "(then `collinear`).",
            "1",
        ),
        _column(
            "collinear",
            pa.bool_(),
            "Whether that exceeds `derive.max_variance_inflation`: the trial can hardly be told "
            "from others.",
        ),
        _number(
            "noise_ceiling",
            "Correlation with the mean responses to the types of trial that a perfect model of "
            "these could reach (earlier against later trials of each type, Spearman-Brown); null "
            "with fewer than four types that repeat.",
            "1",
        ),
        _text("reason", "Why the estimate is null."),
        _text("eeg_class", "Of regions in EEG, see `series`: how far the montage can be trusted."),
        _number("localisation_error", "Of regions in EEG, see `series`.", "mm"),
        _number("crosstalk_max", "Of regions in EEG, see `series`.", "1"),
    ]
)

CONNECTIVITY = pa.schema(
    [
        *_WHO,
        _text("modality", "`fmri` or `eeg`."),
        _text("region_a", "The first region by name, see `regions`."),
        _text("region_b", "The other one."),
        _text("definition_hash_a", "Hash of the definition of `region_a`, see `regions`."),
        _text("definition_hash_b", "Hash of the definition of `region_b`."),
        _text(
            "kind",
            "fMRI: `correlation`, `partial_correlation`, `ledoit_wolf_correlation`, "
            "`ledoit_wolf_partial_correlation` of cleaned series, `beta_series` of the trials of a "
            "condition. EEG: `wpli` (weighted phase lag index, from 0 to 1, higher by chance the "
            "fewer pieces there are), `wpli2_debiased` (its square, 0 by chance), "
            "`imaginary_coherence` (with a sign: swapped regions change it).",
        ),
        _text("strategy", "Cleaning of the series, see `series`; null for `beta_series`."),
        _text("band", "Band of frequencies (EEG)."),
        _text("condition", "The trials' `trial_type` (`beta_series`)."),
        _column(
            "given",
            _STRINGS,
            "The other regions that a partial or regularised value takes account of; null for "
            "kinds that know the pair only.",
        ),
        _number("value", "In `unit`; null for the `reason`.", "see the column `unit`"),
        _number(
            "standard_error",
            "Of Fisher's z, by `n_effective` less 3 and the regions given (of `beta_series` by the "
            "trials less 3); null where none is known.",
            "see the column `unit`",
        ),
        _text("unit", "`z` (Fisher's z of a correlation) or `1`."),
        _count("n_kept", "Volumes, trials or pieces of EEG that it was made from."),
        _number(
            "n_effective",
            "How many independent volumes these are worth, by the autocorrelations of both series "
            "(Afyouni et al. 2019, doi:10.1016/j.neuroimage.2019.05.011). What cleaning took away "
            "is not counted.",
            "1",
        ),
        _number(
            "crosstalk",
            "How much one region contributes to the other's course in EEG, relative to the "
            "region's own; the larger of both ways.",
            "1",
        ),
        _text("reason", "Why there is no value."),
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
            "Log-evidence of the model (Laplace) under the prior that its followers set "
            "(`model_probability`); where it is compared with no other, under the prior that all "
            "people set.",
            "nat",
        ),
        _number(
            "model_probability",
            "That the person follows this model rather than the others fitted to the same "
            "behaviour, each with a prior set by its followers (Piray et al. 2019, "
            "doi:10.1371/journal.pcbi.1007043). Null where one of them could not be fitted.",
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
            "and than by even odds, by more than luck (one-sided, 95 %).",
        ),
        _column(
            "preferred",
            pa.bool_(),
            "Whether no other model of the same behaviour is more probable in this person "
            "(`model_probability`).",
        ),
        _column("fitted_on", _STRINGS, "Recordings that it was fitted to."),
        _text("reason", "Why there are no values, here or in `latents`."),
        _column("warnings", _STRINGS, "What was odd about the behaviour or about the fit."),
    ]
)

SIGNALS = pa.schema(
    [
        *_WHO,
        _count("trial", "Index of the row in the events file, from 0."),
        _text("process", "Cognitive process that the regions are tied to, see docs/signals.md."),
        _column("regions", _STRINGS, "Regions that it is estimated from, see `regions`."),
        _column("definition_hashes", _STRINGS, "Hashes of their definitions, in that order."),
        _number(
            "estimate",
            "Weighted mean of the regions' responses to the trial (`lss` of `trials`), each "
            "standardised over the recording; the weights come from other people. It is what the "
            "regions did, and the process as far as `evidence_r` says.",
            "standard deviation of a region's responses",
        ),
        _number(
            "estimate_se",
            "Its standard error, by those of the responses; that of the weights is left out.",
            "standard deviation of a region's responses",
        ),
        _text(
            "weighting",
            "`fitted` (weights by other people's trials, see `signal_fits`) or `equal`.",
        ),
        _text("target", "What it is held against: `latent:…` of `latents`, or `column:…`."),
        _text("target_model", "Model of behaviour that the latent is of."),
        _number(
            "evidence_r",
            "Correlation of estimate and target over trials, in people who are left out: mean over "
            "all of the data set with this task, by Fisher's z. Null where nothing is compared.",
            "1",
        ),
        _number("evidence_lower", "Lower end of its 95 % interval, over people.", "1"),
        _number("evidence_upper", "Upper end of its 95 % interval, over people.", "1"),
        _number(
            "evidence_p",
            "Share of permutations of the target within recordings that agree as well (one-sided).",
            "1",
        ),
        _count("evidence_people", "People that the evidence is of."),
        _text("evidence_reason", "Why there is no evidence."),
        _text("reason", "Why there is no estimate."),
    ]
)

SIGNAL_FITS = pa.schema(
    [
        _text("dataset", "Identifier of the data set in the configuration."),
        _text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        _text("task", "Label of the task (BIDS `task`)."),
        _text("process", "Cognitive process, see `signals`."),
        *_REGION,
        _number("weight", "Weight of the region in this person; magnitudes sum to 1.", "1"),
        _text("target", "What the weights were fitted to, and held against."),
        _text("target_model", "Model of behaviour that the latent is of."),
        _count("n_trials", "Trials of this person with responses and target."),
        _number("r", "Correlation of this person's estimates and target; null of few trials.", "1"),
        _column(
            "fitted_on",
            _STRINGS,
            "People whose trials the weights come from, never this one; null for equal weights.",
        ),
        _column("recordings", _STRINGS, "This person's recordings that the weights are used in."),
        _text("reason", "Why the weights are equal."),
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

_GROUP = [
    _text("region_group", "Level or region whose voxels were aligned together, see `regions`."),
    _text("grouping", "What it is: `level` or `region`."),
    _text("group_hash", "Hash of the definitions of its regions; of a region, its own."),
]


def _scored(name: str, what: str) -> list[pa.Field]:
    """Return the columns of one score: before and after, what chance gives, what noise allows."""
    return [
        _number(f"{name}_before", f"{what}, in anatomical space, voxel by voxel.", "1"),
        _number(
            f"{name}_after", "The same in the common space, by a template without the person.", "1"
        ),
        _number(f"{name}_chance", "What permutations of it give, on average.", "1"),
        _number(f"{name}_chance_sd", "Their standard deviation.", "1"),
        _number(
            f"{name}_ceiling", "What noise allows it to be; null where that is not known.", "1"
        ),
    ]


ALIGNMENT = pa.schema(
    [
        _text("dataset", "Identifier of the data set in the configuration."),
        _text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        *_GROUP,
        _column("regions", _STRINGS, "Names of its regions, without those too small for the grid."),
        _text("status", "`aligned` or `unaligned`."),
        _text("reason", "Why the person is unaligned."),
        _text("method", "`procrustes`, `srm` or `connectivity`; null where nobody is aligned."),
        _text("method_reason", "Why this method: what the events say of a shared stimulus."),
        _text("template", "Hash of all that the template is; another number is another space."),
        _column("in_template", pa.bool_(), "Whether the template was made from the person, too."),
        _count("n_members", "People from whom the template was made."),
        _column("dimensions", _COUNTS, "Common dimensions of each parcel, in their order.", "1"),
        _count("n_voxels", "Voxels of the group on the grid."),
        _number("coverage", "Share of them that hold data in all recordings of the person.", "1"),
        _count("n_volumes", "Volumes that the person's map was fitted on."),
        _column("recordings", _STRINGS, "Recordings of the person that were looked at."),
        _column("fitted_on", _STRINGS, "Those that the map was fitted on, or their first half."),
        _column("scored_on", _STRINGS, "Those that were scored, or their second half."),
        _column(
            "matched_within_fit",
            pa.bool_(),
            "Whether `matching` and `prediction` are of recordings in `fitted_on`, which alone "
            "people share: by maps from their first half, on their second.",
        ),
        *_scored(
            "matching",
            "Share of segments of nine volumes whose best match among the others' mean is the "
            "segment of the same time",
        ),
        *_scored(
            "prediction", "Correlation over time of the voxels with what the others' mean predicts"
        ),
        *_scored(
            "connectivity",
            "Correlation over blocks of grey matter of the voxels' connectivity with what the "
            "others' mean predicts",
        ),
        *_scored("decoding", "Balanced accuracy of `trial_type` decoded from the others' trials"),
        _text("score_reason", "Why a score is null, where it could have been."),
    ]
)

PATTERNS = pa.schema(
    [
        *_WHO,
        _count("trial", "Index of the row in the events file, from 0; see `trials`."),
        *_GROUP,
        _number("onset", "Onset from the start of the recording.", "s"),
        _number("duration", "Duration.", "s"),
        _text("trial_type", "The events file's `trial_type`, or what `event_mapping` names."),
        _column(
            "vector",
            pa.list_(pa.field("element", pa.float32())),
            "The trial's response in the common space of `template`: of each voxel the height of "
            "the modelled response over the standard deviation of its cleaned series, mapped. Null "
            "for the `reason`.",
            "1",
        ),
        _text("template", "The common space: only vectors of one template can be compared."),
        _text("method", "`procrustes`, `srm` or `connectivity`."),
        _column("fitted_on", _STRINGS, "Recordings that the person's map was fitted on."),
        _column(
            "in_fit",
            pa.bool_(),
            "Whether the map was fitted on the volumes of this trial, too: leave these out where "
            "people are compared.",
        ),
        _text("reason", "Why there is no vector."),
    ]
)

TABLES: dict[str, pa.Schema] = {
    "recordings": RECORDINGS,
    "regions": REGIONS,
    "series": SERIES,
    "trials": TRIALS,
    "stimuli": STIMULI,
    "connectivity": CONNECTIVITY,
    "latents": LATENTS,
    "latent_fits": LATENT_FITS,
    "patterns": PATTERNS,
    "alignment": ALIGNMENT,
    "signals": SIGNALS,
    "signal_fits": SIGNAL_FITS,
}
