"""Monte-Carlo dropout: the model itself drawn at random, several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from kerasish.tta.draws import check_number
from kerasish.tta.views import Views

# Torch's and kerasish's recurrent and attention layers drop values by themselves.
_RATES = ("dropout", "recurrent_dropout")


class MonteCarloDropout(Views):
    """The model with its dropout at work, several times; everything else is as at test time.

    The spread of such predictions tells how sure the model is. Dropout draws from torch's global
    generator, or by the seeds of its layers.

    Args:
        n: How many times to run the model.
        **kwargs: Those of `Views`; `spread=True` lets `predict` return `(mean, spread)`.

    Raises:
        ValueError: If `n` is not positive; if a model has no dropout.

    Reference: Gal and Ghahramani (2016), "Dropout as a Bayesian Approximation".
    """

    def __init__(self, n: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = check_number(n, "MonteCarloDropout")

    def for_model(self, model: Any) -> MonteCarloDropout:
        """The same, if the model drops anything."""
        if not any(_rate(module) for module in model.modules()):
            raise ValueError(
                f'MonteCarloDropout: the model "{model.name}" has no dropout, so all its '
                "predictions would be the same."
            )
        return self

    def views(self, x: Any, rows: Tensor) -> Iterator[Any]:
        """The batch as it is, again and again."""
        for _ in range(self.n):
            yield x

    @contextmanager
    def mode(self, model: nn.Module) -> Iterator[None]:
        """Dropout at work."""
        modes = [(module, module.training) for module in model.modules() if drops(module)]
        # Torch's encoders have a fast path for evaluation, which knows no dropout.
        was_fast = torch.backends.mha.get_fastpath_enabled()
        try:
            torch.backends.mha.set_fastpath_enabled(False)
            for module, _ in modes:
                module.training = True
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(was_fast)
            for module, was in modes:
                module.training = was


def drops(module: nn.Module) -> bool:
    """Whether a module is dropout, or drops some of its values in training."""
    return _rate(module) > 0


def _rate(module: nn.Module) -> float:
    if isinstance(module, _DropoutNd):
        return module.p
    is_dropout = type(module).__name__.endswith(
        ("Dropout", "DropConnect", "Dropout1D", "Dropout2D", "Dropout3D")
    )
    found = [getattr(module, name, None) for name in (("rate",) if is_dropout else _RATES)]
    return max((float(rate) for rate in found if isinstance(rate, Real)), default=0.0)
