"""Large products of a `nn.Linear` by oneDNN, on processors where torch's own are slow.

For float32 matrices on x86 processors torch calls MKL, which takes no AVX-512 on processors that
are not Intel's. oneDNN, which torch has too and calls for convolutions, takes all there is: on an
AMD EPYC of 2024 half the time. On Intel's processors the two are alike, and torch's is kept.
"""

from __future__ import annotations

import functools
import operator
import platform
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from kerasish.variables import Variable, Weight

WORTH = 1 << 22  # multiply-adds of a product from which oneDNN pays for the longer way to it
_CPU_INFO = Path("/proc/cpuinfo")
_LARGE = 1 << 12  # numbers of a weight from which a batch may come to so many
_ORDINARY = (Tensor, nn.Parameter, Variable, Weight)  # those of others know what they multiply by


@functools.cache
def is_faster() -> bool:
    """Whether oneDNN multiplies faster than what torch calls: MKL on a processor of AMD's."""
    has_both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    return has_both and hasattr(torch.ops.mkldnn, "_linear_pointwise") and _is_amd()


def _is_amd() -> bool:
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = platform.processor()  # which names the maker on Windows
    return "AuthenticAMD" in text


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`, by oneDNN where the product is large: the same up to rounding.

    `torch.backends.mkldnn.flags(enabled=False)` turns oneDNN off, here as everywhere in torch.
    """
    is_worth_it = (
        x.numel() * weight.shape[0] >= WORTH
        and x.is_cpu
        and x.dtype is weight.dtype is torch.float32
        and torch._C._get_mkldnn_enabled()  # type: ignore[attr-defined]
        and not torch.is_autocast_enabled("cpu")
        and type(weight) in _ORDINARY
    )
    if not is_worth_it:
        return functional.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return _multiply(x, weight, bias)
    return _Product.apply(x, weight, bias)  # type: ignore[return-value]


def with_quick_products(graph: fx.Graph, root: nn.Module) -> fx.Graph:
    """The graph with `linear` in the place of torch's, where a weight is large enough for it."""
    nodes = graph.find_nodes(op="call_function", target=functional.linear) if is_faster() else ()
    for node in nodes:
        source = node.args[1] if len(node.args) > 1 else None
        if isinstance(source, fx.Node) and source.op == "get_attr":
            weight = operator.attrgetter(str(source.target))(root)
            if weight.numel() >= _LARGE:
                node.target = linear
    return graph


def _multiply(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """`a @ b.T + bias`."""
    return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")


class _Product(torch.autograd.Function):
    """`x @ weight.T + bias` and its gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # type: ignore[override]
        """The product; leading axes of `x` are kept."""
        ctx.save_for_backward(x, weight)
        return _multiply(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The gradients by `x`, the weight and the bias, each where it is wanted."""
        x, weight = ctx.saved_tensors
        by_x, by_weight, by_bias = ctx.needs_input_grad
        flat = gradient.contiguous().view(-1, weight.shape[0])
        rows = x.reshape(-1, weight.shape[1])
        return (
            _multiply(flat, weight.t()).view_as(x) if by_x else None,
            _multiply(flat.t(), rows.t()) if by_weight else None,
            flat.sum(0) if by_bias else None,
        )
