"""An embedding that also maps vectors back to scores of tokens, as language models end."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish.config import as_dtype
from kerasish.layers.core import Embedding
from kerasish.layers.lora import LoraEmbedding
from kerasish.layers.weights import KerasWeight, permuted


class ReversibleEmbedding(Embedding):
    """`embeddings[x]`; with `reverse=True`, `x @ embeddings.T`: a score for each token.

    Shapes:
        input: `(batch, ...)`, integers; `(batch, ..., output_dim)` with `reverse=True`
        embedding.weight: `(input_dim, output_dim)`
        reverse_linear.weight: `(input_dim, output_dim)` in `state_dict`, `(output_dim, input_dim)`
            in `get_weights`; only without `tie_weights`
        output: `(batch, ..., output_dim)`; `(batch, ..., input_dim)` with `reverse=True`

    Args:
        input_dim: The number of different integers. Positive.
        output_dim: The length of a vector. Positive.
        tie_weights: Whether both directions share one matrix.
        embeddings_initializer: Fills the vectors.
        embeddings_regularizer: A penalty on the vectors.
        embeddings_constraint: Applied after each update.
        mask_zero: Whether 0 marks padding.
        reverse_dtype: The type that scores are computed in, by default that of the input.
        logit_soft_cap: Keeps scores within ± this number: `tanh(scores / cap) * cap`.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size is not a positive integer.

    Example:
        >>> layer = ReversibleEmbedding(10, 4)
        >>> layer(layer(torch.tensor([[1, 2, 3]])), reverse=True).shape
        torch.Size([1, 3, 10])
    """

    reverse_linear: nn.Linear

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            output_dim,
            embeddings_initializer,
            embeddings_regularizer,
            embeddings_constraint,
            mask_zero,
            **kwargs,
        )
        self.tie_weights = tie_weights
        self.reverse_dtype = None if reverse_dtype is None else as_dtype(reverse_dtype)
        self.logit_soft_cap = logit_soft_cap

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        """Make the `nn.Embedding`, and the way back if it has weights of its own."""
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_linear = nn.Linear(
                self.output_dim, self.input_dim, bias=False, dtype=self.variable_dtype
            )

    def own_weights(self) -> list[KerasWeight]:
        """The vectors, and those of the way back."""
        weights = super().own_weights()
        if hasattr(self, "reverse_linear"):
            way_back = self.reverse_linear.weight
            initializer = self.embeddings_initializer
            weights.insert(
                1, KerasWeight("reverse_embeddings", way_back, initializer, **permuted([1, 0]))
            )
        return weights

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the integer is not zero, if `mask_zero`; vectors have no mask."""
        return None if inputs.dtype.is_floating_point else super().compute_mask(inputs, mask)

    def forward(self, x: Tensor, reverse: bool = False) -> Tensor:
        """Look the integers up, or score the vectors."""
        if not reverse:
            return super().forward(x)
        x = x if self.reverse_dtype is None else x.to(self.reverse_dtype)
        if self.tie_weights and self.lora_enabled:
            scores = cast(LoraEmbedding, self.embedding).scores(x)
        else:
            weight = self.embedding.weight if self.tie_weights else self.reverse_linear.weight
            weight = weight if self.reverse_dtype is None else weight.to(self.reverse_dtype)
            scores = F.linear(x, weight)
        cap = self.logit_soft_cap
        return scores if cap is None else torch.tanh(scores / cap) * cap
