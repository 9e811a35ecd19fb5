rule extract:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        packed_units,
        heads_of,
    output:
        shard=update(f"{OUT}/series/{{dataset}}/{{region}}.parquet"),
        receipt=update(f"{OUT}/series/{{dataset}}/{{region}}.receipt.json"),
    log:
        f"{OUT}/logs/extract/{{dataset}}/{{region}}.log",
    benchmark:
        f"{OUT}/benchmarks/extract/{{dataset}}/{{region}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000, with_eeg=2000),
        runtime=per_attempt(30, with_eeg=120),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "extract", wildcards.region, wildcards.dataset
        ),
        step_version=PLAN.step_version("extract"),
    shell:
        "braindata extract --output {params.folder:q} --dataset {wildcards.dataset}"
        " --parameters {params.parameters:q} > {log:q} 2>&1"
