"""The pages of docs without a test of their own: their code runs from top to bottom, by itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import kerasish
from kerasish import applications

PAGES = Path(__file__).resolve().parent.parent / "docs"


def run_page(name, without=(), **given):
    """Run the page's Python in one namespace, but for blocks that hold one of these texts."""
    path = PAGES / name
    text = path.read_text(encoding="utf-8").replace("epochs=100", "epochs=2")
    namespace = {"__name__": "page", **given}
    for block in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if any(words in block[1] for words in without):
            continue
        lines_before = text[: block.start(1)].count("\n")
        exec(compile("\n" * lines_before + block[1], str(path), "exec"), namespace)
    return namespace


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_code_of_the_page_on_data_runs():
    page = run_page("data.md", without=["mnist", "example.org"])  # downloads
    assert len(page["Recordings"]()) == 1000
    assert list(page["encoded"].shape) == [None, page["space"](page["table"]).shape[1]]


@pytest.mark.filterwarnings('ignore:compile. data_parallel="ddp" has no effect')
def test_code_of_the_page_on_long_runs_runs(tmp_path):
    run_page("long_runs.md")
    assert (tmp_path / "runs" / "first" / "run.kerasish").exists()


def test_code_of_the_page_on_networks_by_name_runs():
    pytest.importorskip("torchvision")
    page = run_page("applications.md", without=["classes=5"], applications=applications)
    assert [tuple(maps.shape[1:]) for maps in page["maps"].outputs] == [
        (256, 32, 32),
        (1024, 8, 8),
    ]
    thawed = {name for name, p in page["resnet"].named_parameters() if p.requires_grad}
    assert thawed
    assert all(".layer4." in name for name in thawed)


def test_code_of_the_page_for_those_who_come_from_keras_runs():
    run_page("from_keras.md", without=["model.keras", "model.weights.h5"])
    assert kerasish.config.image_data_format() == "channels_last"


def test_code_of_the_page_on_exporting_runs():
    page = run_page("export.md", without=["onnx"])
    x = np.random.default_rng(0).random((2, 3, 32, 32), "float32")
    given = page["program"](torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(given, page["model"].predict(x, verbose=0), atol=1e-6)


def test_code_of_the_page_on_ejecting_runs(tmp_path):
    page = run_page("eject.md", without=["nn.Module", "optimizer.step()"])  # shown, not to be run
    assert (tmp_path / "train.py").exists()
    assert len(page["model"].history.history["loss"]) == 3


def test_the_training_step_in_the_readme_runs_on_its_digits():
    text = (PAGES.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    namespace = {"__name__": "page"}
    for code in (blocks[0].replace("epochs=5", "epochs=1"), *blocks[2:]):
        exec(code, namespace)
    model = namespace["Robust"](namespace["model"].layers)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = namespace["x_train"][:64], namespace["y_train"][:64]
    history = model.fit(x, y, verbose=0, callbacks=[namespace["StopWhenGood"]()]).history
    assert history.keys() == {"loss", "accuracy"}
