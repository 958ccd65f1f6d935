"""How long gradients stay: for callbacks to see, no longer, and not in a copy of the run."""

from __future__ import annotations

import pytest
import torch

import kerasish as ks


def _model(**settings: object) -> ks.Model:
    torch.manual_seed(0)
    model = ks.Sequential(
        [ks.Input((4,)), ks.layers.Dense(8, activation="relu"), ks.layers.Dense(1)]
    )
    model.compile(ks.optimizers.SGD(0.1), "mse", device="cpu", **settings)
    return model


def _data(rows: int = 32) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(1))
    return x, x.sum(1, keepdim=True)


class _Seen(ks.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.norms: list[float | None] = []

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        gradients = [p.grad for p in self.model.parameters()]
        found = [g.norm() for g in gradients if g is not None]
        self.norms.append(float(torch.stack(found).norm()) if found else None)


@pytest.mark.parametrize(
    "settings", [{}, {"clip_norm": 1e9}, {"precision": "bfloat16-mixed"}], ids=str
)
def test_a_callback_sees_the_gradients_of_the_batch_that_ended(settings: dict) -> None:
    x, y = _data()
    model, seen = _model(**settings), _Seen()
    weights = [p.detach().clone() for p in model.parameters()]
    model.fit(x, y, batch_size=32, verbose=0, callbacks=[seen])
    moved = [(a - p.detach()) / 0.1 for a, p in zip(weights, model.parameters(), strict=True)]
    expected = float(torch.stack([m.norm() for m in moved]).norm())
    assert seen.norms == [pytest.approx(expected, rel=1e-3)]
    assert all(p.grad is None for p in model.parameters())  # nothing is left behind


def test_gradients_that_are_gathered_stay_until_their_update() -> None:
    x, y = _data(48)
    model, seen = _model(accumulate_steps=2), _Seen()
    model.fit(x, y, batch_size=8, verbose=0, shuffle=False, callbacks=[seen])
    assert all(norm for norm in seen.norms)
    big = _model()
    big.fit(x, y, batch_size=16, verbose=0, shuffle=False)
    for ours, theirs in zip(model.parameters(), big.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


class _Stop(ks.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if batch == 3:  # the copy of the third batch is there
            raise KeyboardInterrupt


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 1.0}, {"accumulate_steps": 2}], ids=str)
def test_a_copy_of_a_run_holds_only_gradients_that_wait(settings: dict, tmp_path) -> None:
    x, y = _data()
    model = _model(**settings)
    keeper = ks.callbacks.BackupAndRestore(tmp_path, save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=8, verbose=0, callbacks=[keeper, _Stop()])
    archive = keeper.read()
    assert archive is not None
    names = [name for name in archive.tensors["run"] if "gradients" in name]
    # Of the third batch of two that are gathered, or of batches whose update is made.
    assert len(names) == (4 if settings.get("accumulate_steps") else 0)


class _Gradients(ks.layers.Layer):
    """Notes in a forward pass of training whether its kernel has a gradient yet."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.seen = ks.layers.Dense(3), []

    def call(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append(any(p.grad is not None for p in self.dense.parameters()))
        return self.dense(x)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 1.0}], ids=str)
def test_activations_have_the_memory_of_the_last_gradients(settings: dict) -> None:
    x, _ = _data()
    layer = _Gradients()
    model = ks.Sequential([ks.layers.Input(x.shape[1:]), layer])
    model.compile("sgd", "mse", **settings)
    model.fit(x, x[:, :3], batch_size=8, verbose=0)
    assert len(layer.seen) > 2
    assert not any(layer.seen)
