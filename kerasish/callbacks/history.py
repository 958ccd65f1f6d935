"""History: what the logs of each epoch held, kept after training."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

from kerasish.callbacks.base import Callback


class History(Callback):
    """Keeps the logs of every epoch; `fit` returns one.

    Attributes:
        history: Name -> list of numbers, one an epoch in which the name was logged.
        epoch: The numbers of the epochs, from 0.
        seconds: Where the time went: `data` (waiting for it), `step`, `metrics`, `callbacks` and
            `validation`, each a list of seconds, one an epoch.
        advice: The one thing worth changing about that, in a sentence; `None` where all is well.

    Example:
        >>> history = History()
        >>> history.on_train_begin()
        >>> history.on_epoch_end(0, {"loss": 0.5})
        >>> history.history, history.epoch
        ({'loss': [0.5]}, [0])
    """

    state_names = ("history", "epoch", "seconds", "_epochs_of")

    def __init__(self) -> None:
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self.seconds: dict[str, list[float]] = {}
        self.advice: str | None = None
        self._epochs_of: dict[str, list[int]] = {}

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"<History of {len(self.epoch)} epochs{': ' + last if last else ''}>"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epoch = []
        self.seconds, self.advice = {}, None
        self._epochs_of = {name: [] for name in self.history}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._epochs_of.setdefault(name, []).append(epoch)
        if self.model is not None:
            self.model.history = self

    def add_seconds(self, seconds: dict[str, float]) -> None:
        """Take down where an epoch's time went."""
        for part, value in seconds.items():
            self.seconds.setdefault(part, []).append(value)

    def epochs_of(self, name: str) -> list[int]:
        """The epochs whose logs held this name; fewer than all with `validation_freq` above 1."""
        return self._epochs_of[name]

    def to_frame(self) -> Any:
        """A pandas frame: a row an epoch, a column a name, NaN where it was not logged."""
        import pandas as pd

        columns = {
            name: pd.Series(values[-len(self.epochs_of(name)) :], index=self.epochs_of(name))
            for name, values in self.history.items()
            if self.epochs_of(name)
        }
        return pd.DataFrame(columns, index=pd.Index(self.epoch, name="epoch"))

    def plot(self, names: list[str] | None = None) -> Any:
        """Draw each metric with its validation curve over the epochs (from 1).

        Args:
            names: Which metrics, without `val_`. Defaults to all.

        Returns:
            The matplotlib figure.

        Raises:
            ValueError: If nothing was logged, or not under these names.
        """
        from kerasish.figures import Picture

        bases = list(dict.fromkeys(name.removeprefix("val_") for name in self.history))
        names = bases if names is None else names
        unknown = [name for name in names if name not in bases]
        if not names or unknown:
            raise ValueError(
                f"History.plot: nothing logged under {', '.join(unknown) or 'any name'}; "
                f"there is: {', '.join(bases) or 'nothing, train first'}."
            )
        rows = -(-len(names) // 2)
        figure = Picture(5.0 * min(2, len(names)), 3.2 * rows)
        axes = figure.subplots(rows, min(2, len(names)), squeeze=False).flat
        for axis, name in zip(axes, names, strict=False):
            for key, label, style in ((name, "training", "-"), (f"val_{name}", "validation", "--")):
                if self._epochs_of.get(key):
                    epochs = [epoch + 1 for epoch in self.epochs_of(key)]
                    axis.plot(
                        epochs, self.history[key][-len(epochs) :], style, marker=".", label=label
                    )
            axis.set(title=name, xlabel="epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            axis.legend()
        for axis in list(axes)[len(names) :]:
            axis.set_visible(False)
        return figure
