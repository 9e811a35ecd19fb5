"""Configuration: keys, paths, regions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from braindata.config import (
    config_schema,
    load_config,
    parse_config,
)
from braindata.config_reference import config_reference
from braindata.config_regions import load_regions
from braindata.errors import UsageError


def body(**changes: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"datasets": [{"id": "a", "source": "bids"}], "regions": "regions"}
    return facts | changes


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("bids", "regions", "config", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x"}')
    (tmp_path / "bids" / "sub-01").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"regoins": "x"}, "regoins is not known; did you mean regions?"),
        ({"extract": {"stratgies": ["none"]}}, "did you mean strategies?"),
        ({"preprocess": {"fmri": {"native": {"resolutoin": 2}}}}, "did you mean resolution?"),
        ({"datasets": [{"id": "a", "sorce": "x"}]}, r"datasets\.0\.sorce is not known; did you"),
        ({"datasets": []}, "datasets"),
        ({"datasets": [{"id": "a/b", "source": "x"}]}, r"datasets\.0\.id"),
        ({"curate": {"min_volumes": "many"}}, r"curate\.min_volumes"),
        (
            {"datasets": [{"id": "a", "source": "x"}, {"id": "A", "source": "y"}]},
            "the id a is used twice",
        ),
    ],
)
def test_wrong_keys_and_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_config(body(**changes))


def test_one_fault_is_one_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(body(datasets=[{"id": "a", "sorce": "x"}]))
    assert caught.value.problem == "datasets.0.sorce is not known; did you mean source?"


FILE = """\
# A comment, so that lines count.
output: out
datasets:
  - id: a
    source: bids
  - source: bids
    id: b
regions: [regions]
curate:
  min_volumes: 50
preprocess:
  fmri: {native: {resolution: 2,
                  seed: 1}}
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "told", "hint"),
    [
        ("output: out", "uotput: out", 2, "uotput is not known; did you mean output?", None),
        (
            "output: out",
            "zzz: out",
            2,
            "zzz is not known; known: align, connectivity, curate, datasets",
            None,
        ),
        (
            "min_volumes: 50",
            "min_volumes: 5",
            10,
            "is 5; it must be greater than or equal to",
            "Ex",
        ),
        ("min_volumes: 50", "min_volumes: many", 10, "is 'many'; it must be a valid integer", "Ex"),
        ("resolution: 2", "resolution: 4", 12, "is 4; it must be 2 or 3", "Voxel size"),
        (
            "seed: 1",
            "sead: 1",
            13,
            "preprocess.fmri.native.sead is not known; did you mean seed?",
            None,
        ),
        (
            "id: b",
            "id: A",
            7,
            "the id a is used twice, first in {file}, line 4",
            "a name of its own",
        ),
        ("id: b", "id: b/c", 7, "datasets.1.id is 'b/c'", "letters, digits"),
        ("    id: b", "    modalities: [fmri]", 6, "datasets.1.id is missing", "Its name"),
        ("id: b", "id: 7", 7, "datasets.1.id is 7; it must be a valid string", "Its name"),
        ("source: bids\n  -", "source: gone\n  -", 5, "there is no folder gone", "looked in"),
        ("- source: bids", "- source: regions", None, "no BIDS data set", "{file}, line 6"),
        ("[regions]", "[regions, nowhere]", 8, "there is no nowhere", "looked in"),
        (
            "[regions]",
            "7",
            8,
            "regions is 7; it must be a valid string or regions is 7; it",
            "A fold",
        ),
        ("resolution: 2", "resolution: .nan", 12, "is nan; it must be 2 or 3", "Voxel size"),
        ("output: out", "output: my.yaml", 2, "is a file, where a folder is due", "choose"),
        ("output: out", "output: my.yaml/out", 2, "my.yaml is a file, where a", "choose"),
        ("output: out", "output: a{b}", 2, "braces", "choose a folder"),
        ("output: out", "output: bids/out", 5, "lie in each other", "choose"),
        ("output: out", "output: [out", 3, "this is not valid YAML", "brackets"),
        ("output: out", "\toutput: out", 2, "this is not valid YAML", "no tabs"),
        (
            "output: out",
            "output: out\noutput: in",
            3,
            "output is there twice, first in line 2",
            None,
        ),
    ],
)
def test_a_fault_is_named_with_its_line(
    project: Path, old: str, new: str, line: int | None, told: str, hint: str | None
) -> None:
    file = project / "my.yaml"
    assert old in FILE
    text = FILE.replace(old, new, 1)
    file.write_text(text)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError:
        values = {}
    with pytest.raises(UsageError) as caught:
        load_config(values, [file])
    if line is not None:
        assert caught.value.file == f"{file}, line {line}"
    assert told.format(file=file) in caught.value.problem
    assert "\n" not in caught.value.problem
    assert hint is None or hint.format(file=file) in str(caught.value.hint)


