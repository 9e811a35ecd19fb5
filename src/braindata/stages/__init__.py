"""The stages as jobs: receipt, inputs, outputs. Compute lies in the packages they call."""

# Raised whenever a stage's results change: editing a module makes Snakemake run nothing again.
STEP_VERSION = {
    "pull": 1,
    "curate": 6,
    "preprocess": 2,
    "pack": 4,
    "head": 1,
    "extract": 4,
    "derive": 4,
    "latents": 2,
    "signals": 1,
    "publish": 4,
    "report": 6,
}
