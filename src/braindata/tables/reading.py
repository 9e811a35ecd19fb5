"""Reading the tables: a release, its tables, and their rows in the three common libraries."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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

from braindata.errors import BraindataError, UsageError
from braindata.tables.releases import (
    FOLDER,
    Release,
    ShardFile,
    TableRelease,
    list_releases,
    read_release,
)

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

TABLES_FOLDER = "tables"
HINT = "delete the damaged file if it is there, and run snakemake again: it is made anew"


@dataclass(frozen=True)
class TableSize:
    """How large one table of one release is."""

    release: int
    created: str
    table: str
    rows: int
    files: int
    bytes: int


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
        for name in [*(columns or ()), *(where or ())]:
            if name not in self.schema.names:
                raise UsageError(
                    f"{self.name} has no column {name}; {_known(name, self.schema.names)}"
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
            format=ds.ParquetFileFormat(),
            filesystem=pa.fs.SubTreeFileSystem(str(self.folder), pa.fs.LocalFileSystem()),
        )
        try:
            return dataset.to_table(
                columns=None if columns is None else list(columns), filter=expression
            )
        except (OSError, pa.ArrowInvalid) as error:
            raise BraindataError(
                f"the table `{self.name}` cannot be read",
                file=self._first_broken(files) or self.folder,
                hint=HINT,
            ) from error

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
                pq.read_table(self.folder / file.path, partitioning=None)
            except (OSError, pa.ArrowInvalid):
                return self.folder / file.path
        return None


class Tables:
    """One release of the tables, by name: ``tables["trials"]`` or ``tables.trials``.

    Attributes
    ----------
    folder : Path
        The folder of all tables.
    release : int
        The release's number.
    provenance : dict
        Where everything came from.
    """

    def __init__(self, folder: Path, release: Release):
        self.folder = folder
        self.release = release.number
        self.provenance = release.provenance
        self._views = {
            name: TableView(name, folder / name, table) for name, table in release.tables.items()
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} ({len(view)} rows)" for name, view in self._views.items())
        return f"<release {self.release} of {self.folder}: {sizes}>"

    @property
    def names(self) -> list[str]:
        """Names of the tables."""
        return list(self._views)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, name: str) -> TableView:
        if name not in self._views:
            raise UsageError(
                f"release {self.release} has no table {name}; {_known(name, self.names)}"
            )
        return self._views[name]

    def __getattr__(self, name: str) -> TableView:
        # Through __dict__, as copying and unpickling ask for attributes before there are any.
        views = self.__dict__.get("_views", {})
        if name not in views:
            raise AttributeError(f"release has no table {name}; {_known(name, list(views))}")
        view: TableView = views[name]
        return view

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._views})


def open_tables(path: Path | str, version: int | str | None = None) -> Tables:
    """Open a release of the tables.

    Parameters
    ----------
    path : path-like
        An output folder, or its `tables` folder.
    version : int or str, optional
        Which release, by its number or a tag; the latest by default.

    Returns
    -------
    Tables
        By name: ``tables["trials"].to_pandas()``.

    Raises
    ------
    UsageError
        When there is no such folder or release, or its files were removed on purpose; it names
        those that are there.
    BraindataError
        When the release file is damaged.
    """
    folder = find_tables(path)
    return Tables(folder, read_release(folder, version))


def find_tables(path: Path | str) -> Path:
    """Return the folder of tables that `path` is or holds.

    Raises
    ------
    UsageError
        When there is no such folder.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise UsageError("there is no such folder", file=path)
    inner = path / TABLES_FOLDER
    return (inner if (inner / FOLDER).is_dir() else path).resolve()


def table_sizes(path: Path | str) -> list[TableSize]:
    """Return the size of every table in every release, releases ascending.

    Raises
    ------
    UsageError
        When there is no release.
    """
    folder = find_tables(path)
    numbers = list_releases(folder) or [read_release(folder).number]
    return [
        TableSize(number, release.created, name, table.rows, len(table.files), table.bytes)
        for number in numbers
        for release in [read_release(folder, number, ended=True)]
        if not release.state
        for name, table in release.tables.items()
    ]


def describe(path: Path | str) -> str:
    """Return the releases as text: one line per table of the latest, one per release.

    Raises
    ------
    UsageError
        When there is no release.
    """
    sizes = table_sizes(path)
    if not sizes:
        # It says why none can be opened.
        open_tables(path)
    latest = sizes[-1].release
    lines = [f"{'table':<14}{'rows':>12}{'files':>8}{'size':>12}"]
    lines += [
        f"{size.table:<14}{size.rows:>12,}{size.files:>8,}{_readable(size.bytes):>12}"
        for size in sizes
        if size.release == latest
    ]
    lines += ["", f"{'release':<14}{'rows':>12}{'files':>8}{'size':>12}   created"]
    for number in sorted({size.release for size in sizes}):
        of_release = [size for size in sizes if size.release == number]
        rows, files, n_bytes = (
            sum(values)
            for values in zip(*((s.rows, s.files, s.bytes) for s in of_release), strict=True)
        )
        lines.append(
            f"{number:<14}{rows:>12,}{files:>8,}{_readable(n_bytes):>12}   {of_release[0].created}"
        )
    return "\n".join(lines)


def _readable(n_bytes: int) -> str:
    size, unit = float(n_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


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


def _known(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
