"""The profiles: each option is one that Snakemake or the pinned plugin knows, with its reason."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake_executor_plugin_slurm import ExecutorSettings

PROFILES = ("default", "slurm", "kubernetes")
# The plugin of Kubernetes is not among our dependencies; these are named in comments only.
OPTION = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def known() -> set[str]:
    options = {
        option.removeprefix("--")
        for action in get_argument_parser()._actions
        for option in action.option_strings
    }
    plugin = {f"slurm-{f.name.replace('_', '-')}" for f in dataclasses.fields(ExecutorSettings)}
    return options | plugin | {"logger"}


@pytest.mark.parametrize("name", PROFILES)
def test_options_are_known_and_have_a_reason(name: str, repository: Path) -> None:
    file = repository / "profiles" / name / "config.yaml"
    assert file.resolve() == repository / "workflow/profiles" / name / "config.yaml"
    text = file.read_text()
    assert set(yaml.safe_load(text)) <= known()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        # One reason may hold for options that stand together.
        first = OPTION.match(line) and not OPTION.match(lines[number - 1])
        if first and not line.startswith("executor:"):
            assert lines[number - 1].startswith("#"), f"{name}: {line} has no reason"


def test_each_rule_asks_for_more_at_each_attempt(repository: Path) -> None:
    for file in sorted((repository / "rules").glob("*.smk")):
        text = file.read_text()
        for body in text.split("    resources:\n")[1:]:
            asked = body.partition("    params:\n")[0]
            assert "mem_mb=" in asked, file.name
            assert "runtime=" in asked, file.name
            # A number of its own would be the same at the second attempt, which then fails as well.
            assert not re.search(r"(mem_mb|runtime)=\d", asked), file.name
