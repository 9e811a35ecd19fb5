"""From BIDS folders to versioned tables: `snakemake --cores all`."""

import sys
from pathlib import Path

from braindata.errors import BraindataError
from braindata.planning import Plan, claim, job_environment
from braindata.status.overview import closing_line


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/pull.smk"
include: "rules/curate.smk"
include: "rules/preprocess.smk"
include: "rules/pack.smk"
include: "rules/extract.smk"
include: "rules/derive.smk"
include: "rules/publish.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        everything,


onsuccess:
    logger.info(closing_line(OUT))


onerror:
    logger.error(closing_line(OUT))
