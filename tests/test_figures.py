"""Figures show themselves in notebooks, where nobody has loaded pyplot."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from kerasish import callbacks, layers, report

pytest.importorskip("matplotlib")
PNG = b"\x89PNG\r\n\x1a\n"


def _history():
    history = callbacks.History()
    history.on_train_begin()
    history.on_epoch_end(0, {"loss": 1.0, "val_loss": 2.0})
    return history.plot()


def _confusion():
    return report.confusion_matrix(np.array([0, 1]), np.array([0, 1])).plot()


def _preview():
    return layers.RandomFlip().preview(torch.rand(2, 3, 8, 8))


@pytest.mark.parametrize("draw", [_history, _confusion, _preview])
def test_a_figure_is_a_picture_in_a_notebook(draw):
    formatters = pytest.importorskip("IPython.core.formatters")

    data, _ = formatters.DisplayFormatter().format(draw())

    assert data["image/png"].startswith(PNG)


def test_a_missing_matplotlib_is_named_with_its_extra():
    code = """
import sys
sys.modules["matplotlib"] = None
from kerasish import callbacks
history = callbacks.History()
history.on_train_begin()
history.on_epoch_end(0, {"loss": 1.0})
try:
    history.plot()
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert 'pip install "kerasish[plot]"' in run.stdout
