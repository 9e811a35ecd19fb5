"""Raw data without their images, and of derivatives what is used of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from braindata.cli import cli, guarded
from braindata.errors import UsageError
from braindata.layout import Layout
from braindata.planning import Plan
from braindata.pull.local import read_manifest
from braindata.receipts import Receipt
from tests.unit.git_repositories import MadeRepository
from tests.unit.openneuro_server import OpenNeuro, serving

REGIONS = Path(__file__).resolve().parents[2] / "config" / "regions" / "spheres"
TEXTS = {
    "dataset_description.json": b'{"Name": "x"}',
    "sub-01/func/sub-01_task-rest_events.tsv": b"onset\tduration\n",
}
RAW = {
    "sub-01/func/sub-01_task-rest_bold.nii.gz": b"raw image",
    "sub-01/anat/sub-01_T1w.nii.gz": b"raw T1w",
}
FUNC = "sub-01/func/sub-01_task-rest"
DERIVED_TEXTS = {"dataset_description.json": b'{"Name": "fMRIPrep"}'}
WANTED = {
    f"{FUNC}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz": b"image",
    f"{FUNC}_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.json": b"{}",
    f"{FUNC}_space-MNI152NLin2009cAsym_res-2_desc-brain_mask.nii.gz": b"mask",
    f"{FUNC}_space-MNI152NLin2009cAsym_res-2_boldref.nii.gz": b"reference",
    f"{FUNC}_desc-confounds_timeseries.tsv": b"csf\n1\n",
    f"{FUNC}_desc-confounds_timeseries.json": b"{ }",
}
NAMED = "sub-02/func/sub-02_task-rest_space-fsLR_den-91k_bold.dtseries.nii"
UNWANTED = {
    f"{FUNC}_space-T1w_desc-preproc_bold.nii.gz": b"another space",
    f"{FUNC}_space-MNI152NLin6Asym_res-2_desc-preproc_bold.nii.gz": b"not preferred",
    f"{FUNC}_hemi-L_space-fsaverage_bold.func.gii": b"a surface",
    "sub-01/anat/sub-01_desc-preproc_T1w.nii.gz": b"T1w",
    "sub-01/figures/sub-01_task-rest_desc-carpetplot_bold.svg": b"a figure",
    "sourcedata/freesurfer/sub-01/mri/T1.mgz": b"FreeSurfer",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenNeuro]:
    (tmp_path / "git").mkdir()
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path / "git") as one:
        raw = MadeRepository(tmp_path / "git" / "ds000777.git", f"{one.url}/openneuro.org")
        raw.version("1.0.0", TEXTS, RAW, one)
        path = tmp_path / "git" / "ds000777-fmriprep.git"
        derived = MadeRepository(path, f"{one.url}/openneuro.org")
        annexed = {**WANTED, **UNWANTED, NAMED: b"surfaces only"}
        derived.version("v1.0.0", DERIVED_TEXTS, annexed, one)
        configure(one, tmp_path)
        yield one


def configure(site: OpenNeuro, folder: Path, **dataset: object) -> None:
    one = {"id": "ds", "source": "openneuro:ds000777"}
    one["derivatives"] = "openneuro-derivatives:ds000777-fmriprep"
    body = {
        "datasets": [one | dataset],
        "regions": str(REGIONS),
        "pull": {
            "openneuro": f"{site.url}/git/{{id}}.git",
            "openneuro_derivatives": f"{site.url}/git/{{id}}.git",
            "download": {"pause": 0.001},
        },
    }
    (folder / "my.yaml").write_text(yaml.safe_dump(body))


def pull(*arguments: str) -> int:
    line = ["pull", "--configfile", "my.yaml", *arguments]
    return guarded(lambda: cli.main(line, standalone_mode=False))


def test_only_what_is_used_is_fetched(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull("--dry-run") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out), delimiter="\t"))
    states = {(row["dataset"], row["path"]): row["state"] for row in rows}
    assert {p: s for (d, p), s in states.items() if d == "ds"} == {
        **dict.fromkeys(TEXTS, "git"),
        **dict.fromkeys(RAW, "named"),
    }
    assert {p: s for (d, p), s in states.items() if d == "ds.derivatives"} == {
        **dict.fromkeys(DERIVED_TEXTS, "git"),
        **dict.fromkeys(WANTED, "download"),
        NAMED: "named",
    }

    assert pull() == 0
    layout = Layout(tmp_path / "results")
    folder = layout.published("ds")
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {*DERIVED_TEXTS, *WANTED}
    assert all((folder / path).read_bytes() == body for path, body in WANTED.items())
    fetched = {name for name, n_bytes in site.sent.items() if n_bytes}
    prefix = "openneuro.org/ds000777-fmriprep/"
    assert fetched == {f"{prefix}{path}" for path in WANTED}
    # Known by name, so that curation can say what there is.
    assert read_manifest(layout.published_manifest("ds"))[NAMED].sha256 == ""
    raw = read_manifest(layout.manifest("ds"))
    assert {path for path in raw if not raw[path].sha256} == set(RAW)
    assert not (layout.raw("ds") / next(iter(RAW))).is_file()

    notes = Receipt.read(layout.receipt("raw", "ds")).notes
    assert notes["version"] == "1.0.0"
    assert notes["n_absent"] == 0
    assert notes["derivatives"]["version"] == "v1.0.0"
    lock = (tmp_path / "datasets.lock").read_text()
    assert "openneuro-derivatives:ds000777-fmriprep" in lock
    assert pull("--verify") == 0


def test_a_new_version_and_damage_are_noticed(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull() == 0
    layout = Layout(tmp_path / "results")
    damaged = layout.published("ds") / f"{FUNC}_desc-confounds_timeseries.tsv"
    damaged.chmod(0o644)
    damaged.write_bytes(b"csf\n2\n")
    capsys.readouterr()
    assert pull("--verify") == 1
    assert "ds.derivatives" in capsys.readouterr().out
    path = tmp_path / "git" / "ds000777-fmriprep.git"
    made = MadeRepository(path, f"{site.url}/openneuro.org")
    changed = {**WANTED, f"{FUNC}_desc-confounds_timeseries.tsv": b"csf\n3\n"}
    made.version("v1.1.0", DERIVED_TEXTS, changed, site)
    before = plan().source_state("ds")
    assert pull("--update") == 0
    assert "ds.derivatives: version v1.0.0 → v1.1.0" in capsys.readouterr().out
    assert plan().source_state("ds") != before
    assert pull() == 0
    assert damaged.read_bytes() == b"csf\n3\n"
    assert Receipt.read(layout.receipt("raw", "ds")).notes["derivatives"]["version"] == "v1.1.0"


def test_without_a_network_what_is_here_goes_on(site: OpenNeuro, tmp_path: Path) -> None:
    assert pull() == 0
    Path("datasets.lock").unlink()
    (tmp_path / "git").rename(tmp_path / "gone")
    body = yaml.safe_load(Path("my.yaml").read_text())
    nobody = "http://127.0.0.1:9/{id}.git"
    body["pull"] |= {"openneuro": nobody, "openneuro_derivatives": nobody}
    Path("my.yaml").write_text(yaml.safe_dump(body))
    assert plan().pins.of("ds.derivatives").version == "v1.0.0"
    assert plan().pins.of("ds").version == "1.0.0"


def plan() -> Plan:
    values: dict[str, Any] = yaml.safe_load(Path("my.yaml").read_text())
    return Plan(values, [Path("my.yaml")])


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_folders_are_sources_too(site: OpenNeuro, tmp_path: Path, mode: str) -> None:
    for name, files in (("bids", {**TEXTS, **RAW}), ("out", {**WANTED, **UNWANTED})):
        for path, body in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_bytes(body)
    configure(site, tmp_path, source="bids", derivatives="out")
    body = yaml.safe_load(Path("my.yaml").read_text())
    body["pull"]["mode"] = mode
    Path("my.yaml").write_text(yaml.safe_dump(body))
    assert pull() == 0
    folder = tmp_path / "results" / "raw" / "ds.derivatives"
    there = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    assert set(there) == set(WANTED)
    assert all(path.is_symlink() == (mode == "link") for path in there.values())
    before = plan().source_state("ds")
    (tmp_path / "out" / f"{FUNC}_desc-confounds_timeseries.tsv").write_bytes(b"csf\n22\n")
    assert plan().source_state("ds") != before
    # Whoever asks for derivatives no more has none.
    configure(site, tmp_path, source="bids", derivatives=None)
    assert pull() == 0
    assert not folder.exists()
    assert (tmp_path / "results" / "raw" / "ds" / next(iter(RAW))).read_bytes() == b"raw image"


def test_what_a_job_is_told(site: OpenNeuro, tmp_path: Path) -> None:
    """The backend of the data set, whatever the configuration's is, and nothing of the others."""
    of_one = yaml.safe_load(plan().parameters("preprocess", dataset="ds"))
    assert set(of_one) == {"fmri"}
    assert set(of_one["fmri"]) == {"backend", "derivatives"}
    assert of_one["fmri"]["backend"] == "derivatives"
    configure(site, tmp_path, derivatives=None)
    assert set(yaml.safe_load(plan().parameters("preprocess", dataset="ds"))["fmri"]) == {
        "backend",
        "native",
    }


