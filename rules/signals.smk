rule signals:
    input:
        f"{OUT}/derived/{{dataset}}/latents.receipt.json",
        trials_of_process,
    output:
        shard=update(f"{OUT}/derived/{{dataset}}/signals/{{process}}.parquet"),
        fits=update(f"{OUT}/derived/{{dataset}}/signal_fits/{{process}}.parquet"),
        receipt=update(f"{OUT}/derived/{{dataset}}/signals/{{process}}.receipt.json"),
    log:
        f"{OUT}/logs/signals/{{dataset}}/{{process}}.log",
    benchmark:
        f"{OUT}/benchmarks/signals/{{dataset}}/{{process}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "signals", wildcards.process, wildcards.dataset
        ),
        step_version=PLAN.step_version("signals"),
    shell:
        "braindata signals --output {params.folder:q} --dataset {wildcards.dataset}"
        " --process {wildcards.process} --parameters {params.parameters:q} > {log:q} 2>&1"
