"""What changed between releases and why; tags; vacuumed releases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from braindata.cli import cli
from braindata.errors import BraindataError, UsageError
from braindata.layout import Layout
from braindata.receipts import Receipt
from braindata.status.releases import expect_releases
from braindata.tables import shards as shards_module
from braindata.tables.history import describe_differences, describe_history, differences, history
from braindata.tables.provenance import Cause, causes, how_made
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.releases import (
    NewerError,
    list_releases,
    read_release,
    read_tags,
    remove_tag,
    write_tag,
)
from braindata.tables.rows_compared import Counts, compare_rows, row_hashes
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard
from braindata.tables.vacuum import vacuum

VISUAL, INSULA = "visual-0123456789ab", "insula-ba9876543210"


def shard(folder: Path, region: str, values: list[float], people: str = "ab") -> Path:
    name, _, definition = region.partition("-")
    rows = [
        {
            "dataset": "ds",
            "recording": f"sub-{person}_bold",
            "subject": person,
            "region": name,
            "definition_hash": definition,
            "trial": i,
            "estimate": value,
        }
        for person in people
        for i, value in enumerate(values)
    ]
    path = folder / f"{region}.parquet"
    write_shard(pa.Table.from_pylist(rows, TRIALS), path, "trials")
    return path


def provenance(
    regions: tuple[str, ...],
    people: str = "ab",
    step: int = 1,
    raw: str = "raw-1",
    hrf: str = "spm",
    numpy: str = "2.1",
    **more: object,
) -> dict[str, object]:
    """What `publish` notes, of receipts that are made up."""
    receipts = {"curate/ds": Receipt("curate", "ds", 1, {"curate": {}}, {"raw": raw})}
    for person in people:
        unit = Receipt("preprocess", f"ds/sub-{person}", 1, {}, {"image": person})
        receipts[f"derivatives/ds/sub-{person}"] = unit
    for region in regions:
        receipts[f"derived/ds/trials/{region}.parquet"] = Receipt(
            "derive", f"ds/{region}", step, {"derive": {"hrf": hrf, "n": 1}}, {"series": raw},
            versions={"numpy": numpy},
        )  # fmt: skip
    parameters = {"datasets": ["ds"], "regions": list(regions), "publish": {}, "decisions": {}}
    return {"parameters": parameters, **how_made(receipts), **more}


def test_a_new_region_is_why_rows_came(tmp_path):
    tables = tmp_path / "tables"
    visual = shard(tmp_path, VISUAL, [1.0, 2.0])
    publish(tables, {"trials": [visual]}, provenance((VISUAL,)))
    both = [visual, shard(tmp_path, INSULA, [3.0, 4.0, 5.0])]
    publish(tables, {"trials": both}, provenance((VISUAL, INSULA)))
    (only,) = differences(tables, 1, 2)
    assert (only.table, only.counts) == ("trials", Counts(added=6))
    assert only.causes == (Cause("region", "insula is new"),)
    (back,) = differences(tables, 2, 1)
    assert back.counts == Counts(removed=6)
    assert back.causes == (Cause("region", "insula is no longer asked for"),)
    entries = history(tables)
    assert [one.change for one in entries] == ["trials 4", "trials +6: region: insula is new"]
    assert entries[1].versions["trials"] == 1 and entries[1].versions["series"] == 0
    assert describe_history(entries).count("\n") == 2
    # Two folders with the same history print the same.
    assert read_release(tables).created[:4] not in describe_history(entries)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"step": 2}, Cause("code", "step version of derive 1 → 2")),
        ({"numpy": "2.2"}, Cause("code", "numpy 2.1 → 2.2")),
        ({"hrf": "glover"}, Cause("config", "derive: derive.hrf")),
        ({"raw": "raw-2"}, Cause("data", "files of ds changed")),
    ],
)
def test_changed_rows_and_their_cause(tmp_path, change, cause):
    tables = tmp_path / "tables"
    files = [shard(tmp_path, VISUAL, [1.0, 2.0]), shard(tmp_path, INSULA, [7.0])]
    publish(tables, {"trials": files}, provenance((VISUAL, INSULA)))
    files = [shard(tmp_path, VISUAL, [1.0, 2.5]), files[1]]
    publish(tables, {"trials": files}, provenance((VISUAL, INSULA), **change))
    (only,) = differences(tables, 1, 2)
    assert only.counts == Counts(changed=2)
    assert only.causes == (cause,)
    assert str(cause) in describe_differences([only])


def test_somebody_who_came_and_another_definition(tmp_path):
    tables = tmp_path / "tables"
    publish(tables, {"trials": [shard(tmp_path, VISUAL, [1.0])]}, provenance((VISUAL,)))
    more = shard(tmp_path, VISUAL, [1.0], people="abc")
    publish(tables, {"trials": [more]}, provenance((VISUAL,), people="abc"))
    (only,) = differences(tables, 1, 2)
    assert only.counts == Counts(added=1)
    assert only.causes == (Cause("data", "1 person or session came"),)
    other = VISUAL[:-1] + "c"
    publish(tables, {"trials": [shard(tmp_path, other, [1.0], "abc")]}, provenance((other,), "abc"))
    found = differences(tables, 2, 3)
    assert sum((one.counts for one in found), Counts()) == Counts(added=3, removed=3)
    assert {one.causes for one in found} == {(Cause("region", "visual is defined otherwise"),)}


def test_rules_and_releases_that_do_not_say(tmp_path):
    tables = tmp_path / "tables"
    publish(tables, {"trials": [shard(tmp_path, VISUAL, [1.0])]}, provenance((VISUAL,)))
    said = provenance((VISUAL,))
    said["parameters"] = said["parameters"] | {"publish": {"exclude": ["fd_mean > 1"]}}
    publish(tables, {"trials": [shard(tmp_path, VISUAL, [1.0], "a")]}, said)
    (only,) = differences(tables, 1, 2)
    assert (only.counts, only.causes) == (
        Counts(removed=1),
        (Cause("config", "rules of publish.exclude"),),
    )
    publish(tables, {}, {"parameters": {}})
    assert "unknown" in {one.kind for one in causes(*(read_release(tables, n) for n in (2, 3)))}
    same = differences(tables, 2, 2)
    assert same == [] and "same rows" in describe_differences(same)


def test_notes_hold_no_values_of_parameters():
    receipt = Receipt("curate", "ds", 6, {"choice": {"subjects": ["SECRET"]}}, {"raw": "x"})
    assert "SECRET" not in json.dumps(how_made({"curate/ds": receipt}))


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "dataset": st.sampled_from(["a", "b"]),
            "trial": st.integers(0, 3),
            "estimate": st.none() | st.floats(allow_nan=False, width=32),
            "trial_type": st.none() | st.sampled_from(["x", "y"]),
        }
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(ROWS, ROWS)
def test_counts_against_pandas(tmp_path_factory, old, new):
    folder = tmp_path_factory.mktemp("rows")
    paths = []
    for name, rows in (("old", old), ("new", new)):
        paths.append(folder / f"{name}.parquet")
        write_shard(pa.Table.from_pylist(rows, TRIALS), paths[-1], "trials")
    total = sum(compare_rows(paths[:1], paths[1:]).values(), Counts())
    # Independently: multisets of rows, and of what identifies them.
    sides = []
    for rows in (old, new):
        frame = pd.DataFrame(rows, columns=["dataset", "trial", "estimate", "trial_type"])
        sides.append(frame.astype(object).where(frame.notna(), None).map(repr))
    counts = [side.value_counts() for side in sides]
    come = counts[1].sub(counts[0], fill_value=0).clip(lower=0)
    gone = counts[0].sub(counts[1], fill_value=0).clip(lower=0)
    of = ["dataset", "trial"]
    both = pd.concat([come.groupby(level=of).sum(), gone.groupby(level=of).sum()], axis=1).fillna(0)
    changed = both.min(axis=1).sum() if len(both) else 0
    assert total == Counts(come.sum() - changed, gone.sum() - changed, changed)


def test_hashes_of_rows():
    kind = pa.list_(pa.float32())
    lists = pa.array([[1.0, 2.0], [], None, [2.0, 1.0]], kind)
    table = pa.table({"a": ["x", None, "x", "x"], "v": lists, "none": pa.nulls(4)})
    hashes = row_hashes(table)
    assert len(set(hashes.tolist())) == 4
    assert np.array_equal(row_hashes(table.select(["v", "a"])), hashes)
    assert np.array_equal(row_hashes(pa.concat_tables([table, table])), np.tile(hashes, 2))
    assert len(row_hashes(table.slice(0, 0))) == 0


@pytest.fixture
def three(tmp_path):
    """Three releases; of the second, one file is in no other."""
    tables = tmp_path / "results" / "tables"
    for values in ([1.0], [2.0], [3.0]):
        publish(tables, {"trials": [shard(tmp_path, VISUAL, values)]}, provenance((VISUAL,)))
    return tables


def test_tags(three):
    write_tag(three, 1, "paper")
    write_tag(three, 1, "paper")
    assert open_tables(three, "paper").release == open_tables(three, "1").release == 1
    with pytest.raises(UsageError, match="release 1 has the tag paper"):
        write_tag(three, 2, "paper")
    for wrong in ("", "7", "a b", "../x", "x" * 65):
        with pytest.raises(UsageError, match="is no tag"):
            write_tag(three, 1, wrong)
    with pytest.raises(UsageError, match="no release 9"):
        write_tag(three, 9, "nine")
    with pytest.raises(UsageError, match="no release has the tag papre; did you mean paper"):
        open_tables(three, "papre")
    assert history(three)[0].tags == ("paper",)
    remove_tag(three, "paper")
    assert read_tags(three) == {}
    with pytest.raises(UsageError, match="there is no tag paper"):
        remove_tag(three, "paper")


def test_vacuum_keeps_the_latest_the_tagged_and_the_kept(three):
    write_tag(three, 1, "paper")
    files = {n: open_tables(three, n).trials.files[0] for n in (1, 2, 3)}
    foreseen = vacuum(three, dry_run=True)
    assert foreseen.releases == (2,) and files[2].is_file()
    assert vacuum(three, keep=[2]).releases == ()
    assert vacuum(three) == foreseen
    assert [files[n].is_file() for n in (1, 2, 3)] == [True, False, True]
    with pytest.raises(UsageError, match="release 2 was vacuumed") as told:
        open_tables(three, 2)
    assert told.value.hint is not None and "1, 3" in told.value.hint
    assert open_tables(three, 1).trials.to_pyarrow()["estimate"].to_pylist() == [1.0, 1.0]
    assert open_tables(three).release == 3
    assert [one.state for one in history(three)] == ["there", "vacuumed", "there"]
    assert vacuum(three).releases == () and vacuum(three).n_files == 0
    with pytest.raises(UsageError, match="was vacuumed"):
        differences(three, 1, 2)


def test_publishing_after_vacuuming(three, tmp_path):
    vacuum(three)
    # What the vacuumed release held is entered again, under a number of its own.
    again = publish(three, {"trials": [shard(tmp_path, VISUAL, [2.0])]}, {})
    assert again.number == 4
    assert open_tables(three).trials.to_pyarrow()["estimate"].to_pylist() == [2.0, 2.0]
    with pytest.raises(UsageError, match="release 1 was vacuumed"):
        open_tables(three, 1)


def test_a_vacuum_that_was_killed_goes_on(three, monkeypatch):
    files = [open_tables(three, n).trials.files[0] for n in (1, 2, 3)]

    def killed(*_args: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        # Writing a file atomically ends with an unlink, too: of the first release file.
        with pytest.raises(KeyboardInterrupt):
            vacuum(three)
    vacuum(three)
    assert [file.is_file() for file in files] == [False, False, True]


def test_the_commands(three):
    output = str(three.parent)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    run("tag", output, "2", "second")
    assert "second" in run("history", output)
    assert "trials" in run("diff", output, "second", "3")
    assert "releases would go: 1;" in run("vacuum", output, "--dry-run")
    assert "releases gone: none" in run("vacuum", output, "--keep", "1")
    assert "releases gone: 1;" in run("vacuum", output)
    assert "(vacuumed)" in run("history", output)
    run("tag", output, "--remove", "second")
    assert "second" not in run("history", output)
    with pytest.raises(UsageError, match="name a release and its tag"):
        CliRunner().invoke(cli, ["tag", output, "second"], catch_exceptions=False)


def test_what_a_newer_version_wrote_is_not_taken_for_damage(three, tmp_path, monkeypatch):
    file = three / "releases" / "2.json"
    body = json.loads(file.read_text())
    file.write_text(json.dumps(body | {"schema_version": 99, "news": True}))
    with pytest.raises(NewerError, match="newer braindata") as told:
        open_tables(three, 2)
    assert told.value.hint is not None and "upgrade" in told.value.hint
    # The others can be read.
    assert open_tables(three, 1).release == 1 and open_tables(three).release == 3
    with pytest.raises(NewerError, match="newer braindata"):
        expect_releases(Layout(three.parent), set())
    with monkeypatch.context() as patch:
        patch.setattr(shards_module, "SCHEMA_VERSION", 99)
        later = shard(tmp_path, INSULA, [1.0])
    with pytest.raises(BraindataError, match="the shard was written by a newer braindata"):
        publish(three, {"trials": [later]}, {})
    assert list_releases(three) == [1, 2, 3]


def test_the_rest_reads_where_one_file_is_corrupt(tmp_path):
    tables = tmp_path / "tables"
    files = [shard(tmp_path, VISUAL, [1.0, 2.0]), shard(tmp_path, INSULA, [3.0])]
    publish(tables, {"trials": files}, {})
    publish(tables, {"trials": files[:1]}, {})
    view = open_tables(tables, 1).trials
    (broken,) = [file for file in view.files if file not in open_tables(tables).trials.files]
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content[:4] + bytes(len(content) - 8) + content[-4:])
    with pytest.raises(BraindataError, match="`trials` cannot be read") as told:
        view.to_pyarrow()
    assert told.value.file == str(broken)
    rest = view.to_pyarrow(["estimate"], {"region": "visual"})
    assert rest["estimate"].to_pylist() == [1.0, 2.0, 1.0, 2.0]
    assert open_tables(tables).trials.to_pyarrow().num_rows == 4
    with pytest.raises(BraindataError, match="a file of `trials` cannot be read") as told:
        differences(tables, 2, 1)
    assert told.value.file == str(broken)
