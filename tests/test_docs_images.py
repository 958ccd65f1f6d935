"""The page on images: its code runs."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).resolve().parent.parent / "docs" / "images.md"


def test_code_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    namespace = {"__name__": "page"}

    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], str(PAGE), "exec"), namespace)

    assert {path.name for path in tmp_path.iterdir()} == {"photos", "photos.kpk"}
    assert namespace["images"].shape[1:] == (3, 32, 32)
    assert len(namespace["validation"]) == 60
    assert torch.equal(namespace["validation"][0][0], namespace["validation"][0][0])
