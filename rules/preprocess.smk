rule preprocess:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        templates,
    output:
        receipt=update(f"{OUT}/derivatives/{{dataset}}/{{unit}}.receipt.json"),
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
    shell:
        "braindata preprocess --output {params.folder:q} --dataset {wildcards.dataset}"
        " --unit {wildcards.unit} --parameters {params.parameters:q} --machine {resources.machine:q}"
        " --threads {threads} --memory {resources.mem_mb} > {log:q} 2>&1"
