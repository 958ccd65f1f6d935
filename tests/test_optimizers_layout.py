"""Fused kernels read memory in order: gradients and states must lie in memory as parameters do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import kerasish as ks

OPTIMIZERS: dict[str, Callable[[], ks.optimizers.Optimizer]] = {
    "sgd": lambda: ks.optimizers.SGD(0.1),
    "momentum": lambda: ks.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: ks.optimizers.Adam(0.01),
    "adamw": lambda: ks.optimizers.AdamW(0.01),
    "adagrad": lambda: ks.optimizers.Adagrad(0.1),
    "rmsprop": lambda: ks.optimizers.RMSprop(0.01),
    "lion": lambda: ks.optimizers.Lion(0.001),
}
X = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 4, (32,), generator=torch.Generator().manual_seed(1))


def _other_layout(value: Tensor) -> Tensor:
    """The same numbers, another order in memory."""
    if value.dim() == 4:
        return value.to(memory_format=torch.channels_last)
    return value.t().contiguous().t() if value.dim() == 2 else value


@pytest.fixture(params=OPTIMIZERS)
def make(request: pytest.FixtureRequest) -> Callable[[], ks.optimizers.Optimizer]:
    return OPTIMIZERS[request.param]


@pytest.mark.parametrize("how", ["apply", "step", "apply_gradients"])
def test_gradients_in_another_layout_are_the_same_gradients(make: Any, how: str) -> None:
    ended = []
    for turn in (lambda value: value, _other_layout):
        torch.manual_seed(0)
        weights = [nn.Parameter(torch.randn(6, 4, 3, 3)), nn.Parameter(torch.randn(5, 7))]
        optimizer = make()
        optimizer.build(weights)
        for _ in range(3):
            gradients = [turn(torch.randn(w.shape)) for w in weights]
            if how == "apply":
                optimizer.apply(gradients, weights)
            elif how == "apply_gradients":
                optimizer.apply_gradients(zip(gradients, weights, strict=True))
            else:
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
                optimizer.step()
        ended.append([weight.detach().clone() for weight in weights])
    assert_close(ended[1], ended[0], rtol=1e-6, atol=1e-6)


def test_a_gradient_that_repeats_one_number_in_memory_is_read_as_its_view_shows_it() -> None:
    weight = nn.Parameter(torch.zeros(300))
    (gradient,) = torch.autograd.grad(weight.sum(), [weight])
    assert gradient.stride() == (0,)
    ks.optimizers.SGD(0.5).apply([gradient], [weight])
    assert_close(weight.detach(), torch.full((300,), -0.5))


def test_parameters_that_skip_memory_are_updated_where_they_are(make: Any) -> None:
    start = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    ended = []
    for spread in (False, True):
        base = start.clone()
        weight = nn.Parameter(base[:, ::2] if spread else base[:, ::2].contiguous())
        optimizer = make()
        optimizer.bind([("weight", weight)])
        for _ in range(3):
            weight.grad = None
            (weight * torch.arange(24.0).reshape(6, 4)).square().sum().backward()
            optimizer.update()
        ended.append(weight.detach().clone())
        assert_close(base[:, 1::2], start[:, 1::2])
    assert_close(ended[1], ended[0], rtol=1e-6, atol=1e-6)


def _model(optimizer: Any, memory_format: str | None = None) -> ks.Model:
    ks.utils.set_random_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip
    model = ks.Sequential([ks.Input((3, 8, 8)), *net])
    _compile(model, optimizer, memory_format)
    return model


def _compile(model: ks.Model, optimizer: Any, memory_format: str | None) -> None:
    loss = ks.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, device="cpu", memory_format=memory_format)


def _fit(model: ks.Model, epochs: int, **more: Any) -> list[Tensor]:
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **more)
    return [p.detach().clone() for p in model.parameters()]


def test_a_run_goes_on_in_another_memory_format(make: Any) -> None:
    expected = _fit(_model(make()), 2)
    model = _model(make())
    _fit(model, 1)
    _compile(model, model.optimizer, "channels_last")
    assert_close(_fit(model, 1), expected, rtol=1e-4, atol=2e-6)


def test_a_loaded_channels_last_model_trains_on(make: Any, tmp_path: Path) -> None:
    expected = _fit(_model(make(), "channels_last"), 2)
    model = _model(make(), "channels_last")
    _fit(model, 1)
    model.save(tmp_path / "model.kerasish")
    loaded = ks.models.load_model(tmp_path / "model.kerasish")
    assert_close(_fit(loaded, 1), expected, rtol=1e-4, atol=2e-6)


def test_a_run_goes_on_in_another_precision(make: Any) -> None:
    expected = _fit(_model(make()), 2)
    model = _model(make())
    _fit(model, 1)
    loss = ks.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(model.optimizer, loss, device="cpu", precision="float64")
    ended = _fit(model, 1)
    assert all(weight.dtype == torch.float64 for weight in ended)
    assert_close([weight.float() for weight in ended], expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("steps", [1, 2], ids=["plain", "gathered"])
def test_a_channels_last_run_is_resumed_bit_by_bit(make: Any, steps: int, tmp_path: Path) -> None:
    class Stop(ks.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: object = None) -> None:
            if batch == 3:
                raise KeyboardInterrupt

    def model() -> ks.Model:
        made = _model(make())
        loss = ks.losses.SparseCategoricalCrossentropy(from_logits=True)
        made.compile(
            made.optimizer, loss, device="cpu", memory_format="channels_last",
            accumulate_steps=steps,
        )  # fmt: skip
        return made

    expected = _fit(model(), 2)
    keeper = [ks.callbacks.BackupAndRestore(tmp_path, save_freq=1)]
    with pytest.raises(KeyboardInterrupt):
        _fit(model(), 2, callbacks=[*keeper, Stop()])
    assert_close(_fit(model(), 2, callbacks=keeper), expected, rtol=0, atol=0)