@pytest.mark.parametrize(
    ("derivatives", "told", "hint"),
    [
        ("nowhere", "there is no folder nowhere", "looked in"),
        ("empty", "holds no derivatives of a subject", "the folder of fMRIPrep's output"),
        ("above", "holds no derivatives of a subject", "do you mean"),
        ("openneuro:ds000777", "holds raw data", "openneuro-derivatives:"),
        ("openneuro-derivative:ds000777-fmriprep", "is not known", "openneuro-derivatives:"),
    ],
)
def test_what_are_no_derivatives_is_refused(
    site: OpenNeuro, tmp_path: Path, derivatives: str, told: str, hint: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "above" / "fmriprep" / "sub-01").mkdir(parents=True)
    configure(site, tmp_path, derivatives=derivatives)
    with pytest.raises(UsageError, match=told) as raised:
        plan()
    assert hint in str(raised.value.hint)


def test_the_backend_needs_to_know_where_they_are(site: OpenNeuro, tmp_path: Path) -> None:
    configure(site, tmp_path, derivatives=None)
    body = yaml.safe_load(Path("my.yaml").read_text())
    body["preprocess"] = {"fmri": {"backend": "derivatives"}}
    Path("my.yaml").write_text(yaml.safe_dump(body))
    with pytest.raises(UsageError, match=r"datasets\.0\.derivatives is missing"):
        plan()
