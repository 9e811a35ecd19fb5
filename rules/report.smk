rule report:
    input:
        f"{OUT}/tables/publish.receipt.json",
    output:
        page=update(f"{OUT}/report/index.html"),
        receipt=update(f"{OUT}/report/report.receipt.json"),
    log:
        f"{OUT}/logs/report.log",
    benchmark:
        f"{OUT}/benchmarks/report.tsv"
    conda:
        "../environment.yml"
    threads: 1
    resources:
        mem_mb=per_attempt(1500),
        runtime=per_attempt(120),
        key=PLAN.pseudonym_key(),
    params:
        folder=output_folder,
        step_version=PLAN.step_version("report"),
    shell:
        "braindata report --output {params.folder:q} --key={resources.key:q} > {log:q} 2>&1"
