"""What stops before anything begins: one error with key and line, exit code 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Project


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("my.yaml", "resolution: 3", "resolution: 5", "native.resolution is 5; it must be 2 or 3"),
        ("my.yaml", "source: {source}", "source: {folder}", "this folder is no BIDS data set"),
        ("config/config.yaml", "id: tiny", "id: [tiny", "this is not valid YAML"),
    ],
)
def test_one_error_with_its_line(
    tmp_path: Path,
    new_project: Callable[[Path], Project],
    file: str,
    old: str,
    new: str,
    message: str,
) -> None:
    source = tmp_path / "bids"
    (source / "sub-01").mkdir(parents=True)
    (source / "dataset_description.json").write_text('{"Name": "x"}')
    project = new_project(source)
    text = (project.folder / "my.yaml").read_text()
    old, new = (words.format(source=source, folder=project.folder) for words in (old, new))
    changed = text.replace(old, new)
    assert changed != text
    wrong = project.folder / file
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text(changed)
    run = project.run()
    assert run.returncode == 2
    (told,) = (line for line in run.text.splitlines() if line.startswith("error: "))
    assert message in told
    line = changed[: changed.index(new)].count("\n") + 1
    # YAML finds out about the bracket where the next key begins.
    assert f"{file}, line {line}" in run.text or f"{file}, line {line + 1}" in run.text
    assert "  hint: " in run.text
    assert "Traceback" not in run.text
    assert ".smk" not in run.text
    assert not project.results.exists()
