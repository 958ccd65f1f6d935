"""Large products of Dense layers by oneDNN: the numbers are torch's."""

import contextlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import kerasish
from kerasish import layers
from kerasish.graph import products

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch was built without oneDNN"
)


@pytest.fixture
def everywhere(monkeypatch):
    """As on a processor where oneDNN is faster, for products of any size."""
    monkeypatch.setattr(products, "is_faster", lambda: True)
    monkeypatch.setattr(products, "WORTH", 1)
    monkeypatch.setattr(products, "_LARGE", 1)


@pytest.fixture
def calls(monkeypatch):
    """The shapes of what oneDNN multiplied."""
    seen = []
    original = products._multiply

    def multiply(a, b, bias=None):
        seen.append((tuple(a.shape), tuple(b.shape)))
        return original(a, b, bias)

    monkeypatch.setattr(products, "_multiply", multiply)
    return seen


def gradients(function, x, weight, bias, seed):
    """The output and the gradients by all three, for a gradient `seed` of the output."""
    leaves = [None if t is None else t.detach().clone().requires_grad_() for t in (x, weight, bias)]
    y = function(*leaves)
    y.backward(seed)
    return [y.detach(), *(leaf.grad for leaf in leaves if leaf is not None)]


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 12), (3, 5, 12), (2, 3, 4, 12), (1, 12)])
def test_the_product_and_its_gradients_are_those_of_torch(shape, has_bias, calls):
    x, weight = torch.randn(shape), torch.randn(6, 12)
    bias = torch.randn(6) if has_bias else None
    seed = torch.randn(*shape[:-1], 6)
    own = gradients(products.linear, x, weight, bias, seed)
    assert calls
    for a, b in zip(own, gradients(functional.linear, x, weight, bias, seed), strict=True):
        torch.testing.assert_close(a, b)
        assert a.shape == b.shape


@pytest.mark.usefixtures("everywhere")
def test_strides_of_any_kind_are_read_rightly():
    x, weight, bias = torch.randn(12, 5).t(), torch.randn(12, 6).t(), torch.randn(12)[::2]
    for seed in (torch.ones(()).expand(5, 6), torch.randn(6, 5).t()):
        own = gradients(products.linear, x, weight, bias, seed)
        expected = gradients(functional.linear, x, weight, bias, seed)
        for a, b in zip(own, expected, strict=True):
            torch.testing.assert_close(a, b)
    rows = torch.randn(1, 12).expand(4, 12)
    torch.testing.assert_close(products.linear(rows, weight.t().t()), rows @ weight.t())


@pytest.mark.usefixtures("everywhere")
def test_only_the_wanted_gradients_are_computed(calls):
    x, weight, bias = torch.randn(4, 12), torch.randn(6, 12), torch.randn(6, requires_grad=True)
    products.linear(x, weight, bias).sum().backward()
    assert len(calls) == 1
    assert bias.grad.tolist() == [4] * 6


@pytest.mark.usefixtures("everywhere")
@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")
@pytest.mark.parametrize(
    ("dtype", "context"),
    [
        (torch.float64, contextlib.nullcontext()),
        (torch.float32, torch.backends.mkldnn.flags(enabled=False)),
        (torch.float32, torch.autocast("cpu", torch.bfloat16)),
    ],
    ids=["float64", "turned off", "autocast"],
)
def test_other_dtypes_and_settings_go_torchs_way(dtype, context, calls):
    x, weight = torch.randn(4, 12, dtype=dtype), torch.randn(6, 12, dtype=dtype)
    with context:
        assert torch.equal(products.linear(x, weight), functional.linear(x, weight))
    assert not calls


def test_small_products_go_torchs_way(calls):
    x, weight = torch.randn(32, 16), torch.randn(8, 16)
    assert torch.equal(products.linear(x, weight), functional.linear(x, weight))
    assert not calls