def test_the_file_that_states_it_is_named(project: Path) -> None:
    first, second = project / "first.yaml", project / "second.yaml"
    first.write_text("regions: regions\ncurate: {min_volumes: 50}\n")
    second.write_text("datasets:\n- {id: a, source: bids}\ncurate:\n  tasks: [x]\n")
    values = {
        "regions": "regions",
        "curate": {"min_volumes": 50, "tasks": ["x"]},
        "datasets": [{"id": "a", "source": "bids"}],
    }
    files = [first, second]
    load_config(values, files)

    def told(**changes: Any) -> UsageError:
        with pytest.raises(UsageError) as caught:
            load_config(values | changes, files)
        return caught.value

    # A value that no file has comes from the command line, also where a file has another one.
    command_line = "the command line (--config)"
    assert told(curate={"min_volumes": 2, "tasks": ["x"]}).file == command_line
    assert told(zzz=1).file == command_line
    assert told(regions="gone").file == command_line
    first.write_text("regions: regions\n\ncurate: {min_volumes: 2}\n")
    assert told(curate={"min_volumes": 2, "tasks": ["x"]}).file == f"{first}, line 3"
    # Several faults are one error, each with its place.
    both = told(curate={"min_volumes": 2, "tasks": ["x"]}, zzz=1).problem.splitlines()
    assert len(both) == 3
    assert both[0] == "2 faults in the configuration"
    assert f"{first}, line 3: curate.min_volumes" in "".join(both)
    assert "the command line (--config): zzz" in "".join(both)


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


def test_exclusions_lie_beside_the_configuration(project: Path) -> None:
    file = project / "my.yaml"
    file.write_text(yaml.safe_dump(body()))
    assert load_config(body(), [file])[0].exclusions == ""
    (project / "config" / "exclusions").mkdir(parents=True, exist_ok=True)
    assert load_config(body(), [file])[0].exclusions == str(project / "config" / "exclusions")
    values = body(exclusions="nowhere")
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError, match="exclusions: there is no folder nowhere"):
        load_config(values, [file])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curate": {"exclude": ["n_volume < 100"]}}, "did you mean n_volumes"),
        ({"curate": {"exclude": ["mean_fd > 0.5"]}}, r"write the rule in publish\.exclude"),
        ({"publish": {"exclude": ["fd_maen > 0.5"]}}, "did you mean fd_mean"),
    ],
)
def test_wrong_rules_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_config(body(**changes))


def test_all_wrong_rules_are_told_at_once(project: Path) -> None:
    file = project / "my.yaml"
    rules = ["fd_mean > 0.2", "tsnr_medain < 30", "tr", "space = X"]
    values = body(publish={"exclude": rules})
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UsageError) as caught:
        load_config(values, [file])
    first = file.read_text().splitlines().index("  - fd_mean > 0.2") + 1
    told = caught.value.problem.splitlines()
    assert told[0] == "3 faults in the configuration"
    for number, (line, rule) in enumerate(zip(told[1:], rules[1:], strict=True), start=1):
        where = f"{file}, line {first + number}: publish.exclude.{number} is {rule!r}"
        assert line.strip().startswith(where)
    assert "did you mean tsnr_median?" in told[1]


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
    for option in ("datasets.source", "preprocess.fmri.native.resolution", "extract.strategies"):
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
    with pytest.raises(UsageError, match="line 2: this is not valid YAML"):
        load_regions(str(file))


def test_faults_of_regions_are_named_with_their_lines(tmp_path: Path, repository: Path) -> None:
    text = (repository / "config/regions/spheres/valuation.yaml").read_text()
    file = tmp_path / "mine.yaml"

    def told(old: str, new: str) -> tuple[str, UsageError]:
        changed = text.replace(old, new, 1)
        file.write_text(changed)
        at = changed[: changed.index(new)].count("\n") + 1
        with pytest.raises(UsageError) as caught:
            load_regions(str(file))
        return f"{file}, line {at}", caught.value

    where, error = told("processes:", "proceses:")
    assert (error.file, "did you mean processes" in error.problem) == (where, True)
    where, error = told("level: valuation", "level: evaluation")
    assert error.file == where
    assert "'valuation'" in error.problem
    where, error = told("name: vmpfc", "name: ventral_striatum")
    lines = file.read_text().splitlines()
    twice = [n for n, line in enumerate(lines, 1) if "name: ventral_striatum" in line]
    assert error.file == f"{file}, line {twice[1]}"
    assert f"first in {file}, line {twice[0]}" in error.problem


def test_an_eigenvariate_without_a_store_is_refused(tmp_path: Path) -> None:
    values = {
        "datasets": [{"id": "ds", "source": "bids"}],
        "pack": {"store": False},
        "extract": {
            "strategies": ["none", "first"],
            "presets": {"first": {"strategy": ["motion"], "signal": "eigenvariate"}},
        },
    }
    with pytest.raises(UsageError, match=r"extract.strategies: first takes an eigenvariate"):
        parse_config(values)


@pytest.mark.parametrize(
    ("more", "told", "hint"),
    [
        ({"pack": {"store": False}, "align": {"groups": ["levels"]}}, "align.groups: al", "store"),
        (
            {"align": {"strategy": "simpel"}},
            "align.strategy: there is no strategy simpel",
            "simple",
        ),
    ],
)
def test_alignment_that_cannot_be_is_refused(more: dict, told: str, hint: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        parse_config({"datasets": [{"id": "ds", "source": "bids"}], **more})
    assert hint in str(caught.value.hint)


def test_a_preset_of_ones_own_cleans_voxels_without_being_listed() -> None:
    presets = {"gentle": {"strategy": ["motion"]}}
    more = {"extract": {"presets": presets}, "align": {"strategy": "gentle"}}
    config = parse_config({"datasets": [{"id": "ds", "source": "bids"}], **more})
    assert config.align.strategy == "gentle"
