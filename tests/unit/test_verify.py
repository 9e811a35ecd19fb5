"""Damage that `verify` tells apart, on small folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from braindata.errors import BraindataError, UsageError
from braindata.files import sha256_file, write_text
from braindata.layout import Layout
from braindata.locking import lock
from braindata.pull.local import PulledFile, write_manifest
from braindata.receipts import Receipt, hash_outputs, merkle
from braindata.stages.job import pairing_hash, receipts_hash
from braindata.status.jobs import Job
from braindata.status.planned import Planned
from braindata.status.verify import repair, verify
from braindata.tables.publish import publish
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard

REGION, GONE = "vmpfc-111111111111", "old-000000000000"


def row(value: float) -> pa.Table:
    return pa.Table.from_pylist([{"dataset": "ds", "estimate": value}], TABLES["trials"])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A folder with two releases, a linked and a copied data set, and a former region."""
    layout = Layout((tmp_path / "out").resolve())
    Planned(("ds",), (REGION,)).write(layout)
    source = tmp_path / "source"
    for name in ("README", "x.nii.gz"):
        write_text(source / name, name * 3)
    layout.raw("ds").mkdir(parents=True)
    (layout.raw("ds") / "README").symlink_to(source / "README")
    write_text(layout.raw("ds") / "x.nii.gz", "x.nii.gz" * 3)
    (layout.raw("ds") / "never-fetched").symlink_to(source / "annex")
    files = [PulledFile(n, len(n) * 3, sha256_file(source / n)) for n in ("README", "x.nii.gz")]
    write_manifest(layout.manifest("ds"), [*files, PulledFile("never-fetched", 0, "")])
    write_text(layout.source_state("ds"), "state")

    def leave(job: Job, inputs: dict[str, str], *outputs: Path, **notes: object) -> Receipt:
        hashes = hash_outputs(outputs, layout.output)
        receipt = Receipt(job.stage, job.name, 1, {}, inputs, hashes, notes=dict(notes))
        receipt.write(job.receipt(layout))
        write_text(job.log(layout), "done")
        return receipt

    pulled = leave(Job("pull", ("ds",)), {"source": "a"}, layout.manifest("ds"))
    write_text(layout.inventory("ds"), "inventory")
    leave(Job("curate", ("ds",)), {"raw": merkle(pulled.inputs)}, layout.inventory("ds"),
          units={"sub-01": 1})  # fmt: skip
    image = layout.derivatives("ds") / "sub-01/func/x.nii.gz"
    write_text(image, "image")
    write_text(layout.derivatives("ds") / "dataset_description.json", "{}")
    made = leave(Job("preprocess", ("ds", "sub-01")), {}, image)
    write_text(layout.store("ds", "sub-01_bold"), "store")
    packed = leave(Job("pack", ("ds", "sub-01")), {"derivatives": merkle(made.outputs)},
                   layout.store("ds", "sub-01_bold"))  # fmt: skip
    for region in (REGION, GONE):
        write_text(layout.series("ds", region), f"series {region}")
        basis = receipts_hash({"sub-01": packed}) if region == REGION else "of another time"
        series = leave(Job("extract", ("ds", region)), {"packed": basis},
                       layout.series("ds", region))  # fmt: skip
        write_shard(row(1.0 if region == REGION else 2.0), layout.trials("ds", region), "trials")
        leave(Job("derive", ("ds", region)), {"series": merkle(series.outputs), "packed": basis},
              layout.trials("ds", region))  # fmt: skip
    publish(layout.tables(), {"trials": [layout.trials("ds", r) for r in (REGION, GONE)]}, {})
    release = publish(layout.tables(), {"trials": [layout.trials("ds", REGION)]}, {})
    files_of = [layout.tables() / path for path in release.paths()]
    published = leave(Job("publish"), {}, *files_of, release.file, release=2)
    write_text(layout.report(), "page")
    leave(Job("report"), {"release": merkle(published.outputs)}, layout.report())
    return layout


def published(layout: Layout, region: str) -> str:
    digest = sha256_file(layout.trials("ds", region))
    return f"tables/trials/{digest[:2]}/{digest}.parquet"


def found(layout: Layout, *, raw: bool = False) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    findings = verify(layout.output, raw=raw).findings
    return {one.file: (one.kind, one.hint, one.delete) for one in findings}


def test_a_whole_folder_is_clean(layout: Layout) -> None:
    verdict = verify(layout.output, raw=True)
    assert verdict.findings == ()
    assert (verdict.exit_code, verdict.n_superseded, verdict.n_unfinished) == (0, 1, 0)
    # A published shard and the job's are one file where links are possible.
    names = [path for path in layout.output.rglob("*") if path.is_file()]
    shared = {(path.stat().st_dev, path.stat().st_ino) for path in names}
    assert verdict.n_files < len(shared) < len(names)


