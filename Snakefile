"""From BIDS folders to versioned tables: `snakemake --cores all`."""

from pathlib import Path

from snakemake_logger_plugin_braindata.counts import count_stages

from braindata.errors import BraindataError
from braindata.interruptions import listen
from braindata.planning import Plan, claim, job_environment


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
