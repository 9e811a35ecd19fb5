"""The stages as jobs: receipt, inputs, outputs. Compute lies in the packages they call."""

# Raised whenever a stage's results change: editing a module makes Snakemake run nothing again.
STEP_VERSION = {
    "pull": 1,
    "curate": 3,
    "preprocess": 1,
    "pack": 2,
    "extract": 2,
    "derive": 1,
    "publish": 2,
    "report": 3,
}
