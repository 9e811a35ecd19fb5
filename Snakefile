"""From BIDS folders to versioned tables: `snakemake --cores all`."""

from pathlib import Path

from braindata.errors import BraindataError
from braindata.files import remove_parts
from braindata.planning import Plan, job_environment, lock
from braindata.receipts import void_broken


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
