"""The page on transfer learning: its code runs, with a small network in the place of the large."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest

from kerasish import applications

PAGE = Path(__file__).resolve().parent.parent / "docs" / "transfer.md"


def shortened(text):
    """The page's code with fewer epochs and pixels, and a network that needs no download."""
    text = text.replace("applications.ResNet50(", "small(").replace('"ResNet50"', "small()")
    text = re.sub(r"epochs=\d+", "epochs=1", text).replace(".epochs = 3", ".epochs = 1")
    return text.replace("224", "32")


def test_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("torchvision")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(25):
        path = tmp_path / "photos" / "abcde"[number % 5] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(rng.integers(0, 256, (36, 40, 3), dtype="uint8")).save(path)
    image.open(path).save(tmp_path / "new.jpg")
    given = {"weights": None, "input_shape": (3, 32, 32)}
    namespace = {
        "__name__": "page",
        "small": functools.partial(applications.ResNet18, **given),
    }

    text = PAGE.read_text(encoding="utf-8")
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines_before = text[: block.start(1)].count("\n")
        code = compile("\n" * lines_before + shortened(block[1]), str(PAGE), "exec")
        exec(code, namespace)

    spans = [tuple(span) for span in namespace["history"].phases]
    assert spans == [("head", 0, 0), ("all", 1, 1)]
    assert "rows of 5 classes: little" in capsys.readouterr().out
    assert namespace["model"].freeze_point == "layer4"
