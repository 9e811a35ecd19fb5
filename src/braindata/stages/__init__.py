"""The stages as jobs: receipt, inputs, outputs. Compute lies in the packages they call."""

# Raised whenever a stage's results change: editing a module makes Snakemake run nothing again.
STEP_VERSION = {
    "pull": 1,
    "curate": 8,
    "preprocess": 5,
    "pack": 4,
    "align": 3,
    "head": 1,
    "extract": 5,
    "derive": 6,
    "latents": 6,
    "connectivity": 1,
    "signals": 1,
    "publish": 7,
    "report": 9,
}
