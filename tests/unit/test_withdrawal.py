"""Withdrawal: no byte of a person is left, and everything else stays."""

from __future__ import annotations

import base64
import contextlib
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from braindata.cli import cli
from braindata.errors import BraindataError, UsageError
from braindata.files import sha256_file, write_text
from braindata.layout import Layout
from braindata.locking import lock
from braindata.receipts import Outcome, Receipt, receipt_beside
from braindata.tables.history import history
from braindata.tables.pseudonyms import Pseudonyms, fingerprint, read_key
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.releases import write_tag
from braindata.tables.schemas import TABLES
from braindata.tables.shards import read_shard, write_shard
from braindata.withdrawal import purge as purge_module
from braindata.withdrawal.person import find_person
from braindata.withdrawal.purge import purge
from braindata.withdrawal.traces import find_traces, projects_of
from braindata.withdrawn import NAME, Withdrawn
from tests.searching import files_holding

WHO, OTHER = "NDARX7Q9", "02"
SENTINEL = 87.43219876
REGION = "visual-0123456789ab"
# A file per table that must not be touched: of the same label in another data set.
TABLES_OF_PEOPLE = [n for n, s in TABLES.items() if {"dataset", "subject"} <= set(s.names)]


def value_of(field: pa.Field, label: str) -> object:
    """A value of a column, the sentinel for the person who is withdrawn."""
    number = SENTINEL if label == WHO else 1.5
    if pa.types.is_floating(field.type):
        return number
    if pa.types.is_list(field.type) and pa.types.is_floating(field.type.value_type):
        return [number, number]
    if pa.types.is_list(field.type) and pa.types.is_string(field.type.value_type):
        return [f"sub-{label}_task-x_bold", "the same bytes as sub-NDARX7Q9_task-x_bold"]
    return None


def rows_of(table: str, dataset: str, label: str) -> dict[str, object]:
    row = {field.name: value_of(field, label) for field in TABLES[table]}
    name = f"sub-{label}_task-x_bold"
    known = {
        "dataset": dataset,
        "subject": label,
        "recording": name,
        "region": "visual",
        "definition_hash": "0123456789ab",
        "trial": 0,
        "stimulus": "shared" if table == "trials" else None,
        "reason": "as in sub-NDARX7Q9",
    }
    return row | {key: one for key, one in known.items() if key in row}


def write_table(path: Path, table: str, rows: list[dict[str, object]]) -> Path:
    write_shard(pa.Table.from_pylist(rows, TABLES[table]), path, table)
    return path


def note(project: Path, output: str, **more: object) -> Path:
    coded = base64.urlsafe_b64encode(output.encode()).decode()
    path = project / ".snakemake" / "metadata" / coded
    write_text(path, json.dumps({"input": [], **more}))
    return path


