"""Reading a release: values, filters, messages."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

import braindata
from braindata.errors import BraindataError, UsageError
from braindata.tables.publish import publish
from braindata.tables.reading import Tables, describe, open_tables, table_sizes
from braindata.tables.schemas import TABLES
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import write_shard


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """Two releases: two subjects and two regions, then one more region."""
    folder = tmp_path_factory.mktemp("output")
    shards = []
    for k, region in enumerate(("visual", "insula", "amygdala")):
        rows = [
            {
                "dataset": "ds",
                "region": region,
                "recording": f"sub-{subject}_bold",
                "subject": subject,
                "trial": i,
                "estimate": None if i == 2 else 10.0 * k + i,
                "response_time": 0.5 * i,
            }
            for subject in ("01", "02")
            for i in range(3)
        ]
        shards.append(folder / f"{region}.parquet")
        write_shard(pa.Table.from_pylist(rows, TRIALS), shards[-1], "trials")
    series = folder / "series.parquet"
    rows = [{"dataset": "ds", "region": "visual", "values": [1.5, None, 2.5], "kept": [True] * 3}]
    write_shard(pa.Table.from_pylist(rows, SERIES), series, "series")
    publish(folder / "tables", {"trials": shards[:2], "series": [series]}, {"n": 1})
    publish(folder / "tables", {"trials": shards, "series": [series]}, {"n": 2})
    return folder


def test_three_libraries_give_the_same_values(output):
    tables = open_tables(output)
    for name in TABLES:
        arrow, frame, polars = (
            tables[name].to_pyarrow(),
            tables[name].to_pandas(),
            tables[name].to_polars(),
        )
        assert arrow.column_names == list(frame.columns) == polars.columns
        assert len(arrow) == len(frame) == polars.height == len(tables[name])
        assert polars.to_dicts() == arrow.to_pylist()
    trials = tables.trials
    expected = trials.to_pyarrow()["estimate"].to_numpy()
    assert np.array_equal(trials.to_pandas()["estimate"], expected, equal_nan=True)
    assert tables.series.to_pyarrow()["values"].to_pylist() == [[1.5, None, 2.5]]


def test_rows_come_by_region_and_recording(output):
    table = open_tables(output).trials.to_pyarrow(["region", "subject", "trial"])
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        (region, subject, i)
        for region in ("amygdala", "insula", "visual")
        for subject in ("01", "02")
        for i in range(3)
    ]


def test_columns_and_where(output):
    trials = open_tables(output)["trials"]
    table = trials.to_pyarrow(["estimate"], {"region": "insula", "subject": "02"})
    assert table.to_pydict() == {"estimate": [10.0, 11.0, None]}
    several = {"region": ["visual", "amygdala"], "trial": 0}
    assert sorted(trials.to_pandas(["estimate"], several)["estimate"]) == [0, 0, 20, 20]
    assert len(trials.to_polars(where={"estimate": None})) == 6
    assert len(trials.to_pyarrow(where={"estimate": [None, 1.0]})) == 8
    assert len(trials.to_pyarrow(where={"region": []})) == 0
    assert len(trials.to_pyarrow(where={"session": None})) == 18
    with pytest.raises(UsageError, match="did you mean estimate"):
        trials.to_pyarrow(["estimates"])
    with pytest.raises(UsageError, match="no column regions"):
        trials.to_pyarrow(where={"regions": "visual"})
    with pytest.raises(UsageError, match="subject holds string, not 1"):
        trials.to_pyarrow(where={"subject": 1})


def test_batches_are_the_same_rows(output):
    trials = open_tables(output)["trials"]
    where = {"region": ["visual", "amygdala"]}
    batches = list(trials.to_batches(["region", "trial"], where, max_rows=2))
    assert max(batch.num_rows for batch in batches) == 2
    whole = trials.to_pyarrow(["region", "trial"], where)
    assert pa.Table.from_batches(batches).to_pylist() == whole.to_pylist()
    assert [p.name for p in trials.files_with({"region": "insula"})] == [trials.files[1].name]
    with pytest.raises(UsageError, match="no column regions"):
        list(trials.to_batches(["regions"]))


def test_releases_and_folders(output, tmp_path):
    assert open_tables(output).release == open_tables(str(output / "tables")).release == 2
    assert open_tables(output, 1).trials.to_pyarrow()["region"].unique().to_pylist() == [
        "insula",
        "visual",
    ]
    assert open_tables(output, version=1).provenance == {"n": 1}
    with pytest.raises(UsageError, match="no release 3") as wrong:
        open_tables(output, 3)
    assert wrong.value.hint == "there are: 1, 2"
    with pytest.raises(UsageError, match="no such folder"):
        open_tables(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no release of tables here"):
        open_tables(tmp_path)


def test_names_and_attributes(output):
    tables = open_tables(output)
    assert tables.names == list(tables) == list(TABLES)
    assert len(tables) == len(TABLES)
    assert "trials" in tables and "trials" in dir(tables)
    assert repr(tables.trials) == "<table trials: 18 rows in 3 files>"
    assert "trials (18 rows)" in repr(tables)
    assert isinstance(copy.copy(tables), Tables)
    with pytest.raises(UsageError, match="did you mean trials"):
        tables["trails"]
    with pytest.raises(AttributeError, match="did you mean trials"):
        _ = tables.trails


def test_every_column_is_described(output):
    for name in TABLES:
        view = open_tables(output)[name]
        for field in view.schema:
            assert field.metadata[b"description"]
        assert view.schema.equals(TABLES[name], check_metadata=True)
    unit = open_tables(output).trials.schema.field("onset").metadata[b"unit"]
    assert unit == b"s"


def test_sizes(output):
    sizes = {(size.release, size.table): size for size in table_sizes(output)}
    assert len(sizes) == 2 * len(TABLES)
    assert (sizes[1, "trials"].rows, sizes[2, "trials"].rows) == (12, 18)
    assert (sizes[1, "trials"].files, sizes[2, "trials"].files) == (2, 3)
    on_disk = sum(path.stat().st_size for path in open_tables(output).trials.files)
    assert sizes[2, "trials"].bytes == on_disk
    text = describe(output)
    (line,) = [line for line in text.splitlines() if line.startswith("trials")]
    assert line.split()[1:3] == ["18", "3"]
    assert [line.split()[0] for line in text.splitlines()[-2:]] == ["1", "2"]


def test_sizes_without_a_release(tmp_path):
    with pytest.raises(UsageError, match="no release of tables here"):
        describe(tmp_path)


def test_damage_is_named(output, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(output, folder)
    view = open_tables(folder).trials
    broken = view.files[1]
    content = broken.read_bytes()
    broken.write_bytes(content[:4] + bytes(len(content) - 4))
    with pytest.raises(BraindataError, match="cannot be read") as caught:
        view.to_pyarrow()
    assert caught.value.file == str(broken)
    (folder / "tables" / "releases" / "2.json").write_text("{}")
    with pytest.raises(BraindataError, match="no release file"):
        open_tables(folder)
    assert open_tables(folder, 1).release == 1
    (log,) = (folder / "tables" / "series" / "_delta_log").glob("*0.json")
    log.write_text("\0")
    with pytest.raises(BraindataError, match="cannot be opened") as caught:
        open_tables(folder, 1).series.to_pyarrow()
    assert "\n" not in caught.value.problem
    shutil.rmtree(folder / "tables" / "trials" / "_delta_log")
    with pytest.raises(BraindataError, match="cannot be opened"):
        open_tables(folder, 1).trials.to_pyarrow()


def test_one_changed_bit_is_damage_and_no_other_value(output, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(output, folder)
    view = open_tables(folder).trials
    broken = view.files[1]
    content = broken.read_bytes()
    n_data = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    sound = view.to_pyarrow()
    broken.unlink()
    n_told = 0
    for place in np.linspace(4, n_data - 1, 60).astype(int):
        changed = bytearray(content)
        changed[place] ^= 1
        broken.write_bytes(changed)
        try:
            found = view.to_pyarrow()
        except BraindataError as error:
            assert error.file == str(broken)
            n_told += 1
        else:
            # A bit of a page's header, such as its statistics, of which no value is made.
            assert found.equals(sound)
    assert n_told > 20


def test_the_package_exports_it_lazily():
    assert braindata.open_tables is open_tables
    assert "open_tables" in dir(braindata)
    with pytest.raises(AttributeError, match="no attribute 'open_table'"):
        _ = braindata.open_table
    code = (
        "import braindata, sys; print(sorted({'pyarrow', 'deltalake', 'pandas'} & {*sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
