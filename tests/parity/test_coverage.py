"""Every layer of Keras is compared with it, or is on a list that says why not."""

import inspect
from collections import Counter

import pytest

from kerasish import layers
from tests.parity.test_parity import CASES

BASE = "a base class"
FUNCTION = "computes nothing, or what its function does"
DATA = "takes strings, or learns from data; see its own tests"
PIXELS = "draws random numbers, or works on labelled pictures; see its own tests"
# Layers that the tables leave out.
ELSEWHERE = {
    **dict.fromkeys(("Layer", "Wrapper"), BASE),
    **dict.fromkeys(("InputLayer", "Lambda", "TorchModuleWrapper"), FUNCTION),
    **dict.fromkeys(
        (
            "HashedCrossing",
            "Hashing",
            "IntegerLookup",
            "StringLookup",
            "TextVectorization",
        ),
        DATA,
    ),
    **dict.fromkeys(
        (
            "AugMix",
            "AutoContrast",
            "ContrastLimitedAdaptiveHistogramEqualization",
            "CutMix",
            "Equalization",
            "MaxNumBoundingBoxes",
            "MixUp",
            "Pipeline",
            "RandAugment",
            "RandomBrightness",
            "RandomColorDegeneration",
            "RandomColorJitter",
            "RandomContrast",
            "RandomCrop",
            "RandomElasticTransform",
            "RandomErasing",
            "RandomFlip",
            "RandomGaussianBlur",
            "RandomGrayscale",
            "RandomHue",
            "RandomInvert",
            "RandomPerspective",
            "RandomPosterization",
            "RandomRotation",
            "RandomSaturation",
            "RandomSharpness",
            "RandomShear",
            "RandomTranslation",
            "RandomZoom",
            "Solarization",
        ),
        PIXELS,
    ),
}
# Layers we do not have.
ABSENT = {
    "FlaxLayer": "wraps another framework's module",
    "JaxLayer": "wraps another framework's module",
    "TFSMLayer": "wraps another framework's module",
}


@pytest.fixture(scope="module")
def keras_layers():
    """Keras's layer classes and the first of the names of each."""
    keras = pytest.importorskip("keras")
    found = sorted(vars(keras.layers).items())
    classes = {value: name for name, value in reversed(found) if inspect.isclass(value)}
    return {value: name for value, name in classes.items() if issubclass(value, keras.Layer)}


def classes_of(names, keras_layers):
    keras = pytest.importorskip("keras")
    return {getattr(keras.layers, name) for name in names} & keras_layers.keys()


def test_every_layer_of_keras_is_compared_or_named(keras_layers):
    names = {case.name for case in CASES} | ELSEWHERE.keys() | ABSENT.keys()

    found = classes_of(names, keras_layers)

    assert [name for cls, name in keras_layers.items() if cls not in found] == []


def test_the_lists_name_only_what_they_must(keras_layers):
    compared = {case.name for case in CASES}

    assert compared & (ELSEWHERE.keys() | ABSENT.keys()) == set()
    assert [name for name in ABSENT if hasattr(layers, name)] == []


def test_no_case_is_written_twice():
    counts = Counter(str(case) for case in CASES)

    assert [name for name, count in counts.items() if count > 1] == []
