rule connectivity:
    input:
        lambda wildcards: expand(
            [
                f"{OUT}/series/{{dataset}}/{{region}}.receipt.json",
                f"{OUT}/derived/{{dataset}}/trials/{{region}}.receipt.json",
            ],
            dataset=wildcards.dataset,
            region=list(PLAN.regions),
        ),
    output:
        shard=update(f"{OUT}/derived/{{dataset}}/connectivity.parquet"),
        # What it was made from: so that only new pairs of regions are.
        parts=update(f"{OUT}/derived/{{dataset}}/connectivity.parts.json"),
        receipt=update(f"{OUT}/derived/{{dataset}}/connectivity.receipt.json"),
    log:
        f"{OUT}/logs/connectivity/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/connectivity/{{dataset}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000, per_recording=1.5),
        runtime=per_attempt(120),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "connectivity", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("connectivity"),
    shell:
        "braindata connectivity --output {params.folder:q} --dataset {wildcards.dataset}"
        " --parameters {params.parameters:q} > {log:q} 2>&1"