@pytest.mark.parametrize(
    ("name", "damage", "kind", "hint", "delete"),
    [
        ("derivatives/ds/sub-01/func/x.nii.gz", Path.unlink, "missing",
         "delete derivatives/ds/sub-01.receipt.json", ["derivatives/ds/sub-01.receipt.json"]),
        ("packed/ds/sub-01_bold.h5", lambda p: p.write_text("stare"), "altered",
         "delete packed/ds/sub-01.receipt.json", ["packed/ds/sub-01.receipt.json"]),
        ("packed/ds/sub-01.receipt.json", lambda p: p.write_text("{}"), "unreadable",
         "delete it and run again", ["packed/ds/sub-01.receipt.json"]),
        (f"series/ds/{GONE}.parquet", Path.unlink, "missing", "no longer asked for",
         [f"series/ds/{GONE}.receipt.json", f"series/ds/{GONE}.parquet"]),
        ("tables/releases/2.json", lambda p: p.write_text("{"), "unreadable",
         "delete it, if it is there, and run again", ["tables/releases/2.json"]),
        ("tables/releases/1.json", lambda p: p.write_text("{"), "unreadable",
         "that release is lost", []),
        ("raw/ds/x.nii.gz", lambda p: p.write_text("short"), "altered",
         "delete raw/ds.receipt.json and run again", ["raw/ds.receipt.json"]),
        ("raw/ds/README", lambda p: p.resolve().unlink(), "missing", "bring the source's", []),
        ("raw/ds/README", Path.unlink, "missing", "delete raw/ds.receipt.json",
         ["raw/ds.receipt.json"]),
        ("raw/ds.manifest.tsv", lambda p: p.write_text("path"), "altered",
         "delete raw/ds.receipt.json and run again", ["raw/ds.receipt.json"]),
        (".plan.json", lambda p: p.write_text("[]"), "unreadable", "run again", []),
        ("notes.txt", lambda p: p.write_text("mine"), "unknown", "if you did not put it", []),
        ("packed/ds/.part-9-x.h5", lambda p: p.write_text(""), "temporary", "run again",
         ["packed/ds/.part-9-x.h5"]),
        ("tables/.staging/trials/ds.parquet", lambda p: write_text(p, ""), "temporary",
         "delete it", ["tables/.staging/trials/ds.parquet"]),
    ],
)  # fmt: skip
def test_each_kind_of_damage(
    layout: Layout,
    name: str,
    damage: Callable[[Path], object],
    kind: str,
    hint: str,
    delete: list[str],
) -> None:
    damage(layout.output / name)
    seen = found(layout)
    assert list(seen) == [name]
    assert seen[name][0] == kind
    assert hint in seen[name][1]
    assert list(seen[name][2]) == delete
    harmless = kind in ("unknown", "temporary")
    assert verify(layout.output).exit_code == (0 if harmless else 1)


def test_the_files_of_regions_are_named_by_what_they_hold(layout: Layout) -> None:
    write_text(layout.output / "part", "an atlas")
    sha256 = sha256_file(layout.output / "part")
    path = layout.regions() / f"{sha256}.nii.gz"
    path.parent.mkdir()
    (layout.output / "part").rename(path)
    write_text(layout.regions() / f"{sha256}.labels.tsv", "index\tname\n")
    assert not verify(layout.output).findings
    write_text(path, "cut off")
    (finding,) = verify(layout.output).findings
    assert (finding.file, finding.kind) == (f"regions/{sha256}.nii.gz", "altered")
    assert finding.delete == (finding.file,)


def test_raw_contents_are_hashed_when_asked(layout: Layout) -> None:
    (layout.raw("ds") / "x.nii.gz").write_text("X.nii.gz" * 3)
    assert found(layout) == {}
    assert list(found(layout, raw=True)) == ["raw/ds/x.nii.gz"]


def test_files_of_releases(layout: Layout) -> None:
    newest, old = published(layout, REGION), published(layout, GONE)
    for name in (newest, old):
        # The job's shard is the same file: this is the published one alone.
        (layout.output / name).unlink()
        (layout.output / name).write_bytes(b"PAR1")
    seen = found(layout)
    assert {name: one[0] for name, one in seen.items()} == {newest: "altered", old: "altered"}
    assert seen[newest][2] == (newest,)
    assert "only release 1 needs it" in seen[old][1]
    assert seen[old][2] == ()
    # It is given up: then nobody needs the file.
    (layout.output / "tables/releases/1.json").unlink()
    assert found(layout)[old][1:] == ("no release needs it: delete it", (old,))


