rule pull:
    output:
        receipt=update(f"{OUT}/raw/{{dataset}}.receipt.json"),
        manifest=update(f"{OUT}/raw/{{dataset}}.manifest.tsv"),
    log:
        f"{OUT}/logs/pull/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/pull/{{dataset}}.tsv"
    # On a cluster this runs where Snakemake does: compute nodes may have no network.
    localrule: True
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(500),
        runtime=per_attempt(240),
        # No parameter: other connections or limits pull nothing again.
        download=PLAN.download(),
    params:
        folder=output_folder,
        parameters=PLAN.parameters("pull"),
        source=lambda wildcards: PLAN.source(wildcards.dataset),
        pin=lambda wildcards: PLAN.pin(wildcards.dataset),
        source_state=lambda wildcards: PLAN.source_state(wildcards.dataset),
        step_version=PLAN.step_version("pull"),
    shell:
        "braindata pull --output {params.folder:q} --dataset {wildcards.dataset} --source {params.source:q}"
        " --pin {params.pin:q} --parameters {params.parameters:q} --download {resources.download:q} > {log:q} 2>&1"
