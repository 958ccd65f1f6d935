"""Every configuration in the tables gives the same numbers, shapes, masks and words as Keras."""

import importlib
from pathlib import Path

import pytest

from tests.parity.compare import compare

pytestmark = pytest.mark.usefixtures("keras_image_format")

TABLES = sorted(file.stem for file in Path(__file__).parent.glob("cases_*.py"))
CASES = [case for name in TABLES for case in importlib.import_module(f"tests.parity.{name}").CASES]


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_configuration_equals_keras(case, keras):
    compare(case, keras)
