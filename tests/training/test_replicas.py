"""Parts of a batch on all GPUs: two threads with copies of the model stand for two of them."""

import importlib
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kerasish
from kerasish import layers
from kerasish.data.arrays import map_leaves
from kerasish.training import parallel
from tests.parity.case import in_library

TABLES = sorted(file.stem for file in Path(__file__).parents[1].glob("parity/cases_*.py"))


def copies_of(module, number, change=torch.clone):
    """What torch's `replicate` makes: the first copy with the module's own tensors."""
    modules = list(module.modules())
    copies = [[m._replicate_for_data_parallel() for m in modules] for _ in range(number)]
    for part, own in enumerate(copies):
        for original, twin in zip(modules, own, strict=True):
            for name, child in original._modules.items():
                setattr(twin, name, None if child is None else own[modules.index(child)])
            for name, value in original._parameters.items():
                twin.__dict__.pop(name, None)
                setattr(twin, name, None if value is None else change(value))
            for name, value in original._buffers.items():
                setattr(twin, name, value if value is None or part == 0 else value.clone())
    return [own[0] for own in copies]


def chunks(value, number):
    if isinstance(value, torch.Tensor):
        return list(value.chunk(number))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [type(value)(*part) for part in chunks(tuple(value), number)]
    if isinstance(value, (list, tuple)) and value:
        return [
            type(value)(part) for part in zip(*(chunks(v, number) for v in value), strict=False)
        ]
    if isinstance(value, dict) and value:
        parts = zip(*(chunks(v, number) for v in value.values()), strict=False)
        return [dict(zip(value, part, strict=True)) for part in parts]
    return [value] * number


