"""Attention with several heads and learned projections.

Legend: B batch, T query steps, S key and value steps, H heads, D size of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Unpack

import torch
from torch import Tensor, nn

from kerasish import random
from kerasish.describe import describe
from kerasish.graph.symbolic import map_nested, symbolic_input
from kerasish.layers.arguments import LoraOptions
from kerasish.layers.attention.scores import attend, causal_mask, merge_masks, window_mask
from kerasish.layers.checks import fraction, positive_int
from kerasish.layers.lora import Adaptable
from kerasish.layers.rules import Rules, found_rules
from kerasish.layers.structure import shape_of
from kerasish.layers.weights import KerasWeight, permuted

_SHAPES = ("query_shape", "value_shape", "key_shape")


class _Projecting(Adaptable):
    """What attentions with projections share: the `nn.Linear`s, the masks, the call.

    `enable_lora` adapts all projections. Keras has no such method: there it is called on each.
    """

    # The projections, in the order of Keras's weights.
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_output: nn.Linear

    def __init__(
        self,
        dropout: float,
        use_bias: bool,
        sliding_window: int | None,
        flash_attention: bool | None,
        kernel: Rules,
        bias: Rules,
        activity_regularizer: Any,
        use_gate: bool,
        seed: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.dropout = fraction(self, "dropout", dropout)
        self.use_bias = use_bias
        if sliding_window is not None:
            sliding_window = positive_int(self, "sliding_window", sliding_window)
        self.sliding_window = sliding_window
        self.flash_attention = flash_attention
        rules = found_rules(kernel)
        self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint = rules
        self.bias_initializer, self.bias_regularizer, self.bias_constraint = found_rules(bias)
        self.use_gate = use_gate
        self.seed = seed
        self.seeds = random.SeedGenerator(seed) if isinstance(seed, int) else seed
        self.supports_masking = True
        self._heads: dict[str, tuple[int, int]] = {}  # heads and size of each projection
        self._output_sizes: tuple[int, ...] = ()

    def _linear(self, shape: Sequence[int | None], out_features: int) -> nn.Linear:
        if shape[-1] is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" needs to know the size of the last axis, got '
                f"shape {tuple(shape)}."
            )
        return nn.Linear(shape[-1], out_features, self.use_bias, dtype=self.variable_dtype)

    def _add_projection(
        self, name: str, shape: Sequence[int | None], heads: int, size: int
    ) -> None:
        setattr(self, name, self._linear(shape, heads * size))
        self._heads[name] = (heads, size)

    def _add_output(self, sizes: tuple[int, ...], heads: int, size: int) -> None:
        self.attention_output = self._linear((heads * size,), math.prod(sizes))
        self._output_sizes, self._joined = sizes, (heads, size)

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias of each projection."""
        weights = []
        for name, (heads, size) in self._heads.items():
            linear: Any = self._modules[name]
            weights += self._weights_of(name, linear, (linear.in_features,), (heads, size))
        if self._output_sizes:
            linear = self.attention_output
            weights += self._weights_of(
                "attention_output", linear, self._joined, self._output_sizes
            )
        return weights + self.lora_weights()

    def adaptations(self) -> list[tuple[Any, KerasWeight]]:
        """All projections, each as one matrix for all heads, as in the paper on LoRA."""
        rules = self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        found: list[Any] = [(n, self._modules[n]) for n in (*self._heads, "attention_output")]
        return [
            (linear, KerasWeight(f"{name}/kernel", linear.weight, *rules, **permuted([1, 0])))
            for name, linear in found
        ]

    def _weights_of(
        self, name: str, linear: Any, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> list[KerasWeight]:
        kernel = KerasWeight(
            f"{name}/kernel",
            linear.weight,
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
            to_keras=lambda t: t.T.reshape(*inputs, *outputs),
            from_keras=lambda t: t.reshape(math.prod(inputs), math.prod(outputs)).T,
        )
        if not self.use_bias:
            return [kernel]
        bias = KerasWeight(
            f"{name}/bias",
            linear.bias,
            self.bias_initializer,
            self.bias_regularizer,
            self.bias_constraint,
            to_keras=lambda t: t.reshape(outputs),
            from_keras=lambda t: t.reshape(-1),
        )
        return [kernel, bias]

    def __call__(self, query: Any, value: Any, key: Any = None, **kwargs: Any) -> Any:
        """Call on query, value and perhaps key (the value by default)."""
        args = (query, value) if key is None else (query, value, key)
        return super().__call__(*args, **kwargs)

    def _call_symbolically(self, args: tuple, kwargs: dict) -> Any:
        for name, tensor in zip(("query", "value", "key"), args, strict=False):
            mask = getattr(tensor, "mask", None)
            if mask is not None and kwargs.get(f"{name}_mask") is None:
                kwargs = {**kwargs, f"{name}_mask": mask}
        return super()._call_symbolically(args, kwargs)

    def compute_output_shape(self, *shapes: Any, **named: Any) -> Any:
        """The shape of the output for `query_shape`, `value_shape` and perhaps `key_shape`."""
        given = [*shapes, *(named[n] for n in _SHAPES if n in named)]
        inputs = [symbolic_input(tuple(shape), self.compute_dtype) for shape in given if shape]
        count = len(self._nodes)
        outputs = self(*inputs)
        del self._nodes[count:]
        return map_nested(shape_of, outputs)

    def _mask(
        self,
        queries: int,
        keys: int,
        device: torch.device,
        query_mask: Tensor | None,
        value_mask: Tensor | None,
        key_mask: Tensor | None,
        attention_mask: Tensor | None,
        causal: bool,
    ) -> Tensor | None:
        """All masks as one, `(B, T, S)`; `None` if there are none."""
        width = self.sliding_window
        return merge_masks(
            None if query_mask is None else query_mask.unsqueeze(-1),
            None if value_mask is None else value_mask.unsqueeze(-2),
            None if key_mask is None else key_mask.unsqueeze(-2),
            causal_mask(queries, keys, device).unsqueeze(0) if causal else None,
            None if width is None else window_mask(queries, keys, width, device).unsqueeze(0),
            attention_mask,
        )

    def _has_mask(self, masks: tuple[Tensor | None, ...]) -> bool:
        given = [mask for mask in masks if mask is not None]
        return self.sliding_window is not None or len(given) > 0

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, weights: bool
    ) -> tuple[Tensor, Tensor | None]:
        return attend(
            q,
            k,
            v,
            mask,
            scale=None,
            causal=causal,
            dropout=self.dropout if self.training else 0.0,
            seeds=self.seeds,
            with_weights=weights,
        )


