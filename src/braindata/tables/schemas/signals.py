"""The schemas of `signals` and `signal_fits`: processes by trial, and the weights of regions."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import REGION, STRINGS, WHO, column, count, number, text

SIGNALS = pa.schema(
    [
        *WHO,
        count("trial", "Index of the row in the events file, from 0."),
        text("process", "Cognitive process that the regions are tied to, see docs/signals.md."),
        column("regions", STRINGS, "Regions that it is estimated from, see `regions`."),
        column("definition_hashes", STRINGS, "Hashes of their definitions, in that order."),
        number(
            "estimate",
            "Weighted mean of the regions' responses to the trial (`lss` of `trials`), each "
            "standardised over the recording; the weights come from other people. It is what the "
            "regions did, and the process as far as `evidence_r` says.",
            "standard deviation of a region's responses",
        ),
        number(
            "estimate_se",
            "Its standard error, by those of the responses; that of the weights is left out.",
            "standard deviation of a region's responses",
        ),
        text(
            "weighting",
            "`fitted` (weights by other people's trials, see `signal_fits`) or `equal`.",
        ),
        text("target", "What it is held against: `latent:…` of `latents`, or `column:…`."),
        text("target_model", "Model of behaviour that the latent is of."),
        number(
            "evidence_r",
            "Correlation of estimate and target over trials, in people who are left out: mean over "
            "all of the data set with this task, by Fisher's z. Null where nothing is compared.",
            "1",
        ),
        number("evidence_lower", "Lower end of its 95 % interval, over people.", "1"),
        number("evidence_upper", "Upper end of its 95 % interval, over people.", "1"),
        number(
            "evidence_p",
            "Share of permutations of the target within recordings that agree as well (one-sided).",
            "1",
        ),
        count("evidence_people", "People that the evidence is of."),
        text("evidence_reason", "Why there is no evidence."),
        text("reason", "Why there is no estimate."),
    ]
)

SIGNAL_FITS = pa.schema(
    [
        text("dataset", "Identifier of the data set in the configuration."),
        text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        text("task", "Label of the task (BIDS `task`)."),
        text("process", "Cognitive process, see `signals`."),
        *REGION,
        number("weight", "Weight of the region in this person; magnitudes sum to 1.", "1"),
        text("target", "What the weights were fitted to, and held against."),
        text("target_model", "Model of behaviour that the latent is of."),
        count("n_trials", "Trials of this person with responses and target."),
        number("r", "Correlation of this person's estimates and target; null of few trials.", "1"),
        column(
            "fitted_on",
            STRINGS,
            "People whose trials the weights come from, never this one; null for equal weights.",
        ),
        column("recordings", STRINGS, "This person's recordings that the weights are used in."),
        text("reason", "Why the weights are equal."),
    ]
)
