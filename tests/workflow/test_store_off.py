"""Without sample stores: the same series, from one pass over each image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from braindata.pack.store import open_store
from braindata.tables.reading import open_tables
from braindata.tables.releases import list_releases

from .conftest import Project, Run

REGION = """
level: valuation
regions:
  - name: caudate
    processes: [reward]
    references: ["a publication"]
    space: MNI152NLin2009aSym
    definition:
      kind: spheres
      grey_matter: false
      spheres:
        - {center: [13, 14, 6], radius: 8, hemisphere: right, source: "made for a test"}
"""


@pytest.mark.slow
def test_series_are_the_same_bytes_and_a_new_region_passes_over_the_images_again(
    bids: Path, new_project: Callable[[Path], Project], finished: tuple[Project, Run]
) -> None:
    project = new_project(bids)
    project.configure(pack={"store": False})
    first = project.run()
    assert first.returncode == 0, first.text
    shards = [
        {
            name: sha
            for name, (_, sha) in one.files("series", "derived").items()
            if name.endswith(".parquet")
        }
        for one in (project, finished[0])
    ]
    assert shards[0] == shards[1]
    stores = sorted((project.results / "packed").rglob("*.h5"))
    assert len(stores) == 2
    for path in stores:
        with open_store(path) as store:
            assert not store.has_samples
            assert len(store.means()) == 2
    assert sum(path.stat().st_size for path in stores) < 2e6

    (project.folder / "mine.yaml").write_text(REGION)
    regions = yaml.safe_load((project.folder / "my.yaml").read_text())["regions"]
    project.configure(regions=[regions, "mine.yaml"])
    again = project.run()
    assert again.returncode == 0, again.text
    # The same job packs, after it has seen that there is nothing to preprocess.
    assert again.jobs["preprocess"] == 2
    log = project.log("preprocess", "tiny", "sub-01.log")
    assert "preprocess tiny/sub-01: up to date" in log
    assert "pack tiny/sub-01: done" in log
    assert list_releases(project.results / "tables") == [1, 2]
    series = open_tables(project.results)["series"].to_pandas()
    assert series[series.region == "caudate"]["values"].notna().all()
    assert project.run().jobs == {"all": 1} or "Nothing to be done" in project.run().text
