"""Configuration: keys, paths, regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from braindata.config import (
    config_schema,
    load_config,
    load_regions,
    parse_config,
)
from braindata.config_reference import config_reference
from braindata.errors import UsageError


def body(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"datasets": [{"id": "a", "source": "bids"}], "regions": "regions"}
    return facts | changes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("bids", "regions", "config", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x"}')
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regoins": "x"}, "regoins is not known; did you mean regions?"),
        ({"extract": {"stratgies": ["none"]}}, "did you mean strategies?"),
        ({"preprocess": {"fmri": {"resolutoin": 2}}}, "did you mean resolution?"),
        ({"datasets": [{"id": "a", "sorce": "x"}]}, r"datasets\.0\.sorce is not known; did you"),
        ({"datasets": []}, "datasets"),
        ({"datasets": [{"id": "a/b", "source": "x"}]}, r"datasets\.0\.id"),
        ({"curate": {"min_volumes": "many"}}, r"curate\.min_volumes"),
        ({"datasets": [{"id": "a", "source": "x"}, {"id": "A", "source": "y"}]}, "used twice: a"),
    ],
)
def test_wrong_keys_and_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_config(body(**changes), "my.yaml")


def test_one_fault_is_one_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(body(datasets=[{"id": "a", "sorce": "x"}]))
    assert "at least 1" not in caught.value.problem


def test_paths_are_relative_to_the_file_that_states_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project / "elsewhere")
    for folder in (project, project / "config"):
        file = folder / "my.yaml"
        file.write_text(yaml.safe_dump(body(output="out")))
        config, output = load_config(body(output="out"), [file])
        assert output == project / "out"
        assert config.datasets[0].source == str(project / "bids")
        assert config.regions == (str(project / "regions"),)
    # On the command line (--config output=there) a path is relative to where the user stands.
    _, output = load_config(body(output="there"), [file])
    assert output == project / "elsewhere" / "there"


def test_a_source_in_the_working_directory_is_found(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    file = project / "elsewhere" / "my.yaml"
    file.write_text(yaml.safe_dump(body()))
    config, _ = load_config(body(), [file])
    assert config.datasets[0].source == str(project / "bids")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets": [{"id": "a", "source": "nowhere"}]}, "there is no folder nowhere"),
        ({"regions": "nowhere"}, "there is no nowhere"),
        ({"output": "bids/results"}, "lie in each other"),
        ({"output": "."}, "lie in each other"),
        ({"output": "a{b}"}, "braces"),
        ({"datasets": [{"id": "a", "source": "elsewhere"}]}, "no BIDS data set"),
    ],
)
def test_wrong_paths_are_refused(project: Path, changes: dict[str, Any], message: str) -> None:
    file = project / "my.yaml"
    file.write_text(yaml.safe_dump(body(**changes)))
    with pytest.raises(UsageError, match=message):
        load_config(body(**changes), [file])


def test_the_schema_file_is_in_step(repository: Path) -> None:
    written = (repository / "config" / "schema.json").read_text()
    assert written == config_schema(), "run: braindata schema > config/schema.json"


def test_every_option_is_documented(repository: Path) -> None:
    reference = config_reference()
    for line in reference.splitlines():
        if line.startswith("| `"):
            assert len(line.split("|")[3].strip()) > 10, f"no description: {line}"
    for option in ("datasets.source", "preprocess.fmri.resolution", "extract.strategies"):
        assert f"`{option}`" in reference
    written = (repository / "docs" / "configuration.md").read_text()
    assert written == reference, "run: braindata schema --markdown > docs/configuration.md"


def test_the_default_config_is_valid(repository: Path) -> None:
    parse_config(yaml.safe_load((repository / "config" / "config.yaml").read_text()))


def test_region_files_are_checked(tmp_path: Path, repository: Path) -> None:
    assert len(load_regions(str(repository / "config/regions/spheres"))) == 18
    file = tmp_path / "mine.yaml"
    file.write_text("regions: []\n")
    with pytest.raises(UsageError, match="two keys"):
        load_regions(str(file))
    sphere = {"center": [1, 2], "radius": 8, "hemisphere": "right", "source": "a publication"}
    region = {
        "name": "mine",
        "processes": ["value"],
        "references": ["somebody 2020"],
        "space": "MNI152",
        "definition": {"kind": "spheres", "spheres": [sphere]},
    }
    file.write_text(yaml.safe_dump({"level": "valuation", "regions": [region]}))
    with pytest.raises(UsageError, match=r"region mine: .*center"):
        load_regions(str(file))
    sphere["center"] = [-10, 2, 3]
    file.write_text(yaml.safe_dump({"level": "valuation", "regions": [region]}))
    with pytest.raises(UsageError, match="a right sphere cannot have its centre at x = -10"):
        load_regions(str(file))
    for nothing in ("", " 5", " []"):
        file.write_text(f"level: valuation\nregions:{nothing}\n")
        with pytest.raises(UsageError, match="list of at least one region"):
            load_regions(str(file))
    file.write_text("level: [valuation\n")
    with pytest.raises(UsageError, match="not valid YAML"):
        load_regions(str(file))
