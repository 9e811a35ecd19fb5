"""The schema of `recordings`: a row is a recording, used or not."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import COUNTS, NUMBERS, STRINGS, column, count, number, text

ENTITIES = [
    text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
    text("session", "Label of the session (BIDS `ses`)."),
    text("task", "Label of the task (BIDS `task`)."),
    text("acquisition", "Label of the acquisition (BIDS `acq`)."),
    text("ceagent", "Label of the contrast agent (BIDS `ce`)."),
    text("reconstruction", "Label of the reconstruction (BIDS `rec`)."),
    text("direction", "Label of the phase-encoding direction (BIDS `dir`)."),
    text("run", "Index of the run (BIDS `run`), as written in the file name."),
    text("echo", "Index of the echo (BIDS `echo`), as written in the file name."),
    text("part", "Part of a complex image (BIDS `part`)."),
]

RECORDINGS = pa.schema(
    [
        text("dataset", "Identifier of the data set in the configuration."),
        text("dataset_version", "Pinned version; for a local folder the hash of its contents."),
        text("recording", "File name of the raw recording without its extension."),
        text("modality", "`fmri` or `eeg`."),
        *ENTITIES,
        text("unit", "Subject or subject and session that are preprocessed as one job."),
        text("path", "Path of the raw recording below the data set."),
        text("sha256", "sha256 of the raw recording."),
        text("t1w", "Path of the T1w image it is registered with, below the data set."),
        text("events", "Path of its events file below the data set; null when it has none."),
        number("tr", "Repetition time.", "s"),
        count("n_volumes", "Number of volumes of the raw recording."),
        number("sampling_frequency", "Samples per second.", "Hz"),
        count("n_samples", "Samples of the raw recording (EEG)."),
        number("duration", "Duration of the raw recording.", "s"),
        count("n_channels", "EEG channels of the raw recording."),
        column("fetched", pa.bool_(), "Whether the contents of the raw recording are there."),
        column("shape", COUNTS, "Voxels of the raw recording along each axis.", "1"),
        column("voxel_size", NUMBERS, "Edges of a voxel of the raw recording.", "mm"),
        count("n_echoes", "Echoes of the run that the data set holds."),
        number("echo_time", "Echo time.", "s"),
        number("flip_angle", "Flip angle.", "degree"),
        text("phase_encoding", "Axis and sense of phase encoding: `i`, `j`, `k`, with `-`."),
        column("slice_timing", pa.bool_(), "Whether the sidecars state the slices' times."),
        column("field_maps", STRINGS, "Paths of the field maps that are meant for it."),
        text("manufacturer", "Manufacturer of the scanner."),
        text("scanner", "Model of the scanner."),
        number("field_strength", "Strength of its magnetic field.", "T"),
        text(
            "variant",
            "Recordings of one kind that were acquired alike: `task-…_variant-1` is how most are.",
        ),
        count("n_events", "Rows of its events file."),
        column("event_columns", STRINGS, "Columns of its events file."),
        text("space", "Template space of the preprocessed recording, as BIDS names it."),
        text("backend", "What preprocessed it: `native`, `fmriprep` or `derivatives`."),
        column(
            "distortion_corrected",
            pa.bool_(),
            "Whether susceptibility distortion was corrected; null where that is unknown.",
        ),
        text(
            "normalisation",
            "How it was brought into the template: `t1w`, by the person's T1w image, or `epi`, by "
            "itself, less exactly; null where that is unknown.",
        ),
        column(
            "fits_alignment",
            pa.bool_(),
            "Whether people's maps into a common space may be fitted on it, as `alignment` of its "
            "data set in the configuration says.",
        ),
        text(
            "participant",
            "What `participants.tsv` says of the person, as one JSON object, types kept; without "
            "dates and free text. An age above 89 is 90, and `age_over_89` stands beside it.",
        ),
        text("licence", "Licence of the data set as its description states it."),
        text("licence_class", "Which licence that is: `CC0`, `PDDL`, `CC-BY` …, or `unknown`."),
        text("status", "`used`, `excluded` (by a rule) or `quarantined` (bad data)."),
        text("stage", "Stage at which `reason` arose."),
        text("reason", "Why it is excluded or quarantined, or which part of it could not be used."),
        text("hint", "What to do about it."),
        column(
            "validator_errors",
            STRINGS,
            "Errors that the official BIDS validator found in its files; kept, not fatal.",
        ),
        column(
            "warnings",
            STRINGS,
            "What our own checks found odd in it, and who brought it back if a rule leaves it out.",
        ),
        number("fd_mean", "Mean framewise displacement (Power et al. 2012).", "mm"),
        number("fd_max", "Largest framewise displacement.", "mm"),
        number(
            "dvars_mean",
            "Mean DVARS over volumes in a steady state that follow one, as the confounds have it.",
            "1",
        ),
        number("dvars_max", "Largest DVARS of these volumes.", "1"),
        number("std_dvars_mean", "Mean standardised DVARS of these volumes.", "1"),
        number("std_dvars_max", "Largest standardised DVARS of these volumes.", "1"),
        count(
            "n_outliers",
            "Those of these volumes whose framewise displacement or standardised DVARS is above "
            "the thresholds of `pack.quality`.",
        ),
        number("outlier_share", "Their share of these volumes.", "1"),
        count("n_non_steady", "First volumes before the steady state."),
        number(
            "tsnr_median",
            "Median over the brain of the temporal signal-to-noise ratio: mean over standard "
            "deviation of a voxel's volumes in a steady state, in template space.",
            "1",
        ),
        number(
            "registration_dice",
            "Overlap of the recording's brain mask in template space with the template's (Dice); "
            "natively of the mask found in the EPI, where the run covers it.",
            "1",
        ),
        number(
            "boundary_cost",
            "How the mean volume contrasts across the template's border of white matter (cost of "
            "Greve & Fischl 2009): 0 is perfect, 1 is what chance gives.",
            "1",
        ),
        number(
            "coregistration_cost",
            "The same of the EPI across the border in the person's T1w image, where that was used.",
            "1",
        ),
        number("brain_coverage", "Share of the template's brain that holds data.", "1"),
        number(
            "ofc_signal_loss",
            "Share of orbitofrontal voxels with data whose mean is below `pack.quality."
            "signal_floor` of the brain's median; in the default set's spheres, whatever regions "
            "are in use.",
            "1",
        ),
        number("vmpfc_signal_loss", "The same of ventromedial prefrontal cortex.", "1"),
        text("quality_note", "Why a quality figure is null, or what it was made from instead."),
        text(
            "electrode_positions",
            "How electrodes' positions are known: `measured`, `standard` (by name) or `none`.",
        ),
        text("reference", "What the potentials of the cleaned EEG are against."),
        number("n_bad_channels", "EEG channels that were found or marked as bad.", "1"),
        number(
            "n_components_removed",
            "Independent components that were removed as artefacts; null where ICA was not done.",
            "1",
        ),
        number(
            "share_rejected", "Share of its events that have no clean epoch; null without any.", "1"
        ),
        number(
            "line_noise_ratio",
            "Power at the line frequency of the raw EEG over that of its neighbourhood, median "
            "over channels.",
            "1",
        ),
        number(
            "evoked_snr",
            "Signal-to-noise ratio (power) of the evoked responses, by split halves.",
            "1",
        ),
        number(
            "aperiodic_exponent",
            "Exponent of the aperiodic part of the cleaned spectrum, 2 to 40 Hz (Donoghue et al. "
            "2020, doi:10.1038/s41593-020-00744-x).",
            "1",
        ),
        text(
            "t1w_defaced",
            "Whether the face was removed from its T1w image, by the outline of the head: `yes`, "
            "`no` or `unknown`; null where the image was not opened.",
        ),
    ]
)
