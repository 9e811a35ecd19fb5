"""The schemas of `alignment` and `patterns`: maps into a common space, and vectors in it."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import COUNTS, STRINGS, WHO, column, count, number, text

_GROUP = [
    text("region_group", "Level or region whose voxels were aligned together, see `regions`."),
    text("grouping", "What it is: `level` or `region`."),
    text("group_hash", "Hash of the definitions of its regions; of a region, its own."),
]


def _scored(name: str, what: str) -> list[pa.Field]:
    """Return the columns of one score: before and after, what chance gives, what noise allows."""
    return [
        number(f"{name}_before", f"{what}, in anatomical space, voxel by voxel.", "1"),
        number(
            f"{name}_after", "The same in the common space, by a template without the person.", "1"
        ),
        number(f"{name}_chance", "What permutations of it give, on average.", "1"),
        number(f"{name}_chance_sd", "Their standard deviation.", "1"),
        number(f"{name}_ceiling", "What noise allows it to be; null where that is not known.", "1"),
    ]


ALIGNMENT = pa.schema(
    [
        text("dataset", "Identifier of the data set in the configuration."),
        text("subject", "Label of the person (BIDS `sub`), leading zeros kept."),
        *_GROUP,
        column("regions", STRINGS, "Names of its regions, without those too small for the grid."),
        text("status", "`aligned` or `unaligned`."),
        text("reason", "Why the person is unaligned."),
        text("method", "`procrustes`, `srm` or `connectivity`; null where nobody is aligned."),
        text("method_reason", "Why this method: what the events say of a shared stimulus."),
        text("template", "Hash of all that the template is; another number is another space."),
        column("in_template", pa.bool_(), "Whether the template was made from the person, too."),
        count("n_members", "People from whom the template was made."),
        column("dimensions", COUNTS, "Common dimensions of each parcel, in their order.", "1"),
        count("n_voxels", "Voxels of the group on the grid."),
        number("coverage", "Share of them that hold data in all recordings of the person.", "1"),
        count("n_volumes", "Volumes that the person's map was fitted on."),
        column("recordings", STRINGS, "Recordings of the person that were looked at."),
        column("fitted_on", STRINGS, "Those that the map was fitted on, or their first half."),
        column("scored_on", STRINGS, "Those that were scored, or their second half."),
        column(
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
        text("score_reason", "Why a score is null, where it could have been."),
    ]
)

PATTERNS = pa.schema(
    [
        *WHO,
        count("trial", "Index of the row in the events file, from 0; see `trials`."),
        *_GROUP,
        number("onset", "Onset from the start of the recording.", "s"),
        number("duration", "Duration.", "s"),
        text("trial_type", "The events file's `trial_type`, or what `event_mapping` names."),
        column(
            "vector",
            pa.list_(pa.field("element", pa.float32())),
            "The trial's response in the common space of `template`: of each voxel the height of "
            "the modelled response over the standard deviation of its cleaned series, mapped. Null "
            "for the `reason`.",
            "1",
        ),
        text("template", "The common space: only vectors of one template can be compared."),
        text("method", "`procrustes`, `srm` or `connectivity`."),
        column("fitted_on", STRINGS, "Recordings that the person's map was fitted on."),
        column(
            "in_fit",
            pa.bool_(),
            "Whether the map was fitted on the volumes of this trial, too: leave these out where "
            "people are compared.",
        ),
        text("reason", "Why there is no vector."),
    ]
)
