"""The methods text of a real run: its facts are those of the receipts and of the tables."""

from __future__ import annotations

import json

import pytest

from braindata.errors import BraindataError
from braindata.layout import Layout
from braindata.receipts import Receipt
from braindata.report.methods import cited_keys
from braindata.stages.methods import collect_facts, write_methods

from .conftest import REGIONS, TINY, Project


def test_the_facts_are_those_of_the_run(project: Project) -> None:
    layout = Layout(project.results)
    facts = collect_facts(layout)
    (data,) = facts.datasets
    assert (data.id, data.licence, data.tasks) == ("tiny", "CC0", ("gamble",))
    assert data.version == Receipt.read(layout.receipt("raw", "tiny")).notes["version"]
    n_runs = TINY.n_subjects * TINY.n_runs
    assert (data.n_recordings, data.n_used, data.n_people) == (n_runs, n_runs, TINY.n_subjects)
    assert facts.preprocess is not None
    assert facts.preprocess.resolution == 3
    assert facts.space == "MNI152NLin2009aSym"
    assert sorted(region.name for region in facts.regions) == sorted(REGIONS)
    assert facts.curate is not None
    assert facts.extract is not None
    assert facts.derive is not None
    receipt = Receipt.read(layout.receipt("derivatives", "tiny", "sub-01"))
    for name, version in receipt.versions.items():
        assert facts.versions[name] == (version,)
    assert "deltalake" in facts.versions

    paths, text = write_methods(layout)
    assert [path.read_text() for path in paths] == [text.markdown, text.bibtex]
    assert {path.name for path in paths} == {"methods.md", "references.bib"}
    assert "to 3 mm voxels" in text.markdown
    assert "mumford2012" in cited_keys(text.markdown)


def test_a_doi_and_an_upgrade_between_jobs_are_told(project: Project) -> None:
    layout = Layout(project.results)
    description = layout.raw("tiny") / "dataset_description.json"
    body = json.loads(description.read_text())
    description.unlink()
    doi = "doi:10.18112/openneuro.ds000001.v1.0.0"
    description.write_text(json.dumps(body | {"DatasetDOI": doi}))
    path = layout.receipt("derivatives", "tiny", "sub-02")
    receipt = Receipt.read(path)
    receipt.versions["numpy"] = "1.99.0"
    receipt.write(path)
    facts = collect_facts(layout)
    assert facts.datasets[0].doi == "10.18112/openneuro.ds000001.v1.0.0"
    assert facts.versions["numpy"][0] == "1.99.0"
    assert len(facts.versions["numpy"]) == 2


def test_a_stage_whose_jobs_all_failed_did_not_run(project: Project) -> None:
    layout = Layout(project.results)
    for path in sorted((project.results / "derived").rglob("*.receipt.json")):
        receipt = Receipt.read(path)
        receipt.recordings = {}
        receipt.write(path)
    assert collect_facts(layout).derive is None
    assert "least squares separate" not in write_methods(layout)[1].markdown


def test_jobs_with_different_parameters_are_not_passed_over(project: Project) -> None:
    layout = Layout(project.results)
    path = layout.receipt("derivatives", "tiny", "sub-02")
    receipt = Receipt.read(path)
    receipt.parameters["fmri"]["native"]["motion_fwhm"] = 9.0
    receipt.write(path)
    with pytest.raises(BraindataError, match="preprocess were run with different parameters"):
        collect_facts(layout)
