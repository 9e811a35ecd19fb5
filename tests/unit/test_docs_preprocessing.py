"""The configurations that docs/preprocessing.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from braindata.config import parse_config


def test_the_examples_are_configurations(repository: Path) -> None:
    text = (repository / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    backends = []
    for block in blocks:
        named = {"datasets": [{"id": "a", "source": "b"}], **block}
        backends.append(parse_config(named).preprocess.fmri.backend)
    assert backends == ["native", "native", "fmriprep"]
    assert blocks[1]["datasets"][0]["derivatives"].startswith("openneuro-derivatives:")
