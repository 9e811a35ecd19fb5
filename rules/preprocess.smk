rule preprocess:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
    output:
        receipt=update(f"{OUT}/derivatives/{{dataset}}/{{unit}}.receipt.json"),
    log:
        f"{OUT}/logs/preprocess/{{dataset}}/{{unit}}.log",
    benchmark:
        f"{OUT}/benchmarks/preprocess/{{dataset}}/{{unit}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "preprocess", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("preprocess"),
    shell:
        "braindata preprocess --output {params.folder:q} --dataset {wildcards.dataset}"
        " --unit {wildcards.unit} --parameters {params.parameters:q} > {log:q} 2>&1"
