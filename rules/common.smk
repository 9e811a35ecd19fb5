# One plan per parse; paths, parameters and inputs come from it.

job_environment()

try:
    PLAN = Plan(
        config,
        [Path("config/config.yaml"), *workflow.overwrite_configfiles],
        home=Path(workflow.basedir),
    )
    if workflow.is_main_process:
        # Stores and published files are not known beforehand, so Snakemake watches receipts: one
        # that names a file which is gone is void, and its job runs again.
        void_broken(PLAN.layout.output, ["packed", "tables"])
except BraindataError as error:
    raise WorkflowError(str(error)) from None


onstart:
    # Held until this process ends, by whatever means.
    try:
        lock(PLAN.layout.output)
        remove_parts(PLAN.layout.output)
    except BraindataError as error:
        raise WorkflowError(str(error)) from None


OUT = PLAN.layout.output
if OUT.is_relative_to(Path.cwd()):
    OUT = OUT.relative_to(Path.cwd())


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    unit=r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?",
    region=r"[a-z][a-z0-9_]*-[0-9a-f]{12}",


def output_folder(wildcards):
    return str(OUT)


def curated(dataset):
    """Wait until a data set is curated: only then its units are known."""
    checkpoints.curate.get(dataset=dataset)


def unit_receipts(folder, dataset):
    curated(dataset)
    return expand(
        f"{OUT}/{folder}/{dataset}/{{unit}}.receipt.json", unit=PLAN.units(dataset)
    )


def packed_units(wildcards):
    return unit_receipts("packed", wildcards.dataset)


def shards():
    return expand(
        [
            f"{OUT}/series/{{dataset}}/{{region}}.parquet",
            f"{OUT}/series/{{dataset}}/{{region}}.receipt.json",
            f"{OUT}/derived/{{dataset}}/trials/{{region}}.parquet",
            f"{OUT}/derived/{{dataset}}/trials/{{region}}.receipt.json",
        ],
        dataset=PLAN.datasets,
        region=list(PLAN.regions),
    )


def all_receipts(wildcards):
    """Every receipt and shard that a release rests on."""
    units = [
        receipt
        for dataset in PLAN.datasets
        for folder in ("derivatives", "packed")
        for receipt in unit_receipts(folder, dataset)
    ]
    return units + shards()


def everything(wildcards):
    """What must be there in the end: all intermediates too, or a deleted one would go unnoticed."""
    ends = [f"{OUT}/tables/publish.receipt.json", f"{OUT}/report/index.html"]
    for dataset in PLAN.datasets:
        ends += [
            f"{OUT}/raw/{dataset}.receipt.json",
            f"{OUT}/curated/{dataset}.receipt.json",
        ]
    return ends + all_receipts(wildcards)
