"""The page on evaluating: its code runs, and what it says of files holds."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evaluating.md"


def test_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    namespace = {"__name__": "page"}

    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], str(PAGE), "exec"), namespace)

    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"both.kerasish", "confusion.png", "heat.png", "worst.png"}
    assert namespace["spread"].shape == (359, 10)
    assert "mean by support" in capsys.readouterr().out