class TwoThreads(nn.Module):
    """In the place of `nn.DataParallel`: it does what that does, on the CPU."""

    def __init__(self, module, device_ids):
        super().__init__()
        self.module = module
        assert len(device_ids) == 2

    def forward(self, *inputs):
        parts = chunks(inputs, 2)
        copies = copies_of(self.module, len(parts))
        results, errors = [None] * len(parts), []
        grad, cast = torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")

        def work(place):
            torch.set_grad_enabled(grad)
            torch.set_autocast_dtype("cpu", torch.float16)  # a thread starts so on a GPU
            try:
                with torch.amp.autocast("cpu", enabled=cast):
                    results[place] = copies[place](*parts[place])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(len(parts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return self.gather(results)

    def gather(self, results):
        first = results[0]
        if isinstance(first, torch.Tensor):
            return torch.cat(results)
        if first is None:
            return None
        if isinstance(first, dict):
            return {key: self.gather([result[key] for result in results]) for key in first}
        return type(first)(map(self.gather, zip(*results, strict=True)))


@pytest.fixture
def two_devices(monkeypatch):
    monkeypatch.setattr(parallel, "has_gpus", lambda device: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(nn, "DataParallel", TwoThreads)


def run(build, x, y, data_parallel, **settings):
    torch.manual_seed(0)
    model = build()
    settings = {"optimizer": "adam", "loss": "mse", **settings}
    model.compile(data_parallel=data_parallel, **settings)
    torch.manual_seed(1)
    history = model.fit(x, y, batch_size=10, epochs=2, verbose=0, validation_data=(x, y)).history
    return history, model


def assert_alike(build, x, y, tolerance=1e-5, **settings):
    (one, alone), (two, both) = (run(build, x, y, kind, **settings) for kind in (None, "dp"))
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=tolerance, atol=tolerance)
    for value, other in zip(alone.state_dict().values(), both.state_dict().values(), strict=True):
        torch.testing.assert_close(other, value, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(
        torch.as_tensor(both.predict(x, verbose=0)),
        torch.as_tensor(alone.predict(x, verbose=0)),
        rtol=tolerance,
        atol=tolerance,
    )


class Active(kerasish.layers.Layer):
    """Adds a mean over the batch to the loss."""

    def call(self, x):
        self.add_loss(0.3 * (x**2).mean())
        return x


X = np.random.default_rng(0).normal(size=(25, 4)).astype("float32")
Y = X[:, :2] ** 2


def branching():
    x = layers.Input((4,))
    return kerasish.Model(x, layers.Add()([layers.Dense(2)(x), layers.Dense(2)(x)]))


def plain():
    return kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(8, "relu", kernel_regularizer="l2"), layers.Dense(2)]
    )


def with_losses():
    return kerasish.Sequential([layers.Input((4,)), layers.Dense(3), Active(), layers.Dense(2)])


class Own(kerasish.Model):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = layers.Dense(3), layers.Dense(2)

    def call(self, x):
        y = self.inner(x)
        self.add_loss([0.1 * y.abs().mean(), 0.5])
        return self.outer(y)


@pytest.mark.parametrize("build", [plain, branching, Own])
def test_a_copy_of_a_model_computes_with_its_own_weights(build):
    model, x = build(), torch.randn(5, 4)
    y = model(x)

    copy = copies_of(model, 2, torch.zeros_like)[1]

    assert float(y.detach().abs().max()) > 0
    assert float(copy(x).abs().max()) == 0


@pytest.mark.parametrize("build", [plain, branching, with_losses, Own])
@pytest.mark.parametrize(
    "settings",
    [{}, {"accumulate_steps": 2, "clip_norm": 0.5}, {"precision": "float64"}],
    ids=["plain", "accumulated", "float64"],
)
def test_parts_train_as_the_whole_does(two_devices, build, settings):
    assert_alike(build, X, Y, **settings)


def test_parts_compute_in_the_precision_asked_for(two_devices):
    seen = set()

    class Watching(kerasish.layers.Layer):
        def call(self, x):
            seen.add(x.dtype)
            return x

    def build():
        return kerasish.Sequential(
            [layers.Input((4,)), layers.Dense(3), Watching(), layers.Dense(2)]
        )

    run(build, X, Y, "dp", precision="bfloat16-mixed")

    assert seen - {torch.float32} == {torch.bfloat16}


@pytest.mark.parametrize("rows", [20, 21, 25], ids=["full", "last_of_one", "last_of_five"])
def test_augmentation_does_the_same_to_a_sample_on_any_device(two_devices, rows):
    images = torch.rand(rows, 3, 8, 8)

    def build():
        return kerasish.Sequential(
            [
                layers.Input((3, 8, 8)),
                layers.RandomTranslation(0.3, 0.3, seed=3),
                layers.RandomErasing(seed=2, value_range=(0, 1)),
                layers.Flatten(),
                layers.Dense(2),
            ]
        )

    assert_alike(build, images, images.mean((1, 2))[:, :2] * 3)


def test_seeded_noise_is_repeatable_and_differs_between_parts(two_devices):
    drawn = []

    class Watching(kerasish.layers.Layer):
        def call(self, x):
            if self.training and len(x) == 5:
                drawn.append(x.detach().clone())
            return x

    def build():
        return kerasish.Sequential(
            [layers.Input((4,)), layers.Dropout(0.5, seed=1), Watching(), layers.Dense(2)]
        )

    x, y = torch.rand(20, 4) + 1, torch.rand(20, 2)
    one, other = (run(build, x, y, "dp")[1].get_weights() for _ in range(2))
    masks = torch.stack(drawn).eq(0).flatten(1)

    assert len(masks) == 16
    assert len(masks.unique(dim=0)) == 8
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_masks_and_structures_come_together_again(two_devices):
    tokens = torch.randint(0, 5, (20, 6))

    def build():
        x, y = layers.Input((6,), name="x", dtype="int64"), layers.Input((4,), name="y")
        h = layers.LSTM(5, return_sequences=True)(layers.Embedding(5, 4, mask_zero=True)(x))
        end = layers.Concatenate()([layers.GlobalAveragePooling1D()(h), y])
        outputs = {"steps": layers.Dense(1)(h), "end": layers.Dense(2)(end)}
        return kerasish.Model({"x": x, "y": y}, outputs)

    inputs = {"x": tokens, "y": torch.rand(20, 4)}
    targets = {"steps": torch.rand(20, 6, 1), "end": torch.rand(20, 2)}
    one, alone = run(build, inputs, targets, None)
    two, both = run(build, inputs, targets, "dp")

    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-5)
    for a, b in zip(alone.get_weights(), both.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert both.predict(inputs, verbose=0)["steps"].shape == (20, 6, 1)


def test_a_compiled_call_and_copies_of_the_model_do_not_go_together():
    with pytest.warns(UserWarning, match="jit_compile has no effect where data_parallel"):
        plain().compile("sgd", "mse", jit_compile=True, data_parallel="dp")


@pytest.mark.parametrize("table", TABLES)
def test_a_copy_of_any_layer_computes_with_its_own_weights(table):
    kerasish.config.set_image_data_format("channels_last")
    seen = set()
    for case in importlib.import_module(f"tests.parity.{table}").CASES:
        if case.name in seen:
            continue
        seen.add(case.name)
        layer = getattr(layers, case.name)(**in_library(case.arguments, layers))
        args, kwargs = case.make_inputs()
        y = map_leaves(torch.clone, layer(*args, training=False, **kwargs))

        twin = copies_of(layer, 2)[1]
        with torch.no_grad():
            for tensor in (*layer.parameters(), *layer.buffers()):
                tensor.zero_()

        torch.testing.assert_close(twin(*args, training=False, **kwargs), y, msg=str(case))
        twin(*args, training=True, **kwargs)
