rule head:
    output:
        model=update(f"{OUT}/head/model.h5"),
        truth=update(f"{OUT}/head/truth.h5"),
        receipt=update(f"{OUT}/head/head.receipt.json"),
    log:
        f"{OUT}/logs/head.log",
    benchmark:
        f"{OUT}/benchmarks/head.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(3000),
        runtime=per_attempt(30),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters("head"),
        step_version=PLAN.step_version("head"),
    shell:
        "braindata head --output {params.folder:q} --parameters {params.parameters:q} > {log:q} 2>&1"
