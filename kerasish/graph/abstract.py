"""Shape inference by running: any call is tried on tensors that have a shape but no data.

An unknown size (`None`) is stood for by two different numbers, one per run. What differs between
the two results is unknown there too; what agrees is known. So no layer writes shape arithmetic,
and relations between sizes (`x.reshape(x.size(0), -1)`, a skip connection) hold by themselves.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import torch
from torch import _VF, Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from kerasish.other_tensors import call_with

RUNS = 2

# Numbers with many divisors, so that strides, pooling, heads and up-sampling by usual factors come
# out even, as they do for the sizes that people choose.
_BATCH = (24, 40)
_LENGTH = (720, 1440)
_SIDE = (5760, 11520)
# For networks that shorten sequences more than the usual number allows, such as those for audio;
# also a multiple of 1024.
_LONG = (46080, 92160)


def stand_in_shapes(shape: Sequence[int | None], *, long: bool = False) -> list[tuple[int, ...]]:
    """The shape as each run sees it: `None` replaced by that run's number.

    Args:
        shape: A shape with a batch axis.
        long: Whether unknown lengths of sequences stand for a long one.
    """
    unknown = _SIDE if len(shape) > 3 else _LONG if long else _LENGTH
    return [
        tuple(
            (_BATCH if axis == 0 else unknown)[run] if size is None else size
            for axis, size in enumerate(shape)
        )
        for run in range(RUNS)
    ]


def stand_ins(
    shape: Sequence[int | None], dtype: torch.dtype, *, long: bool = False
) -> tuple[Tensor, ...]:
    """One tensor without data for each run."""
    shapes = stand_in_shapes(shape, long=long)
    return tuple(torch.empty(s, dtype=dtype, device="meta") for s in shapes)


def merge_shapes(tensors: Sequence[Tensor]) -> tuple[int | None, ...]:
    """The common shape of the runs' tensors, `None` where they differ.

    Raises:
        ValueError: If the runs disagree on the number of axes.
    """
    if len({t.dim() for t in tensors}) > 1:
        raise ValueError("The number of axes of a result may not depend on the size of its input.")
    return tuple(a if a == b else None for a, b in zip(*(t.shape for t in tensors), strict=True))


def run_without_data(
    target: Callable,
    args: tuple,
    kwargs: dict,
    watch: Callable[[], AbstractContextManager] = nullcontext,
) -> Any:
    """Call a function or module on tensors without data; its parameters and buffers stay untouched.

    Args:
        target: A torch function or any `nn.Module`.
        args: Its arguments; real tensors among them are stood for by tensors without data.
        kwargs: Its keyword arguments, likewise.
        watch: Makes a context to run in; called again for a second attempt.
    """
    with torch.no_grad():
        try:
            # Whoever watches wants to see every step.
            shorten = _short_kernels if watch is nullcontext else nullcontext
            with watch(), shorten():
                return _run(target, *tree_map(_to_meta, (args, kwargs)))
        except Exception as first:
            # Code that makes its own CPU tensors cannot mix them with meta ones.
            if "meta" not in str(first) and not isinstance(first, NotImplementedError):
                raise
            with suppress(Exception), watch(), _Mixing():
                return tree_map(_to_meta, _run(target, *tree_map(_to_meta, (args, kwargs))))
            # Or it moves tensors to the CPU. Fake tensors can ("cpu" in name, without data).
            with FakeTensorMode(allow_non_fake_inputs=True), watch():
                args, kwargs = tree_map(_to_fake, (args, kwargs))
                try:
                    results = _run(target, args, kwargs, move=_to_fake)
                except DataDependentOutputException:
                    # It reads a number from a buffer, as nn.BatchNorm1d(momentum=None) in training.
                    with _evaluating(target):
                        results = _run(target, args, kwargs, move=_to_fake)
            return tree_map(_from_fake, results)


@contextmanager
def _evaluating(target: Any) -> Iterator[None]:
    """While active, a module and all inside it are in evaluation mode."""
    modules = list(target.modules()) if isinstance(target, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _run(target: Callable, args: tuple, kwargs: dict, move: Callable | None = None) -> Any:
    if not isinstance(target, nn.Module):
        return target(*args, **kwargs)
    move = move or _to_meta
    others = {id(t): move(t) for t in (*target.parameters(), *target.buffers())}
    return call_with(target, others, args, kwargs)


class _Mixing(TorchDispatchMode):
    """While active, calls with a tensor without data among their arguments are made without data.

    What code makes by itself, such as positions or the sizes to repeat by, keeps its numbers, which
    it may read. Large tensors, such as masks of all pairs of steps, lose theirs.
    """

    _LARGE = 1 << 16

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = (args, kwargs or {})
        tensors = [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]
        if any(tensor.is_meta or tensor.numel() > self._LARGE for tensor in tensors):
            args, kwargs = tree_map(_to_meta, given)
            return func(*args, **kwargs)
        return func(*given[0], **given[1])


_KERNELS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
_COMPILER = "torch._dynamo.trace_rules"
_replacing = threading.RLock()  # else one thread would put back what another had put there


@contextmanager
def _short_kernels() -> Iterator[None]:
    """While active, kernels that torch works out slowly without data take a short way.

    Recurrent ones go through the steps one by one, at a millisecond each: here they run the first
    step and widen its output. Batch normalisation, which gives what it is given, takes several.
    Threads wait for each other.
    """
    with _replacing:
        yield from _replaced_kernels()


def _replaced_kernels() -> Iterator[None]:
    kernels = {name: getattr(_VF, name) for name in _KERNELS}
    normalize = torch.batch_norm

    def normalized(x: Tensor, *rest: Any) -> Tensor:
        sizes = {tensor.numel() for tensor in rest[:4] if tensor is not None}
        if not x.is_meta or x.dim() < 2 or sizes - {x.shape[1]}:
            return normalize(x, *rest)  # which complains of what does not fit
        return torch.empty_like(x)

    def shortened(kernel: Callable) -> Callable:
        def call(x: Tensor, *rest: Any) -> Any:
            if not x.is_meta or (isinstance(rest[0], Tensor) and rest[0].dim() == 1):
                return kernel(x, *rest)  # the second is a packed sequence
            axis = 1 if rest[-1] else 0  # batch_first comes last
            output, *states = kernel(x.narrow(axis, 0, min(1, x.shape[axis])), *rest)
            sizes = [-1] * output.dim()
            sizes[axis] = x.shape[axis]
            return output.expand(sizes).contiguous(), *states

        return call

    knew = _COMPILER in sys.modules
    for name, kernel in kernels.items():
        setattr(_VF, name, shortened(kernel))
    torch.batch_norm = normalized
    try:
        yield
    finally:
        torch.batch_norm = normalize
        for name, kernel in kernels.items():
            setattr(_VF, name, kernel)
        if not knew and _COMPILER in sys.modules:
            # Torch imports it for some kernels; it has noted what it found in these places.
            sys.modules[_COMPILER].clear_lru_cache()


def _to_meta(value: Any) -> Any:
    return value.detach().to("meta") if isinstance(value, Tensor) else value


def _from_fake(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty(tuple(value.shape), dtype=value.dtype, device="meta")
    return value


def _to_fake(value: Any) -> Any:
    # Called inside FakeTensorMode, where `empty` makes a tensor that claims to be on the CPU.
    if isinstance(value, Tensor):
        return torch.empty(tuple(value.shape), dtype=value.dtype, device="cpu")
    return value
