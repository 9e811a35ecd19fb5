"""An exported release: every reader reads it, and it describes itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import mlcroissant
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import yaml

from braindata.errors import BraindataError, UsageError
from braindata.tables.cards import Source, licence_text
from braindata.tables.export import export_release
from braindata.tables.publish import publish
from braindata.tables.reading import open_tables
from braindata.tables.schemas import TABLES
from braindata.tables.shards import write_shard
from tests.unit.test_cli import braindata

# One stays empty, as tables do whose stage has nothing to say.
EMPTY = "stimuli"
N_FILES, N_ROWS = 2, 3


def some_value(kind: pa.DataType, number: int) -> Any:
    """Return a value of a column's type that tells its row; every third is null."""
    if number % 3 == 2:
        return None
    if pa.types.is_list(kind):
        return [some_value(kind.value_type, number), None, some_value(kind.value_type, number + 1)]
    if pa.types.is_boolean(kind):
        return number % 2 == 0
    if pa.types.is_integer(kind):
        return 2**53 + number
    if pa.types.is_floating(kind):
        return number + 0.25
    assert pa.types.is_string(kind)
    return f"0{number} „|\n"


@pytest.fixture(scope="module")
def output(tmp_path_factory) -> Path:
    """A release in which every column of every table has values and nulls."""
    folder = tmp_path_factory.mktemp("output")
    shards: dict[str, list[Path]] = {}
    for name, schema in TABLES.items():
        for file in range(0 if name == EMPTY else N_FILES):
            rows = [
                {field.name: some_value(field.type, file * N_ROWS + i) for field in schema}
                for i in range(N_ROWS)
            ]
            # What orders the files.
            for row in rows:
                row[schema.names[0]] = f"d{file}"
            if name == "recordings":
                for row in rows:
                    row |= {
                        "licence": "CC0",
                        "licence_class": "CC0",
                        "status": "used",
                        "modality": "fmri",
                    }
            path = folder / "shards" / name / f"{file}.parquet"
            write_shard(pa.Table.from_pylist(rows, schema), path, name)
            shards.setdefault(name, []).append(path)
    publish(folder / "tables", shards, {"parameters": {"datasets": ["d0", "d1"]}})
    return folder


