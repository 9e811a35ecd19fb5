rule latents:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
    output:
        latents=update(f"{OUT}/derived/{{dataset}}/latents.parquet"),
        fits=update(f"{OUT}/derived/{{dataset}}/latent_fits.parquet"),
        behaviour=update(f"{OUT}/derived/{{dataset}}/behaviour.parquet"),
        receipt=update(f"{OUT}/derived/{{dataset}}/latents.receipt.json"),
    log:
        f"{OUT}/logs/latents/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/latents/{{dataset}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000),
        runtime=per_attempt(120),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "latents", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("latents"),
    shell:
        "braindata latents --output {params.folder:q} --dataset {wildcards.dataset}"
        " --parameters {params.parameters:q} > {log:q} 2>&1"
