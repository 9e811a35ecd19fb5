rule pack:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        f"{OUT}/derivatives/{{dataset}}/{{unit}}.receipt.json",
    output:
        receipt=update(f"{OUT}/packed/{{dataset}}/{{unit}}.receipt.json"),
    log:
        f"{OUT}/logs/pack/{{dataset}}/{{unit}}.log",
    benchmark:
        f"{OUT}/benchmarks/pack/{{dataset}}/{{unit}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(3000),
        runtime=per_attempt(30),
    params:
        folder=output_folder,
        parameters=PLAN.parameters("pack"),
        step_version=PLAN.step_version("pack"),
    shell:
        "braindata pack --output {params.folder:q} --dataset {wildcards.dataset}"
        " --unit {wildcards.unit} --parameters {params.parameters:q} > {log:q} 2>&1"
