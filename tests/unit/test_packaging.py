"""The files around the code say the same as pyproject.toml, and are what they claim to be."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import BuildString, MatchSpec, PackageRecord

# Where conda-forge's name is another, as matplotlib-base comes without a GUI toolkit.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "isal": "python-isal", "mne": "mne-base"}
# What conda needs beside the requirements: the language, and pip for what only PyPI has.
CONDA_ONLY = {"python", "pip"}
# On PyPI only; conda-forge's deltalake lagged behind what is needed here (1.5.0 when looked at).
PYPI_ONLY = {"bids-validator-deno", "bids2table", "deltalake", "picsl-greedy", "specparam"}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict[str, Any]:
    with (repository / "pyproject.toml").open("rb") as handle:
        body: dict[str, Any] = tomllib.load(handle)["project"]
    return body


@pytest.fixture(scope="module")
def environment(repository: Path) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((repository / "environment.yml").read_text())
    return body


def conda_lines(environment: dict[str, Any]) -> list[str]:
    return [line for line in environment["dependencies"] if isinstance(line, str)]


def pip_lines(environment: dict[str, Any]) -> list[str]:
    (nested,) = [line for line in environment["dependencies"] if isinstance(line, dict)]
    lines: list[str] = nested["pip"]
    return lines


def clauses(specifier: str) -> set[str]:
    return {clause.strip() for clause in specifier.split(",") if clause.strip()}


def test_the_conda_environment_has_the_same_requirements(
    project: dict[str, Any], environment: dict[str, Any]
) -> None:
    wanted = {r.name: r for r in map(Requirement, project["dependencies"])}
    of_conda = {CONDA_NAMES.get(name, name): name for name in wanted}
    found: dict[str, set[str]] = {}
    for line in conda_lines(environment):
        name, _, specifier = line.partition(" ")
        if name not in CONDA_ONLY:
            found[of_conda[name]] = clauses(specifier)
    for requirement in map(Requirement, pip_lines(environment)):
        assert requirement.name not in found
        found[requirement.name] = clauses(str(requirement.specifier))
    assert found == {name: clauses(str(r.specifier)) for name, r in wanted.items()}
    assert {Requirement(line).name for line in pip_lines(environment)} == PYPI_ONLY
    assert f"python {project['requires-python']}" in conda_lines(environment)


def test_each_line_is_a_match_spec_that_means_the_same(environment: dict[str, Any]) -> None:
    versions = ["0.13.1", "0.14.0", "0.14.1", "1.14.0", "2.9.9", "3.11.7", "9.27.1", "20.0.0"]
    for line in conda_lines(environment):
        spec = MatchSpec(line, strict=True)
        name, _, specifier = line.partition(" ")
        assert spec.name is not None
        assert spec.name.normalized == name
        for version in versions:
            record = PackageRecord(name, version, BuildString("0"), 0, "noarch", None, None)
            assert spec.matches(record) == (version in SpecifierSet(specifier)), (line, version)


def test_channels_hold_no_commercial_one(environment: dict[str, Any]) -> None:
    # bioconda needs conda-forge before it.
    assert environment["channels"] == ["conda-forge", "bioconda"]
    assert environment["name"] == "braindata"


def test_the_citation_file_is_one(repository: Path) -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.citation-file-format",
            str(repository / "CITATION.cff"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_the_citation_says_what_pyproject_says(repository: Path, project: dict[str, Any]) -> None:
    citation = yaml.safe_load((repository / "CITATION.cff").read_text())
    assert citation["title"] == project["name"]
    assert str(citation["version"]) == project["version"]
    assert citation["license"] == project["license"]
    assert citation["abstract"] == project["description"]
    assert citation["keywords"] == project["keywords"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in project["authors"]
    ]


def test_the_changelog_knows_the_version(repository: Path, project: dict[str, Any]) -> None:
    text = (repository / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d{2}-\d{2}))?$", text, re.MULTILINE)
    assert headings
    released = [name for name, _ in headings if name != "Unreleased"]
    assert all(date for name, date in headings if name != "Unreleased")
    assert project["version"] in released or f"To become {project['version']}" in text
    kinds = re.findall(r"^### (.+)$", text, re.MULTILINE)
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Numbers"}
    assert set(kinds) <= known


def test_the_schema_for_editors_is_the_project_s(repository: Path) -> None:
    starter = (repository / "src/braindata/scaffold/starter.yaml").read_text()
    (name,) = re.findall(r"^# yaml-language-server: \$schema=(.+)$", starter, re.MULTILINE)
    assert json.loads((repository / "config" / name).read_text())["title"] == "Config"
