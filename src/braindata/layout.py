"""Where each file of an output folder lies. Nothing else joins these paths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from braindata.receipts import SUFFIX

# No data set's name has a dot.
PUBLISHED = ".derivatives"
# The stages of a unit, in their order: one job of Snakemake with one log. Where their receipts lie.
PER_UNIT = ("preprocess", "pack")
UNIT_FOLDERS = ("derivatives", "packed")
# In a region's place: what EEG shows at its sensors.
SENSORS = "sensors"


@dataclass(frozen=True)
class Layout:
    """The paths below one output folder.

    Attributes
    ----------
    output : Path
        The output folder.
    """

    output: Path

    def raw(self, dataset: str) -> Path:
        """The pulled BIDS folder."""
        return self.output / "raw" / dataset

    def manifest(self, dataset: str) -> Path:
        """Path, size and sha256 of each pulled file."""
        return self.output / "raw" / f"{dataset}.manifest.tsv"

    def published(self, dataset: str) -> Path:
        """The pulled derivatives that others made of a data set."""
        return self.output / "raw" / f"{dataset}{PUBLISHED}"

    def published_manifest(self, dataset: str) -> Path:
        """Path, size and sha256 of each of their files."""
        return self.output / "raw" / f"{dataset}{PUBLISHED}.manifest.tsv"

    def source_state(self, dataset: str) -> Path:
        """Hash over names, sizes and times of the source when it was pulled."""
        return self.output / "raw" / f"{dataset}.state"

    def mirror(self) -> Path:
        """Repositories and contents of all data sets that come from elsewhere."""
        return self.output / "raw" / ".store"

    def inventory(self, dataset: str) -> Path:
        """The recordings of a data set and their status."""
        return self.output / "curated" / f"{dataset}.parquet"

    def validation(self, dataset: str) -> Path:
        """The official validator's verdict."""
        return self.output / "curated" / f"{dataset}.validation.json"

    def facts(self, dataset: str) -> Path:
        """What the card of a data set says: its people, its images, what is odd."""
        return self.output / "curated" / f"{dataset}.facts.json"

    def derivatives(self, dataset: str) -> Path:
        """The BIDS derivatives of a data set."""
        return self.output / "derivatives" / dataset

    def fmriprep(self, dataset: str, unit: str) -> Path:
        """What fMRIPrep wrote about one unit, its report too, as it wrote it."""
        return self.output / "fmriprep" / dataset / unit

    def templateflow(self) -> Path:
        """The templates that were fetched for fMRIPrep."""
        return self.output / "templateflow"

    def templates(self) -> Path:
        """Which these are."""
        return self.output / "templateflow" / "fetched.txt"

    def store(self, dataset: str, recording: str) -> Path:
        """The sample store of one recording."""
        return self.output / "packed" / dataset / f"{recording}.h5"

    def units(self, dataset: str) -> Path:
        """Number of units and one hash of their receipts: what regions' jobs wait for."""
        return self.output / "packed" / f"{dataset}.units.json"

    def head(self, which: str) -> Path:
        """The lead fields of one of the two heads of EEG: `model` or `truth`."""
        return self.output / "head" / f"{which}.h5"

    def regions(self) -> Path:
        """The folder of the files that regions are made from, each under its sha256."""
        return self.output / "regions"

    def series(self, dataset: str, region: str) -> Path:
        """The series of one region (``name-hash``) in all recordings of a data set."""
        return self.output / "series" / dataset / f"{region}.parquet"

    def trials(self, dataset: str, region: str) -> Path:
        """The trials of one region (``name-hash``), or at `SENSORS`, of a data set's recordings."""
        return self.output / "derived" / dataset / "trials" / f"{region}.parquet"

    def alignment(self, dataset: str, group: str) -> Path:
        """How well people of a data set are aligned in a group of regions (``name-hash``)."""
        return self.output / "aligned" / dataset / f"{group}.parquet"

    def patterns(self, dataset: str, group: str) -> Path:
        """Their trials in the common space of the group."""
        return self.output / "aligned" / dataset / f"{group}.patterns.parquet"

    def maps(self, dataset: str, group: str) -> Path:
        """Everybody's maps into that space."""
        return self.output / "aligned" / dataset / f"{group}.maps.npz"

    def alignment_template(self, dataset: str, group: str) -> Path:
        """The templates of the group's parcels, and where their voxels lie."""
        return self.output / "aligned" / dataset / f"{group}.template.npz"

    def latents(self, dataset: str) -> Path:
        """What models of behaviour say of each trial of a data set."""
        return self.output / "derived" / dataset / "latents.parquet"

    def latent_fits(self, dataset: str) -> Path:
        """The parameters of these models, per person."""
        return self.output / "derived" / dataset / "latent_fits.parquet"

    def behaviour(self, dataset: str) -> Path:
        """The trials of recordings of which there is no image."""
        return self.output / "derived" / dataset / "behaviour.parquet"

    def connectivity(self, dataset: str) -> Path:
        """How regions hold together in the recordings of a data set."""
        return self.output / "derived" / dataset / "connectivity.parquet"

    def connectivity_parts(self, dataset: str) -> Path:
        """What that was made from: so that only new pairs of regions are."""
        return self.output / "derived" / dataset / "connectivity.parts.json"

    def signals(self, dataset: str, process: str) -> Path:
        """What regions say of one cognitive process in each trial of a data set."""
        return self.output / "derived" / dataset / "signals" / f"{process}.parquet"

    def signal_fits(self, dataset: str, process: str) -> Path:
        """The weights of these regions, per person."""
        return self.output / "derived" / dataset / "signal_fits" / f"{process}.parquet"

    def tables(self) -> Path:
        """The published tables."""
        return self.output / "tables"

    def report(self) -> Path:
        """The report's first page."""
        return self.output / "report" / "index.html"

    def log(self, stage: str, *job: str) -> Path:
        """The log of a job: of a data set and, where there is one, of its unit or region."""
        *folders, name = (PER_UNIT[0] if stage in PER_UNIT else stage, *job)
        return self.output.joinpath("logs", *folders, f"{name}.log")

    def plan(self) -> Path:
        """What the latest run was asked for."""
        return self.output / ".plan.json"

    def receipt(self, folder: str, *job: str) -> Path:
        """The receipt of a job of the stage that writes to `folder`."""
        return self.output.joinpath(folder, *job[:-1], job[-1] + SUFFIX)
