"""Attention without projections: dot-product and additive."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kerasish import random
from kerasish.layers.attention.scores import attend, causal_mask
from kerasish.layers.base import Layer
from kerasish.layers.checks import fraction, one_of


class Attention(Layer):
    """`softmax(query keyᵀ) value`, without heads or projections.

    Shapes:
        inputs: a list of query `(batch, T, features)`, value `(batch, S, value_features)` and
            perhaps key `(batch, S, features)`, the value by default
        output: `(batch, T, value_features)`
        scores: `(batch, T, S)`

    Args:
        use_scale: Whether to learn a factor of the scores.
        score_mode: `"dot"`, the product of query and key; or `"concat"`, a learned factor times
            the sum of `tanh(query + key)`.
        dropout: The part of the attention weights to drop in training.
        seed: Makes the dropout repeatable.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the inputs are no list of two or three.

    Example:
        >>> x = torch.ones(2, 5, 8)
        >>> Attention()([x, x]).shape
        torch.Size([2, 5, 8])
    """

    scale: Tensor
    concat_score_weight: Tensor

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = one_of(self, "score_mode", score_mode, ("dot", "concat"))
        self.dropout = fraction(self, "dropout", dropout)
        self.seed = seed
        self.seeds = random.SeedGenerator(seed) if isinstance(seed, int) else seed
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Make the factors."""
        self._check_list(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _check_list(self, inputs: Any) -> None:
        if not isinstance(inputs, (list, tuple)) or len(inputs) not in (2, 3):
            raise ValueError(
                f'{type(self).__name__} "{self.name}" is called on a list, [query, value] or '
                "[query, value, key]."
            )

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The query's mask."""
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    def forward(
        self,
        inputs: list[Tensor],
        mask: list[Tensor | None] | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend.

        Args:
            inputs: Query, value, and perhaps key.
            mask: The query's and the value's mask, `(batch, T)` and `(batch, S)`.
            return_attention_scores: Whether to give the weights too.
            use_causal_mask: Whether a query attends to no later step.
        """
        self._check_list(inputs)
        query, value = inputs[:2]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        allowed = None if value_mask is None else value_mask.to(torch.bool).unsqueeze(-2)
        if self._fits_kernel(return_attention_scores):
            if self.use_scale:
                query = query * self.scale
            if use_causal_mask and allowed is not None:
                allowed = allowed & causal_mask(query.shape[1], key.shape[1], query.device)
            dropout = self.dropout if self.training else 0.0
            output, weights = attend(
                query, key, value, allowed, scale=1.0, causal=use_causal_mask, dropout=dropout
            )
        else:
            if use_causal_mask:
                causal = causal_mask(query.shape[1], key.shape[1], query.device)
                allowed = causal if allowed is None else allowed & causal
            weights = self._weights(self._scores(query, key), allowed)
            dropped = weights
            if self.training and self.dropout:
                dropped = random.dropout(weights, self.dropout, seed=self.seeds)
                weights = dropped
            output = dropped @ value
        if query_mask is not None:
            output = output * query_mask.to(output.dtype).unsqueeze(-1)
        return (output, weights) if return_attention_scores else output

    def _fits_kernel(self, wants_weights: bool) -> bool:
        return self.score_mode == "dot" and not wants_weights and self.seeds is None

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.score_mode == "dot":
            scores = query @ key.transpose(-2, -1)
            return scores * self.scale if self.use_scale else scores
        pairs = query.unsqueeze(-2) + key.unsqueeze(-3)
        if self.use_scale:
            pairs = self.scale * pairs
        return self.concat_score_weight * torch.tanh(pairs).sum(-1)

    @staticmethod
    def _weights(scores: Tensor, allowed: Tensor | None) -> Tensor:
        if allowed is not None:
            low = 65504.0 if scores.dtype == torch.float16 else 1e9
            scores = torch.where(allowed, scores, scores - low)
        return scores.softmax(-1)


class AdditiveAttention(Attention):
    """`softmax(sum(scale * tanh(query + key))) value`, Bahdanau's attention.

    Shapes:
        inputs: a list of query `(batch, T, features)`, value `(batch, S, features)` and perhaps
            key `(batch, S, features)`, the value by default
        scale: `(features,)`
        output: `(batch, T, features)`
        scores: `(batch, T, S)`

    Args:
        use_scale: Whether to learn the factor of each feature; else all are one.
        dropout: The part of the attention weights to drop in training.
        **kwargs: Those of `Layer`, and `seed`.

    Raises:
        ValueError: If an argument is out of range, or the inputs are no list of two or three.
    """

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Make the factors."""
        self._check_list(input_shape)
        if self.use_scale:
            self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale")

    def _fits_kernel(self, wants_weights: bool) -> bool:
        return False

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        pairs = torch.tanh(query.unsqueeze(-2) + key.unsqueeze(-3))
        return pairs @ self.scale if self.use_scale else pairs.sum(-1)
