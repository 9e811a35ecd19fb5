"""Shards: conformity, bytes, encodings, statistics."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from braindata.errors import BraindataError
from braindata.files import sha256_file
from braindata.tables.schemas import SCHEMA_VERSION, TABLES
from braindata.tables.schemas.series import SERIES
from braindata.tables.schemas.trials import TRIALS
from braindata.tables.shards import check_shard, conform, read_shard, statistics, write_shard


def series_rows(n: int = 3) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": "ds",
            "recording": f"sub-0{i}",
            "subject": f"0{i}",
            "region": "visual",
            "strategy": "none",
            "values": rng.standard_normal(50).astype(np.float32).tolist() if i else [None] * 50,
            "kept": [True] * 50,
            "coverage": 0.5,
            "n_voxels": 7,
        }
        for i in range(n)
    ]
    return pa.Table.from_pylist(rows, SERIES)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_round_trips_with_all_columns(tmp_path, name):
    schema = TABLES[name]
    path = tmp_path / "region=x" / "shard.parquet"
    write_shard(pa.table({"dataset" if name != "regions" else "region": ["a", "b"]}), path, name)
    table = read_shard(path, name)
    assert table.schema.equals(schema, check_metadata=False)
    assert table.schema.metadata[b"braindata.table"] == name.encode()
    assert table.schema.metadata[b"braindata.schema_version"] == str(SCHEMA_VERSION).encode()
    for field in table.schema:
        assert field.metadata[b"description"] == schema.field(field.name).metadata[b"description"]
        assert len(field.metadata[b"description"]) > 5
    frame = pd.read_parquet(tmp_path / "region=x" / "shard.parquet", partitioning=None)
    assert list(frame.columns) == schema.names


def test_pandas_reads_a_single_shard(tmp_path):
    path = tmp_path / "ab" / "shard.parquet"
    write_shard(series_rows(), path, "series")
    frame = pd.read_parquet(path)
    assert list(frame.columns) == SERIES.names
    assert frame["subject"].tolist() == ["00", "01", "02"]
    expected = np.float32(series_rows()["values"][1].as_py())
    assert np.array_equal(frame["values"][1], expected)
    assert np.isnan(frame["values"][0]).all()


def test_same_rows_give_the_same_bytes(tmp_path):
    rows = series_rows(5)
    write_shard(rows, tmp_path / "a.parquet", "series")
    shuffled = rows.select(rows.column_names[::-1])
    in_pieces = pa.concat_tables([shuffled.slice(0, 2), shuffled.slice(2)])
    write_shard(in_pieces, tmp_path / "b.parquet", "series")
    assert sha256_file(tmp_path / "a.parquet") == sha256_file(tmp_path / "b.parquet")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.parquet", "b.parquet"]


def test_encodings(tmp_path):
    path = tmp_path / "shard.parquet"
    rows = pa.concat_tables([series_rows()] * 700)
    write_shard(rows, path, "series")
    footer = pq.read_metadata(path)
    assert [footer.row_group(i).num_rows for i in range(footer.num_row_groups)] == [1000, 1000, 100]
    group = footer.row_group(0)
    for i in range(footer.num_columns):
        column = group.column(i)
        assert column.compression == "ZSTD"
        assert not column.has_dictionary_page
        if column.physical_type in ("FLOAT", "DOUBLE"):
            assert "BYTE_STREAM_SPLIT" in column.encodings, column.path_in_schema
    assert "values.list.element" in {group.column(i).path_in_schema for i in range(16)}


def test_conform_completes_casts_and_refuses():
    table = conform(pa.table({"trial": pa.array([1], pa.int32()), "region": ["a"]}), "trials")
    assert table.schema.equals(TRIALS, check_metadata=False)
    assert table["trial"].to_pylist() == [1]
    assert table["onset"].null_count == 1
    with pytest.raises(ValueError, match="did you mean onset"):
        conform(pa.table({"onsets": [1.0]}), "trials")
    with pytest.raises(ValueError, match="no table trails"):
        conform(pa.table({"onset": [1.0]}), "trails")
    with pytest.raises(ValueError, match=r"trials\.onset does not fit double"):
        conform(pa.table({"onset": ["soon"]}), "trials")
    with pytest.raises(ValueError, match="twice"):
        conform(pa.table([[1.0], [2.0]], names=["onset", "onset"]), "trials")


def test_broken_shards_are_named(tmp_path):
    path = tmp_path / "shard.parquet"
    with pytest.raises(BraindataError, match="missing") as missing:
        check_shard(path, "series")
    assert missing.value.file == str(path)
    write_shard(series_rows(), path, "series")
    with pytest.raises(BraindataError, match="columns of `trials`"):
        check_shard(path, "trials")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(BraindataError, match="cannot be read"):
        read_shard(path, "series")
    path.write_bytes(content[:40] + bytes(200) + content[240:])
    with pytest.raises(BraindataError, match="cannot be read"):
        read_shard(path, "series")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-(2**53), 2**53)),
            st.one_of(st.none(), st.floats(allow_nan=True)),
            st.one_of(st.none(), st.text(max_size=150).filter(str.isprintable)),
        ),
        max_size=30,
    )
)
def test_statistics_bound_the_values(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("statistics") / "shard.parquet"
    trials, estimates, texts = zip(*rows, strict=True) if rows else ((), (), ())
    table = pa.table(
        {
            "trial": pa.array(trials, pa.int64()),
            "estimate": pa.array(estimates, pa.float64(), from_pandas=False),
            "columns": pa.array(texts, pa.string()),
        }
    )
    write_shard(table, path, "trials")
    found = statistics(check_shard(path, "trials"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["numRecords"] == len(rows)
    for name, values in (("trial", trials), ("estimate", estimates), ("columns", texts)):
        given_values = [v for v in values if v is not None]
        if rows:
            assert found["nullCount"][name] == len(values) - len(given_values)
        if name in found["minValues"]:
            numbers = [v for v in given_values if not (isinstance(v, float) and math.isnan(v))]
            assert found["minValues"][name] <= min(numbers)
            assert found["maxValues"][name] >= max(numbers)
