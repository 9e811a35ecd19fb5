"""The schema of every table, as data: each column with its type, unit and description.

Identifiers are strings, so that leading zeros stay. A missing value is null, never a dropped row
or column.
"""

from __future__ import annotations

import pyarrow as pa

from braindata.tables.schemas.alignment import ALIGNMENT, PATTERNS
from braindata.tables.schemas.latents import LATENT_FITS, LATENTS
from braindata.tables.schemas.recordings import RECORDINGS
from braindata.tables.schemas.regions import REGIONS
from braindata.tables.schemas.series import CONNECTIVITY, SERIES
from braindata.tables.schemas.signals import SIGNAL_FITS, SIGNALS
from braindata.tables.schemas.trials import STIMULI, TRIALS

SCHEMA_VERSION = 3

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
