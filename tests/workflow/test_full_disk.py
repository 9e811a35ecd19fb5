"""A disk that becomes full in the middle, and has space again later."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from braindata.files import PART_PREFIX
from braindata.tables.releases import read_release

from ..small_disk import resize, small_disk
from .conftest import TINY, Project, Run

LATER_THAN_PREPROCESSING = ("packed", "series", "derived", "tables", "report")


def test_a_full_disk_stops_with_one_error_and_space_lets_it_go_on(
    project: Project, finished: tuple[Project, Run]
) -> None:
    # Preprocessed already, so that this takes seconds.
    stored = project.folder / "stored"
    project.results.rename(stored)
    project.results.mkdir()
    with small_disk(project.results, 400):
        shutil.copytree(stored, project.results, symlinks=True, dirs_exist_ok=True)
        for name in LATER_THAN_PREPROCESSING:
            shutil.rmtree(project.results / name)
        (project.results / ".lock").unlink()
        # Full, not at the start, but when the stores are written.
        used = shutil.disk_usage(project.results).used
        process = project.start()
        deadline = time.monotonic() + 120
        while not (project.results / ".lock").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        resize(project.results, used // 1_000_000 + 2)
        assert process.wait(timeout=300) == 1
        logs = [
            project.log("preprocess", "tiny", f"sub-{n:02}.log")
            for n in range(1, TINY.n_subjects + 1)
        ]
        for log in logs:
            assert f"error: the disk of {project.results} is full\n  hint: free some space" in log
            assert "Traceback" not in log
        assert not list(project.results.glob("packed/**/*.h5"))
        assert not list(project.results.rglob(f"{PART_PREFIX}*"))
        # Not even begun while the disk is full.
        again = project.run()
        assert again.returncode == 1
        assert "MB free, at least 200 MB are needed" in again.text
        assert "hint: free some space" in again.text
        assert "Traceback" not in again.text
        # With space, the same command ends as if nothing had been.
        resize(project.results, 400)
        run = project.run()
        assert run.returncode == 0, run.text
        for n in range(1, TINY.n_subjects + 1):
            assert "up to date" in project.log("preprocess", "tiny", f"sub-{n:02}.log")
        tables = project.results / "tables"
        assert read_release(tables).paths() == read_release(finished[0].results / "tables").paths()
        for name in sorted(read_release(tables).paths()):
            expected: Path = finished[0].results / "tables" / name
            assert (tables / name).read_bytes() == expected.read_bytes()
