"""The schema of `regions`: a row is the definition of a region."""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.columns import REGION, STRINGS, column, count, number, text

REGIONS = pa.schema(
    [
        *REGION,
        text(
            "level", "Level in the paper's mapping: perception, valuation, execution, integration."
        ),
        column("processes", STRINGS, "Cognitive processes that the literature ties to it."),
        text("kind", "Kind of definition, such as `spheres`."),
        text("space", "Space of the definition's coordinates or image."),
        text("template", "Template on whose grid the sizes below were counted."),
        text(
            "placement",
            "How it got from `space` to `template`: `same space`, `transformed`, or `accepted` "
            "(coordinates taken over as they are, which the configuration accepts for this pair).",
        ),
        text("definition", "The definition as JSON."),
        column("references", STRINGS, "Publications that tie the region to its processes."),
        column("sources", STRINGS, "Where its coordinates or images come from."),
        number("x", "Centre of mass, to the right.", "mm"),
        number("y", "Centre of mass, to the front.", "mm"),
        number("z", "Centre of mass, upwards.", "mm"),
        count("n_voxels", "Voxels on the template grid of the packed recordings."),
        number("volume", "Volume on that grid.", "mm^3"),
    ]
)
