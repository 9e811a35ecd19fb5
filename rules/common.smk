# One plan per parse; paths, parameters and inputs come from it.

job_environment()
collect_rarely()
count_stages(workflow)
if workflow.is_main_process:
    listen()
    keep_jobs()
    share_volumes()


onstart:
    # Snakemake's scheduler has set a handler of its own.
    listen(local_jobs=workflow.local_exec)


def plan():
    global PLAN
    files = [Path("config/config.yaml"), *workflow.overwrite_configfiles]
    PLAN = Plan(config, files, home=Path(workflow.basedir))
    # Whether it is a dry run Snakemake knows here only from what it prints with: its executor is
    # chosen later.
    if workflow.is_main_process and not workflow.output_settings.dryrun:
        claim(PLAN)


# One error and an exit code, as of any command; Snakemake would add where in the rules it arose.
if exit_code := guarded(plan):
    sys.exit(exit_code)

OUT = PLAN.layout.output
if OUT.is_relative_to(Path.cwd()):
    OUT = OUT.relative_to(Path.cwd())


def closing_line():
    # It reads tables: only a run that gets to its end pays for that, not each parse.
    from braindata.status import overview

    return overview.closing_line(OUT)


wildcard_constraints:
    dataset=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    unit=r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?",
    region=r"[a-z][a-z0-9_]*-[0-9a-f]{12}",
    group=r"[a-z][a-z0-9_]*-[0-9a-f]{12}",
    process=r"[a-z][a-z0-9_]*",


def per_attempt(first, with_eeg=None, per_recording=0):
    """What a job needs, as much more at each attempt as at the first.

    Of EEG it may be more, and with each recording of the data set.
    """
    if with_eeg is None and not per_recording:
        return lambda wildcards, attempt: first * attempt

    def needs(wildcards, attempt):
        dataset = wildcards.dataset
        base = first if with_eeg is None or dataset not in PLAN.sensors else with_eeg
        # Snakemake asks again when the job can start: by then the data set is curated.
        return attempt * (
            base + round(per_recording * PLAN.curated.n_recordings(dataset))
        )

    return needs


def output_folder(wildcards):
    return str(OUT)


def curated(dataset):
    """Wait until a data set is curated: only then its units are known."""
    checkpoints.curate.get(dataset=dataset)


def unit_receipts(dataset):
    curated(dataset)
    return expand(
        f"{OUT}/packed/{dataset}/{{unit}}.receipt.json",
        unit=PLAN.curated.units(dataset),
    )


def curated_of_unit(wildcards):
    """What a unit's job waits for, whose date counts only where the unit's own data have changed."""
    receipt = f"{OUT}/curated/{wildcards.dataset}.receipt.json"
    same = PLAN.curated.is_made_from_the_same(wildcards.dataset, wildcards.unit)
    return ancient(receipt) if same else receipt


def templates(wildcards):
    """What must be fetched before a data set is preprocessed."""
    return (
        f"{OUT}/templateflow/fetched.txt"
        if PLAN.preprocess.fetches(wildcards.dataset)
        else []
    )


def heads():
    return expand(
        f"{OUT}/head/{{file}}", file=["model.h5", "truth.h5", "head.receipt.json"]
    )


def heads_of(wildcards):
    """What regions in EEG rest on, for a data set of which EEG is used."""
    return heads() if wildcards.dataset in PLAN.sensors else []


def packed_units(wildcards):
    """One file for all units of a data set: each of them would be an edge of every region's job."""
    return f"{OUT}/packed/{wildcards.dataset}.units.json"


def shards(datasets):
    return expand(
        [
            f"{OUT}/series/{{dataset}}/{{region}}.parquet",
            f"{OUT}/series/{{dataset}}/{{region}}.receipt.json",
            f"{OUT}/derived/{{dataset}}/trials/{{region}}.parquet",
            f"{OUT}/derived/{{dataset}}/trials/{{region}}.receipt.json",
        ],
        dataset=datasets,
        region=list(PLAN.regions),
    )


def aligned(datasets):
    return expand(
        f"{OUT}/aligned/{{dataset}}/{{group}}.{{file}}",
        dataset=datasets,
        group=list(PLAN.groups),
        file=[
            "parquet",
            "patterns.parquet",
            "maps.npz",
            "template.npz",
            "receipt.json",
        ],
    )


def sensors(datasets):
    return expand(
        [
            f"{OUT}/derived/{{dataset}}/trials/sensors.parquet",
            f"{OUT}/derived/{{dataset}}/trials/sensors.receipt.json",
        ],
        dataset=[one for one in datasets if one in PLAN.sensors],
    )


def behaviour(datasets):
    return expand(
        f"{OUT}/derived/{{dataset}}/{{file}}",
        dataset=datasets,
        file=[
            "latents.parquet",
            "latent_fits.parquet",
            "behaviour.parquet",
            "latents.receipt.json",
        ],
    )


def connectivity(datasets):
    return expand(
        f"{OUT}/derived/{{dataset}}/connectivity.{{ending}}",
        dataset=datasets,
        ending=["parquet", "parts.json", "receipt.json"],
    )


def trials_of_process(wildcards):
    """The trials of the regions that are tied to a process: of a new region, only those change."""
    return expand(
        f"{OUT}/derived/{wildcards.dataset}/trials/{{region}}.receipt.json",
        region=PLAN.signals.processes[wildcards.process],
    )


def signals(datasets):
    return expand(
        [
            f"{OUT}/derived/{{dataset}}/signals/{{process}}.parquet",
            f"{OUT}/derived/{{dataset}}/signals/{{process}}.receipt.json",
            f"{OUT}/derived/{{dataset}}/signal_fits/{{process}}.parquet",
        ],
        dataset=datasets,
        process=list(PLAN.signals.processes),
    )


def inventories(datasets):
    """What is asked for by name, or data sets would be pulled one after the other."""
    return expand(
        [
            f"{OUT}/raw/{{dataset}}.receipt.json",
            f"{OUT}/curated/{{dataset}}.receipt.json",
        ],
        dataset=datasets,
    )


def release_inputs(datasets):
    """What a release rests on: one file for the units of a data set, and every shard."""
    units = expand(f"{OUT}/packed/{{dataset}}.units.json", dataset=datasets)
    return (
        units
        + shards(datasets)
        + aligned(datasets)
        + sensors(datasets)
        + behaviour(datasets)
        + connectivity(datasets)
        + signals(datasets)
    )


def of_datasets(datasets):
    """What must be there of data sets: all intermediates too, or a deleted one would go unnoticed."""
    units = [receipt for dataset in datasets for receipt in unit_receipts(dataset)]
    eeg = set(datasets) & set(PLAN.sensors)
    return units + (heads() if eeg else []) + release_inputs(datasets)


def everything(wildcards):
    """What must be there in the end."""
    ends = [
        f"{OUT}/tables/publish.receipt.json",
        f"{OUT}/report/index.html",
        f"{OUT}/report/report.receipt.json",
    ]
    return ends + of_datasets(PLAN.datasets)
