# And what `pack` makes of it: half as many jobs, and half as much that Snakemake keeps of each
# recording. The receipt of `preprocess` is no output: when packing fails, Snakemake would delete it,
# and the next attempt would preprocess again. Planning sees when it is gone.
rule preprocess:
    input:
        curated_of_unit,
        templates,
    output:
        receipt=update(f"{OUT}/packed/{{dataset}}/{{unit}}.receipt.json"),
    log:
        f"{OUT}/logs/preprocess/{{dataset}}/{{unit}}.log",
    benchmark:
        f"{OUT}/benchmarks/preprocess/{{dataset}}/{{unit}}.tsv"
    # More memory the second time, where the first attempt can say that it was too little.
    retries: PLAN.preprocess.retries
    conda:
        "../environment.yml"
    threads: lambda wildcards: PLAN.preprocess.needs(wildcards.dataset).threads
    resources:
        mem_mb=lambda wildcards, attempt: PLAN.preprocess.needs(
            wildcards.dataset
        ).memory(attempt),
        runtime=lambda wildcards, attempt: PLAN.preprocess.needs(
            wildcards.dataset
        ).runtime(attempt),
        # No parameter: another engine or folder computes nothing again.
        machine=PLAN.preprocess.machine(),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "preprocess", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("preprocess"),
        pack=PLAN.parameters("pack"),
        pack_version=PLAN.step_version("pack"),
    shell:
        "braindata preprocess --output {params.folder:q} --dataset {wildcards.dataset}"
        " --unit {wildcards.unit} --parameters {params.parameters:q} --machine {resources.machine:q}"
        " --threads {threads} --memory {resources.mem_mb} > {log:q} 2>&1"
        " && braindata pack --output {params.folder:q} --dataset {wildcards.dataset}"
        " --unit {wildcards.unit} --parameters {params.pack:q} >> {log:q} 2>&1"
