"""The report's job: what it takes from receipts and stores, and what it does again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from braindata.files import write_text
from braindata.layout import Layout
from braindata.pack.store import Grid, write_store
from braindata.receipts import Outcome, Receipt, hash_outputs, missing_outputs, receipt_beside
from braindata.report.methods import MethodsText
from braindata.stages import report, report_pictures, report_regions
from braindata.tables.publish import publish
from braindata.tables.rows import region_row
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard

DATASET, UNIT, HASH = "ds", "sub-01", "0123456789ab"
NAMES = [f"sub-01_task-x_run-{n}_bold" for n in (1, 2, 3)]
WHO = {"dataset": DATASET, "dataset_version": "v1", "subject": "01", "unit": UNIT}
QUALITY = {"fd_mean": 0.1, "fd_max": 0.5, "tsnr_median": 50.0, "brain_coverage": 0.99}


@pytest.fixture(autouse=True)
def methods_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods text rests on receipts of every stage; it is tested on a real run."""

    def write(layout: Layout) -> tuple[list[Path], MethodsText]:
        paths = [layout.report().with_name(name) for name in ("methods.md", "references.bib")]
        for path in paths:
            write_text(path, path.name)
        return paths, MethodsText("methods.md", "references.bib", "<section>m</section>")

    monkeypatch.setattr(report, "write_methods", write)


