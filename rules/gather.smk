rule gather:
    input:
        f"{OUT}/curated/{{dataset}}.receipt.json",
        lambda wildcards: unit_receipts(wildcards.dataset),
    output:
        units=update(f"{OUT}/packed/{{dataset}}.units.json"),
    log:
        f"{OUT}/logs/gather/{{dataset}}.log",
    benchmark:
        f"{OUT}/benchmarks/gather/{{dataset}}.tsv"
    # It reads some small files: no job of a cluster.
    localrule: True
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(500),
        runtime=per_attempt(10),
    params:
        folder=output_folder,
    shell:
        "braindata gather --output {params.folder:q} --dataset {wildcards.dataset} > {log:q} 2>&1"
