"""What a BIDS data set says about itself, and how a phantom is known as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from braindata.files import write_text
from braindata.phantom.parameters import EVENT_DURATION, TASK, PhantomParameters

NAME = "braindata phantom: a simulated gambling task"
TEMPLATE_DOI = "https://doi.org/10.1016/j.neuroimage.2010.07.033"

README = """# {name}

Simulated, not measured: no person was scanned. It exists to test whether `braindata` recovers what
was put in. What was put in is written elsewhere, never in this folder.

- Anatomy: the MNI152NLin2009aSym template (Fonov et al. 2011, {doi}), as nilearn
  brings it, under a random smooth warp for each person, within a ring of fluid, skull and scalp.
- BOLD: TR {tr:g} s. Every volume is acquired at once at the start of its TR, so there is no slice
  timing. Head motion, spatially and temporally correlated noise, slow drifts; no susceptibility
  distortion, no signal loss, no heartbeat or breathing.
- Task: {n_trials} gambles a run are shown for {duration:g} s each. A person may win `gain` or
  lose `loss` with equal chances, and accepts or rejects. Gambles are settled after the run.
"""


def is_phantom(folder: Path) -> bool:
    """Whether a folder holds a phantom, whole or begun."""
    path = folder / "dataset_description.json"
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return False
    return isinstance(body, dict) and body.get("Name") == NAME


def write_description(folder: Path, parameters: PhantomParameters) -> None:
    """Write everything that holds for the whole data set; the description itself comes first."""
    _write_json(
        folder / "dataset_description.json",
        {
            "Name": NAME,
            "BIDSVersion": "1.10.0",
            "DatasetType": "raw",
            "License": "CC0",
            "Authors": ["The braindata developers"],
            "ReferencesAndLinks": [TEMPLATE_DOI],
            "GeneratedBy": [{"Name": "braindata phantom"}],
        },
    )
    readme = README.format(
        name=NAME,
        doi=TEMPLATE_DOI,
        tr=parameters.tr,
        n_trials=parameters.n_trials,
        duration=EVENT_DURATION,
    )
    write_text(folder / "README.md", readme)
    _write_json(
        folder / f"task-{TASK}_bold.json",
        {
            "TaskName": TASK,
            "TaskDescription": "Accept or reject gambles with equal chances of a gain and a loss.",
            "RepetitionTime": parameters.tr,
            "MagneticFieldStrength": 3,
            "Manufacturer": "simulated",
        },
    )
    _write_json(folder / f"task-{TASK}_events.json", _event_columns())
    _write_json(
        folder / "participants.json",
        {
            "age": {"Description": "Simulated age of the simulated person", "Units": "year"},
            "species": {"Description": "Whose head the template shows"},
        },
    )


def write_participants(folder: Path, subjects: list[str], seed: int) -> None:
    """Write the table of people."""
    ages = np.random.default_rng([seed, 0]).integers(20, 40, len(subjects))
    rows = [
        f"sub-{subject}\thomo sapiens\t{age}"
        for subject, age in zip(subjects, ages.tolist(), strict=True)
    ]
    write_text(folder / "participants.tsv", "\n".join(["participant_id\tspecies\tage", *rows, ""]))


def _event_columns() -> dict[str, object]:
    return {
        "onset": {"Description": "When the gamble appears", "Units": "s"},
        "duration": {"Description": "How long it is shown", "Units": "s"},
        "trial_type": {
            "Description": "Kind of trial",
            "Levels": {TASK: "A gamble is shown and accepted or rejected"},
        },
        "response_time": {"Description": "From the gamble to the key press", "Units": "s"},
        "gain": {"Description": "What may be won"},
        "loss": {"Description": "What may be lost"},
        "response": {
            "Description": "What the person chose",
            "Levels": {"accept": "Accepted the gamble", "reject": "Rejected the gamble"},
        },
        "outcome": {"Description": "What was won or lost, settled after the run and not shown"},
    }


def _write_json(path: Path, body: object) -> None:
    write_text(path, json.dumps(body, indent=2, ensure_ascii=False) + "\n")
