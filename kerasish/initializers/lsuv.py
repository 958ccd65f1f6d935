"""LSUV: orthonormal weights, rescaled until the outputs of every layer have variance 1 on data."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from kerasish.describe import describe
from kerasish.hooks import removed_after
from kerasish.modes import evaluating


def lsuv_(
    model: nn.Module, batch: Any, tolerance: float = 0.02, max_iterations: int = 10
) -> dict[str, float]:
    """Initialise a network by its data: layer-sequential unit-variance.

    Every linear and convolutional layer gets orthonormal weights and zero biases. Then, in the
    order of the forward pass, its weights are divided by the standard deviation of its outputs on
    the batch. Later layers see the rescaled outputs at once, so that one pass does for all of them;
    further passes only check. Frozen layers are left alone.

    The batch is run in evaluation mode, except for batch normalisations, which take the batch's
    statistics as they will in training. Modes and running statistics are left as they were.

    Args:
        model: Any torch module or kerasish model.
        batch: What it is called on; a tuple is spread over several arguments. A few hundred samples
            of the training set will do.
        tolerance: How far from 1 a variance may be.
        max_iterations: After how many passes to stop: the first rescales, the second checks.

    Returns:
        The variance of the outputs of each layer, by name, in the order of the forward pass.

    Raises:
        ValueError: If nothing in the model can be initialised, a layer's outputs do not vary, or
            fewer than two passes are allowed.

    Warns:
        UserWarning: If some variance is still off after the last pass, because the model is random.

    Reference: Mishkin and Matas (2016), "All you need is a good init".

    Example:
        >>> net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
        >>> {name: round(var, 3) for name, var in lsuv_(net, torch.randn(100, 8)).items()}
        {'0': 1.0, '2': 1.0}
    """
    if max_iterations < 2:
        raise ValueError(f"lsuv_: `max_iterations` must be 2 or more, got {max_iterations}.")
    inputs = tuple(_tensor(x) for x in (batch if isinstance(batch, tuple) else (batch,)))
    ready: set[nn.Module] = set()
    variances: dict[str, float] = {}
    with torch.no_grad(), _batch_statistics(model):
        for _ in range(max_iterations):
            variances, changed = _one_pass(model, inputs, tolerance, ready)
            if not changed:
                break
    if not variances:
        raise ValueError(
            f"lsuv_: {describe(model)} calls no linear or convolutional layer with trainable "
            "weights, so there is nothing to initialise."
        )
    off = {name: round(v, 3) for name, v in variances.items() if abs(v - 1) > tolerance}
    if off:
        warnings.warn(
            f"lsuv_: after {max_iterations} passes some variances are not 1 ± {tolerance}: {off}.",
            stacklevel=2,
        )
    return variances


def _tensor(value: Any) -> Any:
    return torch.as_tensor(value) if isinstance(value, np.ndarray) else value


def _one_pass(
    model: nn.Module, inputs: tuple, tolerance: float, ready: set[nn.Module]
) -> tuple[dict[str, float], bool]:
    """Run the batch once; what is off is rescaled as it is met. Variances, and whether any was."""
    variances: dict[str, float] = {}
    changed = False

    def before(module: Any, args: Any) -> None:
        if module not in ready:
            ready.add(module)
            _make_orthonormal(module)

    def after(module: Any, args: Any, output: Tensor) -> Tensor:
        nonlocal changed
        name = names[module]
        if name in variances:  # a layer used again keeps the scale of its first use
            return output
        variance = float(output.float().var(correction=0))
        if not 0 < variance < float("inf"):
            raise ValueError(
                f"lsuv_: the outputs of '{name}' have variance {variance} on this batch. Give a "
                "batch of several different, scaled samples."
            )
        variances[name] = variance
        if abs(variance - 1) <= tolerance:
            return output
        changed = True
        module.weight.div_(variance**0.5)
        # The bias is zero, so this is what the layer gives with its new weights.
        return output / variance**0.5

    # A lazy layer makes its modules at the first call; the hooks are put on what is there then.
    if not any(map(_is_initialised, model.modules())):
        model(*inputs)
    names = {module: name for name, module in model.named_modules() if _is_initialised(module)}
    hooks = [module.register_forward_pre_hook(before) for module in names]
    hooks += [module.register_forward_hook(after) for module in names]
    with removed_after(hooks):
        model(*inputs)
    return variances, changed


def _is_initialised(module: nn.Module) -> bool:
    """Whether its output is linear in a weight of its own that may be changed."""
    weight = module._parameters.get("weight")
    known = isinstance(module, (nn.Linear, _ConvNd))
    return known and weight is not None and weight.requires_grad


def _make_orthonormal(module: Any) -> None:
    # QR has no kernel for the half types.
    weight = torch.empty_like(module.weight, dtype=torch.float32)
    module.weight.copy_(nn.init.orthogonal_(weight))
    if module.bias is not None:
        module.bias.zero_()


@contextmanager
def _batch_statistics(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, but batch normalisations normalise by the batch; all is put back."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with evaluating(model):
            for module in model.modules():
                if isinstance(module, _BatchNorm):
                    module.training = True
            yield
    finally:
        for buffer, value in buffers:
            buffer.copy_(value)
