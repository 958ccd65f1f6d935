"""What surrounds a run: deterministic kernels, a watch for NaN, and help when memory runs out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves
from kerasish.hooks import removed_after
from kerasish.training.recipe import Recipe

# What has no exception of its own: the CPU's allocator, the driver, NVIDIA's libraries.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "out of memory", "STATUS_ALLOC_FAILED")


@contextmanager
def guarded(who: str, recipe: Recipe, model: nn.Module, batch_size: int | None) -> Iterator[None]:
    """Surround `fit`, `evaluate` or `predict` with all that its recipe asks for."""
    with _deterministic(recipe), _nan_watch(recipe, model):
        try:
            yield
        except Exception as error:
            _note_memory(error, who, batch_size)
            raise


@contextmanager
def validating(batch_size: int | None) -> Iterator[None]:
    """Surround a validation within `fit`, whose batches have a size of their own."""
    try:
        yield
    except Exception as error:
        _note_memory(error, "validation", batch_size, "validation_batch_size")
        raise


@contextmanager
def _deterministic(recipe: Recipe) -> Iterator[None]:
    if not recipe.deterministic:
        yield
        return
    # cuBLAS reads it when it is first used; without it, its matrix products may differ.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    was = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was, warn_only=warned_only)
        torch.backends.cudnn.benchmark = benchmark


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def _note_memory(
    error: Exception, who: str, batch_size: int | None, name: str = "batch_size"
) -> None:
    # What lies inside knows better: a validation, or an evaluation that a callback asked for.
    is_told = any("memory ran out" in note for note in getattr(error, "__notes__", ()))
    if _is_out_of_memory(error) and not is_told:
        error.add_note(_memory_note(who, batch_size, name))


def _memory_note(who: str, batch_size: int | None, name: str) -> str:
    if batch_size is None:
        return f"{who}: memory ran out. Let the source make smaller batches."
    if batch_size == 1:
        return f"{who}: memory ran out with {name}=1; the model or its inputs must be smaller."
    half = batch_size // 2
    keeps = " (with compile(accumulate_steps=2) the updates stay as they are)"
    return (
        f"{who}: memory ran out with {name}={batch_size}; {name}={half} should fit"
        f"{keeps if who == 'fit' else ''}."
    )


@contextmanager
def _nan_watch(recipe: Recipe, model: nn.Module) -> Iterator[None]:
    """While it lasts, the first layer whose output is not finite raises, and gradients likewise."""
    if not recipe.debug_nans:
        yield
        return
    hooks = [module.register_forward_hook(_check_of(name)) for name, module in _named(model)]
    if recipe.precision != "float16-mixed":  # there, gradients overflow by design now and then
        hooks += [
            parameter.register_post_accumulate_grad_hook(_gradient_check_of(name))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
    with removed_after(hooks):
        yield


def _named(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in model.named_modules():
        yield name or "the model itself", module


def _check_of(name: str) -> Callable[[nn.Module, Any, Any], None]:
    def check(module: nn.Module, inputs: Any, output: Any) -> None:
        wrong = _first_not_finite(output)
        if wrong is None:
            return
        kind = type(module).__name__
        raise FloatingPointError(
            f"debug_nans: the first output that is not finite is that of {name} ({kind}), with "
            f"{_extent(wrong)} of shape {tuple(wrong.shape)}. {_cause(module, inputs)}"
        )

    return check


def _gradient_check_of(name: str) -> Callable[[Tensor], None]:
    def check(parameter: Tensor) -> None:
        gradient = parameter.grad
        if gradient is not None and not bool(torch.isfinite(gradient).all()):
            raise FloatingPointError(
                f"debug_nans: all outputs are finite, but the gradient of {name} is not, with "
                f"{_extent(gradient)} of shape {tuple(gradient.shape)}. It is the first on the way "
                "back from the loss; look for a division by zero, log(0) or sqrt(0) after it, in "
                "the loss too."
            )

    return check


def _cause(module: nn.Module, inputs: Any) -> str:
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            return (
                f"Its {name} is not finite: an update before was too large. Lower the learning "
                "rate or use clip_norm."
            )
    if _first_not_finite(inputs) is not None:
        return "Its input is not finite either: look at the data."
    largest = max((float(t.detach().abs().max()) for t in _floats(inputs)), default=0.0)
    return f"Its inputs are finite, the largest {largest:.3g}."


def _floats(value: Any) -> Iterator[Tensor]:
    for leaf in leaves(value):
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel():
            yield leaf


def _first_not_finite(value: Any) -> Tensor | None:
    return next((t for t in _floats(value) if not bool(torch.isfinite(t).all())), None)


def _extent(tensor: Tensor) -> str:
    nans, infinities = int(torch.isnan(tensor).sum()), int(torch.isinf(tensor).sum())
    parts = [f"{nans} NaN"] * bool(nans) + [f"{infinities} infinite"] * bool(infinities)
    return f"{' and '.join(parts)} of {tensor.numel()} values"