@pytest.fixture
def project(tmp_path):
    """An output folder in which a person has left traces wherever there can be some."""
    root = tmp_path / "study"
    layout = Layout(root / "results")
    out = layout.output
    shards: dict[str, list[Path]] = {name: [] for name in TABLES}
    for dataset in ("ds", "other"):
        for label in (WHO, OTHER):
            func = layout.raw(dataset) / f"sub-{label}" / "func"
            write_text(func / f"sub-{label}_task-x_events.tsv", f"onset\n{label}\n")
            name = f"sub-{label}_task-x_bold"
            store = layout.store(dataset, name)
            store.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(store, "w") as file:
                file["x"] = np.full(4, SENTINEL if label == WHO else 1.5)
                file.attrs["recording"] = name
            for folder in ("derivatives", "packed"):
                unit = f"sub-{label}"
                receipt = Receipt("pack", f"{dataset}/{unit}", 1, {}, {})
                receipt.recordings = {name: Outcome("done")}
                receipt.write(layout.receipt(folder, dataset, unit))
            write_text(layout.derivatives(dataset) / f"sub-{label}" / "x.tsv", "a\n")
            write_text(layout.fmriprep(dataset, f"sub-{label}") / f"sub-{label}.html", "x")
            write_text(layout.log("preprocess", dataset, f"sub-{label}"), "INFO: pack\n")
            write_text(out / "benchmarks" / "preprocess" / dataset / f"sub-{label}.tsv", "s\n")
        write_text(
            layout.raw(dataset) / "participants.tsv",
            f"participant_id\tage\nsub-{WHO}\t{SENTINEL}\nsub-{OTHER}\t30\n",
        )
        write_text(layout.manifest(dataset), f"path\tsize\tsha256\nsub-{WHO}/x\t1\tab\n")
        for folder in ("raw", "curated"):
            Receipt("pull", dataset, 1, {}, {}, notes={"units": {f"sub-{WHO}": 1}}).write(
                layout.receipt(folder, dataset)
            )
        both = [rows_of("recordings", dataset, label) for label in (WHO, OTHER)]
        write_table(layout.inventory(dataset), "recordings", both)
        write_text(layout.facts(dataset), json.dumps({"age": {"max": SENTINEL}}))
        write_text(layout.log("curate", dataset), f"WARNING: sub-{WHO}: quarantined\n")
        places = {
            "series": layout.series(dataset, REGION),
            "trials": layout.trials(dataset, REGION),
            "latents": layout.latents(dataset),
            "latent_fits": layout.latent_fits(dataset),
        }
        for table in TABLES_OF_PEOPLE:
            # Tables that this test does not know lie where a data set's shards do.
            path = places.get(table, out / "derived" / dataset / f"{table}.parquet")
            rows = [rows_of(table, dataset, label) for label in (WHO, OTHER)]
            shards[table].append(write_table(path, table, rows))
            Receipt("x", f"{dataset}/x", 1, {}, {}, recordings={
                f"sub-{WHO}_task-x_bold": Outcome("done")
            }).write(receipt_beside(path))  # fmt: skip
        aligned = out / "aligned" / dataset
        aligned.mkdir(parents=True)
        np.savez_compressed(
            aligned / f"{REGION}.template.npz", template=np.full(3, SENTINEL), of=[f"sub-{WHO}"]
        )
        write_text(aligned / f"{REGION}.receipt.json", f'{{"sub-{WHO}": 1}}')
    stimuli = [
        {"dataset": "ds", "stimulus": "shared", "stim_file": "a.png", "n_trials": 2},
        {"dataset": "ds", "stimulus": "seen", "stim_file": "b.png", "n_trials": 1},
    ]
    shards["stimuli"].append(write_table(tmp_path / "stimuli.parquet", "stimuli", stimuli))
    seen = rows_of("trials", "ds", WHO) | {"trial": 1, "stimulus": "seen"}
    shards["trials"].append(write_table(layout.behaviour("ds"), "trials", [seen]))
    # The contents store: another name of the person's file, one that nobody links, half of one.
    contents = layout.mirror() / "contents" / "ab"
    contents.mkdir(parents=True)
    theirs = layout.raw("ds") / f"sub-{WHO}" / "func" / f"sub-{WHO}_task-x_events.tsv"
    os.link(theirs, contents / "MD5E-s1--a")
    others = layout.raw("ds") / f"sub-{OTHER}" / "func" / f"sub-{OTHER}_task-x_events.tsv"
    os.link(others, contents / "MD5E-s1--b")
    write_text(contents / "MD5E-s1--old", f"an earlier version of sub-{WHO}")
    write_text(layout.mirror() / "unfinished" / "ab" / "MD5E-s1--c", WHO)
    write_text(layout.mirror() / "repositories" / f"ds-{'a' * 40}.git" / "tree", f"sub-{WHO}")
    write_text(layout.mirror() / "repositories" / f"other-{'a' * 40}.git" / "tree", "x")
    said = {
        "parameters": {
            "datasets": ["ds", "other"],
            "decisions": {"ds": {"exclude": [{"subject": WHO, "why": f"{SENTINEL}"}]}},
        },
        "receipts": {f"packed/{d}/sub-{p}": "a" for d in ("ds", "other") for p in (WHO, OTHER)},
    }
    publish(layout.tables(), {"trials": shards["trials"]}, said)
    publish(layout.tables(), shards, said)
    write_tag(layout.tables(), 1, "paper")
    Receipt("publish", "all", 1, said["parameters"], {}).write(layout.receipt("tables", "publish"))
    write_text(layout.report(), f"<p>sub-{WHO}</p>")
    write_text(layout.report().with_name("people") / f"sub-{WHO}.html", "x")
    write_text(layout.log("publish"), f"sub-{WHO}\n")
    write_text(out / ".plan.json", "{}")
    note(root, f"results/packed/ds/sub-{WHO}.receipt.json")
    note(root, "results/packed/ds.units.json", input=[f"results/packed/ds/sub-{WHO}.receipt.json"])
    note(root, f"results/packed/ds/sub-{OTHER}.receipt.json")
    # What is none of this output folder's stays, whomever it names.
    note(root, f"elsewhere/packed/ds/sub-{WHO}.receipt.json")
    log = root / ".snakemake" / "log" / "1.snakemake.log"
    write_text(log, f"input: results/packed/ds/sub-{WHO}.receipt.json\n")
    return root


