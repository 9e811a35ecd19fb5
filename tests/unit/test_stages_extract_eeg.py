"""EEG through `head` and `extract`: a region's series, and what is null with a reason."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose

from braindata.config_regions import load_regions
from braindata.eeg.forward import read_lead_fields
from braindata.eeg.inverse import eloreta
from braindata.eeg.regions import montage_lead_field, place_region
from braindata.eeg.source_parameters import HeadParameters, SourceParameters
from braindata.errors import BraindataError
from braindata.extract.parameters import ExtractParameters
from braindata.files import sha256_file, write_text
from braindata.layout import Layout
from braindata.pack.eeg_store import Montage, write_eeg_store
from braindata.pack.store import Grid, write_store
from braindata.pull.local import PulledFile, write_manifest
from braindata.receipts import Outcome, Receipt, hash_outputs, receipt_beside
from braindata.regions.definition import Region
from braindata.regions.spaces import Spaces
from braindata.regions.template import template_grid
from braindata.stages import STEP_VERSION, derive, extract, head
from braindata.tables.schemas.recordings import RECORDINGS
from tests.unit.eeg_heads import montage

SPHERES = Path(__file__).parents[2] / "config" / "regions" / "spheres"
SOURCES = SourceParameters(n_dipoles=30)
EEG, PLACELESS, BROKEN = (f"sub-{label}_task-x_eeg" for label in ("01", "02", "03"))
BOLD = "sub-01_task-x_bold"
EVENTS = "sub-01/eeg/sub-01_task-x_events.tsv"


@pytest.fixture(scope="module")
def regions() -> dict[str, Region]:
    return {one.name: one for one in load_regions(str(SPHERES))}


def data() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((64, 200)) * 1e-5


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory, regions: dict[str, Region]) -> Layout:
    """A curated and packed data set of both modalities, and the heads."""
    layout = Layout(tmp_path_factory.mktemp("out"))
    names, positions = montage()
    nowhere, wrong = np.full_like(positions, np.nan), data()
    wrong[3, 7] = np.nan
    stores = {EEG: (data(), positions), PLACELESS: (data(), nowhere), BROKEN: (wrong, positions)}
    for name, (samples, places) in stores.items():
        write_eeg_store(
            layout.store("ds", name),
            samples,
            Montage(tuple(names), places, "measured", "average"),
            100.0,
            attributes={"rejected": {}},
        )
    _image(layout.store("ds", BOLD))
    rows = [
        {
            "dataset": "ds",
            "recording": name,
            "modality": "fmri" if name == BOLD else "eeg",
            "subject": name[4:6],
            "task": "x",
            "unit": name[:6],
            "events": EVENTS if name == EEG else None,
            "status": "used",
        }
        for name in (*stores, BOLD)
    ]
    layout.inventory("ds").parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, RECORDINGS), layout.inventory("ds"))
    Receipt("curate", "ds", 1, {}, {}).write(layout.receipt("curated", "ds"))
    for unit in ("sub-01", "sub-02", "sub-03"):
        here = [row["recording"] for row in rows if row["unit"] == unit]
        outputs = hash_outputs([layout.store("ds", name) for name in here], layout.output)
        done = {name: Outcome("done") for name in here}
        receipt = Receipt("pack", f"ds/{unit}", 1, {}, {}, outputs, recordings=done)
        receipt.write(layout.receipt("packed", "ds", unit))
    events = layout.raw("ds") / EVENTS
    write_text(events, "onset\tduration\n1\t0\n")
    file = PulledFile(EVENTS, events.stat().st_size, sha256_file(events))
    write_manifest(layout.manifest("ds"), [file])
    others = tuple(regions[name] for name in ("dlpfc", "visual", "ifg", "ventral_striatum"))
    chosen = HeadParameters(model="sphere", spacing=12)
    assert head.run(layout, head.Parameters(head=chosen, others=others))
    return layout


def _image(path: Path) -> None:
    """Write a store of all of the head: each voxel has its own number throughout."""
    affine = np.array([[6.0, 0, 0, -72], [0, 6, 0, -108], [0, 0, 6, -66], [0, 0, 0, 1]])
    shape = (25, 31, 25)
    n_voxels = int(np.prod(shape))
    samples = np.repeat(np.arange(n_voxels, dtype=np.float32)[:, np.newaxis], 5, axis=1)
    write_store(
        path,
        samples,
        Grid(shape, affine, "MNI152NLin2009aSym"),
        np.arange(n_voxels),
        np.ones(n_voxels, bool),
        2.0,
        pd.DataFrame(index=range(5)),
        {},
    )


def parameters(region: Region, sources: SourceParameters | None = SOURCES) -> extract.Parameters:
    how = ExtractParameters(strategies=("none",), min_coverage=0)
    # As it is planned: with what this region needs, and not what others do.
    spaces = Spaces().concerning(region.spaces)
    return extract.Parameters(region=region, extract=how, spaces=spaces, sources=sources)


def extracted(layout: Layout, region: Region, **more: Any) -> dict[str, dict[str, Any]]:
    extract.run(layout, "ds", parameters(region, **more))
    rows = pq.read_table(layout.series("ds", region.key)).to_pylist()
    assert [row["recording"] for row in rows] == sorted(row["recording"] for row in rows)
    return {row["recording"]: row for row in rows}


def test_series_are_those_of_the_inverse(output: Layout, regions: dict[str, Region]) -> None:
    """Step by step from the files: lead field, inverse solution, the mean of the region."""
    row = extracted(output, regions["dlpfc"])[EEG]
    model = read_lead_fields(output.head(head.MODEL))
    inverse = eloreta(montage_lead_field(model, montage()[1]), 3.0)
    placed = place_region(regions["dlpfc"], model)
    solution = np.einsum("soc,ct->sot", inverse[placed.sources], data().astype(np.float32))
    moments = placed.moments(model.sources[placed.sources])
    courses = (solution * moments[..., np.newaxis]).sum(axis=1)
    assert_allclose(row["values"], np.average(courses, axis=0, weights=placed.shares), rtol=1e-4,
                    atol=1e-14)  # fmt: skip
    assert (row["unit"], row["strategy"], row["reason"]) == ("A·m", "none", None)
    assert row["eeg_class"] in ("good", "fair") and row["localisation_error"] < 20
    # Of the regions that came with the heads; not of itself.
    assert set(json.loads(row["crosstalk"])) == {"visual", "ifg", "ventral_striatum"}


def test_both_modalities_are_in_one_table(output: Layout, regions: dict[str, Region]) -> None:
    rows = extracted(output, regions["dlpfc"])
    assert set(rows) == {EEG, PLACELESS, BOLD}
    of_image = rows[BOLD]
    assert len(of_image["values"]) == 5 and of_image["unit"] == "a.u."
    assert of_image["eeg_class"] is None and of_image["n_voxels"] > 0
    # What is made of images is the same without EEG.
    alone = extracted(output, regions["dlpfc"], sources=None)
    assert alone == {BOLD: of_image}
    kept = Receipt.read(receipt_beside(output.series("ds", regions["dlpfc"].key)))
    assert "sources" not in kept.parameters and set(kept.inputs) == {"packed"}


def test_what_cannot_be_said_is_null(output: Layout, regions: dict[str, Region]) -> None:
    rows = extracted(output, regions["dlpfc"])
    placeless = rows[PLACELESS]
    assert placeless["values"] is None and placeless["eeg_class"] is None
    assert placeless["reason"].startswith("positions: 0 of 64 electrodes")
    receipt = Receipt.read(receipt_beside(output.series("ds", regions["dlpfc"].key)))
    broken = receipt.recordings[BROKEN]
    assert broken.state == "quarantined" and "NaN" in str(broken.reason)
    assert broken.file == f"packed/ds/{BROKEN}.h5"
    deep = extracted(output, regions["amygdala"])[EEG]
    assert deep["values"] is None and deep["eeg_class"] == "not_claimed"
    assert deep["reason"] and deep["localisation_error"] > 0


def test_who_insists_gets_values(output: Layout, regions: dict[str, Region]) -> None:
    insisting = SOURCES.model_copy(update={"insist": ("amygdala",)})
    deep = extracted(output, regions["amygdala"], sources=insisting)[EEG]
    assert len(deep["values"]) == 200 and deep["reason"] is None
    assert deep["eeg_class"] == "not_claimed"


def test_a_region_without_sources_stops_nothing(output: Layout) -> None:
    sphere = {
        "center": (0, 60, -60),
        "radius": 4,
        "hemisphere": "midline",
        "source": "made for a test",
    }
    chin = Region(
        name="chin",
        level="perception",
        processes=("test",),
        references=("none",),
        space="MNI152NLin2009aSym",
        definition={"kind": "spheres", "grey_matter": False, "spheres": [sphere]},
    )
    row = extracted(output, chin)[EEG]
    assert row["values"] is None and row["eeg_class"] is None
    assert "0 % of it is near a source" in row["reason"]


def test_a_region_smaller_than_voxels_is_not_there_and_stops_nothing(output: Layout) -> None:
    # Between the voxels of 2 mm on which regions get to the sources, and those of the image.
    center = (template_grid(2).affine @ np.array([50, 60, 40, 1]))[:3] + 1
    sphere = {"center": center, "radius": 0.5, "hemisphere": "right", "source": "made for a test"}
    speck = Region(
        name="speck",
        level="perception",
        processes=("test",),
        references=("none",),
        space="MNI152NLin2009aSym",
        definition={"kind": "spheres", "grey_matter": False, "spheres": [sphere]},
    )
    rows = extracted(output, speck)
    assert rows[EEG]["values"] is None and rows[EEG]["eeg_class"] is None
    assert rows[EEG]["reason"].startswith("sources: region speck: the sphere of 0.5")
    assert rows[EEG]["reason"].endswith("(voxels of 2 × 2 × 2 mm)")
    assert BOLD not in rows
    receipt = Receipt.read(receipt_beside(output.series("ds", speck.key)))
    assert receipt.recordings[EEG].state == "done"
    assert receipt.recordings[BOLD].state == "quarantined"
    assert "(voxels of 6 × 6 × 6 mm)" in str(receipt.recordings[BOLD].reason)
    assert receipt.notes["size"] == {}


def test_trials_of_a_region_leave_eeg_out(output: Layout, regions: dict[str, Region]) -> None:
    key = regions["dlpfc"].key
    extracted(output, regions["dlpfc"])
    assert derive.run(output, "ds", key, derive.Parameters())
    assert pq.read_table(output.trials("ds", key)).num_rows == 0
    assert Receipt.read(receipt_beside(output.trials("ds", key))).recordings == {}


def test_other_heads_make_series_anew(output: Layout, regions: dict[str, Region]) -> None:
    chosen = parameters(regions["visual"])
    assert extract.run(output, "ds", chosen)
    assert not extract.run(output, "ds", chosen)
    path = output.receipt("head", "head")
    receipt = Receipt.read(path)
    assert receipt.step_version == STEP_VERSION["head"]
    assert set(receipt.outputs) == {"head/model.h5", "head/truth.h5"}
    replace(receipt, outputs=dict.fromkeys(receipt.outputs, "other")).write(path)
    assert extract.run(output, "ds", chosen)
    path.unlink()
    with pytest.raises(BraindataError, match="the receipt is missing"):
        extract.run(output, "ds", chosen)
    receipt.write(path)
