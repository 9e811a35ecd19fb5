rule derive:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        f"{OUT}/series/{{dataset}}/{{region}}.receipt.json",
    output:
        shard=update(f"{OUT}/derived/{{dataset}}/trials/{{region}}.parquet"),
        receipt=update(f"{OUT}/derived/{{dataset}}/trials/{{region}}.receipt.json"),
    log:
        f"{OUT}/logs/derive/{{dataset}}/{{region}}.log",
    benchmark:
        f"{OUT}/benchmarks/derive/{{dataset}}/{{region}}.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1000, with_eeg=2000, per_recording=1.5),
        runtime=per_attempt(30, with_eeg=120),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "derive", dataset=wildcards.dataset
        ),
        step_version=PLAN.step_version("derive"),
    shell:
        "braindata derive --output {params.folder:q} --dataset {wildcards.dataset}"
        " --region {wildcards.region} --parameters {params.parameters:q} > {log:q} 2>&1"


rule derive_sensors:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        packed_units,
    output:
        shard=update(f"{OUT}/derived/{{dataset}}/trials/sensors.parquet"),
        receipt=update(f"{OUT}/derived/{{dataset}}/trials/sensors.receipt.json"),
    log:
        f"{OUT}/logs/derive/{{dataset}}/sensors.log",
    benchmark:
        f"{OUT}/benchmarks/derive/{{dataset}}/sensors.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(2000),
        runtime=per_attempt(60),
    params:
        folder=output_folder,
        parameters=lambda wildcards: PLAN.parameters(
            "derive", "sensors", wildcards.dataset
        ),
        step_version=PLAN.step_version("derive"),
    shell:
        "braindata derive --output {params.folder:q} --dataset {wildcards.dataset}"
        " --region sensors --parameters {params.parameters:q} > {log:q} 2>&1"