class MultiHeadAttention(_Projecting):
    """Several attentions side by side: `softmax(q kᵀ / sqrt(key_dim)) v`, projected in and out.

    Shapes:
        query: `(batch, T, query_features)`
        value: `(batch, S, value_features)`
        key: `(batch, S, key_features)`, the value by default
        query.weight: `(num_heads * key_dim, query_features)`; in `get_weights`
            `(query_features, num_heads, key_dim)`, and so on for `key` and `value`
        attention_output.weight: `(output, num_heads * value_dim)`; in `get_weights`
            `(num_heads, value_dim, output)`
        output: `(batch, T, query_features)`, or `output_shape` in the last place
        scores: `(batch, num_heads, T, S)`

    Inputs may have more axes; `attention_axes` then says along which to attend.

    Args:
        num_heads: The number of heads.
        key_dim: The size of a head's queries and keys.
        value_dim: The size of a head's values, `key_dim` by default.
        dropout: The part of the attention weights to drop in training.
        use_bias: Whether the projections add a learned offset.
        output_shape: The size, or sizes, of the output's last axes; the query's by default.
        attention_axes: The axes along which to attend: all but the first and last by default.
        sliding_window: Attend only to steps fewer than this many away. `None` sets no limit.
        flash_attention: Accepted for Keras's sake: torch picks the fastest kernel that fits.
        kernel_initializer: Fills the kernels, Glorot-uniform by default.
        bias_initializer: Fills the biases, zeros by default.
        kernel_regularizer: A penalty on each kernel.
        bias_regularizer: A penalty on each bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Applied to each kernel after each update.
        bias_constraint: Applied to each bias after each update.
        use_gate: Whether to multiply what the heads give by a sigmoid of the projected query.
        seed: Makes the dropout repeatable, by a slower way.
        **kwargs: Those of `Layer`; also `lora_rank` and `lora_alpha`, as in `Dense`.

    Raises:
        ValueError: If an argument is out of range, or the inputs do not fit together.

    Example:
        >>> x = torch.ones(2, 5, 8)
        >>> MultiHeadAttention(num_heads=2, key_dim=4)(x, x).shape
        torch.Size([2, 5, 8])
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: int | Sequence[int] | None = None,
        attention_axes: int | Sequence[int] | None = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **kwargs: Unpack[LoraOptions],
    ) -> None:
        weighing = dropout, use_bias, sliding_window, flash_attention
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        super().__init__(*weighing, kernel, bias, activity_regularizer, use_gate, seed, **kwargs)
        self.num_heads = positive_int(self, "num_heads", num_heads)
        self.key_dim = positive_int(self, "key_dim", key_dim)
        self.value_dim = positive_int(self, "value_dim", value_dim or key_dim)
        sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
        self._wanted_sizes = None if sizes is None else tuple(sizes)
        axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes
        if axes is not None and not isinstance(axes, (list, tuple)):
            raise ValueError(
                "MultiHeadAttention: `attention_axes` must be an integer or several, "
                f"got {describe(attention_axes)}."
            )
        self.attention_axes = None if axes is None else tuple(axes)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # type: ignore[override]
        """Make the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        if tuple(value_shape[1:-1]) != tuple(key_shape[1:-1]):
            raise ValueError(
                f'MultiHeadAttention "{self.name}": key and value must have the same steps, got '
                f"shapes {tuple(key_shape)} and {tuple(value_shape)}."
            )
        rank = len(query_shape)
        axes = self.attention_axes or range(1, rank - 1)
        self._axes = [axis % rank for axis in axes]
        self._others = [axis for axis in range(1, rank - 1) if axis not in self._axes]
        self._simple = rank == 3
        self._add_projection("query", query_shape, self.num_heads, self.key_dim)
        self._add_projection("key", key_shape, self.num_heads, self.key_dim)
        if self.use_gate:
            self._add_projection("gate", query_shape, self.num_heads, self.value_dim)
        self._add_projection("value", value_shape, self.num_heads, self.value_dim)
        self._add_output(self._wanted_sizes or (query_shape[-1],), self.num_heads, self.value_dim)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend.

        Args:
            query: What asks.
            value: What is averaged.
            key: What is compared with the query; the value by default.
            query_mask: `(batch, T)`, true where a step counts.
            value_mask: `(batch, S)`, likewise.
            key_mask: `(batch, S)`, likewise.
            attention_mask: `(batch, T, S)`, true where a query may attend to a key.
            return_attention_scores: Whether to give the weights too, by a slower way.
            use_causal_mask: Whether a query attends to no later step.
        """
        key = value if key is None else key
        masks = query_mask, value_mask, key_mask, attention_mask
        mask = None
        if self._has_mask(masks) or (use_causal_mask and not self._simple):
            sizes = query.shape[1], value.shape[1], query.device
            mask = self._with_heads(self._mask(*sizes, *masks, use_causal_mask))
        q = self._split(self.query(query))
        k = self._split(self.key(key))
        v = self._split(self.value(value))
        causal = use_causal_mask and mask is None
        output, weights = self._attend(q, k, v, mask, causal, return_attention_scores)
        steps = [query.shape[axis] for axis in self._axes]
        output = self._join(output, steps)
        if self.use_gate:
            output = output * torch.sigmoid(self._modules["gate"](query))  # type: ignore[misc]
        output = self.attention_output(output)
        if len(self._output_sizes) > 1:
            output = output.unflatten(-1, self._output_sizes)
        if not return_attention_scores:
            return output
        assert weights is not None
        if not self._simple:
            keys = [key.shape[axis] for axis in self._axes]
            weights = weights.unflatten(-1, keys).unflatten(-1 - len(keys), steps)
        return output, weights

    def _with_heads(self, mask: Tensor | None) -> Tensor | None:
        """`(B, T, S)` to `(B, …, 1, T, S)`, several attended axes made one."""
        if mask is None:
            return None
        count = len(self._axes)
        if count > 1:
            mask = mask.flatten(-count).flatten(-count - 1, -2)
        while mask.dim() < 4 + len(self._others):
            mask = mask.unsqueeze(-3)
        return mask

    def _split(self, x: Tensor) -> Tensor:
        """`(B, …, H*D)` to `(B, …, H, T, D)`."""
        x = x.unflatten(-1, (self.num_heads, -1))
        if self._simple:
            return x.transpose(1, 2)
        x = x.permute(0, *self._others, x.dim() - 2, *self._axes, x.dim() - 1)
        return x.flatten(-1 - len(self._axes), -2)

    def _join(self, x: Tensor, steps: list[int]) -> Tensor:
        """`(B, …, H, T, D)` to `(B, …, H*D)`."""
        if self._simple:
            return x.transpose(1, 2).flatten(2)
        x = x.unflatten(-2, steps)
        order = [0, *self._others, x.dim() - 2, *self._axes, x.dim() - 1]
        back = [order.index(axis) for axis in range(x.dim())]
        return x.permute(*back).flatten(-2)


class GroupQueryAttention(_Projecting):
    """Multi-head attention in which groups of query heads share a head of keys and values.

    Shapes:
        query: `(batch, T, query_features)`
        value: `(batch, S, value_features)`
        key: `(batch, S, key_features)`, the value by default
        output: `(batch, T, query_features)`
        scores: `(batch, num_query_heads, T, S)`

    Args:
        head_dim: The size of a head.
        num_query_heads: The number of query heads, a multiple of the other number.
        num_key_value_heads: The number of key and value heads.
        dropout: The part of the attention weights to drop in training.
        use_bias: Whether the projections add a learned offset.
        sliding_window: Attend only to steps fewer than this many away. `None` sets no limit.
        flash_attention: Accepted for Keras's sake: torch picks the fastest kernel that fits.
        kernel_initializer: Fills the kernels, Glorot-uniform by default.
        bias_initializer: Fills the biases, zeros by default.
        kernel_regularizer: A penalty on each kernel.
        bias_regularizer: A penalty on each bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Applied to each kernel after each update.
        bias_constraint: Applied to each bias after each update.
        use_gate: Whether to multiply what the heads give by a sigmoid of the projected query.
        seed: Makes the dropout repeatable, by a slower way.
        **kwargs: Those of `Layer`; also `lora_rank` and `lora_alpha`, as in `Dense`.

    Raises:
        ValueError: If an argument is out of range or the numbers of heads do not fit.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **kwargs: Unpack[LoraOptions],
    ) -> None:
        weighing = dropout, use_bias, sliding_window, flash_attention
        kernel = kernel_initializer, kernel_regularizer, kernel_constraint
        bias = bias_initializer, bias_regularizer, bias_constraint
        super().__init__(*weighing, kernel, bias, activity_regularizer, use_gate, seed, **kwargs)
        self.head_dim = positive_int(self, "head_dim", head_dim)
        self.num_query_heads = positive_int(self, "num_query_heads", num_query_heads)
        self.num_key_value_heads = positive_int(self, "num_key_value_heads", num_key_value_heads)
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                "GroupQueryAttention: `num_query_heads` must be a multiple of "
                f"`num_key_value_heads`, got {num_query_heads} and {num_key_value_heads}."
            )

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:  # type: ignore[override]
        """Make the projections."""
        key_shape = value_shape if key_shape is None else key_shape
        many, few, size = self.num_query_heads, self.num_key_value_heads, self.head_dim
        self._add_projection("query", query_shape, many, size)
        self._add_projection("key", key_shape, few, size)
        if self.use_gate:
            self._add_projection("gate", query_shape, many, size)
        self._add_projection("value", value_shape, few, size)
        self._add_output((query_shape[-1],), many, size)

    def forward(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attend; the arguments are those of `MultiHeadAttention`."""
        key = value if key is None else key
        masks = query_mask, value_mask, key_mask, attention_mask
        mask = None
        if self._has_mask(masks):
            sizes = query.shape[1], value.shape[1], query.device
            mask = self._mask(*sizes, *masks, use_causal_mask)
            mask = mask.unsqueeze(-3) if mask is not None and mask.dim() == 3 else mask
        q = self._split(self.query(query))
        k = self._split(self.key(key))
        v = self._split(self.value(value))
        causal = use_causal_mask and mask is None
        output, weights = self._attend(q, k, v, mask, causal, return_attention_scores)
        output = output.transpose(1, 2).flatten(2)
        if self.use_gate:
            output = output * torch.sigmoid(self._modules["gate"](query))  # type: ignore[misc]
        output = self.attention_output(output)
        return (output, weights) if return_attention_scores else output

    def _split(self, x: Tensor) -> Tensor:
        """`(B, T, H*D)` to `(B, H, T, D)`."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