@pytest.fixture(scope="module")
def exported(output, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "out"
    assert export_release(output, folder, name='A "name": here').number == 1
    return folder


@pytest.fixture(scope="module")
def expected(output) -> dict[str, list[dict[str, Any]]]:
    return {
        name: view.to_pyarrow().to_pylist() for name, view in open_tables(output)._views.items()
    }


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as Python has them, missing values None."""

    def one(value: Any) -> Any:
        if isinstance(value, np.ndarray | list):
            return [one(item) for item in value]
        if value is None or value is pd.NA or value != value:
            return None
        return value.item() if isinstance(value, np.generic) else value

    return [{name: one(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("name", TABLES)
def test_every_reader_reads_every_table_of_an_export(exported, expected, name):
    folder, rows = exported / name, expected[name]
    assert len(rows) == (0 if name == EMPTY else N_FILES * N_ROWS)
    assert ds.dataset(folder).to_table().to_pylist() == rows
    assert pq.read_table(folder).to_pylist() == rows
    assert pl.read_parquet(folder / "*.parquet").to_dicts() == rows
    relation = duckdb.sql(f"select * from read_parquet('{folder}/*.parquet') order by filename")
    names = [column for column in relation.columns if column != "filename"]
    found = [dict(zip(names, row, strict=False)) for row in relation.fetchall()]
    assert sorted(map(str, found)) == sorted(map(str, rows))
    frame = pd.read_parquet(folder)
    assert list(frame.columns) == TABLES[name].names
    # Of integers with nulls pandas' own types make floats, which these are too large for.
    exact = pd.read_parquet(folder, dtype_backend="pyarrow")
    assert plain(exact.to_dict("records")) == rows


@pytest.mark.parametrize("name", TABLES)
def test_every_reader_reads_every_table_of_a_release(output, expected, name):
    view = open_tables(output)[name]
    rows = expected[name]
    assert view.to_polars().to_dicts() == rows
    assert len(view.to_pandas()) == len(rows)
    rows_of_view = view.to_pyarrow()
    found = duckdb.sql("select * from rows_of_view").fetchall()
    assert [list(row) for row in found] == [list(row.values()) for row in rows]
    assert pl.scan_delta(str(view.folder), version=view.delta_version).collect().height == len(rows)
    assert rows_of_view.schema.names == TABLES[name].names


LOAD = """
import json, sys
import datasets
datasets.disable_progress_bars()
folder, cache, *names = sys.argv[1:]
print(json.dumps({
    name: datasets.load_dataset(folder, name, split="train", cache_dir=cache).to_list()
    for name in names
}))
assert datasets.get_dataset_config_names(folder) == names
"""


def test_hugging_face_datasets_loads_every_table(exported, expected, tmp_path):
    command = [
        sys.executable,
        "-c",
        LOAD,
        str(exported),
        str(tmp_path),
        *(name for name in TABLES if name != EMPTY),
    ]
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    run = subprocess.run(
        command, env=os.environ | quiet, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    # It knows no table without rows.
    assert found | {EMPTY: []} == expected


def test_croissant_is_valid_and_reads(exported, expected):
    dataset = mlcroissant.Dataset(jsonld=str(exported / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    assert not dataset.metadata.ctx.issues.warnings
    for name in ("recordings", "series", EMPTY):
        records = [
            {key.partition("/")[2]: value for key, value in row.items()}
            for row in dataset.records(name)
        ]
        assert [set(row) for row in records] == [set(row) for row in expected[name]]
        texts = [row["dataset"].decode() for row in records]
        assert texts == [row["dataset"] for row in expected[name]]


def test_each_column_has_its_description_everywhere(exported):
    document = json.loads((exported / "croissant.json").read_text())
    card = (exported / "README.md").read_text()
    fields = {f["@id"]: f for record in document["recordSet"] for f in record["field"]}
    for name, schema in TABLES.items():
        section = card.partition(f"### {name}\n")[2].partition("\n### ")[0]
        for file in sorted((exported / name).iterdir()):
            found = pq.read_schema(file)
            assert found.names == schema.names
            for field in schema:
                words = field.metadata[b"description"].decode()
                assert len(words) > 5
                assert found.field(field.name).metadata == field.metadata
                assert fields[f"{name}/{field.name}"]["description"].startswith(words)
                assert f"| `{field.name}` | " in section
                assert words.replace("|", "\\|") in section


def test_the_card_says_what_is_in_it(exported):
    text = (exported / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    values = yaml.safe_load(header)
    assert values["pretty_name"] == 'A "name": here'
    assert values["license"] == ["cc0-1.0"]
    assert values["tags"] == ["brain", "neuroscience", "fmri"]
    assert [one["config_name"] for one in values["configs"]] == [n for n in TABLES if n != EMPTY]
    assert "| `series` | 6 |" in body
    description = json.loads((exported / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["License"] == "CC0"
    assert {one["Name"] for one in description["SourceDatasets"]} == {"d0", "d1"}
    provenance = json.loads((exported / "provenance.json").read_text())
    assert provenance["release"] == 1
    assert provenance["provenance"] == {"parameters": {"datasets": ["d0", "d1"]}}


def test_other_licences_are_said_in_words(tmp_path):
    rows = [
        {"dataset": "a", "licence": "CC0", "licence_class": "CC0", "status": "used"},
        {"dataset": "b", "licence": "ask\nus", "licence_class": "unknown", "status": "used"},
        {"dataset": "c", "status": "excluded"},
    ]
    shard = tmp_path / "r.parquet"
    write_shard(pa.Table.from_pylist(rows, TABLES["recordings"]), shard, "recordings")
    publish(tmp_path / "in" / "tables", {"recordings": [shard]}, {})
    export_release(tmp_path / "in", tmp_path / "out")
    values = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    assert values["license"] == "other"
    assert values["license_details"] == "a: CC0; b: ask\nus; c: not stated"
    document = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert document["license"] == ["ask\nus", "https://creativecommons.org/publicdomain/zero/1.0/"]
    mlcroissant.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert licence_text([Source("a", (), (), (), (), 0, 0)]) == "not stated"


def test_the_command_and_where_it_refuses(output, tmp_path):
    folder = tmp_path / "a" / "b"
    run = braindata("export", str(output), str(folder), "--release", "1")
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"release 1 is in {folder}\n"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["b"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = braindata("export", str(output), str(folder))
    assert run.returncode == 2 and "there already" in run.stderr
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = braindata("export", str(output), str(tmp_path / "c"), "--release", "9")
    assert run.returncode == 2 and "there are: 1" in run.stderr
    run = braindata("export", str(output), str(tmp_path / "c"), "--release", "papr")
    assert run.returncode == 2 and "no release has the tag papr" in run.stderr
    for inside in (output, output / "out", output / "tables" / "out"):
        with pytest.raises(UsageError, match="no place for an export"):
            export_release(output, inside)
    with pytest.raises(UsageError, match="no place for an export"):
        export_release(output / "tables", output / "tables" / "out")


def test_the_same_release_gives_the_same_bytes(output, exported, tmp_path):
    export_release(output, tmp_path / "again", name='A "name": here')
    first = {p.relative_to(exported): p.read_bytes() for p in exported.rglob("*") if p.is_file()}
    again = tmp_path / "again"
    assert first == {p.relative_to(again): p.read_bytes() for p in again.rglob("*") if p.is_file()}


def test_a_damaged_file_is_named_and_nothing_is_left(tmp_path):
    shard = tmp_path / "r.parquet"
    rows = [{"dataset": "a", "subject": f"{i}"} for i in range(5)]
    write_shard(pa.Table.from_pylist(rows, TABLES["trials"]), shard, "trials")
    publish(tmp_path / "in" / "tables", {"trials": [shard]}, {})
    (file,) = open_tables(tmp_path / "in")["trials"].files
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[:50] + b"x" + content[51:])
    for message in ("not what was published", "is missing"):
        with pytest.raises(BraindataError, match=message) as caught:
            export_release(tmp_path / "in", tmp_path / "out")
        assert caught.value.file == str(file)
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".part*"))
        file.unlink(missing_ok=True)
