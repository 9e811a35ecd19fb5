"""One table of a release, and its rows in the three common libraries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from braindata.errors import BraindataError, UsageError, nearest
from braindata.tables.releases import ShardFile, TableRelease

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

HINT = "delete the damaged file if it is there, and run snakemake again: it is made anew"


class TableView:
    """One table of one release; nothing is read before it is asked for.

    Attributes
    ----------
    name : str
        Name of the table.
    folder : Path
        Its folder, which any reader of Delta tables opens.
    delta_version : int
        Its version there.
    """

    def __init__(self, name: str, folder: Path, release: TableRelease):
        self.name = name
        self.folder = folder
        self.delta_version = release.delta_version
        self._release = release

    def __repr__(self) -> str:
        return f"<table {self.name}: {len(self)} rows in {len(self.files)} files>"

    def __len__(self) -> int:
        return self._release.rows

    @property
    def files(self) -> list[Path]:
        """Its Parquet files."""
        return [self.folder / file.path for file in self._release.files]

    @property
    def schema(self) -> pa.Schema:
        """Its columns, each with description and unit in its metadata."""
        return self._log[0]

    def to_pyarrow(
        self, columns: Sequence[str] | None = None, where: Mapping[str, object] | None = None
    ) -> pa.Table:
        """Read rows as a pyarrow table.

        Parameters
        ----------
        columns : sequence of str, optional
            Which columns; all by default.
        where : mapping of str to value, optional
            Column and what it must be: a value, None for null, or a list of these. Files and row
            groups that cannot hold such rows are not read.

        Returns
        -------
        pyarrow.Table
            Rows by data set, region and recording, then as their job wrote them.

        Raises
        ------
        UsageError
            When there is no such column, or a value is not of its type.
        BraindataError
            When a file is missing or corrupt.
        """
        dataset, files, chosen = self._chosen(columns, where)
        with self._naming_broken(files):
            return dataset.to_table(**chosen)

    def to_batches(
        self,
        columns: Sequence[str] | None = None,
        where: Mapping[str, object] | None = None,
        *,
        max_rows: int = 1000,
    ) -> Iterator[pa.RecordBatch]:
        """Read the same rows as `to_pyarrow`, piece by piece, each of at most `max_rows`."""
        dataset, files, chosen = self._chosen(columns, where)
        with self._naming_broken(files):
            yield from dataset.to_batches(
                **chosen,
                batch_size=max_rows,
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,
            )

    def files_with(self, where: Mapping[str, object]) -> list[Path]:
        """Return the files, in their order, that may hold such rows; see `to_pyarrow`."""
        return [self.folder / file.path for file in self._chosen((), where)[1]]

    def to_pandas(
        self, columns: Sequence[str] | None = None, where: Mapping[str, object] | None = None
    ) -> pd.DataFrame:
        """Read rows as a pandas data frame; see `to_pyarrow`."""
        frame: pd.DataFrame = self.to_pyarrow(columns, where).to_pandas()
        return frame

    def to_polars(
        self, columns: Sequence[str] | None = None, where: Mapping[str, object] | None = None
    ) -> pl.DataFrame:
        """Read rows as a polars data frame; see `to_pyarrow`."""
        import polars as pl

        return pl.DataFrame(self.to_pyarrow(columns, where))

    def _chosen(
        self, columns: Sequence[str] | None, where: Mapping[str, object] | None
    ) -> tuple[ds.Dataset, list[ShardFile], dict[str, Any]]:
        """Return a data set of the files that may hold such rows, these, and what to ask it for."""
        for name in [*(columns or ()), *(where or ())]:
            if name not in self.schema.names:
                raise UsageError(
                    f"{self.name} has no column {name}; {nearest(name, self.schema.names)}"
                )
        wanted = {name: _values(self.schema.field(name), v) for name, v in (where or {}).items()}
        expression = None
        for name, values in wanted.items():
            condition = _condition(name, values)
            expression = condition if expression is None else expression & condition
        files = self._files_with(wanted)
        self._check_sizes(files)
        dataset = ds.FileSystemDataset.from_paths(
            [file.path for file in files],
            schema=self.schema,
            format=ds.ParquetFileFormat(
                default_fragment_scan_options=ds.ParquetFragmentScanOptions(
                    page_checksum_verification=True
                )
            ),
            filesystem=pa.fs.SubTreeFileSystem(str(self.folder), pa.fs.LocalFileSystem()),
        )
        names = None if columns is None else list(columns)
        return dataset, files, {"columns": names, "filter": expression}

    @contextmanager
    def _naming_broken(self, files: Sequence[ShardFile]) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowInvalid) as error:
            raise BraindataError(
                f"the table `{self.name}` cannot be read",
                file=self._first_broken(files) or self.folder,
                hint=HINT,
            ) from error

    @cached_property
    def _log(self) -> tuple[pa.Schema, pa.Table]:
        """The schema, and what the Delta log says of each file."""
        try:
            table = DeltaTable(str(self.folder), version=self.delta_version)
            schema, actions = pa.schema(table.schema()), pa.table(table.get_add_actions(True))
        except (DeltaError, OSError) as error:
            # Below the first line delta-rs puts where in its code it arose.
            said = str(error).strip().partition("\n")[0]
            raise BraindataError(
                f"version {self.delta_version} of the table cannot be opened ({said})",
                file=self.folder,
                hint=HINT,
            ) from error
        if set(actions["path"].to_pylist()) != {file.path for file in self._release.files}:
            raise BraindataError(
                f"version {self.delta_version} of the table has other files than the release",
                file=self.folder,
                hint=HINT,
            )
        return schema, actions

    def _files_with(self, wanted: Mapping[str, list[Any]]) -> list[ShardFile]:
        """Return the files, in their order, whose bounds allow for rows that are wanted.

        Only the columns in question are looked at: deltalake's own pruning translates the bounds
        of all columns of all files, which takes longer than reading a few files.
        """
        actions = self._log[1]
        possible = set(actions["path"].to_pylist())
        for name, values in wanted.items():
            statistics = [f"{kind}.{name}" for kind in ("min", "max", "null_count")]
            if not set(statistics) <= set(actions.column_names):
                continue
            table = actions.select(["path", "num_records", *statistics])
            for path, n_rows, least, most, n_null in zip(*table.to_pydict().values(), strict=True):
                unknown = n_null is None or (least is None and n_null < n_rows)
                among = least is not None and any(
                    value is not None and least <= value <= most for value in values
                )
                if not (unknown or among or (None in values and n_null > 0)):
                    possible.discard(path)
        return [file for file in self._release.files if file.path in possible]

    def _check_sizes(self, files: Sequence[ShardFile]) -> None:
        for file in files:
            path = self.folder / file.path
            try:
                size = path.stat().st_size
            except FileNotFoundError as error:
                raise BraindataError(
                    "a file of the table is missing", file=path, hint=HINT
                ) from error
            if size != file.bytes:
                raise BraindataError(
                    f"a file of the table has {size} bytes instead of {file.bytes}",
                    file=path,
                    hint=HINT,
                )

    def _first_broken(self, files: Sequence[ShardFile]) -> Path | None:
        for file in files:
            try:
                pq.read_table(
                    self.folder / file.path, partitioning=None, page_checksum_verification=True
                )
            except (OSError, pa.ArrowInvalid):
                return self.folder / file.path
        return None


def _values(field: pa.Field, value: object) -> list[Any]:
    """Return what a column may be, as a list in the column's type."""
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    try:
        # Into Arrow and out of it again: a value of another type would match nothing in silence.
        array = pa.array(values, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise UsageError(
            f"column {field.name} holds {field.type}, not {value!r}",
            hint="identifiers are strings: '01', not 1",
        ) from error
    converted: list[Any] = array.to_pylist()
    return converted


def _condition(name: str, values: list[Any]) -> pc.Expression:
    column = pc.field(name)
    there = [value for value in values if value is not None]
    if not there:
        return column.is_null() if values else pc.scalar(False)
    condition = column.isin(there)
    return condition | column.is_null() if None in values else condition