class Project:
    """An output folder as the stages before would have left it: one of three recordings is used."""

    def __init__(self, output: Path) -> None:
        self.layout = Layout(output)
        self.release = 0
        folder = self.layout.derivatives(DATASET) / UNIT
        self.anatomy = folder / "anat/sub-01_space-T_desc-preproc_T1w.nii.gz"
        write_text(self.anatomy, "t1w")
        rows = [
            WHO
            | {"recording": name, "modality": "fmri", "status": "used"}
            | {"t1w": "sub-01/anat/sub-01_T1w.nii.gz"}
            for name in NAMES
        ]
        self.shard("recordings", self.layout.inventory(DATASET), rows)
        self.receipt("curate", DATASET, self.layout.receipt("curated", DATASET), [])
        own: dict[str, list[Path]] = {}
        for name in NAMES[:2]:
            base = name.removesuffix("_bold")
            own[name] = [
                folder / f"func/{base}_desc-confounds_timeseries.tsv",
                folder / f"func/{base}_space-T_boldref.nii.gz",
            ]
            for path in own[name]:
                write_text(path, path.name)
            self.store(name)
        outcomes = dict.fromkeys(NAMES[:2], Outcome("done"))
        bad = Outcome("quarantined", "cut off", "fetch it", "raw/ds/x.nii.gz")
        self.receipt(
            "preprocess",
            f"{DATASET}/{UNIT}",
            self.layout.receipt("derivatives", DATASET, UNIT),
            [self.anatomy, *(path for paths in own.values() for path in paths)],
            outcomes | {NAMES[2]: bad},
            {
                "quality": {},
                "files": {n: [str(p.relative_to(output)) for p in ps] for n, ps in own.items()},
            },
            {"fmri": {"backend": "native", "native": {"fd_threshold": 0.7}}},
        )
        stores = [self.layout.store(DATASET, name) for name in NAMES[:2]]
        packed = self.layout.receipt("packed", DATASET, UNIT)
        self.receipt(
            "pack",
            f"{DATASET}/{UNIT}",
            packed,
            stores,
            outcomes,
            {"quality": dict.fromkeys(NAMES[:2], QUALITY)},
            {"pack": {"quality": {"fd_threshold": 0.7}}},
        )
        self.rows = [row | {"status": "quarantined", "hint": "h"} for row in rows]
        self.rows[0] |= {"status": "used", "hint": None, "tr": 2.0, "n_volumes": 5} | QUALITY
        self.rows[1] |= {"stage": "extract", "reason": "no data"}
        self.rows[2] |= {"stage": "preprocess", "reason": "cut off"}
        self.regions: list[str] = []

    def store(self, name: str, shape: tuple[int, int, int] = (2, 2, 2)) -> None:
        grid = Grid(shape, np.eye(4), "T")
        samples = np.arange(20, dtype=np.float32).reshape(4, 5)
        table = pd.DataFrame({"csf": np.zeros(5)})
        path = self.layout.store(DATASET, name)
        write_store(path, samples, grid, np.arange(4), np.ones(4, bool), 2.0, table, {"of": name})

    def shard(self, table: str, path: Path, rows: list[dict[str, Any]]) -> Path:
        write_shard(pa.Table.from_pylist(rows, TABLES[table]), path, table)
        return path

    def receipt(
        self,
        stage: str,
        job: str,
        path: Path,
        outputs: list[Path],
        recordings: dict[str, Outcome] | None = None,
        notes: dict[str, Any] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> None:
        hashes = hash_outputs(outputs, self.layout.output)
        content = Receipt(stage, job, 1, parameters or {}, {}, hashes, recordings or {})
        content.notes = notes or {}
        content.write(path)

    def add_region(self, name: str) -> None:
        key = f"{name}-{HASH}"
        who = {k: WHO[k] for k in ("dataset", "subject")} | {"region": name}
        series = {"strategy": "simple", "values": list(range(5)), "start": 0.0}
        series |= {"sampling_frequency": 0.5, "coverage": 0.9, "recording": NAMES[0]}
        trial = {"recording": NAMES[0], "trial": 0, "onset": 4.0, "reason": "too short"}
        outcomes = {NAMES[0]: Outcome("done"), NAMES[1]: Outcome("quarantined", "no data", "h")}
        for table, path, row in (
            ("series", self.layout.series(DATASET, key), series),
            ("trials", self.layout.trials(DATASET, key), trial),
        ):
            self.shard(table, path, [who | row])
            stage = {"series": "extract", "trials": "derive"}[table]
            found = outcomes if stage == "extract" else {}
            self.receipt(stage, f"{DATASET}/{key}", receipt_beside(path), [path], found)
        self.regions.append(key)

    def publish(self) -> None:
        staging = self.layout.output / "staging"
        regions = []
        for key in self.regions:
            name = key.rpartition("-")[0]
            sphere = {"center": [10, 0, 0], "radius": 5, "hemisphere": "right", "source": "x" * 10}
            body = {
                "name": name,
                "level": "perception",
                "processes": ["vision"],
                "references": ["A 2000"],
                "space": "MNI152",
                "definition": {"kind": "spheres", "spheres": [sphere]},
            }
            regions.append(region_row(body, {}) | {"definition_hash": HASH})
        shards = {
            "recordings": [self.shard("recordings", staging / "r.parquet", self.rows)],
            "regions": [self.shard("regions", staging / "g.parquet", regions)],
            "series": [self.layout.series(DATASET, key) for key in self.regions],
            "trials": [self.layout.trials(DATASET, key) for key in self.regions],
        }
        release = publish(self.layout.tables(), shards, {})
        files = [self.layout.tables() / path for path in release.paths()]
        content = Receipt(
            "publish",
            "all",
            1,
            {"datasets": [DATASET], "regions": self.regions},
            {"receipts": str(release.number)},
            hash_outputs([*files, release.file], self.layout.output),
            notes={"release": release.number},
        )
        content.write(self.layout.receipt("tables", "publish"))

    def page(self, name: str) -> str:
        return (self.layout.report().parent / name).read_text()

    def made(self) -> Receipt:
        return Receipt.read(self.layout.receipt("report", "report"))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each picture was drawn; the pictures themselves are tested elsewhere."""
    count: Counter[str] = Counter()

    def of_recording(
        store: Path, *inputs: Path | None, raw: Path | None, fd_threshold: float
    ) -> dict[str, bytes]:
        assert fd_threshold == 0.7
        assert raw is None or not raw.exists()
        assert all(path is None or path.is_file() for path in inputs)
        count[store.stem] += 1
        names = dict(zip(("motion.svg", "boldref.webp", "t1w.webp"), inputs, strict=True))
        found = {n: f"{n} of {path.name}".encode() for n, path in names.items() if path}
        return found | ({"carpet.webp": store.name.encode()} if store.is_file() else {})

    def of_region(region: Any, affine: Any, shape: Any, *_: Any) -> dict[str, bytes]:
        assert (affine == np.eye(4)).all() and shape == (2, 2, 2)
        count[region.name] += 1
        return {"glass.svg": region.name.encode()}

    def of_template() -> bytes:
        count["template"] += 1
        return b"template"

    monkeypatch.setattr(report_pictures, "recording_pictures", of_recording)
    monkeypatch.setattr(report_regions, "region_pictures", of_region)
    monkeypatch.setattr(report_pictures, "template_picture", of_template)
    return count


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "out")
    made.add_region("visual")
    made.publish()
    return made


def names_in(page: str) -> set[str]:
    kinds = ("carpet", "motion", "boldref", "t1w", "template")
    return {kind for kind in kinds if f"pictures/{kind}-" in page}


def test_every_recording_has_what_is_known_of_it(project: Project, drawn: Counter[str]) -> None:
    assert report.run(project.layout)
    assert drawn == Counter([*NAMES[:2], "visual", "template"])
    first, second, third = (project.page(f"recordings/ds/{name}.html") for name in NAMES)
    assert '<td class="n">0.990</td>' in first
    assert names_in(first) == {"carpet", "motion", "boldref", "t1w", "template"}
    # Left out after its image was processed: it has pictures and quality, and says where to look.
    assert names_in(second) == names_in(first)
    assert '<td class="n">50.0</td>' in second
    assert f"logs/extract/ds/visual-{HASH}.log" in second
    assert "logs/preprocess/ds/sub-01.log" in third
    assert "raw/ds/x.nii.gz" in third
    assert names_in(third) == set()
    assert "1: too short" in project.page("index.html")
    assert 'role="img" aria-label="Average response of visual to all events' in project.page(
        "regions.html"
    )


def test_the_receipt_names_every_file_of_the_site(project: Project, drawn: Counter[str]) -> None:
    report.run(project.layout)
    folder = project.layout.report().parent
    files = {path.relative_to(project.layout.output).as_posix() for path in folder.rglob("*.*")}
    assert set(project.made().outputs) == files - {"report/report.receipt.json"}
    assert missing_outputs(project.made(), project.layout.output) == []
    assert not report.run(project.layout)


def test_a_new_region_draws_no_recording(project: Project, drawn: Counter[str]) -> None:
    report.run(project.layout)
    drawn.clear()
    project.add_region("auditory")
    project.publish()
    assert report.run(project.layout)
    assert drawn == Counter(["auditory"])
    assert "auditory" in project.page("regions.html")


def test_a_region_is_drawn_on_a_grid_that_holds_it(project: Project, drawn: Counter[str]) -> None:
    """The first recording's voxels are too large for it; then those of all are."""
    project.store(NAMES[0], shape=(1, 1, 4))
    small = Outcome("quarantined", "the voxels are too large", "h")
    path = receipt_beside(project.layout.series(DATASET, project.regions[0]))
    for second in (Outcome("done"), small):
        receipt = Receipt.read(path)
        receipt.recordings = {NAMES[0]: small, NAMES[1]: second}
        receipt.write(path)
        project.layout.receipt("report", "report").unlink(missing_ok=True)
        assert report.run(project.layout)
        has_picture = second.state == "done"
        assert ("pictures/glass-" in project.page("regions.html")) == has_picture
        assert "visual" in project.page("regions.html")
    assert drawn["visual"] == 1


def test_a_changed_recording_draws_itself_only(project: Project, drawn: Counter[str]) -> None:
    report.run(project.layout)
    before = set(project.made().outputs)
    drawn.clear()
    receipt = project.layout.receipt("packed", DATASET, UNIT)
    body = json.loads(receipt.read_text())
    body["outputs"][f"packed/ds/{NAMES[0]}.h5"] = "another"
    receipt.write_text(json.dumps(body))
    # The release's files are the same, the job's receipt is not.
    release = project.layout.receipt("tables", "publish")
    release.write_text(release.read_text().replace('"receipts": "1"', '"receipts": "2"'))
    assert report.run(project.layout)
    assert drawn == Counter([NAMES[0]])
    # Only the note of what it was drawn from is another.
    assert len(set(project.made().outputs) - before) == 1


@pytest.mark.parametrize(
    ("remove", "kind"),
    [
        (lambda p: p.layout.store(DATASET, NAMES[0]), "carpet"),
        (lambda p: p.anatomy, "t1w"),
        (lambda p: next(p.layout.derivatives(DATASET).rglob("*run-1*_boldref*")), "boldref"),
    ],
)
def test_what_is_gone_is_left_out_until_it_is_back(
    project: Project, drawn: Counter[str], remove: Callable[[Project], Path], kind: str
) -> None:
    path = remove(project)
    kept = path.read_bytes()
    receipt, page = project.layout.receipt("report", "report"), f"recordings/ds/{NAMES[0]}.html"
    path.unlink()
    report.run(project.layout)
    assert kind not in names_in(project.page(page))
    path.write_bytes(kept)
    receipt.unlink()
    report.run(project.layout)
    assert kind in names_in(project.page(page))
    # Drawn once, it stays when what it was drawn from is removed.
    path.unlink()
    receipt.unlink()
    drawn.clear()
    report.run(project.layout)
    assert kind in names_in(project.page(page))
    assert drawn == Counter()
