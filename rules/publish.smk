rule publish:
    input:
        expand(f"{OUT}/curated/{{dataset}}.receipt.json", dataset=PLAN.datasets),
        release_inputs(PLAN.datasets),
    output:
        receipt=update(f"{OUT}/tables/publish.receipt.json"),
    log:
        f"{OUT}/logs/publish.log",
    benchmark:
        f"{OUT}/benchmarks/publish.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000),
        runtime=per_attempt(60),
        # No parameter: the same key may lie elsewhere. Which one it is, is one.
        key=PLAN.pseudonym_key(),
    params:
        folder=output_folder,
        parameters=PLAN.parameters("publish"),
        step_version=PLAN.step_version("publish"),
    shell:
        "braindata publish --output {params.folder:q} --parameters {params.parameters:q}"
        " --key={resources.key:q} > {log:q} 2>&1"
