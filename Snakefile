"""From BIDS folders to versioned tables: `snakemake --cores all`."""

import sys
from pathlib import Path

from snakemake_logger_plugin_braindata.counts import count_stages

from braindata.claiming import claim, collect_rarely, job_environment
from braindata.cli import guarded
from braindata.interruptions import listen
from braindata.kubernetes_volumes import share_volumes
from braindata.planning import Plan, check_yaml
from braindata.slurm_answers import keep_jobs

# Snakemake would say that it is no YAML, but not where.
if exit_code := guarded(lambda: check_yaml(Path("config/config.yaml"))):
    sys.exit(exit_code)


configfile: "config/config.yaml"


include: "rules/common.smk"
include: "rules/pull.smk"
include: "rules/curate.smk"
include: "rules/templateflow.smk"
include: "rules/preprocess.smk"
include: "rules/gather.smk"
include: "rules/align.smk"
include: "rules/head.smk"
include: "rules/extract.smk"
include: "rules/derive.smk"
include: "rules/latents.smk"
include: "rules/connectivity.smk"
include: "rules/signals.smk"
include: "rules/publish.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        inventories(PLAN.datasets),
        everything,


# One data set alone, all that is made of it but a release: `snakemake only_ds000005`.
for dataset in PLAN.datasets:

    rule:
        name:
            f"only_{dataset}"
        input:
            inventories([dataset]),
            lambda wildcards, dataset=dataset: of_datasets([dataset]),


onsuccess:
    logger.info(closing_line())


onerror:
    logger.error(closing_line())
