"""`braindata pull` for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from braindata.cli import cli, guarded
from braindata.pull.repository import read_version
from braindata.scaffold.project import init_project, parse_datasets
from tests.unit.git_repositories import MadeRepository, git
from tests.unit.openneuro_server import OpenNeuro, serving

REGIONS = Path(__file__).resolve().parents[2] / "config" / "regions" / "spheres"
TEXTS = {
    "dataset_description.json": b'{"Name": "x"}',
    "sub-01/func/sub-01_task-rest_events.tsv": b"onset\tduration\n",
}
IMAGE = "sub-01/func/sub-01_task-rest_bold.nii.gz"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenNeuro]:
    (tmp_path / "git").mkdir()
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path / "git") as one:
        version(one, "1.0.0", b"first")
        body = {
            "datasets": [{"id": "ds", "source": "openneuro:ds000777"}],
            "regions": str(REGIONS),
            "pull": {"openneuro": f"{one.url}/git/{{id}}.git", "download": {"pause": 0.001}},
        }
        (tmp_path / "my.yaml").write_text(yaml.safe_dump(body))
        yield one


def version(site: OpenNeuro, tag: str, image: bytes) -> None:
    path = site.repositories / "ds000777.git"
    MadeRepository(path, f"{site.url}/openneuro.org").version(tag, TEXTS, {IMAGE: image}, site)


def pull(*arguments: str) -> int:
    line = ["pull", "--configfile", "my.yaml", *arguments]
    return guarded(lambda: cli.main(line, standalone_mode=False))


def test_from_a_dry_run_to_an_update(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull("--dry-run") == 0
    said = capsys.readouterr()
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(said.out), delimiter="\t")}
    assert sorted(rows) == sorted([*TEXTS, IMAGE])
    assert rows[IMAGE]["size"] == "5"
    assert rows[IMAGE]["state"] == "download"
    assert rows[IMAGE]["address"].startswith(
        f"{site.url}/openneuro.org/ds000777/{IMAGE}?versionId="
    )
    assert rows["dataset_description.json"]["state"] == "git"
    assert "to be downloaded: 1 files, 5 bytes" in said.err
    assert not site.sent
    assert not (tmp_path / "datasets.lock").exists()
    assert not (tmp_path / "results" / "raw" / "ds").exists()

    assert pull() == 0
    image = tmp_path / "results" / "raw" / "ds" / IMAGE
    assert image.read_bytes() == b"first"
    assert (tmp_path / "datasets.lock").is_file()
    assert pull("--verify") == 0

    version(site, "1.1.0", b"second")
    capsys.readouterr()
    assert pull("--dry-run") == 0
    assert "version 1.0.0: 3 files" in capsys.readouterr().err
    assert pull("--update") == 0
    assert "ds: version 1.0.0 → 1.1.0" in capsys.readouterr().out
    assert pull("--verify") == 1
    assert "version 1.0.0 is here, 1.1.0 is asked for" in capsys.readouterr().err
    assert pull() == 0
    assert image.read_bytes() == b"second"
    assert pull("--update") == 0
    assert "as before" in capsys.readouterr().out


def test_verify_names_what_is_wrong(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull() == 0
    raw = tmp_path / "results" / "raw" / "ds"
    (raw / IMAGE).chmod(0o644)
    (raw / IMAGE).write_bytes(b"fIrst")
    (raw / "dataset_description.json").unlink()
    capsys.readouterr()
    assert pull("--verify") == 1
    assert capsys.readouterr().out.splitlines() == [
        "ds\tdataset_description.json\tit is not here",
        f"ds\t{IMAGE}\tits contents are not what its key says",
    ]
    assert pull() == 0
    assert pull("--verify") == 0


def test_an_update_without_a_network_keeps_what_is_pinned(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert pull() == 0
    lock = (tmp_path / "datasets.lock").read_text()
    config = (tmp_path / "my.yaml").read_text()
    (tmp_path / "my.yaml").write_text(config.replace(site.url, "http://127.0.0.1:9"))
    assert pull("--update") == 1
    assert "version 1.0.0 stays" in capsys.readouterr().err
    assert (tmp_path / "datasets.lock").read_text() == lock
    # What is here needs none.
    assert pull() == 0


def test_wrong_calls_are_told(site: OpenNeuro, capsys: pytest.CaptureFixture[str]) -> None:
    assert pull("--dry-run", "--verify") == 2
    assert pull("--dataset", "other") == 2
    assert "it has: ds" in capsys.readouterr().err
    assert pull("--source", "x") == 2
    assert pull("--verify") == 1
    assert "the receipt is missing" in capsys.readouterr().err


def test_local_folders_can_be_listed_and_verified(
    site: OpenNeuro, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {**TEXTS, IMAGE: b"image", "sub-02/anat/sub-02_T1w.nii": b"t"}.items():
        path = tmp_path / "bids" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    dataset = {"id": "ds", "source": "bids", "subset": {"subject": ["01"]}}
    (tmp_path / "my.yaml").write_text(
        yaml.safe_dump({"datasets": [dataset], "regions": str(REGIONS)})
    )
    assert pull("--dry-run") == 0
    assert "3 files, 33 bytes, all local" in capsys.readouterr().err
    assert pull() == 0
    assert not (tmp_path / "results" / "raw" / "ds" / "sub-02").exists()
    assert pull("--verify") == 0
    (tmp_path / "bids" / IMAGE).write_bytes(b"other")
    capsys.readouterr()
    assert pull("--verify") == 1
    assert "it was changed since it was pulled" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["ds000005", "ds003061", "ds002336"])
def test_a_dry_run_lists_all_of_a_real_repository(
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    bundle = shared_data / "openneuro-git" / f"{name}.bundle"
    if not bundle.is_file():
        pytest.skip(f"needs {bundle.name}, which is not here")
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / f"{name}.git"
    git("clone", "-q", "--bare", str(bundle), str(bare))
    for tag in git("tag", folder=bare).split():
        body = {
            "datasets": [{"id": "ds", "source": f"openneuro:{name}@{tag}"}],
            "regions": str(REGIONS),
            "pull": {"openneuro": f"file://{tmp_path}/{{id}}.git"},
        }
        (tmp_path / "my.yaml").write_text(yaml.safe_dump(body))
        capsys.readouterr()
        assert pull("--dry-run") == 0
        table = csv.DictReader(io.StringIO(capsys.readouterr().out), delimiter="\t")
        rows = {row["path"]: row for row in table}
        for file in read_version(bare, tag).files:
            if file.key is not None and not file.path.startswith(("derivatives/", "sourcedata/")):
                row = rows[file.path]
                assert row["size"] == str(file.size)
                assert row["checksum"] == f"{file.key.algorithm}:{file.key.digest}"
                assert row["address"] == file.addresses[0].url


def test_a_project_can_begin_with_a_repository(tmp_path: Path) -> None:
    named = parse_datasets(["a=openneuro:ds000005@00001", "b=git+https://host/x"])
    init_project(tmp_path / "study", named)
    body = yaml.safe_load((tmp_path / "study" / "config" / "config.yaml").read_text())
    assert [one["source"] for one in body["datasets"]] == list(named.values())
