"""What fMRIPrep is given, what its crash files say, its templates and its licence."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from bids import BIDSLayout
from bids.layout import Query

from braindata.errors import BraindataError, UsageError
from braindata.fmri.fmriprep.outcome import crash_of, find_crashes
from braindata.fmri.fmriprep.parameters import FmriprepParameters
from braindata.fmri.fmriprep.staging import bids_filter, select_files, stage_files
from braindata.fmri.fmriprep.templates import fetch_templates, queries
from braindata.fmri.parameters import NativeParameters
from braindata.layout import Layout
from braindata.planning import Plan
from braindata.receipts import Outcome
from braindata.stages import preprocess_native
from tests.workflow.fmriprep_stand_in import crash

REGIONS = Path(__file__).resolve().parents[2] / "config" / "regions" / "spheres"
COLUMNS = (
    "session", "task", "acquisition", "ceagent", "reconstruction", "direction", "run",
)  # fmt: skip
KEYS = dict(zip(COLUMNS, ("ses", "task", "acq", "ce", "rec", "dir", "run"), strict=True))


def row(path: str, t1w: str | None = "sub-01/anat/sub-01_T1w.nii.gz") -> dict[str, Any]:
    name = path.rpartition("/")[2].partition(".")[0]
    named = dict(part.split("-", 1) for part in name.split("_") if "-" in part)
    entities = {column: named.get(key) for column, key in KEYS.items()}
    return {"recording": name, "path": path, "subject": named["sub"], "t1w": t1w, **entities}


FILES = (
    "dataset_description.json",
    "participants.tsv",
    "task-a_bold.json",
    "README",
    "stimuli/house.png",
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T1w.json",
    "sub-01/anat/sub-01_angio.nii.gz",
    "sub-01/dwi/sub-01_dwi.nii.gz",
    "sub-01/fmap/sub-01_dir-AP_epi.nii.gz",
    "sub-01/fmap/sub-01_dir-AP_epi.json",
    "sub-01/func/sub-01_task-a_run-1_bold.nii.gz",
    "sub-01/func/sub-01_task-a_run-1_sbref.nii.gz",
    "sub-01/func/sub-01_task-a_run-1_events.tsv",
    "sub-01/func/sub-01_task-a_run-2_bold.nii.gz",
    "sub-01/func/sub-01_task-a_run-2_sbref.nii.gz",
    "sub-01/func/sub-01_task-b_run-2_bold.nii.gz",
    "sub-01/sub-01_scans.tsv",
    "sub-02/func/sub-02_task-a_run-1_bold.nii.gz",
)


def test_a_job_gets_its_recordings_and_what_belongs_to_them() -> None:
    used = [row(FILES[11]), row(FILES[16])]
    chosen = select_files(FILES, used)
    assert set(FILES) - set(chosen) == {
        "README",
        "stimuli/house.png",
        "sub-01/anat/sub-01_angio.nii.gz",
        "sub-01/dwi/sub-01_dwi.nii.gz",
        # Run 2 of the other task, which no product of entities keeps apart.
        "sub-01/func/sub-01_task-a_run-2_bold.nii.gz",
        "sub-01/func/sub-01_task-a_run-2_sbref.nii.gz",
        "sub-02/func/sub-02_task-a_run-1_bold.nii.gz",
    }


def test_echoes_go_together_and_sessions_apart() -> None:
    files = [
        *(f"sub-01/ses-1/func/sub-01_ses-1_task-a_echo-{n}_bold.nii.gz" for n in (1, 2, 3)),
        "sub-01/ses-1/fmap/sub-01_ses-1_magnitude1.nii.gz",
        "sub-01/ses-2/func/sub-01_ses-2_task-a_bold.nii.gz",
        "sub-01/ses-2/fmap/sub-01_ses-2_magnitude1.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz",
        "sub-01/ses-3/anat/sub-01_ses-3_T1w.nii.gz",
    ]
    # The session has no T1w image of its own.
    chosen = select_files(files, [row(files[0], files[6])])
    assert chosen == sorted([*files[:4], files[6]])


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["task-a_run-1", "task-b_run-02"], {"task": ["a", "b"], "run": [1, 2]}),
        (["task-a", "task-a_run-1"], {"task": ["a"], "run": [1, None]}),
        (["ses-x_task-a_dir-AP"], {"session": ["x"], "task": ["a"], "direction": ["AP"]}),
    ],
)
def test_the_filter_passes_what_is_used(
    tmp_path: Path, paths: list[str], expected: dict[str, list[Any]]
) -> None:
    """As pybids applies it: fMRIPrep turns null into Query.NONE."""
    rows = [row(f"sub-01/func/sub-01_{name}_bold.nii.gz") for name in paths]
    found = bids_filter(rows)
    assert found == {"bold": expected}
    others = ["sub-01/func/sub-01_task-z_run-9_bold.nii.gz"]
    for path in [*(one["path"] for one in rows), *others]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    query = {
        name: [Query.NONE if value is None else value for value in values]
        for name, values in found["bold"].items()
    }
    passed = BIDSLayout(tmp_path, validate=False).get(
        subject="01", suffix="bold", extension=".nii.gz", return_type="filename", **query
    )
    assert sorted(Path(one).name for one in passed) == sorted(
        one["path"].rpartition("/")[2] for one in rows
    )


def test_staged_files_are_real_and_cost_no_space(tmp_path: Path) -> None:
    (tmp_path / "source.nii.gz").write_bytes(b"image")
    (tmp_path / "raw" / "sub-01").mkdir(parents=True)
    (tmp_path / "raw" / "sub-01" / "a.nii.gz").symlink_to(tmp_path / "source.nii.gz")
    stage_files(tmp_path / "raw", ["sub-01/a.nii.gz"], tmp_path / "bids")
    staged = tmp_path / "bids" / "sub-01" / "a.nii.gz"
    assert not staged.is_symlink()
    assert staged.samefile(tmp_path / "source.nii.gz")


def test_crashes_are_told_of_their_own_recording(tmp_path: Path) -> None:
    names = ["sub-01_task-x_run-1_bold", "sub-01_task-x_run-10_bold", "sub-01_task-y_bold"]
    assert crash_of(names[0], find_crashes(tmp_path), names) is None
    crash(tmp_path, "01", "bold_task_x_run_10_wf", "ValueError: of run 10")
    found = find_crashes(tmp_path)
    told = crash_of(names[1], found, names)
    assert told is not None
    assert (told.error, told.is_machines) == ("ValueError: of run 10", False)
    assert told.node == "fmriprep_25_2_wf.sub_01_wf.bold_task_x_run_10_wf.some_node"
    # Run 1 is not run 10, and another recording's crash explains nothing.
    assert crash_of(names[0], found, names) is None
    crash(tmp_path / "later", "01", "anat_fit_wf", "RuntimeError: no skull")
    both = find_crashes(tmp_path)
    assert [str(crash_of(name, both, names).error) for name in names] == [  # type: ignore[union-attr]
        "RuntimeError: no skull",
        "ValueError: of run 10",
        "RuntimeError: no skull",
    ]


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "OSError: [Errno 28] No space left on device",
        "OSError: [Errno 12] Cannot allocate memory",
        "concurrent.futures.process.BrokenProcessPool: A process in the process pool was "
        "terminated abruptly",
    ],
)
def test_the_machines_faults_are_known(tmp_path: Path, error: str) -> None:
    crash(tmp_path, "01", "anat_fit_wf", error)
    assert find_crashes(tmp_path)[0].is_machines


class TemplateFlow:
    """Its client, without a network."""

    def __init__(self, home: Path, error: Exception | None = None):
        self.home, self.error = home, error
        self.asked: list[str] = []

    def templates(self) -> list[str]:
        return ["MNI152NLin2009cAsym", "MNI152NLin6Asym", "OASIS30ANTs", "fsaverage", "fsLR"]

    def get(self, template: str, **entities: Any) -> Any:
        if self.error is not None:
            raise self.error
        self.asked.append(template)
        # It returns a list, a single path, or nothing.
        suffix = entities.get("suffix", "T1w")
        found = [self.home / f"tpl-{template}_{suffix}.nii.gz"]
        return found[0] if suffix == "mask" else found if suffix != "boldref" else []


@pytest.fixture
def templateflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TemplateFlow:
    api = TemplateFlow(tmp_path)
    monkeypatch.setenv("TEMPLATEFLOW_HOME", "unset")
    monkeypatch.setitem(sys.modules, "templateflow", SimpleNamespace(api=api))
    return api


def test_templates_are_those_of_the_output_and_of_fmriprep_itself(
    templateflow: TemplateFlow, tmp_path: Path
) -> None:
    parameters = FmriprepParameters(output_spaces=("MNI152NLin6Asym:res-2",))
    found = fetch_templates(parameters, tmp_path / "home")
    assert set(templateflow.asked) == {"MNI152NLin2009cAsym", "MNI152NLin6Asym", "OASIS30ANTs"}
    assert tmp_path / "tpl-MNI152NLin6Asym_mask.nii.gz" in found
    surfaces = {name for name, _ in queries(parameters.model_copy(update={"reconall": True}))}
    assert surfaces - set(templateflow.asked) == {"fsaverage", "fsLR"}


def test_templates_that_cannot_be_had_are_named(
    templateflow: TemplateFlow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no template MNI152Nonlin"):
        fetch_templates(FmriprepParameters(output_spaces=("MNI152Nonlin",)), tmp_path)
    templateflow.error = ConnectionError("no route")
    with pytest.raises(BraindataError, match="could not be fetched") as raised:
        fetch_templates(FmriprepParameters(), tmp_path)
    assert "run once where there is a network" in str(raised.value.hint)
    monkeypatch.setitem(sys.modules, "templateflow", None)
    with pytest.raises(UsageError, match="templateflow is not installed"):
        fetch_templates(FmriprepParameters(), tmp_path)


def plan(folder: Path, run: dict[str, Any]) -> Plan:
    bids = folder / "bids"
    (bids / "sub-01").mkdir(parents=True, exist_ok=True)
    (bids / "dataset_description.json").write_text(json.dumps({"Name": "x"}))
    fmri = {"backend": "fmriprep", "fmriprep": {"run": run}}
    body = {
        "datasets": [{"id": "ds", "source": str(bids)}],
        "regions": str(REGIONS),
        "preprocess": {"fmri": fmri},
    }
    (folder / "my.yaml").write_text(yaml.safe_dump(body))
    return Plan(body, [folder / "my.yaml"])


@pytest.fixture
def no_freesurfer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FS_LICENSE", "FREESURFER_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_freesurfer")
def test_the_licence_is_looked_for_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="needs FreeSurfer's licence file") as raised:
        plan(tmp_path, {})
    assert "https://surfer.nmr.mgh.harvard.edu/registration.html" in str(raised.value.hint)
    with pytest.raises(UsageError, match=r"license_file: there is no mine\.txt") as raised:
        plan(tmp_path, {"license_file": "mine.txt"})
    assert "registration.html" in str(raised.value.hint)
    assert str(raised.value.file).startswith(str(tmp_path / "my.yaml"))
    with pytest.raises(UsageError, match=r"license_file: bids is no file"):
        plan(tmp_path, {"license_file": "bids"})
    monkeypatch.setenv("FREESURFER_HOME", str(tmp_path))
    with pytest.raises(UsageError, match=rf"there is none at {tmp_path}/license\.txt"):
        plan(tmp_path, {})
    (tmp_path / "license.txt").write_text("x")
    machine = json.loads(plan(tmp_path, {}).preprocess.machine())
    assert machine["fmriprep"]["license_file"] == str(tmp_path / "license.txt")
    for key in ("work", "templateflow"):
        with pytest.raises(UsageError, match=rf"{key}: license\.txt is no folder"):
            plan(tmp_path, {key: "license.txt"})
    # The disk of a node may not be there where jobs are planned.
    there = plan(tmp_path, {"work": "/nowhere/scratch"}).preprocess.machine()
    assert json.loads(there)["fmriprep"]["work"] == "/nowhere/scratch"


def test_a_folder_of_templates_has_the_output_spaces(tmp_path: Path) -> None:
    (tmp_path / "license.txt").write_text("x")
    run = {"license_file": "license.txt", "templateflow": "there"}
    (tmp_path / "there" / "tpl-MNI152NLin2009Asym").mkdir(parents=True)
    with pytest.raises(UsageError, match="has no template MNI152NLin2009cAsym") as raised:
        plan(tmp_path, run)
    assert raised.value.hint == "is it MNI152NLin2009Asym?"
    (tmp_path / "there" / "tpl-MNI152NLin2009cAsym").mkdir()
    plan(tmp_path, run)


def test_a_container_of_apptainer_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "license.txt").write_text("x")
    run = {"engine": "apptainer", "license_file": "license.txt"}
    with pytest.raises(UsageError, match="image is missing") as raised:
        plan(tmp_path, run)
    assert "docker://nipreps/fmriprep:25.2.7" in str(raised.value.hint)
    with pytest.raises(UsageError, match=r"image: there is no x\.sif"):
        plan(tmp_path, {**run, "image": "x.sif"})


def test_what_a_job_needs_and_what_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "license.txt").write_text("x")
    found = plan(tmp_path, {"license_file": "license.txt", "threads": 6}).preprocess
    needs = found.needs("ds")
    assert (needs.threads, needs.memory(1), needs.memory(2)) == (6, 16_000, 32_000)
    assert (needs.runtime(1), needs.runtime(2)) == (480, 480)
    assert found.retries == 1
    assert found.fetches("ds")
    # Neither cores nor paths.
    told = found.parameters("ds")["fmri"]
    assert set(told) == {"backend", "fmriprep"}
    assert "run" not in told["fmriprep"]


def test_native_leaves_several_echoes_to_fmriprep(tmp_path: Path) -> None:
    one = row("sub-01/func/sub-01_task-a_echo-1_bold.nii.gz") | {"n_echoes": 3, "tr": 2.0}
    result = preprocess_native.preprocess(Layout(tmp_path), "ds", [one], NativeParameters())
    outcome = result.recordings["sub-01_task-a_echo-1_bold"]
    assert outcome == Outcome(
        "excluded",
        "it is a run of 3 echoes, which native preprocessing does not combine",
        "choose preprocess.fmri.backend: fmriprep, or name derivatives of its data set",
    )
