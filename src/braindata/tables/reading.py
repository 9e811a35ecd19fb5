"""Reading the tables: a release by name or number, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from braindata.errors import UsageError, nearest
from braindata.tables.releases import FOLDER, Release, list_releases, read_release
from braindata.tables.splits import SHARES
from braindata.tables.view import TableView

if TYPE_CHECKING:
    from braindata.tables.windows import Windows

TABLES_FOLDER = "tables"


@dataclass(frozen=True)
class TableSize:
    """How large one table of one release is."""

    release: int
    created: str
    table: str
    rows: int
    files: int
    bytes: int


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

    def windows(
        self,
        length: int,
        stride: int | None = None,
        *,
        regions: Sequence[str] | None = None,
        level: str | None = None,
        modality: str | None = None,
        strategy: str = "none",
        kept_only: bool = True,
        evidence: float | Mapping[str, float] | None = None,
        split: str | None = None,
        shares: tuple[float, float, float] = SHARES,
        seed: int = 0,
        batch_size: int = 1024,
        cache: Path | str | None = None,
    ) -> Windows:
        """Return windows of regions' series, to be read in shuffled batches.

        The series are decoded once into a cache of plain memory-mapped arrays beside the tables,
        which may be deleted at any moment.

        Parameters
        ----------
        length, stride : int
            Samples of a window, and from the start of one to that of the next; without `stride`
            they do not overlap.
        regions : sequence of str, optional
            Names of regions; all by default.
        level : str, optional
            Only regions of this level, such as ``valuation``.
        modality : str, optional
            ``fmri`` or ``eeg``; needed where the release has both.
        strategy : str
            How the series were cleaned: ``none`` is the uncleaned mean.
        kept_only : bool
            Only windows in which every region has values and the strategy keeps every sample. If
            false, what is missing is NaN, and `kept` says what scrubbing leaves out.
        evidence : float or mapping of str to float, optional
            Only regions that take part in a process of `signals` whose `evidence_r` exceeds this,
            in recordings of data sets and tasks in which it does for all of them. By process, as
            ``{"value": 0.2}``; a number is for any process.
        split : {"train", "validation", "test"}, optional
            Only these people. A person, that is data set and subject, is in one split whatever
            else the tables hold; recordings that `alignment` may be fitted on are not in ``test``.
        shares : tuple of float
            Shares of people in the three splits.
        seed : int
            Decides who is in which split, and the order of windows.
        batch_size : int
            Windows in a batch.
        cache : path-like, optional
            The folder of caches; `.cache` in the folder of the tables by default.

        Returns
        -------
        Windows
            ``for batch in windows.batches(epoch): batch.values``.

        Raises
        ------
        UsageError
            When there is no such region, level, modality, strategy, process or split, nobody in
            it, no evidence, or no such window.
        BraindataError
            When the tables are damaged.
        """
        from braindata.tables.windows import make_windows

        return make_windows(
            self,
            length,
            stride,
            regions=regions,
            level=level,
            modality=modality,
            strategy=strategy,
            kept_only=kept_only,
            evidence=evidence,
            split=split,
            shares=shares,
            seed=seed,
            batch_size=batch_size,
            cache=cache,
        )

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
                f"release {self.release} has no table {name}; {nearest(name, self.names)}"
            )
        return self._views[name]

    def __getattr__(self, name: str) -> TableView:
        # Through __dict__, as copying and unpickling ask for attributes before there are any.
        views = self.__dict__.get("_views", {})
        if name not in views:
            raise AttributeError(f"release has no table {name}; {nearest(name, list(views))}")
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
