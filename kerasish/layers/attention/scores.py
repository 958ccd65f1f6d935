"""Scaled dot-product attention with masks, and the masks themselves.

Legend: B batch, H heads, T query steps, S key and value steps, D size of a head. Leading axes may
be more than B and H.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from kerasish import random


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float | None,
    causal: bool = False,
    dropout: float = 0.0,
    seeds: Any = None,
    with_weights: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`softmax(scale * query keyᵀ) value`.

    Args:
        query: `(B, H, T, D)`.
        key: `(B, H, S, D)`, or with fewer heads that divide `H`.
        value: `(B, H, S, D')`, or with as many heads as `key`.
        mask: True where a query may attend to a key; broadcasts to `(B, H, T, S)`.
        scale: `None` means `1 / sqrt(D)`.
        causal: Whether a query attends to no later step; only without `mask`.
        dropout: The part of the weights to drop.
        seeds: Where dropout draws from; torch's global generator by default.
        with_weights: Whether to give the weights, at the cost of holding them all.

    Returns:
        `(B, H, T, D')`, and the weights `(B, H, T, S)` or `None`.
    """
    grouped = query.dim() > 3 and key.shape[-3] != query.shape[-3]
    if not with_weights and (dropout == 0 or seeds is None):
        bias = None if mask is None else as_bias(mask, query.dtype)
        options: dict[str, Any] = {"enable_gqa": True} if grouped else {}
        output = F.scaled_dot_product_attention(
            query, key, value, bias, dropout, causal and bias is None, scale=scale, **options
        )
        return output, None
    if grouped:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    if causal:
        mask = causal_mask(query.shape[-2], key.shape[-2], query.device)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    weights = masked_softmax((query * factor) @ key.transpose(-2, -1), mask)
    dropped = random.dropout(weights, dropout, seed=seeds) if dropout else weights
    return dropped @ value, weights


def as_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Zero where the mask is true and very low elsewhere.

    Finite, so that a row where nothing is true becomes an average, as in Keras, and never NaN.
    """
    low = 0.7 * torch.finfo(dtype).min
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, low)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax over the last axis; masked places, and rows of nothing else, get 0."""
    if mask is None:
        return scores.softmax(-1)
    hidden = ~mask
    low = 0.7 * torch.finfo(scores.dtype).min
    return scores.masked_fill(hidden, low).softmax(-1).masked_fill(hidden, 0.0)


def causal_mask(queries: int, keys: int, device: torch.device) -> Tensor:
    """`(T, S)`, true where a key is no later than the query."""
    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril()


def window_mask(queries: int, keys: int, width: int, device: torch.device) -> Tensor:
    """`(T, S)`, true where key and query are fewer than `width` steps apart."""
    rows = torch.arange(queries, device=device).unsqueeze(-1)
    return (rows - torch.arange(keys, device=device)).abs() < width


def merge_masks(*masks: Tensor | None) -> Tensor | None:
    """True where all are; `None` if there are none."""
    merged = None
    for mask in masks:
        if mask is not None:
            mask = mask.to(torch.bool)
            merged = mask if merged is None else merged & mask
    return merged
