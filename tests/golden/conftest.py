"""The whole chain on a real localizer run, once for all golden tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import braindata
from braindata.tables.reading import Tables

# Beside nilearn's own strategies, so that filters and eigenvariates are seen on real data too.
PRESETS = {
    "band": {
        "strategy": ["motion", "wm_csf"],
        "motion": "basic",
        "high_pass": 0.01,
        "low_pass": 0.1,
    },
    "first": {"strategy": ["motion", "high_pass"], "motion": "basic", "signal": "eigenvariate"},
}


@pytest.fixture(scope="session")
def localizer(
    shared_data: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The output folder."""
    folder = tmp_path_factory.mktemp("localizer")
    config = {
        "output": "results",
        "datasets": [
            {
                "id": "localizer",
                "source": str(shared_data / "fmri-localizer"),
                "modalities": ["fmri"],
            }
        ],
        "regions": str(repository / "config/regions/spheres"),
        "extract": {
            "strategies": ["none", "simple", "scrubbing", "compcor", "ica_aroma", *PRESETS],
            "presets": PRESETS,
        },
    }
    (folder / "localizer.yaml").write_text(yaml.safe_dump(config))
    command = [str(Path(sys.executable).with_name("snakemake")), "-s", repository / "Snakefile"]
    subprocess.run(
        [*command, "--cores", "2", "--configfile", "localizer.yaml"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "results"


@pytest.fixture(scope="session")
def tables(localizer: Path) -> Tables:
    return braindata.open_tables(localizer)


@pytest.fixture(scope="session")
def events(shared_data: Path) -> pd.DataFrame:
    (path,) = (shared_data / "fmri-localizer").rglob("*_events.tsv")
    return pd.read_csv(path, sep="\t")
