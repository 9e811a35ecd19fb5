"""A project of one's own: what is written, what is kept, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from braindata.cli import cli
from braindata.config import parse_config
from braindata.config_regions import load_regions
from braindata.errors import UsageError
from braindata.planning import Plan
from braindata.scaffold import project as module
from braindata.scaffold.messages import describe_changes
from braindata.scaffold.project import (
    CONFIG,
    PROFILE,
    RECORD,
    Changes,
    check_version,
    init_project,
    parse_datasets,
    project_files,
    starter_config,
)


@pytest.fixture
def bids(tmp_path: Path) -> Path:
    folder = tmp_path / "bids"
    (folder / "sub-01").mkdir(parents=True)
    (folder / "dataset_description.json").write_text('{"Name": "a", "BIDSVersion": "1.8.0"}')
    return folder


@pytest.fixture
def upgrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of a later braindata: its files may be changed."""
    root = tmp_path / "later"
    for name, path in project_files().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / name)
    monkeypatch.setattr(module, "project_root", lambda: root)
    monkeypatch.setattr(module, "_version", lambda: "9.9.9")
    return root


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_project_is_the_repository_s_own_files(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "study"
    changes = init_project(folder)
    assert changes == Changes(written=sorted([*project_files(), CONFIG]))
    for name in project_files():
        assert (folder / name).read_bytes() == (repository / name).read_bytes(), name
    # Everything that the Snakefile includes or a rule names is there, and the default profile.
    rules = {path.name for path in (repository / "rules").iterdir()}
    assert {path.name for path in (folder / "rules").iterdir()} == rules
    profile = folder / PROFILE / "config.yaml"
    assert profile.read_bytes() == (repository / PROFILE / "config.yaml").read_bytes()
    assert (folder / PROFILE).readlink() == (repository / PROFILE).readlink()
    assert len(load_regions(str(folder / "config/regions/spheres"))) == 18
    assert not list(folder.rglob(".part-*"))


def test_the_starter_says_the_defaults(bids: Path) -> None:
    filled = yaml.safe_load(starter_config({"a": str(bids)}))
    stated = parse_config(filled)
    assert stated == parse_config({"datasets": filled["datasets"]})
    # What it offers in comments is known and is what holds without them.
    text = starter_config({"a": str(bids)})
    offered = "".join(
        f"{line.removeprefix('# ')}\n"
        for line in text.partition("with the defaults:\n")[2].splitlines()
    )
    assert parse_config(filled | yaml.safe_load(offered)) == stated


def test_an_unfilled_configuration_says_what_to_write(tmp_path: Path) -> None:
    init_project(tmp_path)
    config = tmp_path / CONFIG
    with pytest.raises(UsageError, match="no data set is named yet") as error:
        Plan(yaml.safe_load(config.read_text()), [config], tmp_path)
    assert error.value.file == str(config)
    assert "source: FOLDER" in (error.value.hint or "")


def test_data_sets_are_filled_in(
    tmp_path: Path, bids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("some/study")
    init_project(folder, {"near": Path("bids"), "far": bids})
    config = folder / CONFIG
    values = yaml.safe_load(config.read_text())
    assert values["datasets"] == [
        {"id": "near", "source": "../../bids"},
        {"id": "far", "source": str(bids)},
    ]
    plan = Plan(values, [config], folder.resolve())
    assert {plan.source("near"), plan.source("far")} == {str(bids)}
    assert plan.layout.output == tmp_path / "some/study/results"


@pytest.mark.parametrize(
    ("folders", "modalities"),
    [
        (["sub-01/eeg"], ["eeg"]),
        (["sub-01/ses-1/eeg"], ["eeg"]),
        (["sub-01/func", "sub-02/ses-1/eeg"], ["fmri", "eeg"]),
        (["sub-01/func"], None),
    ],
)
def test_a_folder_with_eeg_says_so(
    tmp_path: Path, bids: Path, folders: list[str], modalities: list[str] | None
) -> None:
    for one in folders:
        (bids / one).mkdir(parents=True)
    init_project(tmp_path / "study", {"a": bids})
    values = yaml.safe_load((tmp_path / "study" / CONFIG).read_text())
    assert values["datasets"][0].get("modalities") == modalities


def test_a_second_call_changes_nothing(tmp_path: Path, bids: Path) -> None:
    folder = tmp_path / "study"
    init_project(folder, {"a": bids})
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for datasets in ({"a": bids}, {}):
        assert init_project(folder, datasets) == Changes()
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_what_braindata_did_not_write_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("rule mine:\n")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="1 files are in the way: Snakefile"):
        init_project(tmp_path)
    assert contents(tmp_path) == before
    assert "Snakefile" in init_project(tmp_path, force=True).updated
    assert (tmp_path / "Snakefile").read_text() != "rule mine:\n"


def test_a_configuration_is_the_user_s(tmp_path: Path, bids: Path) -> None:
    folder = tmp_path / "study"
    init_project(folder)
    # Still as it was written: it may be filled in.
    assert init_project(folder, {"a": bids}).updated == [CONFIG]
    before = contents(folder)
    with pytest.raises(UsageError, match="there is a configuration already"):
        init_project(folder, {"b": bids})
    assert init_project(folder, force=True) == Changes()
    assert contents(folder) == before
    assert init_project(folder, {"b": bids}, force=True).updated == [CONFIG]
    assert yaml.safe_load((folder / CONFIG).read_text())["datasets"][0]["id"] == "b"


def test_an_upgrade_keeps_what_was_edited(tmp_path: Path, upgrade: Path, bids: Path) -> None:
    folder = tmp_path / "study"
    (upgrade / "rules/old.smk").write_text("# gone later\n")
    init_project(folder, {"a": bids})
    (upgrade / "rules/old.smk").unlink()
    (upgrade / "rules/new.smk").write_text("# new\n")
    for name in ("Snakefile", "rules/pull.smk"):
        (upgrade / name).write_text((upgrade / name).read_text() + "# later\n")
    mine = "# mine\n"
    for name in ("rules/pull.smk", "rules/preprocess.smk", CONFIG):
        (folder / name).write_text(mine)
    changes = init_project(folder)
    expected = Changes(
        written=["rules/new.smk"],
        updated=["Snakefile"],
        removed=["rules/old.smk"],
        kept=["rules/preprocess.smk"],
        differing=["rules/pull.smk"],
    )
    assert changes == expected
    assert (folder / "Snakefile").read_text().endswith("# later\n")
    assert all(
        (folder / name).read_text() == mine
        for name in ("rules/pull.smk", "rules/preprocess.smk", CONFIG)
    )
    text = describe_changes(folder, changes, filled_in=False)
    assert text.index("updated:\n  Snakefile") < text.index("compare them:\n  rules/pull.smk")
    # It is said each time until it is settled.
    again = init_project(folder)
    assert again == Changes(kept=["rules/preprocess.smk"], differing=["rules/pull.smk"])
    assert init_project(folder, force=True).updated == ["rules/preprocess.smk", "rules/pull.smk"]
    assert init_project(folder) == Changes()


def test_a_killed_call_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []
    original = module.atomic_path

    def killed(path: Path):  # type: ignore[no-untyped-def]
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(module, "atomic_path", killed)
    with pytest.raises(KeyboardInterrupt):
        init_project(tmp_path)
    monkeypatch.setattr(module, "atomic_path", original)
    assert len(init_project(tmp_path).written) == len(project_files()) + 1 - 3
    assert init_project(tmp_path) == Changes()


def test_rules_of_another_version_are_refused(tmp_path: Path, repository: Path) -> None:
    init_project(tmp_path)
    check_version(tmp_path)
    check_version(repository)
    record = json.loads((tmp_path / RECORD).read_text())
    (tmp_path / RECORD).write_text(json.dumps(record | {"braindata": "0.0.1"}))
    with pytest.raises(UsageError, match=r"those of braindata 0\.0\.1, installed is 0\.1") as error:
        Plan({}, [], tmp_path)
    assert f"braindata init {tmp_path}" in str(error.value)
    init_project(tmp_path)
    check_version(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"braindata": "0.1.0"}'])
def test_a_broken_record_is_none(tmp_path: Path, text: str) -> None:
    init_project(tmp_path)
    (tmp_path / RECORD).write_text(text)
    check_version(tmp_path)
    assert init_project(tmp_path) == Changes()
    assert json.loads((tmp_path / RECORD).read_text())["files"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["a"], "a name and a BIDS folder are needed"),
        (["=x"], "a name and a BIDS folder are needed"),
        (["a=x", "A=y"], "used twice"),
        (["a b=."], "letters, digits"),
        (["a=nowhere"], "there is no folder nowhere"),
        (["a=."], "no BIDS data set"),
    ],
)
def test_wrong_data_sets_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=problem):
        init_project(tmp_path / "study", parse_datasets(options))
    assert not (tmp_path / "study").exists()


def test_a_data_set_does_not_become_a_project(bids: Path) -> None:
    before = contents(bids)
    with pytest.raises(UsageError, match="this is a BIDS data set"):
        init_project(bids)
    assert contents(bids) == before


def test_the_clone_itself_is_no_project(repository: Path) -> None:
    with pytest.raises(UsageError, match="braindata itself"):
        init_project(repository)


def test_what_people_use_has_an_example() -> None:
    from braindata.stages import STEP_VERSION

    people = set(cli.commands) - set(STEP_VERSION)
    assert {"init", "tables"} <= people
    for name in sorted(people):
        command = cli.commands[name]
        assert f"braindata {name}" in f"{command.epilog} {command.help}", name