def test_a_delta_log_that_is_gone(layout: Layout) -> None:
    (layout.output / "tables/trials/_delta_log" / f"{1:020d}.json").unlink()
    seen = found(layout)
    assert list(seen) == ["tables/trials/_delta_log"]
    assert "bring the folder back" in seen["tables/trials/_delta_log"][1]


@pytest.mark.parametrize(
    ("job", "outdated"),
    [
        (Job("pull", ("ds",)), ["curated/ds.receipt.json"]),
        (Job("preprocess", ("ds", "sub-01")), ["packed/ds/sub-01.receipt.json"]),
        (Job("pack", ("ds", "sub-01")), [f"series/ds/{REGION}.receipt.json"]),
        (Job("extract", ("ds", REGION)), [f"derived/ds/trials/{REGION}.receipt.json"]),
        (Job("publish"), ["report/report.receipt.json"]),
    ],
)
def test_receipts_that_rest_on_others(layout: Layout, job: Job, outdated: list[str]) -> None:
    receipt = Receipt.read(job.receipt(layout))
    receipt.inputs |= {"source": "b"}
    receipt.outputs |= {"README": sha256_file(layout.raw("ds") / "README")}
    write_text(layout.output / "README", "README" * 3)
    receipt.write(job.receipt(layout))
    assert {name: one[0] for name, one in found(layout).items()} == dict.fromkeys(
        outdated, "outdated"
    )


def test_a_deleted_receipt_leaves_unfinished_files_not_unknown_ones(layout: Layout) -> None:
    layout.receipt("derivatives", "ds", "sub-01").unlink()
    layout.receipt("packed", "ds", "sub-01").unlink()
    verdict = verify(layout.output)
    assert verdict.findings == ()
    assert verdict.n_unfinished == 2


def test_repair_deletes_what_is_made_again_and_nothing_else(layout: Layout) -> None:
    store = layout.store("ds", "sub-01_bold")
    store.write_text("stare")
    write_text(layout.output / "notes.txt", "mine")
    outside = layout.output.parent / "outside"
    outside.write_text("dear")
    # A receipt of a former job that somebody edited.
    former = Job("extract", ("ds", GONE)).receipt(layout)
    receipt = Receipt.read(former)
    receipt.outputs |= {"../outside": "0" * 64}
    receipt.write(former)
    (layout.raw("ds") / "README").resolve().unlink()
    verdict, deleted = repair(layout.output)
    assert verdict.exit_code_of_repair == 1  # the source's README
    assert "packed/ds/sub-01.receipt.json" in deleted
    assert not layout.receipt("packed", "ds", "sub-01").exists()
    assert outside.exists()
    assert (layout.output / "notes.txt").exists()
    assert (layout.raw("ds") / "README").is_symlink()


def test_repair_is_refused_while_a_run_goes_on(layout: Layout) -> None:
    descriptor = lock(layout.output)
    code = (
        "import sys; from pathlib import Path; from braindata.status.verify import repair;"
        "repair(Path(sys.argv[1]))"
    )
    try:
        run = subprocess.run([sys.executable, "-c", code, layout.output], capture_output=True,
                             text=True, check=False)  # fmt: skip
        assert "another Snakemake" in run.stderr
        # Looking is possible, but not at what only a folder at rest can tell.
        write_text(layout.output / "notes.txt", "mine")
        verdict = verify(layout.output)
        assert verdict.process == str(os.getpid())
        assert verdict.findings == ()
    finally:
        os.close(descriptor)


def test_what_is_no_output_folder_is_refused(tmp_path: Path) -> None:
    for act in (verify, repair):
        with pytest.raises(UsageError, match="no such folder"):
            act(tmp_path / "none")
    with pytest.raises(BraindataError, match="no output folder"):
        verify(tmp_path)


