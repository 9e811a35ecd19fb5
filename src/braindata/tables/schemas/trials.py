"""The schemas of `trials` and `stimuli`: what was shown, and what a region did then."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import REGION, STRINGS, WHO, column, count, number, text

TRIALS = pa.schema(
    [
        *WHO,
        count("trial", "Index of the row in the events file, from 0."),
        text(
            "event_recording",
            "The recording that the event is known by: of fMRI and EEG recorded at the same time "
            "the first by name, else its own. With `event` it joins the trials of both.",
        ),
        count("event", "The event's row in the events file of `event_recording`, from 0."),
        *REGION,
        number("onset", "Onset from the start of the recording.", "s"),
        number("duration", "Duration.", "s"),
        text("trial_type", "The events file's `trial_type`, or what `event_mapping` names."),
        text("response", "Its `response`, or what `event_mapping` names; null without one."),
        number("response_time", "Its `response_time`, or what `event_mapping` names.", "s"),
        text("choice", "What was chosen: the column that `event_mapping` names."),
        text("outcome", "What came of it: the column that `event_mapping` names."),
        text("stimulus", "Identifier of the stimulus, see `stimuli`."),
        text("columns", "All columns of the event's row as one JSON object, types kept."),
        text(
            "feature",
            "What was estimated: `bold`; of EEG a component of the event-related potential such as "
            "`P300`, a band such as `alpha`, or `aperiodic_exponent`; `region` is null at sensors.",
        ),
        column("channels", STRINGS, "Channels of EEG that were averaged; null for regions."),
        text(
            "unit",
            "Of the estimate: `percent` (of the region's mean signal), of sensors `uV` or "
            "`uV^2/Hz`, of regions in EEG `pA·m` or `(pA·m)^2/Hz` (of sLORETA `1` or `1/Hz`), of "
            "an exponent `1`.",
        ),
        number(
            "estimate",
            "In `unit`; null where it cannot be estimated (see `reason`). Of fMRI the height of "
            "the modelled response to the trial (Pernet 2014, doi:10.3389/fnins.2014.00001).",
            "see the column `unit`",
        ),
        number(
            "estimate_se",
            "Its standard error, allowing for first-order autocorrelation; null for EEG.",
            "see the column `unit`",
        ),
        text(
            "model",
            "How it was estimated: `lss` (least squares separate), `lsa` (all trials in one "
            "model), `fir` (finite impulse response, at `delay`), `window` (mean in a window), "
            "`erp` (mean amplitude against the baseline), `multitaper` (power density) or "
            "`specparam` (Donoghue et al. 2020, doi:10.1038/s41593-020-00744-x).",
        ),
        text("hrf_model", "Haemodynamic response function, as nilearn names it."),
        number(
            "delay",
            "Of `fir`: start of the repetition time whose volumes it is of, from the onset; null "
            "for other models.",
            "s",
        ),
        number(
            "variance_inflation",
            "By how much the other trials, each on its own, inflate the variance of an estimate "
            "of this one, whatever `model` the row is of; null for EEG, or where it is infinite "
            "(then `collinear`).",
            "1",
        ),
        column(
            "collinear",
            pa.bool_(),
            "Whether that exceeds `derive.max_variance_inflation`: the trial can hardly be told "
            "from others.",
        ),
        number(
            "noise_ceiling",
            "Correlation with the mean responses to the types of trial that a perfect model of "
            "these could reach (earlier against later trials of each type, Spearman-Brown); null "
            "with fewer than four types that repeat.",
            "1",
        ),
        text("reason", "Why the estimate is null."),
        text("eeg_class", "Of regions in EEG, see `series`: how far the montage can be trusted."),
        number("localisation_error", "Of regions in EEG, see `series`.", "mm"),
        number("crosstalk_max", "Of regions in EEG, see `series`.", "1"),
    ]
)

STIMULI = pa.schema(
    [
        text("dataset", "Identifier of the data set in the configuration."),
        text("stimulus", "Identifier: hash of data set and `stim_file`."),
        text("stim_file", "Path as the events file names it, below `stimuli/`."),
        text("sha256", "sha256 of the file; null when the data set does not hold it."),
        count("n_trials", "Events that show it, over all used recordings."),
        text("text", "Its text where the file is text."),
    ]
)
