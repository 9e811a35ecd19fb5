rule templateflow:
    output:
        update(f"{OUT}/templateflow/fetched.txt"),
    log:
        f"{OUT}/logs/templateflow.log",
    benchmark:
        f"{OUT}/benchmarks/templateflow.tsv"
    # On a cluster this runs where Snakemake does: compute nodes may have no network.
    localrule: True
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000),
        runtime=per_attempt(240),
    params:
        folder=output_folder,
        parameters=PLAN.preprocess.templates(),
    shell:
        "braindata templateflow --output {params.folder:q} --parameters {params.parameters:q} > {log:q} 2>&1"
