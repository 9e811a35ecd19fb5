"""The schemas of `latents` and `latent_fits`: models of behaviour, by trial and by person."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import STRINGS, WHO, column, count, number, text

LATENTS = pa.schema(
    [
        *WHO,
        count("trial", "Index of the row in the events file, from 0."),
        text("model", "Model of behaviour, see docs/latents.md."),
        count("model_version", "Version of the model: raised whenever its results change."),
        text("latent", "What is estimated: `prediction_error`, `confidence` …"),
        number(
            "value",
            "The latent at this trial, by the person's parameters; null where there is no choice, "
            "or for the `reason`.",
            "values and prediction errors in units of the outcomes; else see docs/latents.md",
        ),
        column(
            "fitted_on",
            STRINGS,
            "Recordings that the person's parameters were fitted to; this one is among them.",
        ),
        number(
            "held_out_log_likelihood",
            "Mean log-likelihood of the person's trials by parameters fitted without them.",
            "nat per trial",
        ),
        number(
            "chance_log_likelihood",
            "The same by the person's own response rate, which the model has to beat.",
            "nat per trial",
        ),
        text("reason", "Why there are no values."),
    ]
)

LATENT_FITS = pa.schema(
    [
        text("dataset", "Identifier of the data set in the configuration."),
        text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        text("task", "Label of the task (BIDS `task`)."),
        text("model", "Model of behaviour, see docs/latents.md."),
        count("model_version", "Version of the model: raised whenever its results change."),
        text("parameter", "Parameter of the model."),
        number("value", "Its most probable value under the group's prior; null for the `reason`."),
        number("standard_error", "Its standard error, by the curvature at that value."),
        number("lower", "Lower end of its 95 % interval."),
        number("upper", "Upper end of its 95 % interval."),
        number("group_value", "Middle of the group's prior."),
        count("n_trials", "Trials that the model was fitted to."),
        number("log_likelihood", "Of these trials, at the most probable values.", "nat"),
        number("bic", "Bayesian information criterion; the lowest is best.", "nat"),
        number(
            "log_evidence",
            "Log-evidence of the model (Laplace) under the prior that its followers set "
            "(`model_probability`); where it is compared with no other, under the prior that all "
            "people set.",
            "nat",
        ),
        number(
            "model_probability",
            "That the person follows this model rather than the others fitted to the same "
            "behaviour, each with a prior set by its followers (Piray et al. 2019, "
            "doi:10.1371/journal.pcbi.1007043). Null where one of them could not be fitted.",
            "1",
        ),
        number(
            "held_out_log_likelihood",
            "Mean log-likelihood of the trials by parameters fitted without their fold (run, or "
            "quarter of the only run).",
            "nat per trial",
        ),
        number(
            "chance_log_likelihood",
            "The same by the person's own response rate in the other folds.",
            "nat per trial",
        ),
        column(
            "beats_chance",
            pa.bool_(),
            "Whether held-out trials are predicted better than by the person's own response rate, "
            "and than by even odds, by more than luck (one-sided, 95 %).",
        ),
        column(
            "preferred",
            pa.bool_(),
            "Whether no other model of the same behaviour is more probable in this person "
            "(`model_probability`).",
        ),
        column("fitted_on", STRINGS, "Recordings that it was fitted to."),
        text("reason", "Why there are no values, here or in `latents`."),
        column("warnings", STRINGS, "What was odd about the behaviour or about the fit."),
    ]
)
