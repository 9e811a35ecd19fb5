"""The stages as jobs: receipt, inputs, outputs. Compute lies in the packages they call."""

# Raised whenever a stage's results change: editing a module makes Snakemake run nothing again.
STEP_VERSION = {
    "pull": 1,
    "curate": 6,
    "preprocess": 3,
    "pack": 4,
    "head": 1,
    "extract": 5,
    "derive": 3,
    "latents": 1,
    "publish": 3,
    "report": 5,
}
