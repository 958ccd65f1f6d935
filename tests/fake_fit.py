"""A small engine and model that call hooks as `fit` does, for tests of callbacks by themselves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from kerasish.callbacks import CallbackList


class FakeModel(torch.nn.Module):
    """One weight that holds the number of the epoch, and files that hold its value."""

    def __init__(self, metrics=(), learning_rate=0.1):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.stop_training = False
        self.metrics = [SimpleNamespace(name=name, direction=way) for name, way in metrics]
        self.optimizer = SimpleNamespace(learning_rate=learning_rate)
        self.saved = []

    def save(self, path):
        self.saved.append(("model", path))
        Path(path).write_text(str(self.weight.item()))

    def save_weights(self, path):
        self.saved.append(("weights", path))
        Path(path).write_text(str(self.weight.item()))


def fake_fit(callbacks, epochs_logs, *, model=None, steps=2, batch_logs=None, params=None, **extra):
    """Call the hooks of one `fit`.

    Args:
        callbacks: Given to a CallbackList.
        epochs_logs: The logs of each epoch; an exception instead is raised in that epoch.
        model: Gets the weight `epoch + 1` in each epoch.
        steps: Batches an epoch.
        batch_logs: Function of (epoch, batch).
        params: Instead of the usual ones.
        **extra: Keyword arguments of CallbackList.
    """
    model = model or FakeModel()
    names = list(dict.fromkeys(n for logs in epochs_logs if isinstance(logs, dict) for n in logs))
    usual = {"epochs": len(epochs_logs), "steps": steps, "verbose": 0, "metrics": names}
    hooks = CallbackList(
        callbacks, model=model, params=usual if params is None else params, **extra
    )
    hooks.on_train_begin()
    try:
        for epoch, logs in enumerate(epochs_logs):
            hooks.on_epoch_begin(epoch)
            with torch.no_grad():
                model.weight.fill_(epoch + 1)
            for batch in range(steps):
                hooks.on_train_batch_begin(batch)
                hooks.on_train_batch_end(batch, batch_logs(epoch, batch) if batch_logs else {})
                if model.stop_training:
                    break
            if isinstance(logs, BaseException):
                raise logs
            hooks.on_epoch_end(epoch, dict(logs))
            if model.stop_training:
                break
    finally:
        hooks.on_train_end()
    return model
