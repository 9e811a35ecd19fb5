"""What is published, with pseudonyms in the place of people's labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from braindata.errors import UsageError
from braindata.layout import Layout
from braindata.stages.job import read_inventory
from braindata.tables.pseudonyms import Pseudonyms, fingerprint, read_key
from braindata.tables.releases import list_releases, read_release
from braindata.tables.shards import read_shard, write_shard


def pseudonyms_of(layout: Layout, dataset: str, which: str, key: str) -> Pseudonyms | None:
    """Return the pseudonyms of the people of a data set; None where people keep their labels.

    Parameters
    ----------
    layout : Layout
        The output folder.
    dataset : str
        Identifier of the data set, which is curated.
    which : str
        Fingerprint of the key that was planned with; empty for none.
    key : str
        The file of the key.

    Raises
    ------
    UsageError
        When it is another key.
    """
    if not which:
        return None
    secret = read_key(Path(key)) if key else b""
    if fingerprint(secret) != which:
        raise UsageError(
            "this is not the key that the pseudonyms of the tables were made with",
            file=key or None,
            hint="give `--key` the file that `pseudonym_key` of the configuration names",
        )
    labels = {row["subject"] for row in read_inventory(layout, dataset)}
    return Pseudonyms(secret, dataset, labels - {None})


def require_no_labels_before(layout: Layout) -> None:
    """Check that no earlier release names people by their labels: its files are passed on too.

    Raises
    ------
    UsageError
        When one does.
    """
    for number in list_releases(layout.tables()):
        release = read_release(layout.tables(), number, ended=True)
        chosen = release.provenance.get("parameters", {})
        if release.state != "withdrawn" and not chosen.get("pseudonyms"):
            raise UsageError(
                f"release {number} is here, in which people have the labels of the data set",
                file=layout.tables(),
                hint="remove this folder and run again (only `publish` and `report` do), "
                "or set another `output`",
            )


# What of a row tells where the files of a recording lie.
PLACES = ("subject", "recording", "unit", "path", "t1w", "events")


def with_labels(
    layout: Layout, dataset: str, names: Pseudonyms
) -> dict[tuple[str, str | None], dict[str, Any]]:
    """Return what names the files of each recording, by what is published as its name and path."""
    rows = read_inventory(layout, dataset)
    return {
        (names.text(row["recording"]), names.value(row["path"])): {
            name: row[name] for name in PLACES
        }
        for row in rows
    }


def pseudonymised(shard: Path, table: str, names: Pseudonyms | None, target: Path) -> Path:
    """Return a shard in which people have their pseudonyms; the shard itself stays as it is.

    Parameters
    ----------
    shard : Path
        What a job made.
    table : str
        Which table it belongs to.
    names : Pseudonyms or None
        Of the data set; of None, the shard itself is returned.
    target : Path
        Where to write it to.
    """
    if names is None:
        return shard
    rows = read_shard(shard, table)
    columns = [_column(rows[name], name, names) for name in rows.column_names]
    write_shard(pa.table(columns, schema=rows.schema), target, table)
    return target


def _column(column: pa.ChunkedArray, name: str, names: Pseudonyms) -> Any:
    kind = column.type
    if pa.types.is_string(kind):
        # Almost all rows say the same few things.
        coded = column.combine_chunks().dictionary_encode()
        said = [names.value(one, name) for one in coded.dictionary.to_pylist()]
        return pa.array(said, kind).take(coded.indices)
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        return pa.array(names.value(column.to_pylist()), kind)
    return column