def test_the_command_line(layout: Layout) -> None:
    layout.store("ds", "sub-01_bold").write_text("stare")
    command = [sys.executable, "-m", "braindata.cli", "verify", str(layout.output)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    assert f"{layout.output}/packed/ds/sub-01_bold.h5" in run.stdout
    assert "what to do: delete packed/ds/sub-01.receipt.json" in run.stdout
    assert "1 file that the newest release does not need" in run.stdout
    run = subprocess.run(
        [*command, "--json", "--repair"], capture_output=True, text=True, check=False
    )
    body = json.loads(run.stdout)
    assert run.returncode == body["exit_code"] == 0
    assert body["deleted"] == ["packed/ds/sub-01.receipt.json"]
    assert body["findings"][0]["kind"] == "altered"
    assert set(body["findings"][0]) == {"file", "kind", "problem", "hint", "delete"}


def test_series_of_eeg_rest_on_the_heads(layout: Layout) -> None:
    Planned(("ds",), (REGION,), eeg=True).write(layout)
    write_text(layout.head("model"), "lead fields")
    hashes = hash_outputs([layout.head("model")], layout.output)
    Receipt("head", "all", 1, {}, {}, hashes).write(Job("head").receipt(layout))
    # Those of images do not.
    assert verify(layout.output).findings == ()
    path = Job("extract", ("ds", REGION)).receipt(layout)
    receipt = Receipt.read(path)
    receipt.parameters, receipt.inputs["head"] = {"sources": {}}, "other heads"
    receipt.write(path)
    (outdated,) = verify(layout.output).findings
    assert (outdated.file, outdated.kind) == (
        path.relative_to(layout.output).as_posix(),
        "outdated",
    )
    assert outdated.problem.endswith(": head")
    receipt.inputs["head"] = merkle(hashes)
    receipt.write(path)
    assert verify(layout.output).findings == ()


def test_alignment_rests_on_the_stores(layout: Layout) -> None:
    Planned(("ds",), (REGION,), groups=(REGION,)).write(layout)
    job = Job("align", ("ds", REGION))
    for path in (layout.alignment("ds", REGION), layout.maps("ds", REGION)):
        write_text(path, path.name)
    # Before its receipt is there, its files are of a job that is not done.
    assert verify(layout.output).n_unfinished == 2
    outputs = hash_outputs(
        [layout.alignment("ds", REGION), layout.maps("ds", REGION)], layout.output
    )
    packed = {"sub-01": Receipt.read(layout.receipt("packed", "ds", "sub-01"))}
    inputs = {"packed": receipts_hash(packed)}
    Receipt("align", job.name, 1, {}, inputs, outputs).write(job.receipt(layout))
    assert verify(layout.output).findings == ()
    Receipt("align", job.name, 1, {}, {"packed": "other"}, outputs).write(job.receipt(layout))
    (outdated,) = verify(layout.output).findings
    assert (outdated.file, outdated.kind) == (f"aligned/ds/{REGION}.receipt.json", "outdated")


def test_pairs_of_regions_rest_on_series_and_trials(layout: Layout) -> None:
    job = Job("connectivity", ("ds",))
    write_text(layout.connectivity("ds"), "pairs")
    outputs = hash_outputs([layout.connectivity("ds")], layout.output)
    series, trials = (
        Receipt.read(Job(stage, ("ds", REGION)).receipt(layout)) for stage in ("extract", "derive")
    )
    inputs = {REGION: pairing_hash(series, trials)}

    def leave(inputs: dict[str, str], *regions: str) -> None:
        chosen = {"regions": list(regions)}
        Receipt(job.stage, job.name, 1, chosen, inputs, outputs).write(job.receipt(layout))

    leave(inputs, REGION)
    assert verify(layout.output).findings == ()
    # Of a region that is gone nothing can be said.
    leave(inputs | {"gone-1": "of another time"}, REGION, "gone-1")
    assert verify(layout.output).findings == ()
    leave({REGION: "of another time"}, REGION)
    (outdated,) = verify(layout.output).findings
    assert (outdated.file, outdated.kind) == ("derived/ds/connectivity.receipt.json", "outdated")
    assert outdated.problem.endswith(f": {REGION}")
    assert outdated.delete == (outdated.file,)


@pytest.mark.parametrize("changed", [(), ("trials",), ("latents",), ("latents", "trials")])
def test_signals_rest_on_trials_and_latents(layout: Layout, changed: tuple[str, ...]) -> None:
    Planned(("ds",), (REGION,), processes=("value",)).write(layout)
    files = layout.latents("ds"), layout.latent_fits("ds"), layout.signals("ds", "value")
    for path in files:
        write_text(path, path.name)
    latents, fits, signals = (hash_outputs([path], layout.output) for path in files)
    fitted = Job("latents", ("ds",))
    Receipt("latents", "ds", 1, {}, {}, latents | fits).write(fitted.receipt(layout))
    trials = Receipt.read(Job("derive", ("ds", REGION)).receipt(layout))
    inputs = {"trials": receipts_hash({REGION: trials}), "latents": sha256_file(files[0])}
    inputs |= dict.fromkeys(changed, "of another time")
    job = Job("signals", ("ds", "value"))
    receipt = Receipt("signals", job.name, 1, {"regions": [REGION]}, inputs, signals)
    receipt.write(job.receipt(layout))
    findings = verify(layout.output).findings
    if not changed:
        assert findings == ()
        return
    (outdated,) = findings
    assert (outdated.file, outdated.kind) == (
        "derived/ds/signals/value.receipt.json",
        "outdated",
    )
    assert outdated.problem.endswith(f": {', '.join(changed)}")


def test_a_cache_of_series_is_nobodys_concern(layout: Layout) -> None:
    before = verify(layout.output)
    write_text(layout.tables() / ".cache" / "abc" / "values.npy", "anything")
    assert verify(layout.output).findings == before.findings
