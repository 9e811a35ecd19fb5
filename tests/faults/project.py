"""A tiny project that goes through every stage, and copies of it in which a stage is still to do.

One data set of two people with fMRI, of whom the first has an EEG recording as well. It is pulled
from a server on this machine that behaves as OpenNeuro does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np
import yaml

from braindata.phantom.generate import generate
from braindata.phantom.parameters import PhantomParameters
from tests.unit.eeg_recordings import (
    SFREQ,
    cap,
    noise,
    write_brainvision,
    write_channels,
    write_two_kinds,
)
from tests.unit.git_repositories import MadeRepository
from tests.unit.openneuro_server import OpenNeuro, serving

ROOT = Path(__file__).resolve().parents[2]
DATASET = "tiny"
# Small and coarse: this is about jobs and files, not about what is recovered.
PHANTOM = PhantomParameters(
    seed=1, n_subjects=2, n_runs=1, n_trials=12, bold_voxel=6.0, t1w_voxel=4.0
)
REGIONS = {"visual": "vision", "vmpfc": "value"}
N_CHANNELS, SECONDS = 20, 32.0
# Each stage, what it makes, and the stages that rest on it.
MADE = {
    "pull": ("raw",),
    "curate": ("curated",),
    "preprocess": ("derivatives",),
    "pack": ("packed",),
    "head": ("head",),
    "extract": ("series",),
    "derive": ("derived/*/trials",),
    "align": ("aligned",),
    "latents": (
        "derived/*/latents.*",
        "derived/*/latent_fits.parquet",
        "derived/*/behaviour.parquet",
    ),
    "connectivity": ("derived/*/connectivity.*",),
    "signals": ("derived/*/signals", "derived/*/signal_fits"),
    "publish": ("tables",),
    "report": ("report",),
}
AFTER = {
    "pull": ("curate",),
    "curate": ("preprocess", "latents"),
    "preprocess": ("pack",),
    "pack": ("extract", "align"),
    "head": ("extract",),
    "extract": ("derive",),
    "derive": ("connectivity", "signals"),
    "align": ("publish",),
    "latents": ("signals",),
    "connectivity": ("publish",),
    "signals": ("publish",),
    "publish": ("report",),
    "report": (),
}
STAGES = tuple(MADE)


def downstream(stage: str) -> set[str]:
    """Return a stage and all that rest on it."""
    found = {stage}
    for following in AFTER[stage]:
        found |= downstream(following)
    return found


@dataclass(frozen=True)
class Project:
    """A working directory with a configuration, and what Snakemake made there.

    Attributes
    ----------
    folder : Path
        The working directory.
    """

    folder: Path

    @property
    def results(self) -> Path:
        """The output folder."""
        return self.folder / "results"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files: its own, so that what is left over is seen."""
        return self.folder / "scratch"

    @property
    def said(self) -> str:
        """What Snakemake has printed in the latest run."""
        return (self.folder / "said.txt").read_text(encoding="utf-8", errors="replace")

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a run."""
        self.scratch.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(self.scratch), **more}

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own; what it says goes to a file."""
        with (self.folder / "said.txt").open("wb") as said:
            return subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(**environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def command(self) -> list[str]:
        """Return the command that is given again and again."""
        snakemake = str(Path(sys.executable).with_name("snakemake"))
        command = [snakemake, "-s", str(ROOT / "Snakefile"), "--cores", "1"]
        return [*command, "--configfile", "my.yaml"]

    def run(self) -> int:
        """Run Snakemake to its end; return its exit code."""
        return self.start().wait()

    def braindata(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call a command of ours in the working directory."""
        command = [str(Path(sys.executable).with_name("braindata")), *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    def made(self, stage: str) -> list[Path]:
        """Return the files that a stage has made."""
        found: list[Path] = []
        for pattern in MADE[stage]:
            for path in self.results.glob(pattern):
                found += path.rglob("*") if path.is_dir() else [path]
        return sorted(path for path in found if path.is_file())

    def remove(self, *stages: str) -> None:
        """Remove what stages have made."""
        for stage in stages:
            for pattern in MADE[stage]:
                for path in list(self.results.glob(pattern)):
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()

    def copy(self, folder: Path) -> Project:
        """Return a copy, as a user would find it the next day."""
        # Files that are links to one another stay so: published shards are the jobs' own.
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Project(folder)

    def logs(self) -> str:
        """Return what the jobs' logs say."""
        paths = sorted((self.results / "logs").rglob("*.log"))
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in paths)

    def durations(self) -> dict[str, float]:
        """Return how long the longest job of each stage took, in seconds."""
        found: dict[str, float] = {}
        for path in sorted((self.results / "benchmarks").rglob("*.tsv")):
            stage = path.relative_to(self.results / "benchmarks").parts[0].removesuffix(".tsv")
            seconds = float(path.read_text().splitlines()[1].split("\t")[0])
            found[stage] = max(found.get(stage, 0.0), seconds)
        return found


def write_eeg(root: Path, subject: str) -> None:
    """Add an EEG recording of 20 channels with events to a person."""
    names = cap(N_CHANNELS)
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(names, SFREQ, "eeg").set_montage(montage)
    places = np.array([one["loc"][:3] for one in info["chs"]])
    # Neighbours are alike, or pyprep takes all channels for bad.
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    data = np.exp(-distance / 0.08) @ noise(N_CHANNELS, SECONDS, seed=3) / 2
    folder = root / f"sub-{subject}" / "eeg"
    header = write_brainvision(folder, f"sub-{subject}_task-x_eeg", data, names)
    write_channels(header, names)
    write_two_kinds(header, SECONDS)


def write_regions(folder: Path) -> None:
    """Write region files with two regions of the default set, of one process each."""
    folder.mkdir()
    for file in sorted((ROOT / "config/regions/spheres").glob("*.yaml")):
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
        body["regions"] = [
            region | {"processes": [REGIONS[region["name"]]]}
            for region in body["regions"]
            if region["name"] in REGIONS
        ]
        if body["regions"]:
            (folder / file.name).write_text(yaml.safe_dump(body), encoding="utf-8")


def configuration(url: str) -> Mapping[str, object]:
    """Return the configuration of the project: every stage has something to do, and little."""
    return {
        "output": "results",
        "datasets": [
            {
                "id": DATASET,
                "source": "openneuro:ds000777",
                "modalities": ["fmri", "eeg"],
                "models": ["expected_value"],
                "event_mapping": {
                    "gain": "gain",
                    "loss": "loss",
                    "choices": {
                        "accept": ["accept"],
                        "reject": ["reject"],
                    },
                },
            }
        ],
        "regions": "regions",
        "pull": {
            "openneuro": f"{url}/git/{{id}}.git",
            # A server that says nothing is given up soon, and tried once more.
            "download": {"timeout": 2, "attempts": 2, "pause": 0.1},
        },
        "preprocess": {
            "fmri": {"native": {"resolution": 3}},
            "eeg": {"h_freq": 80, "ransac": False, "ica": False},
        },
        "head": {"model": "sphere", "spacing": 20},
        "align": {"groups": ["vmpfc"], "n_permutations": 10, "n_targets": 20},
    }


@contextmanager
def base_project(folder: Path) -> Iterator[tuple[Project, OpenNeuro]]:
    """Yield a project that has run once, undisturbed, and the server that its data come from.

    Parameters
    ----------
    folder : Path
        Where it lies. One that is there from an earlier call is taken as it is.

    Raises
    ------
    SystemExit
        When the undisturbed run fails.
    """
    bids, done = folder / "bids", folder / "port.txt"
    if not done.is_file():
        for name in ("bids", "truth", "base"):
            shutil.rmtree(folder / name, ignore_errors=True)
        generate(bids, folder / "truth", PHANTOM)
        write_eeg(bids, "01")
    # Its commits have the same names each time.
    shutil.rmtree(folder / "git", ignore_errors=True)
    (folder / "git").mkdir()
    port = int(done.read_text()) if done.is_file() else 0
    with serving(folder / "git", port) as site:
        _serve(bids, site)
        project = Project(folder / "base")
        if not done.is_file():
            project.folder.mkdir()
            write_regions(project.folder / "regions")
            body = configuration(site.url)
            (project.folder / "my.yaml").write_text(yaml.safe_dump(body), encoding="utf-8")
            if project.run():
                raise SystemExit(f"the undisturbed run failed:\n{project.said[-6000:]}")
            done.write_text(site.url.rpartition(":")[2])
        yield project, site


def _serve(bids: Path, site: OpenNeuro) -> None:
    """Put a BIDS folder into a repository as OpenNeuro has it: large files are annexed."""
    made = MadeRepository(site.repositories / "ds000777.git", f"{site.url}/openneuro.org")
    files = {
        path.relative_to(bids).as_posix(): path.read_bytes()
        for path in sorted(bids.rglob("*"))
        if path.is_file()
    }
    large = {name for name in files if name.endswith((".nii.gz", ".eeg"))}
    texts = {name: contents for name, contents in files.items() if name not in large}
    made.version("1.0.0", texts, {name: files[name] for name in sorted(large)}, site)