def two_dense():
    kerasish.utils.set_random_seed(0)
    model = kerasish.Sequential(
        [layers.Input((20,)), layers.Dense(16, activation="relu"), layers.Dense(3)]
    )
    model.compile(
        kerasish.optimizers.SGD(0.1),
        kerasish.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def test_a_fit_by_onednn_ends_with_the_weights_of_one_by_torch(monkeypatch, calls):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 20)).astype("float32"), rng.integers(0, 3, 64)
    monkeypatch.setattr(products, "is_faster", lambda: False)
    plain = two_dense()
    plain.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert not calls
    monkeypatch.setattr(products, "is_faster", lambda: True)
    monkeypatch.setattr(products, "WORTH", 1)
    monkeypatch.setattr(products, "_LARGE", 100)
    quick = two_dense()
    quick.fit(x, y, batch_size=16, epochs=2, verbose=0)
    assert calls
    assert all(48 not in (a[0] * a[1], b[0] * b[1]) for a, b in calls)
    for a, b in zip(plain.get_weights(), quick.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        plain.predict(x, verbose=0), quick.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


@pytest.mark.usefixtures("everywhere")
def test_a_batch_of_the_wrong_size_is_explained_as_ever():
    model = two_dense()
    model.predict(np.zeros((4, 20), "float32"), verbose=0)
    with pytest.raises(ValueError, match="20"):
        model.predict(np.zeros((4, 21), "float32"), verbose=0)


@pytest.mark.usefixtures("everywhere")
def test_weights_exchanged_after_a_fit_are_those_that_count():
    model = two_dense()
    x = np.ones((4, 20), "float32")
    model.predict(x, verbose=0)
    dense = model.layers[-1]
    dense.linear.weight = nn.Parameter(torch.zeros(3, 16))
    assert np.array_equal(model.predict(x, verbose=0), np.zeros((4, 3)))


def test_only_a_processor_of_amd_is_taken_for_one_where_it_pays(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    for text, expected in (("vendor_id : AuthenticAMD", True), ("vendor_id : GenuineIntel", False)):
        file = tmp_path / "cpuinfo"
        file.write_text(text)
        monkeypatch.setattr(products, "_CPU_INFO", file)
        assert products.is_faster.__wrapped__() is expected
    monkeypatch.setattr(products, "_CPU_INFO", tmp_path / "missing")
    name = "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    monkeypatch.setattr(products.platform, "processor", lambda: name)
    assert products.is_faster.__wrapped__()


@pytest.mark.usefixtures("everywhere")
def test_a_plain_torch_twin_calls_torch_alone():
    model = two_dense()
    x = torch.randn(5, 20)
    model.predict(x, verbose=0)
    twin = model.to_torch()
    assert "kerasish" not in twin.code
    torch.testing.assert_close(twin(x), model(x))


class Wrapped(torch.Tensor):
    """A weight as quantisation libraries have it: it says itself how a linear layer computes."""

    def __new__(cls, values):
        options = {"dtype": values.dtype, "device": values.device}
        return torch.Tensor._make_wrapper_subclass(cls, values.shape, **options)

    def __init__(self, values):
        self.values = values

    def __tensor_flatten__(self):
        return ["values"], None

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is functional.linear:
            return functional.linear(args[0], args[1].values, *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.detach.default:
            return cls(args[0].values)
        raise NotImplementedError(f"{func} of a wrapped weight")


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("has_run", [False, True])
def test_weights_of_other_libraries_multiply_as_they_know(has_run, calls):
    model = kerasish.Sequential([kerasish.Input((12,)), layers.Dense(6)])
    x = np.random.default_rng(0).normal(size=(4, 12)).astype("float32")
    wanted = model.predict(x, verbose=0) if has_run else model(x).detach().numpy()
    calls.clear()

    module = model.layers[0].linear
    module.weight = nn.Parameter(Wrapped(module.weight.detach()), requires_grad=False)

    np.testing.assert_allclose(model.predict(x, verbose=0), wanted, rtol=1e-5)
    assert not calls
