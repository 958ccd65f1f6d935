"""Precision, memory format and compilation: what they change and what they leave."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers, losses, optimizers
from tests.training.twins import classifier, rows

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
IMAGES = np.random.default_rng(0).normal(size=(40, 3, 8, 8)).astype("float32")
KINDS = np.random.default_rng(1).integers(0, 3, 40)


def compiled(model, **more):
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    given = {"optimizer": optimizers.SGD(0.1), "loss": loss, "metrics": ["accuracy"], **more}
    model.compile(**given, device="cpu")
    return model


def same_start(*models):
    for model in models[1:]:
        model.set_weights(models[0].get_weights())
    return models


def convolutional():
    return kerasish.Sequential(
        [
            layers.Input((3, 8, 8)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )


@pytest.mark.parametrize("precision", ["bfloat16-mixed", "float16-mixed"])
def test_mixed_precision_learns_and_keeps_float32_weights(precision):
    model = compiled(classifier(kerasish), precision=precision)
    dtypes = []
    model.layers[0].linear.register_forward_hook(lambda m, args, y: dtypes.append(y.dtype))

    losses_ = model.fit(X, LABELS, epochs=8, verbose=0).history["loss"]

    assert losses_[-1] < losses_[0]
    assert {w.dtype for w in model.weights} == {torch.float32}
    assert set(dtypes) == {getattr(torch, precision.removesuffix("-mixed"))}
    assert model.predict(X, verbose=0).dtype == np.float32 or precision == "float16-mixed"


def test_mixed_precision_is_near_float32():
    mixed, plain = same_start(
        compiled(classifier(kerasish), precision="bfloat16-mixed"), compiled(classifier(kerasish))
    )

    a, b = (m.fit(X, LABELS, epochs=3, shuffle=False, verbose=0).history for m in (mixed, plain))

    assert a["loss"] == pytest.approx(b["loss"], rel=0.02)
    assert mixed.evaluate(X, LABELS, verbose=0)[0] == pytest.approx(
        plain.evaluate(X, LABELS, verbose=0)[0], rel=0.02
    )


def test_float64_computes_in_float64():
    model = compiled(classifier(kerasish), precision="float64")
    x = X.astype("float64") + 1e-9

    model.fit(x, LABELS, verbose=0)

    assert {w.dtype for w in model.weights} == {torch.float64}
    y = model.predict(x, verbose=0)
    assert y.dtype == np.float64
    w, b, v, c = model.get_weights()
    np.testing.assert_allclose(y, np.tanh(x @ w + b) @ v + c, rtol=1e-12)


def test_going_back_to_float32_after_float64():
    model = compiled(classifier(kerasish), precision="float64")
    model.fit(X, LABELS, verbose=0)

    compiled(model)
    model.fit(X, LABELS, verbose=0)

    assert {w.dtype for w in model.weights} == {torch.float32}


def test_channels_last_changes_the_layout_and_not_the_numbers():
    last, plain = same_start(
        compiled(convolutional(), memory_format="channels_last"), compiled(convolutional())
    )
    seen = []
    last.layers[0].register_forward_pre_hook(
        lambda m, args: seen.append(args[0].is_contiguous(memory_format=torch.channels_last))
    )

    a, b = (m.fit(IMAGES, KINDS, epochs=2, shuffle=False, verbose=0).history for m in (last, plain))

    assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    assert all(seen)
    kernel = last.layers[0].weights[0]
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert_close(
        last.predict(IMAGES, verbose=0), plain.predict(IMAGES, verbose=0), rtol=1e-3, atol=1e-4
    )


@pytest.fixture
def compiles(monkeypatch):
    """torch.compile with a backend that is fast to start; the fixture counts its graphs."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **kw: original(f, backend=backend, **kw))
    yield graphs
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_jit_compile_gives_the_same_numbers(compiles):
    fast, plain = same_start(
        compiled(classifier(kerasish), jit_compile=True), compiled(classifier(kerasish))
    )

    a, b = (
        m.fit(X, LABELS, epochs=2, batch_size=25, shuffle=False, verbose=0).history
        for m in (fast, plain)
    )

    assert compiles
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
    assert_close(fast.predict(X, verbose=0), plain.predict(X, verbose=0))
    assert fast.evaluate(X, LABELS, verbose=0) == pytest.approx(
        plain.evaluate(X, LABELS, verbose=0), rel=1e-5
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_compiled_model_saves_the_same_keys(compiles, tmp_path):
    fast = compiled(classifier(kerasish), jit_compile=True)
    fast.fit(X, LABELS, verbose=0)
    fast.save(tmp_path / "model.kerasish")

    again = kerasish.load_model(tmp_path / "model.kerasish")

    assert list(again.state_dict()) == list(fast.state_dict())
    assert_close(again.predict(X, verbose=0), fast.predict(X, verbose=0))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_dtype_policies_of_layers_train(policy):
    model = kerasish.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8, "relu", dtype=policy),
            layers.Dense(3, dtype="float32"),
        ]
    )
    compiled(model)

    losses_ = model.fit(X, LABELS, epochs=8, verbose=0).history["loss"]

    assert losses_[-1] < losses_[0]
    assert {w.dtype for w in model.weights} == {torch.float32}
