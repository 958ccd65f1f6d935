"""Batch, layer and root-mean-square normalization, and attention."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe
from kerasish.ops.tensors import TensorLike, as_dims, as_float, convert_to_tensor, recorded


@recorded
def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int,
    offset: TensorLike | None = None,
    scale: TensorLike | None = None,
    epsilon: float = 1e-3,
) -> torch.Tensor:
    """`(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Shapes:
        x: any
        mean, variance, offset, scale: one number for each index of `axis`
    """
    x = as_float(x)
    parameters = [
        None if value is None else as_float(value) for value in (mean, variance, scale, offset)
    ]
    y = F.batch_norm(torch.movedim(x, axis, 1), *parameters, eps=epsilon)  # type: ignore[arg-type]
    return torch.movedim(y, 1, axis)


@recorded
def layer_normalization(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
    **kwargs: Any,
) -> torch.Tensor:
    """`(x - mean) / sqrt(variance + epsilon) * gamma + beta`, mean and variance over some axes.

    Args:
        x: Any tensor.
        gamma: Factors, of the shape of those axes.
        beta: Offsets, of the shape of those axes.
        axis: Axes to normalize over.
        epsilon: `config.epsilon()` if not given.
        **kwargs: Keras's deprecated `rms_scaling`, which is refused.
    """
    if kwargs.pop("rms_scaling", False):
        raise ValueError("layer_normalization: `rms_scaling` is gone; use rms_normalization.")
    if kwargs:
        raise TypeError(f"layer_normalization: unknown arguments {sorted(kwargs)}.")
    x, epsilon = as_float(x), config.epsilon() if epsilon is None else epsilon
    dims = sorted(as_dims(axis, x.ndim))
    sizes = [x.shape[dim] for dim in dims]
    last = tuple(range(x.ndim - len(dims), x.ndim))
    gamma, beta = (
        None if value is None else convert_to_tensor(value).to(x.dtype).reshape(sizes)
        for value in (gamma, beta)
    )
    y = F.layer_norm(torch.movedim(x, dims, last), sizes, gamma, beta, epsilon)
    return torch.movedim(y, last, dims)


@recorded
def rms_normalization(
    x: TensorLike,
    scale: TensorLike | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: float | None = None,
) -> torch.Tensor:
    """`x / sqrt(mean(x²) + epsilon) * scale`, the mean over some axes.

    Args:
        x: Any tensor.
        scale: Factors that broadcast to `x`.
        axis: Axes to take the mean over.
        epsilon: `config.epsilon()` if not given.
    """
    x = as_float(x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    square = torch.mean(wide * wide, dim=as_dims(axis, x.ndim), keepdim=True)
    y = wide * torch.rsqrt(square + (config.epsilon() if epsilon is None else epsilon))
    return (y if scale is None else y * convert_to_tensor(scale).to(y.dtype)).to(x.dtype)


@recorded
def dot_product_attention(
    query: TensorLike,
    key: TensorLike,
    value: TensorLike,
    bias: TensorLike | None = None,
    mask: TensorLike | None = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> torch.Tensor:
    """`softmax(scale * query @ key.T + bias) @ value`, for each head.

    Shapes:
        query: `(batch, targets, heads, size)`
        key: `(batch, sources, key heads, size)`; `heads` is a multiple of `key heads`
        value: as `key`
        bias, mask: broadcast to `(batch, heads, targets, sources)`
        output: as `query`

    Args:
        query: What is asked.
        key: What it is compared with.
        value: What is mixed.
        bias: Added to the scores.
        mask: Where False, a source is not looked at.
        scale: `1 / sqrt(size)` if not given.
        is_causal: Whether a target sees only the sources up to its own place.
        flash_attention: True insists on the flash kernel; otherwise torch chooses.
        attn_logits_soft_cap: Scores are squeezed to within this bound by tanh.

    Raises:
        ValueError: If query, key and value do not have four axes.
    """
    tensors = [as_float(tensor) for tensor in (query, key, value)]
    for name, tensor in zip(("query", "key", "value"), tensors, strict=True):
        if tensor.ndim != 4:
            raise ValueError(
                f"dot_product_attention: `{name}` must be (batch, length, heads, size), "
                f"got {describe(tensor)}."
            )
    q, k, v = (tensor.transpose(1, 2) for tensor in tensors)  # (B, heads, length, size)
    weights = _score_offsets(bias, mask, is_causal, q, k)
    if attn_logits_soft_cap is not None:
        return _capped(q, k, v, weights, scale, attn_logits_soft_cap).transpose(1, 2)
    only_causal = is_causal and bias is None and mask is None
    context = nullcontext()
    if flash_attention:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        context = sdpa_kernel(SDPBackend.FLASH_ATTENTION)
    with context:
        y = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=None if only_causal else weights,
            is_causal=only_causal,
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
    return y.transpose(1, 2)


def _score_offsets(
    bias: Any, mask: Any, is_causal: bool, q: torch.Tensor, k: torch.Tensor
) -> torch.Tensor | None:
    """What the mask, the causal order and the bias add to the scores (or a boolean mask)."""
    seen = None if mask is None else convert_to_tensor(mask).to(torch.bool)
    if is_causal:
        order = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
        seen = order if seen is None else seen & order
    if bias is None:
        return seen
    offsets = convert_to_tensor(bias).to(q.dtype)
    return offsets if seen is None else torch.where(seen, offsets, -torch.inf)


def _capped(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    weights: torch.Tensor | None,
    scale: float | None,
    cap: float,
) -> torch.Tensor:
    groups = q.shape[1] // k.shape[1]
    k, v = (tensor.repeat_interleave(groups, dim=1) for tensor in (k, v))
    scores = q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5 if scale is None else scale)
    scores = cap * torch.tanh(scores / cap)
    if weights is not None:
        is_mask = weights.dtype == torch.bool
        scores = torch.where(weights, scores, -torch.inf) if is_mask else scores + weights
    return torch.softmax(scores, dim=-1) @ v
