"""The stages as jobs: receipt, inputs, outputs. Compute lies in the packages they call."""

# Raised whenever a stage's results change: editing a module makes Snakemake run nothing again.
STEP_VERSION = {
    "pull": 1,
    "curate": 4,
    "preprocess": 1,
    "pack": 3,
    "extract": 3,
    "derive": 2,
    "latents": 1,
    "publish": 3,
    "report": 4,
}
