"""What the Snakefile is told, and the lock."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from braindata.claiming import bring_to_present, claim
from braindata.errors import BraindataError, UsageError
from braindata.files import write_text
from braindata.locking import lock
from braindata.planning import Plan
from braindata.planning_stale import stale_receipts
from braindata.receipts import MADE_FROM, Outcome, Receipt, receipt_beside
from braindata.snakemake_notes import drop_incomplete
from braindata.stages import STEP_VERSION
from braindata.withdrawn import Withdrawn


@pytest.fixture
def plan(tmp_path: Path, repository: Path) -> Plan:
    (tmp_path / "bids").mkdir()
    (tmp_path / "bids" / "dataset_description.json").write_text("{}")
    (tmp_path / "bids" / "sub-01").mkdir()
    values = {
        "output": "out",
        "datasets": [{"id": "ds", "source": "bids"}],
        "regions": str(repository / "config/regions/spheres"),
        "extract": {"strategies": ["none"]},
    }
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump(values))
    return Plan(values, [file])


def test_parameters_are_those_of_the_stage_alone(plan: Plan) -> None:
    assert len(plan.regions) == 18
    region = next(iter(plan.regions))
    extract = json.loads(plan.parameters("extract", region))
    assert extract["extract"]["strategies"] == ["none"]
    assert extract["region"]["name"] == plan.regions[region].name
    assert "strategies" not in plan.parameters("derive", dataset="ds")
    assert json.loads(plan.parameters("publish")) == {
        "datasets": ["ds"],
        "sensors": [],
        "regions": list(plan.regions),
        "groups": [],
        "processes": list(plan.signals.processes),
        "publish": {"exclude": []},
        "decisions": {},
        "pseudonyms": "",
    }
    pack = json.loads(plan.parameters("pack"))
    assert (pack["pack"].keys(), pack["regions"]) == ({"store", "quality"}, [])
    with pytest.raises(ValueError, match="no parameters"):
        plan.parameters("report")


def test_each_stage_is_told_what_counts_there(tmp_path: Path, plan: Plan) -> None:
    file = tmp_path / "my.yaml"
    before = {
        stage: plan.parameters(stage, dataset="ds") for stage in ("curate", "derive", "publish")
    }
    folder = tmp_path / "config" / "exclusions"
    folder.mkdir(parents=True)
    signed = "who: A, when: 2026-01-31, why: x"
    decisions = folder / "ds.yaml"

    def after(text: str) -> dict[str, str]:
        decisions.write_text(text)
        again = Plan(yaml.safe_load(file.read_text()), [file])
        return {stage: again.parameters(stage, dataset="ds") for stage in before}

    computed = after(f"exclude: [{{subject: '01', stage: publish, {signed}}}]")
    assert [stage for stage in before if computed[stage] != before[stage]] == ["publish"]
    not_computed = after(f"exclude: [{{subject: '01', {signed}}}]")
    assert [stage for stage in before if not_computed[stage] != before[stage]] == ["curate"]
    back = after(f"include: [{{subject: '01', {signed}}}]")
    assert [stage for stage in before if back[stage] != before[stage]] == ["curate", "publish"]


def test_only_listed_presets_and_their_content_change_the_job(plan: Plan, tmp_path: Path) -> None:
    region = next(iter(plan.regions))

    def parameters(strategies: list[str], **presets: dict[str, object]) -> str:
        extract = plan.config.extract.model_validate({"strategies": strategies, "presets": presets})
        plan.config = plan.config.model_copy(update={"extract": extract})
        return plan._parameters("extract", region, None)

    before = parameters(["none", "a"], a={"low_pass": 0.1})
    assert parameters(["a", "none"], b={"strategy": []}, a={"low_pass": 0.1}) == before
    assert parameters(["none", "a"], a={"low_pass": 0.1, "demean": True}) == before
    assert parameters(["none", "a"], a={"low_pass": 0.2}) != before
    assert parameters(["none", "a", "b"], a={"low_pass": 0.1}, b={"strategy": []}) != before


def planned_anew(folder: Path) -> Plan:
    """Return the plan of the next run."""
    file = folder / "my.yaml"
    return Plan(yaml.safe_load(file.read_text()), [file])


def with_eeg(plan: Plan, folder: Path, **more: object) -> Plan:
    """Return a plan with a second data set, of EEG too."""
    file = folder / "my.yaml"
    values = yaml.safe_load(file.read_text())
    second = {"id": "both", "source": "bids", "modalities": ["fmri", "eeg"]}
    values = {**values, "datasets": [*values["datasets"], second], **more}
    file.write_text(yaml.safe_dump(values))
    return Plan(values, [file])


def test_heads_are_asked_for_where_there_is_eeg(plan: Plan, tmp_path: Path) -> None:
    region = next(iter(plan.regions))
    head = plan.layout.receipt("head", "head")
    Receipt("head", "all", STEP_VERSION["head"] - 1, {}, {}).write(head)
    assert stale_receipts(plan) == []
    both = with_eeg(plan, tmp_path)
    assert both.sensors == ["both"]
    assert stale_receipts(both) == [head]
    of_images = plan.parameters("extract", region, "ds")
    assert both.parameters("extract", region, "ds") == of_images
    of_eeg = json.loads(both.parameters("extract", region, "both"))
    assert of_eeg.pop("sources")["method"] == "eLORETA"
    assert of_eeg == json.loads(of_images)


def test_heads_hold_the_regions_of_the_package(
    plan: Plan, tmp_path: Path, repository: Path
) -> None:
    """Whichever regions are in use: no new one changes what is claimed of the others."""
    spheres = repository / "config/regions/spheres"
    few = with_eeg(plan, tmp_path, regions=str(spheres / "execution.yaml"))
    assert len(few.regions) < 18
    told = json.loads(few.parameters("head"))
    assert told["head"] == {"model": "bem", "spacing": 7}
    assert [one["name"] for one in told["others"]] == [r.name for r in plan.regions.values()]


def test_insisting_concerns_one_region(plan: Plan, tmp_path: Path) -> None:
    first, second, *_ = plan.regions
    before = with_eeg(plan, tmp_path)
    name = plan.regions[first].name
    file = yaml.safe_load((tmp_path / "my.yaml").read_text())
    after = Plan({**file, "sources": {"insist": [name]}}, [tmp_path / "my.yaml"])
    for key, differs in ((first, True), (second, False)):
        told = [one.parameters("extract", key, "both") for one in (before, after)]
        assert (told[0] != told[1]) is differs
    with pytest.raises(UsageError, match=r"sources\.insist: there is no region dlpf\b"):
        Plan({**file, "sources": {"insist": ["dlpf"]}}, [tmp_path / "my.yaml"])


def test_a_new_file_changes_the_state_of_the_source(plan: Plan, tmp_path: Path) -> None:
    before = plan.source_state("ds")
    (tmp_path / "bids" / "README").write_text("new")
    # One run sees one state.
    assert plan.source_state("ds") == before
    assert planned_anew(tmp_path).source_state("ds") != before


def test_units_come_from_the_receipt(plan: Plan) -> None:
    path = plan.layout.receipt("curated", "ds")
    with pytest.raises(BraindataError, match="missing"):
        plan.curated.units("ds")
    assert plan.curated.n_recordings("ds") == 0
    notes = {"units": {"sub-02": 1, "sub-01": 2}}
    Receipt("curate", "ds", 1, {}, {}, recordings={"a": Outcome("done")}, notes=notes).write(path)
    assert plan.curated.units("ds") == ["sub-01", "sub-02"]
    assert plan.curated.n_recordings("ds") == 3


def test_planning_imports_no_numerical_library(repository: Path) -> None:
    code = (
        "import sys, braindata.claiming, braindata.planning;"
        "print([m for m in ('numpy', 'pandas', 'nilearn', 'numba', 'scipy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from braindata.locking import lock;"
        "lock(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BraindataError, match=f"process {other.pid}"):
        lock(tmp_path)
    other.kill()
    other.wait()
    deadline = time.monotonic() + 5
    while True:
        try:
            descriptor = lock(tmp_path)
            break
        except BraindataError:
            assert time.monotonic() < deadline
    assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"
    os.close(descriptor)


def leave_receipts(plan: Plan) -> dict[str, Path]:
    """Leave receipts as a finished run does, and return them by stage."""
    layout = plan.layout
    region = next(iter(plan.regions))
    paths = {
        "pull": layout.receipt("raw", "ds"),
        "curate": layout.receipt("curated", "ds"),
        "preprocess": layout.receipt("derivatives", "ds", "sub-01"),
        "pack": layout.receipt("packed", "ds", "sub-01"),
        "extract": receipt_beside(layout.series("ds", region)),
        "derive": receipt_beside(layout.trials("ds", region)),
        "latents": receipt_beside(layout.latents("ds")),
        "connectivity": receipt_beside(layout.connectivity("ds")),
        "signals": receipt_beside(layout.signals("ds", "value")),
        "publish": layout.receipt("tables", "publish"),
    }
    for stage, path in paths.items():
        of_region = {"extract": region, "signals": "value"}.get(stage)
        parameters = {} if stage == "pull" else json.loads(plan.parameters(stage, of_region, "ds"))
        notes = {"units": {"sub-01": 1}} if stage == "curate" else {}
        Receipt(stage, "job", STEP_VERSION[stage], parameters, {}, notes=notes).write(path)
    write_text(layout.source_state("ds"), plan.source_state("ds"))
    return paths


def test_receipts_that_hold_stay(plan: Plan) -> None:
    paths = leave_receipts(plan)
    claim(plan)
    assert all(path.is_file() for path in paths.values())


@pytest.mark.parametrize(
    "stage",
    [
        "curate",
        "preprocess",
        "pack",
        "extract",
        "derive",
        "latents",
        "connectivity",
        "signals",
        "publish",
    ],
)
@pytest.mark.parametrize("kind", ["parameters", "step_version", "unreadable"])
def test_receipts_of_other_parameters_are_void(plan: Plan, stage: str, kind: str) -> None:
    # Also where Snakemake's own metadata are gone, or the folder was moved.
    paths = leave_receipts(plan)
    if kind == "unreadable":
        paths[stage].write_text("{")
    else:
        receipt = Receipt.read(paths[stage])
        if kind == "parameters":
            receipt.parameters = {"other": 1}
        else:
            receipt.step_version += 1
        receipt.write(paths[stage])
    # What was packed of it is made by the same job, of which Snakemake knows only that.
    packed = [paths["pack"]] if stage == "preprocess" else []
    assert stale_receipts(plan) == [paths[stage], *packed]


def test_what_was_packed_is_void_without_what_it_was_made_from(plan: Plan) -> None:
    paths = leave_receipts(plan)
    paths["preprocess"].unlink()
    assert stale_receipts(plan) == [paths["pack"]]
    # Also where nobody knows the units yet.
    paths["curate"].unlink()
    assert paths["pack"] in stale_receipts(plan)
    paths["pack"].unlink()
    assert stale_receipts(plan) == []


def test_what_was_packed_of_other_data_is_void_where_no_date_says_so(plan: Plan) -> None:
    paths = leave_receipts(plan)

    def note(stage: str, value: object) -> None:
        receipt = Receipt.read(paths[stage])
        receipt.notes[MADE_FROM] = value
        receipt.write(paths[stage])

    def dated(*stages: str) -> None:
        for time_, stage in enumerate(stages):
            os.utime(paths[stage], (1_000_000_000 + time_, 1_000_000_000 + time_))

    note("curate", {"sub-01": "now"})
    for stage in ("preprocess", "pack"):
        note(stage, "now")
    assert stale_receipts(plan) == []
    # Killed before it packed, and the data were taken back: no job would be started.
    note("preprocess", "then")
    for order in (("curate", "preprocess", "pack"), ("pack", "preprocess", "curate")):
        dated(*order)
        assert stale_receipts(plan) == [paths["pack"]]
    note("pack", "then")
    dated("preprocess", "pack", "curate")
    # Older than curation: Snakemake starts the job, which may find that nothing has to be done.
    assert stale_receipts(plan) == []
    # Ended later, by itself: nothing else would say so.
    dated("preprocess", "curate", "pack")
    assert stale_receipts(plan) == [paths["pack"]]
    claim(plan)
    assert paths["preprocess"].is_file()
    assert not paths["pack"].exists()
    paths["curate"].unlink()
    assert stale_receipts(plan) == []


def test_files_of_the_future_are_brought_to_the_present(plan: Plan) -> None:
    # Or Snakemake fails each job that rests on them: its outputs would be older.
    paths = leave_receipts(plan)
    ahead, long_ago = time.time() + 86_400, 1_000_000_000
    shard = paths["extract"].with_name("shard.parquet")
    shard.touch()
    future = {shard} | {path for stage, path in paths.items() if stage != "latents"}
    for path in future:
        os.utime(path, (ahead, ahead))
    os.utime(paths["latents"], (long_ago, long_ago))
    claim(plan)
    assert paths["latents"].stat().st_mtime == long_ago
    dates = {path.stat().st_mtime for path in future}
    # All of one time: none is newer than what was made from it.
    assert len(dates) == 1
    assert dates.pop() <= time.time()


@pytest.mark.parametrize("stage", ["preprocess", "extract", "derive", "connectivity", "signals"])
def test_a_receipt_whose_file_is_cut_off_is_void(plan: Plan, stage: str) -> None:
    paths = leave_receipts(plan)
    path = paths[stage]
    # One job of Snakemake makes what is preprocessed and what is packed of it.
    packed = [paths["pack"]] if stage == "preprocess" else []
    made = path.with_name("made")
    made.write_text("whole")
    receipt = Receipt.read(path)
    receipt.sizes = {made.relative_to(plan.layout.output).as_posix(): 5}
    receipt.write(path)
    assert stale_receipts(plan) == []
    os.truncate(made, 4)
    assert stale_receipts(plan) == [path, *packed]
    # What is gone Snakemake sees, where it is asked for.
    made.unlink()
    assert stale_receipts(plan) == []


def test_a_changed_source_is_pulled_again(plan: Plan, tmp_path: Path) -> None:
    paths = leave_receipts(plan)
    (tmp_path / "bids" / "README").write_text("new")
    later = planned_anew(tmp_path)
    assert stale_receipts(later) == [paths["pull"]]
    claim(later)
    assert not paths["pull"].exists()


def test_a_damaged_note_of_the_source_pulls_again(plan: Plan) -> None:
    paths = leave_receipts(plan)
    plan.layout.source_state("ds").write_bytes(b"\xb3\x00")
    assert stale_receipts(plan) == [paths["pull"]]


def test_units_follow_a_new_inventory(plan: Plan) -> None:
    path = leave_receipts(plan)["curate"]
    assert plan.curated.units("ds") == ["sub-01"]
    receipt = Receipt.read(path)
    receipt.notes = {"units": {"sub-01": 1, "sub-02": 1}}
    receipt.write(path)
    assert plan.curated.units("ds") == ["sub-01", "sub-02"]


def test_marks_of_a_killed_snakemake_go(tmp_path: Path) -> None:
    marks = tmp_path / ".snakemake" / "incomplete"

    def mark(about: str) -> Path:
        coded = base64.urlsafe_b64encode(about.encode()).decode()
        # Snakemake cuts what is longer than a file name may be.
        head, rest = coded[:200], coded[200:]
        path = marks / f"@{head}" / rest if rest else marks / head
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    ours = [
        mark("results/derived/tiny/latents.parquet"),
        mark(str(tmp_path / "results/packed/tiny/sub-01.receipt.json")),
        mark(f"results/packed/{'x' * 200}.json"),
    ]
    others = [mark("elsewhere/derived/tiny/latents.parquet"), marks / "migration_underway"]
    # Nobody's notes: not ASCII, and what no path can be.
    others += [marks / "café", mark("\0\0\0")]
    for path in others[1:]:
        path.touch()
    # What was noted when they were made the last time is not about what is there now.
    ended = tmp_path / ".snakemake" / "metadata"
    shutil.copytree(marks, ended)
    kept = [mark("results/raw/tiny.receipt.json"), *others]
    kept[0].unlink()
    (ended / kept[0].name).touch()
    assert set(drop_incomplete(tmp_path, tmp_path / "results")) == set(ours)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in others)
    noted = {path.relative_to(ended) for path in ended.rglob("*") if path.is_file()}
    assert noted == {path.relative_to(marks) for path in kept}
    assert drop_incomplete(tmp_path / "nowhere", tmp_path) == []


def test_files_of_the_future_are_dated_to_the_present(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    now = (tmp_path / ".lock").stat().st_mtime
    ahead = [
        tmp_path / name
        for name in ("curated/ds.receipt.json", "packed/ds/sub-01.receipt.json",
                     "templateflow/fetched.txt")
    ]  # fmt: skip
    for path in (*ahead, tmp_path / "raw/ds/image.nii.gz", tmp_path / "raw/ds.state"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (now + 9e5, now + 9e5))
    os.utime(tmp_path / "raw/ds.state", (now - 9e5, now - 9e5))
    assert sorted(bring_to_present(tmp_path)) == ahead
    assert {path.stat().st_mtime for path in ahead} == {now}
    # What is the data set's own is left alone, and so is what is older.
    assert (tmp_path / "raw/ds/image.nii.gz").stat().st_mtime > now
    assert (tmp_path / "raw/ds.state").stat().st_mtime < now


def aligned(plan: Plan, repository: Path, **more: Any) -> Plan:
    folder = plan.layout.output.parent
    values = {
        "output": "out",
        "datasets": [{"id": "ds", "source": "bids", **more.pop("dataset", {})}],
        "regions": str(repository / "config/regions/spheres"),
        "align": {"groups": ["levels", "vmpfc"], **more},
    }
    file = folder / "aligned.yaml"
    file.write_text(yaml.safe_dump(values))
    return Plan(values, [file])


def test_jobs_of_alignment_are_told_what_concerns_them(plan: Plan, repository: Path) -> None:
    assert plan.groups == {}
    asked = aligned(plan, repository)
    assert [key.rpartition("-")[0] for key in asked.groups] == [
        "execution", "integration", "perception", "valuation", "vmpfc",
    ]  # fmt: skip
    key = list(asked.groups)[-1]
    told = json.loads(asked.parameters("align", key, "ds"))
    assert told["group"]["name"] == "vmpfc"
    # Neither which groups there are, nor what is said of a region.
    assert not {"groups", "strategy"} & told["align"].keys()
    assert not {"processes", "references"} & told["group"]["parts"][0].keys()
    named = {"alignment": {"members": ["02", "01"], "shared_stimulus": True}}
    other = aligned(plan, repository, strategy="scrubbing", dataset=named)
    changed = json.loads(other.parameters("align", key, "ds"))
    assert {name for name in told if told[name] != changed[name]} == {
        "cleaning", "members", "shared_stimulus",
    }  # fmt: skip
    assert changed["members"] == ["01", "02"]
    # Nothing of it concerns the inventory.
    assert asked.parameters("curate", dataset="ds") == other.parameters("curate", dataset="ds")
    path = receipt_beside(asked.layout.alignment("ds", key))
    Receipt("align", f"ds/{key}", STEP_VERSION["align"], told, {}).write(path)
    assert stale_receipts(asked) == []
    assert stale_receipts(other) == [path]


def test_a_configuration_may_not_name_whoever_was_withdrawn(tmp_path: Path, plan: Plan) -> None:
    file = tmp_path / "my.yaml"
    values = yaml.safe_load(file.read_text())
    Withdrawn.read(tmp_path / "out").adding("ds", "07").write(tmp_path / "out")
    Plan(values, [file])
    folder = tmp_path / "exclusions"
    folder.mkdir()
    signed = {"who": "A", "when": "2026-01-31", "why": "asleep"}
    (folder / "ds.yaml").write_text(yaml.safe_dump({"exclude": [{"subject": "07", **signed}]}))
    one = {"id": "ds", "source": "bids"}
    for change, where in (
        ({"datasets": [one | {"subjects": ["01", "07"]}]}, "datasets of"),
        ({"datasets": [one | {"subset": {"subject": ["sub-07"]}}]}, "datasets of"),
        ({"curate": {"exclude": ["subject == 07"]}}, "a rule of"),
        ({"exclusions": str(folder)}, "the exclusions of"),
    ):
        file.write_text(yaml.safe_dump(values | change))
        with pytest.raises(UsageError, match=f"ds: {where} the configuration names somebody"):
            Plan(values | change, [file])
    # The same label of another data set is another person.
    change = {"datasets": [one | {"id": "other", "subjects": ["07"]}]}
    file.write_text(yaml.safe_dump(values | change))
    Plan(values | change, [file])


def test_a_date_counts_where_a_unit_is_made_from_something_else(plan: Plan) -> None:
    curated = plan.layout.receipt("curated", "ds")
    packed = plan.layout.receipt("packed", "ds", "sub-01")
    notes = {"units": {"sub-01": 1}, MADE_FROM: {"sub-01": "now"}}
    assert not plan.curated.is_made_from_the_same("ds", "sub-01")
    for mark, same in (("now", True), ("then", False), (None, False)):
        Receipt("pack", "ds/sub-01", 1, {}, {}, notes={MADE_FROM: mark}).write(packed)
        Receipt("curate", "ds", 1, {}, {}, notes=notes).write(curated)
        assert plan.curated.is_made_from_the_same("ds", "sub-01") == same
    # What curation of an earlier version left says nothing.
    Receipt("curate", "ds", 1, {}, {}, notes={"units": {"sub-01": 1}}).write(curated)
    assert not plan.curated.is_made_from_the_same("ds", "sub-01")
    packed.write_text("{")
    os.utime(packed, (1, 1))
    assert not plan.curated.is_made_from_the_same("ds", "sub-01")
    # Of what is newer than curation, Snakemake starts no job.
    os.utime(curated, (0, 0))
    assert plan.curated.is_made_from_the_same("ds", "sub-01")
    # Its receipt is void, and a unit is asked for by name.
    curated.unlink()
    assert not plan.curated.is_made_from_the_same("ds", "sub-01")
