checkpoint curate:
    input:
        f"{OUT}/raw/{{dataset}}.receipt.json",
    output:
        receipt=update(f"{OUT}/curated/{{dataset}}.receipt.json"),
        inventory=update(f"{OUT}/curated/{{dataset}}.parquet"),
        validation=update(f"{OUT}/curated/{{dataset}}.validation.json"),
        facts=update(f"{OUT}/curated/{{dataset}}.facts.json"),
    log:
        f"{OUT}/logs/curate/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/curate/{{dataset}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1500),
        runtime=per_attempt(60),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "curate", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("curate"),
    shell:
        "braindata curate --output {params.folder:q} --dataset {wildcards.dataset}"
        " --parameters {params.parameters:q} > {log:q} 2>&1"
