rule align:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        packed_units,
    output:
        alignment=update(f"{OUT}/aligned/{{dataset}}/{{group}}.parquet"),
        patterns=update(f"{OUT}/aligned/{{dataset}}/{{group}}.patterns.parquet"),
        maps=update(f"{OUT}/aligned/{{dataset}}/{{group}}.maps.npz"),
        template=update(f"{OUT}/aligned/{{dataset}}/{{group}}.template.npz"),
        receipt=update(f"{OUT}/aligned/{{dataset}}/{{group}}.receipt.json"),
    log:
        f"{OUT}/logs/align/{{dataset}}/{{group}}.log",
    benchmark:
        f"{OUT}/benchmarks/align/{{dataset}}/{{group}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(4000),
        runtime=per_attempt(240),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "align", wildcards.group, wildcards.dataset
        ),
        step_version=PLAN.step_version("align"),
    shell:
        "braindata align --output {params.folder:q} --dataset {wildcards.dataset}"
        " --parameters {params.parameters:q} > {log:q} 2>&1"
