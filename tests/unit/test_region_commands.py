"""`braindata regions`: what it lists, shows, draws, and says of a run."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from braindata.cli import cli
from braindata.errors import UsageError
from braindata.planning import Plan
from braindata.receipts import Receipt, receipt_beside
from braindata.region_views import merged
from braindata.stages import STEP_VERSION
from braindata.status.planned import Planned

from .region_images import atlas, entry, save, sphere, two_sides, write_labels, write_regions


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with two regions, one of them of an atlas."""
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "atlas.nii.gz", two_sides())
    write_labels(tmp_path, {"LH_one": 1, "RH_two": 2})
    write_regions(tmp_path, entry("left_amygdala", sphere((-24, -4, -20))), entry("boxes", atlas()))
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    configure(tmp_path)
    return tmp_path


def configure(folder: Path, **changes: Any) -> None:
    values = {
        "datasets": [{"id": "ds", "source": "bids"}],
        "regions": "mine.yaml",
        "preprocess": {"fmri": {"native": {"resolution": 3}}},
    }
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(values | changes))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["regions", *arguments], standalone_mode=False)


def as_json(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_list(project: Path) -> None:
    told = call("list")
    assert told.return_value == 0
    header, boxes, amygdala = told.stdout.splitlines()
    assert header.split() == ["region", "level", "kind", "space", "n_voxels", "hash"]
    assert boxes.split()[:4] == ["boxes", "valuation", "atlas", "MNI152NLin2009aSym"]
    # A sphere of 10 mm on a grid of 3 mm.
    assert int(amygdala.split()[4]) == pytest.approx(4 / 3 * np.pi * 1000 / 27, rel=0.05)
    assert [one["region"] for one in as_json("list")] == ["boxes", "left_amygdala"]
    assert not (project / "results").exists()


def test_list_needs_no_data_set_and_merges_files(project: Path) -> None:
    configure(project, datasets=None)
    (project / "more.yaml").write_text("preprocess: {fmri: {native: {seed: 1}}}\n")
    (project / "coarse.yaml").write_text("preprocess: {fmri: {native: {resolution: 2}}}\n")
    files = ("--configfile", "more.yaml", "--configfile", "coarse.yaml")
    assert {one["resolution"] for one in as_json("list", *files)} == {2}
    assert {one["resolution"] for one in as_json("list", *files[:2])} == {3}


def test_show(project: Path) -> None:
    facts = as_json("show", "left_amygdala")
    assert facts["center_of_mass"] == pytest.approx([-24, -4, -20], abs=1)
    assert facts["volume"] == facts["n_voxels"] * 27
    assert (facts["placement"], facts["template"]) == ("same space", "MNI152NLin2009aSym")
    assert facts["definition"]["spheres"][0]["radius"] == 10
    text = call("show", "boxes").stdout
    for words in ("LH_one", "made for a test", "sha256", "same space", "centre of mass"):
        assert words in text
    error = call("show", "left_amigdala").exception
    assert isinstance(error, UsageError)
    assert error.problem == "there is no region left_amigdala"
    assert error.hint == "did you mean left_amygdala?"


def test_a_region_that_is_not_what_it_says_is_told(project: Path) -> None:
    write_labels(project, {"LH_one": 2})
    told = call("list")
    assert told.return_value == 2
    assert "the parcel LH_one is left by its name" in told.stderr
    facts = as_json("show", "boxes")
    assert "is left by its name" in facts["problem"]
    assert "n_voxels" not in facts


def test_plot(project: Path) -> None:
    told = call("plot", "boxes", "--output", "made/boxes.png")
    assert told.stdout.strip() == "made/boxes.png"
    image = Image.open(io.BytesIO((project / "made/boxes.png").read_bytes()))
    assert image.format == "PNG"
    pixels = np.asarray(image.convert("RGB")).astype(int)
    orange = (abs(pixels - [0xE8, 0x59, 0x0C]).sum(axis=2) < 10).nonzero()
    # Glass brains above, slices below; in the axial one, left is left.
    assert orange[0].min() < pixels.shape[0] / 2 < orange[0].max()
    top = orange[0] < pixels.shape[0] / 2
    axial = orange[1][top] > pixels.shape[1] * 0.7
    assert orange[1][top][axial].mean() < pixels.shape[1] * 0.85


def states() -> dict[str, tuple[str, str | None, str | None]]:
    return {one["region"]: (one["state"], one["before"], one["now"]) for one in as_json("diff")}


def finish(folder: Path) -> Plan:
    """Leave what a finished run leaves."""
    file = folder / "config" / "config.yaml"
    plan = Plan(yaml.safe_load(file.read_text()), [file])
    for key in plan.regions:
        for stage, path in (("extract", plan.layout.series), ("derive", plan.layout.trials)):
            parameters = json.loads(plan.parameters(stage, key, "ds"))
            receipt = Receipt(stage, f"ds/{key}", STEP_VERSION[stage], parameters, {})
            receipt.write(receipt_beside(path("ds", key)))
    Planned(tuple(plan.datasets), tuple(plan.regions)).write(plan.layout)
    return plan


def test_diff_says_what_a_run_would_recompute(project: Path) -> None:
    assert {name: state for name, (state, *_) in states().items()} == {
        "boxes": "new",
        "left_amygdala": "new",
    }
    before = {key.rpartition("-")[0]: key.rpartition("-")[2] for key in finish(project).regions}
    assert {state for state, *_ in states().values()} == {"unchanged"}
    assert call("diff").stdout == "2 unchanged\n"
    other = entry("left_amygdala", sphere((-24, -4, -22)))
    write_regions(project, other, entry("new_one", sphere((-30, 0, 0))))
    found = states()
    assert found["boxes"] == ("removed", before["boxes"], None)
    assert found["new_one"][:2] == ("new", None)
    state, was, now = found["left_amygdala"]
    assert (state, was) == ("changed", before["left_amygdala"])
    assert now not in (None, was)
    text = call("diff").stdout
    assert text.splitlines()[-1] == "1 new, 1 changed, 1 removed"
    # Other settings of a stage concern all regions; a pair of spaces only those that it is about.
    write_regions(
        project,
        entry("left_amygdala", sphere((-24, -4, -20))),
        entry("boxes", atlas()),
    )
    configure(project, derive={"high_pass": 0.01})
    assert {state for state, *_ in states().values()} == {"settings"}
    configure(project, spaces={"accepted": [["MNI152Lin", "MNI152NLin2009aSym"]]})
    assert {state for state, *_ in states().values()} == {"unchanged"}


def test_diff_tells_that_recordings_are_packed_anew(project: Path) -> None:
    plan = finish(project)
    receipt = Receipt(
        "curate", "ds", STEP_VERSION["curate"], {}, {}, notes={"units": {"sub-01": 1}}
    )
    receipt.write(plan.layout.receipt("curated", "ds"))
    for stage, folder in (("preprocess", "derivatives"), ("pack", "packed")):
        parameters = json.loads(plan.parameters(stage, dataset="ds"))
        receipt = Receipt(stage, "ds/sub-01", STEP_VERSION[stage], parameters, {})
        receipt.write(plan.layout.receipt(folder, "ds", "sub-01"))
    assert {state for state, *_ in states().values()} == {"unchanged"}
    # The means of regions are made as images are packed, so all of them are made again.
    configure(project, pack={"store": False})
    assert {state for state, *_ in states().values()} == {"settings"}


def test_a_key_beside_one_that_is_named_as_the_kind_is_told(project: Path) -> None:
    wrong = sphere((-24, -4, -20)) | {"grey_matter_threshold": 1.5}
    write_regions(project, entry("ball", wrong))
    with pytest.raises(UsageError, match=r"definition\.grey_matter_threshold is 1\.5"):
        Plan(*merged([]))


def test_every_command_has_an_example_and_explains_its_json() -> None:
    for name, command in cli.commands["regions"].commands.items():  # type: ignore[attr-defined]
        assert f"braindata regions {name}" in command.epilog
        options = {option for one in command.params for option in one.opts}
        assert ("--json" in options) == ("--json prints one" in command.help)
        assert all(one.help for one in command.params if isinstance(one, click.Option)), name
