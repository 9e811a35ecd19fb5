"""The schemas of `series` and `connectivity`: what regions did over time, alone and in pairs."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import (
    NUMBERS,
    REGION,
    STRINGS,
    WHO,
    column,
    count,
    number,
    text,
)

SERIES = pa.schema(
    [
        *WHO,
        *REGION,
        text(
            "strategy",
            "Cleaning: `none` (the uncleaned mean), a strategy of nilearn or a preset of the "
            "configuration.",
        ),
        column(
            "values",
            pa.list_(pa.field("element", pa.float32())),
            "One value per volume or sample, in `unit`; null throughout where there is a `reason`, "
            "and for volumes that a cleaning strategy does not keep.",
        ),
        column(
            "kept",
            pa.list_(pa.field("element", pa.bool_())),
            "Whether each volume is kept by the strategy's scrubbing.",
        ),
        number(
            "start",
            "Time of the first value from the start of the recording; null where slice times are "
            "not corrected: the first volume then holds slices of all of its repetition time.",
            "s",
        ),
        number("sampling_frequency", "Values per second.", "Hz"),
        text(
            "unit",
            "`a.u.` (image intensity), `z` (standard deviations), `percent` (of the region's "
            "mean), or of EEG `A·m` (mean dipole along the region's orientation, towards the scalp "
            "positive) or `1` (standardised by sLORETA).",
        ),
        number("coverage", "Share of the region's voxels that hold data in this recording.", "1"),
        count("n_voxels", "Voxels that were averaged."),
        number(
            "tsnr",
            "Median over the region's voxels with data of the temporal signal-to-noise ratio of "
            "the preprocessed image, before cleaning; see `tsnr_median` of `recordings`.",
            "1",
        ),
        number(
            "signal_loss",
            "Share of the region, of what holds data, whose mean over time is below "
            "`pack.quality.signal_floor` of the brain's median: lost to susceptibility, mostly.",
            "1",
        ),
        text(
            "reason",
            "Why there are no values: `min_coverage: …`, `min_time: …` (too little is left by "
            "scrubbing), or what the strategy lacks in this recording.",
        ),
        text(
            "eeg_class",
            "How far EEG with this montage can be trusted for the region: `good`, `fair` or "
            "`not_claimed`; null for other modalities.",
        ),
        number(
            "localisation_error",
            "Median distance at which this montage finds simulated dipoles of the region.",
            "mm",
        ),
        number(
            "point_spread",
            "Median over these dipoles of the root mean square distance of what is estimated.",
            "mm",
        ),
        number(
            "crosstalk_max",
            "How much an equal current in another region contributes to these values, relative "
            "to the region's own; the largest.",
            "1",
        ),
        text("crosstalk_region", "The region with `crosstalk_max`."),
        text("crosstalk", "That of every other region as one JSON object, by name."),
        column(
            "filter",
            NUMBERS,
            "Of `lcmv`, which is made from each recording's own covariance: what each of "
            "`filter_channels` counts in the values. Null for operators that the montage fixes.",
            "A·m/V",
        ),
        column("filter_channels", STRINGS, "The channels of `filter`."),
    ]
)

CONNECTIVITY = pa.schema(
    [
        *WHO,
        text("modality", "`fmri` or `eeg`."),
        text("region_a", "The first region by name, see `regions`."),
        text("region_b", "The other one."),
        text("definition_hash_a", "Hash of the definition of `region_a`, see `regions`."),
        text("definition_hash_b", "Hash of the definition of `region_b`."),
        text(
            "kind",
            "fMRI: `correlation`, `partial_correlation`, `ledoit_wolf_correlation`, "
            "`ledoit_wolf_partial_correlation` of cleaned series, `beta_series` of the trials of a "
            "condition. EEG: `wpli` (weighted phase lag index, from 0 to 1, higher by chance the "
            "fewer pieces there are), `wpli2_debiased` (its square, 0 by chance), "
            "`imaginary_coherence` (with a sign: swapped regions change it).",
        ),
        text("strategy", "Cleaning of the series, see `series`; null for `beta_series`."),
        text("band", "Band of frequencies (EEG)."),
        text("condition", "The trials' `trial_type` (`beta_series`)."),
        column(
            "given",
            STRINGS,
            "The other regions that a partial or regularised value takes account of; null for "
            "kinds that know the pair only.",
        ),
        number("value", "In `unit`; null for the `reason`.", "see the column `unit`"),
        number(
            "standard_error",
            "Of Fisher's z, by `n_effective` less 3 and the regions given (of `beta_series` by the "
            "trials less 3); null where none is known.",
            "see the column `unit`",
        ),
        text("unit", "`z` (Fisher's z of a correlation) or `1`."),
        count("n_kept", "Volumes, trials or pieces of EEG that it was made from."),
        number(
            "n_effective",
            "How many independent volumes these are worth, by the autocorrelations of both series "
            "(Afyouni et al. 2019, doi:10.1016/j.neuroimage.2019.05.011). What cleaning took away "
            "is not counted.",
            "1",
        ),
        number(
            "crosstalk",
            "How much one region contributes to the other's course in EEG, relative to the "
            "region's own; the larger of both ways.",
            "1",
        ),
        text("reason", "Why there is no value."),
    ]
)
