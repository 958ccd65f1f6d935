"""Deterministic kernels, the watch for NaN, and what is said when memory runs out."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers
from kerasish.callbacks import Callback


class Watched(layers.Layer):
    """A layer that calls a function in each forward pass."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(self, x)


def model_with(function, **options):
    model = kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(3, name="first"), Watched(function), layers.Dense(1)]
    )
    model.compile(options.pop("optimizer", "sgd"), "mse", **options)
    return model


def data(rows=16):
    x = torch.rand(rows, 4)
    return x, x[:, :1]


def only_in_training(change):
    return lambda layer, x: change(x) if layer.training else x


def runs_out(layer, inputs):
    if layer.training:
        raise torch.OutOfMemoryError("CUDA out of memory.")


def test_deterministic_algorithms_are_on_for_the_run_only():
    seen = []

    def look(layer, x):
        seen.append((layer.training, torch.are_deterministic_algorithms_enabled()))
        return x

    model = model_with(look, deterministic=True)
    model.fit(*data(), verbose=0)
    model.evaluate(*data(), verbose=0)

    assert (True, True) in seen
    assert seen[-1] == (False, True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_layer_that_makes_nan_is_named():
    model = model_with(only_in_training(lambda x: x / 0.0 * 0.0), debug_nans=True)

    with pytest.raises(FloatingPointError, match=r"that of watched\w* \(Watched\), with 48 NaN of"):
        model.fit(*data(), verbose=0)
    assert not any(module._forward_hooks for module in model.modules())


def test_without_the_watch_training_goes_on():
    model = model_with(only_in_training(lambda x: x / 0.0 * 0.0))

    history = model.fit(*data(), verbose=0)

    assert math.isnan(history.history["loss"][0])


def test_weights_that_an_update_threw_off_are_named_as_the_cause():
    class ThrowOff(Callback):
        def on_train_batch_end(self, batch, logs=None):
            with torch.no_grad():
                self.model.layers[0].linear.weight.fill_(float("nan"))

    model = model_with(lambda layer, x: x, debug_nans=True)

    with pytest.raises(FloatingPointError, match="Its weight is not finite: an update before was"):
        model.fit(*data(), batch_size=4, callbacks=[ThrowOff()], verbose=0)


def test_a_gradient_that_is_not_finite_is_named():
    def root(layer, x):
        return torch.sqrt(x * 0.0)

    model = model_with(root, debug_nans=True)

    with pytest.raises(
        FloatingPointError, match=r"gradient of first\w*\.linear\.(bias|weight) is not"
    ):
        model.fit(*data(), verbose=0)


@pytest.mark.parametrize(
    ("batch_size", "note"),
    [
        (8, "fit: memory ran out with batch_size=8; batch_size=4 should fit (with compile(acc"),
        (1, "fit: memory ran out with batch_size=1; the model or its inputs must be smaller."),
    ],
)
def test_out_of_memory_says_what_should_fit(batch_size, note):
    model = model_with(lambda layer, x: x)
    model.layers[1].register_forward_pre_hook(runs_out)

    with pytest.raises(torch.OutOfMemoryError) as caught:
        model.fit(*data(), batch_size=batch_size, verbose=0)

    assert any(told.startswith(note) for told in caught.value.__notes__)
    assert not model.training


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_a_gpu_without_memory_for_its_driver_or_libraries_is_out_of_memory(message):
    def run_out(layer, x):
        if x.shape[0] == 16:
            raise RuntimeError(message)
        return x

    with pytest.raises(RuntimeError) as caught:
        model_with(run_out).evaluate(*data(), verbose=0)

    assert "memory ran out with batch_size=32" in "".join(caught.value.__notes__)


def test_a_validation_that_runs_out_of_memory_names_its_own_batch_size():
    def run_out(layer, x):
        if x.shape[0] == 16:
            raise torch.OutOfMemoryError("out of memory")
        return x

    with pytest.raises(torch.OutOfMemoryError) as caught:
        model_with(run_out).fit(
            *data(), batch_size=4, validation_data=data(), validation_batch_size=16, verbose=0
        )

    told = [note for note in caught.value.__notes__ if "memory" in note]
    assert told == [
        "validation: memory ran out with validation_batch_size=16; validation_batch_size=8 "
        "should fit."
    ]


def test_the_cpu_running_out_of_memory_is_told_apart_from_other_errors():
    def allocate(layer, x):
        return torch.empty(2**50) if x.shape[0] == 16 else x

    def fail(layer, x):
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError) as caught:
        model_with(allocate).evaluate(*data(), verbose=0)
    assert "evaluate: memory ran out with batch_size=32" in "".join(caught.value.__notes__)
    with pytest.raises(RuntimeError, match="something else") as caught:
        model_with(only_in_training(lambda x: fail(None, x))).fit(*data(), verbose=0)
    assert "memory" not in "".join(getattr(caught.value, "__notes__", []))


class Broken(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        if index == 9:
            raise KeyError("sample 9 has no label")
        x = torch.full((4,), float(index))
        return x, x[:1] + index % 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_an_error_in_a_worker_comes_with_the_workers_own_traceback():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []

    class Count(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    with pytest.raises(KeyError) as caught:
        model.fit(DataLoader(Broken(), 4, num_workers=1), callbacks=[Count()], verbose=0)

    assert "sample 9 has no label" in str(caught.value)
    assert "__getitem__" in str(caught.value)
    assert seen == [0, 1]
    assert not model.training


def test_hooks_are_on_plain_torch_modules_too():
    class Log(nn.Module):
        def forward(self, x):
            return torch.log(x - 10.0) if self.training else x

    class Net(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 3), Log())

        def call(self, x):
            return self.net(x)

    model = Net()
    model.compile("sgd", "mse", debug_nans=True)

    with pytest.raises(FloatingPointError, match=r"that of net\.1 \(Log\).*inputs are finite"):
        model.fit(data()[0], torch.randn(16, 3), verbose=0)