def state(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def of_other_set(found: list[str]) -> list[str]:
    """What names the same label in the other data set, which is another person."""
    return [name for name in found if "/other" in name]


def withdraw(project: Path, named: str = f"ds/{WHO}") -> object:
    layout = Layout(project / "results")
    return purge(layout, find_person(layout, named), projects_of(layout.output))


def test_no_byte_is_left(project):
    layout = Layout(project / "results")
    # Without the other data set, whose person of that label stays.
    withdraw(project, f"other/{WHO}")
    before = files_holding(layout.output, [WHO], [SENTINEL])
    assert len(before) > 25
    done = withdraw(project)
    assert files_holding(layout.output, [WHO], [SENTINEL]) == []
    left = files_holding(project / ".snakemake", [WHO])
    assert [base64.urlsafe_b64decode(name.split("/")[1]) for name in left] == [
        f"elsewhere/packed/ds/sub-{WHO}.receipt.json".encode()
    ]
    assert done.remaining == ()
    assert done.refit == ("ds/latents", f"ds/{REGION}")
    # Folders that bore the name are gone, too.
    assert not list(layout.output.rglob(f"*{WHO}*"))
    contents = layout.mirror() / "contents" / "ab"
    assert [path.name for path in contents.iterdir()] == ["MD5E-s1--b"]
    assert (layout.raw("ds") / f"sub-{OTHER}/func/sub-{OTHER}_task-x_events.tsv").is_file()
    assert layout.receipt("packed", "ds", f"sub-{OTHER}").is_file()


def test_the_same_label_of_another_data_set_stays(project):
    layout = Layout(project / "results")
    withdraw(project)
    assert layout.store("other", f"sub-{WHO}_task-x_bold").is_file()
    assert layout.receipt("raw", "other").is_file()
    assert f"sub-{WHO}" in (layout.raw("other") / "participants.tsv").read_text()
    tables = open_tables(layout.output)
    for name in TABLES_OF_PEOPLE:
        rows = tables[name].to_pyarrow(["dataset", "subject"]).to_pylist()
        assert sorted(tuple(row.values()) for row in rows) == [
            ("ds", OTHER),
            ("other", OTHER),
            ("other", WHO),
        ]
    assert set(tables.provenance["receipts"]) == {
        f"packed/ds/sub-{OTHER}",
        f"packed/other/sub-{OTHER}",
        f"packed/other/sub-{WHO}",
    }
    assert tables.provenance["parameters"]["decisions"] == {"ds": {"exclude": []}}


def test_one_release_is_left_and_the_others_say_why(project):
    layout = Layout(project / "results")
    done = withdraw(project)
    assert done.release == open_tables(layout.output).release == 3
    for number in (1, 2, "paper"):
        with pytest.raises(UsageError, match="was ended: a person was withdrawn") as told:
            open_tables(layout.output, number)
        assert told.value.hint is not None and "open one of: 3" in told.value.hint
    assert [one.state for one in history(layout.tables())] == ["withdrawn", "withdrawn", "there"]
    tables = open_tables(layout.output)
    for name in tables:
        log = tables[name].folder / "_delta_log"
        version = tables[name].delta_version
        names = {path.name for path in log.iterdir()}
        assert names == {
            "_last_checkpoint",
            f"{version:020d}.json",
            f"{version:020d}.checkpoint.parquet",
        }
        delta = DeltaTable(str(tables[name].folder))
        assert delta.version() == version
        assert delta.to_pyarrow_table().num_rows == len(tables[name])
    shards = {path for name in TABLES for path in (layout.tables() / name).glob("??/*")}
    assert shards == {path for name in tables for path in tables[name].files}
    # What only the person saw is gone; what others saw too was seen less often.
    stimuli = tables.stimuli.to_pyarrow(["stim_file", "n_trials"]).to_pylist()
    assert stimuli == [{"stim_file": "a.png", "n_trials": 1}]
    # In what is said of others, a word stands in the person's place.
    (other,) = tables.trials.to_pyarrow(["reason"], {"dataset": "ds"}).to_pylist()
    assert other["reason"] == "as in withdrawn"
    # Publishing goes on from there.
    assert publish(layout.tables(), {}, {}).number == 4


def test_shards_are_what_jobs_would_write(project):
    layout = Layout(project / "results")
    other = layout.series("other", REGION).read_bytes()
    withdraw(project)
    path = layout.series("ds", REGION)
    rows = [rows_of("series", "ds", OTHER)]
    rows[0] |= {"reason": "as in withdrawn"} if "reason" in rows[0] else {}
    left = read_shard(path, "series").to_pylist()
    assert [row["subject"] for row in left] == [OTHER]
    fresh = write_table(path.with_name("fresh.parquet"), "series", left)
    assert fresh.read_bytes() == path.read_bytes()
    assert layout.series("other", REGION).read_bytes() == other
    # Receipts of the data set as a whole are gone, so that its jobs run again.
    assert not receipt_beside(path).exists()
    assert receipt_beside(layout.series("other", REGION)).exists()


def test_without_purge_nothing_changes_and_all_is_listed(project):
    before = state(project)
    run = CliRunner().invoke(
        cli, ["withdraw", str(project / "results"), f"ds/sub-{WHO}"], catch_exceptions=False
    )
    assert run.exit_code == 0
    assert state(project) == before
    layout = Layout(project / "results")
    traces = find_traces(
        layout, "ds", find_person(layout, f"ds/{WHO}").gone, projects_of(layout.output)
    )
    for name in (*traces.remove, *map(str, traces.notes)):
        assert f"remove\t{layout.output / name}\n" in run.output
    assert f"refit\tds/{REGION}" in run.output
    assert "Nothing is done yet" in run.output


@pytest.mark.parametrize("step", ["release_without", "find_traces", "mend_shard", "_clear_store"])
def test_interrupted_it_is_given_again(project, monkeypatch, step):
    layout = Layout(project / "results")
    withdraw(project, f"other/{WHO}")

    def killed(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(purge_module, step, killed)
        with pytest.raises(KeyboardInterrupt):
            withdraw(project)
    # Whatever was done, the person does not come back.
    assert Withdrawn.read(layout.output).of("ds").has(WHO)
    withdraw(project)
    assert files_holding(layout.output, [WHO], [SENTINEL]) == []
    listed = (layout.output / NAME).read_text()
    files = state(layout.output)
    release = open_tables(layout.output).release
    # And once more: nothing changes, but Delta's checkpoints are written anew.
    done = withdraw(project)
    assert done.n_files == done.n_rows == 0
    assert done.release == release
    again = state(layout.output)
    assert {n: h for n, h in again.items() if "_delta_log" not in n} == {
        n: h for n, h in files.items() if "_delta_log" not in n
    }
    assert (layout.output / NAME).read_text() == listed


@pytest.mark.parametrize("killed_at", range(0, 64, 8))
def test_killed_at_any_write_the_tables_can_be_read(project, monkeypatch, killed_at):
    """Each rename and removal in turn is the last thing that a withdrawal does."""
    layout = Layout(project / "results")
    n_left = killed_at

    def counted(real):
        def act(*args: object, **more: object) -> object:
            nonlocal n_left
            if n_left == 0:
                raise KeyboardInterrupt
            n_left -= 1
            return real(*args, **more)

        return act

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", counted(Path.replace))
        real_unlink = Path.unlink
        patch.setattr(Path, "unlink", counted(real_unlink))
        with contextlib.suppress(KeyboardInterrupt):
            withdraw(project)
    tables = open_tables(layout.output)
    for name in tables:
        assert len(tables[name].to_pyarrow()) == len(tables[name])
    withdraw(project)
    assert of_other_set(files_holding(layout.output, [WHO])) == [
        name for name in files_holding(layout.output, [WHO]) if not name.startswith("tables/")
    ]
    assert open_tables(layout.output)["recordings"].to_pyarrow().num_rows == 3


def test_a_run_that_is_going_on_refuses_it(project):
    before = state(project)
    held = lock(project / "results")
    try:
        with pytest.raises(BraindataError, match="another Snakemake"):
            withdraw(project)
    finally:
        os.close(held)
    after = state(project)
    after.pop("results/.lock"), before.pop("results/.lock", None)
    assert after == before


def test_whoever_is_not_there_is_told(project):
    layout = Layout(project / "results")
    with pytest.raises(UsageError, match="no person NDARX7Q8 of ds") as told:
        find_person(layout, "ds/NDARX7Q8")
    assert told.value.hint == f"nearest: {WHO}"
    with pytest.raises(UsageError, match="no person 02 of othr") as told:
        find_person(layout, "othr/02")
    assert told.value.hint == "did you mean other/02?"
    for wrong in ("ds", "ds/", "/02", "ds/a/b"):
        with pytest.raises(UsageError, match="is no person"):
            find_person(layout, wrong)


@pytest.mark.parametrize("short", [True, False])
def test_damaged_tables_are_named_before_anything_goes(project, short):
    layout = Layout(project / "results")
    broken = open_tables(layout.output).trials.files[0]
    content = broken.read_bytes()
    broken.unlink()
    # One bit, of the last value of the file: written anew, it would pass for sound.
    changed = bytearray(content)
    changed[-9 - int.from_bytes(content[-8:-4], "little")] ^= 1
    broken.write_bytes(content[:4] if short else changed)
    with pytest.raises(BraindataError, match="a file of `trials` is damaged") as told:
        withdraw(project)
    assert told.value.file == str(broken)
    # Found by its hash: no library was asked to read it.
    assert told.value.__cause__ is None
    assert layout.store("ds", f"sub-{WHO}_task-x_bold").is_file()


def test_damaged_shards_of_jobs_go(project):
    layout = Layout(project / "results")
    for path in (layout.series("ds", REGION), layout.latents("ds")):
        content = path.read_bytes()
        # A file of its own: the tables have the same one under another name.
        path.unlink()
        path.write_bytes(content[: len(content) // 2])
    done = withdraw(project)
    assert not layout.series("ds", REGION).exists() and not layout.latents("ds").exists()
    assert done.remaining == () and "ds/latents" in done.refit
    assert open_tables(layout.output).series.to_pyarrow().num_rows == 3


def test_tables_of_another_version_end(project, monkeypatch):
    layout = Layout(project / "results")
    extra = pa.field("extra", pa.string(), metadata={"description": "Another one."})
    monkeypatch.setitem(TABLES, "trials", TABLES["trials"].append(extra))
    withdraw(project, f"other/{WHO}")
    done = withdraw(project)
    assert done.release is None
    with pytest.raises(UsageError, match="was ended") as told:
        open_tables(layout.output)
    assert told.value.hint is not None and "run snakemake again" in told.value.hint
    assert files_holding(layout.output, [WHO], [SENTINEL]) == []
    assert publish(layout.tables(), {}, {}).number == 3


def test_somebody_with_a_pseudonym(project):
    layout = Layout(project / "results")
    key = project / "pseudonyms.key"
    names = Pseudonyms(read_key(key), "ds")
    for number in (1, 2):
        file = layout.tables() / "releases" / f"{number}.json"
        body = json.loads(file.read_text())
        body["provenance"]["parameters"]["pseudonyms"] = fingerprint(read_key(key))
        write_text(file, json.dumps(body))
    named = rows_of("trials", "ds", OTHER) | {"subject": names.of(WHO), "recording": "x"}
    shards = [write_table(project / "x.parquet", "trials", [named])]
    said = {"parameters": {"pseudonyms": fingerprint(read_key(key))}}
    publish(layout.tables(), {"trials": shards}, said)
    with pytest.raises(UsageError, match="people have pseudonyms"):
        find_person(layout, f"ds/{WHO}")
    person = find_person(layout, f"ds/{names.of(WHO)}", key)
    assert person.labels == (WHO, names.of(WHO))
    purge(layout, person, [])
    found = files_holding(layout.output, [names.of(WHO), WHO])
    assert found == of_other_set(found)
    # Called again with one of the names, it is known who is meant.
    assert find_person(layout, f"ds/{WHO}", key).gone.has(names.of(WHO))
    release = open_tables(layout.output)
    assert len(release.trials) == 0
    assert pq.read_table(layout.trials("ds", REGION), partitioning=None).num_rows == 1
