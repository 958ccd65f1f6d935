"""Every configuration in the tables gives the same numbers, shapes, masks and words as Keras."""

import importlib
from pathlib import Path

import pytest

import kerasish
from tests.parity.compare import compare

TABLES = sorted(file.stem for file in Path(__file__).parent.glob("cases_*.py"))
CASES = [case for name in TABLES for case in importlib.import_module(f"tests.parity.{name}").CASES]


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.fixture(autouse=True)
def keras_image_format():
    """Defaults that depend on the axis order of images are compared in Keras's own."""
    kerasish.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_configuration_equals_keras(case, keras):
    compare(case, keras)
