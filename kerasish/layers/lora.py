"""LoRA: a kernel at rest, and the product of two small matrices that learns in its place.

Low-Rank Adaptation (Hu et al., 2021) adds `lora_alpha / rank * A @ B` to a kernel of a trained
network. B begins as zeros, so the network begins as it was. Where that pays, the large product is
not made: x goes through A, which leaves `rank` numbers, and those through B.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish import initializers
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.checks import positive_int
from kerasish.layers.weights import KerasWeight, permuted
from kerasish.variables import Variable


class LowRank(nn.Module):
    """What torch's modules become when their layer enables LoRA: A, B and their scale come in."""

    weight: Tensor
    lora_scale: float
    a: ClassVar[str] = "lora_kernel_a"
    b: ClassVar[str] = "lora_kernel_b"
    b_layout: ClassVar[dict[str, Any]] = permuted([1, 0])  # from torch's, out first, to Keras's

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """A and B in the type that is computed in; they are kept in float32, whatever it is."""
        return getattr(self, self.a).to(x.dtype), getattr(self, self.b).to(x.dtype)

    def delta(self) -> Tensor:
        """What is added to the weight, in full."""
        a, b = getattr(self, self.a), getattr(self, self.b)
        return (b @ a.flatten(1)).view(self.weight.shape) * self.lora_scale

    def merged(self) -> Tensor:
        """The weight with what is added to it."""
        return (self.weight + self.delta()).to(self.weight.dtype)

    def to_torch(self) -> nn.Module:
        """The module of torch with the merged weight, sharing the other tensors."""
        plain = copy.copy(self)
        plain.__class__ = next(c for c in type(self).__mro__ if c in ADAPTED)
        plain._parameters = {k: p for k, p in self._parameters.items() if k not in (self.a, self.b)}
        plain._parameters["weight"] = nn.Parameter(self.merged().detach())
        del plain.lora_scale
        return plain


class LoraLinear(LowRank, nn.Linear):
    """`x @ weight.T + bias + lora_scale * (x @ a.T) @ b.T`.

    Shapes:
        lora_kernel_a: `(rank, in_features)`
        lora_kernel_b: `(out_features, rank)`
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map the last axis."""
        a, b = self.pair(input)
        y = F.linear(input, self.weight, self.bias)
        return torch.add(y, F.linear(F.linear(input, a), b), alpha=self.lora_scale)


class LoraEmbedding(LowRank, nn.Embedding):
    """`(weight + lora_scale * a @ b)[x]`.

    Shapes:
        lora_embeddings_a: `(num_embeddings, rank)`
        lora_embeddings_b: `(rank, embedding_dim)`
    """

    a, b, b_layout = "lora_embeddings_a", "lora_embeddings_b", {}

    def delta(self) -> Tensor:
        """What is added to the weight, in full."""
        return getattr(self, self.a) @ getattr(self, self.b) * self.lora_scale

    def forward(self, input: Tensor) -> Tensor:
        """Look the integers up."""
        y = F.embedding(input, self.weight)
        a, b = self.pair(y)
        return torch.add(y, (F.embedding(input, a) @ b).to(y.dtype), alpha=self.lora_scale)

    def scores(self, x: Tensor) -> Tensor:
        """The way back, `x @ (weight + lora_scale * a @ b).T`: a score for each vector."""
        a, b = self.pair(x)
        y = F.linear(x, self.weight.to(x.dtype))
        return torch.add(y, F.linear(x @ b.t(), a), alpha=self.lora_scale)


class LowRankConvolution(LowRank):
    """A convolution by `weight + lora_scale * b @ a`.

    The sum is made, and passed through once: on CPUs a second convolution, of few channels, was
    measured to take longer than the gradient of the whole kernel, which is small beside images.

    Shapes:
        lora_kernel_a: `(rank, in_channels / groups, *window)`
        lora_kernel_b: `(out_channels, rank)`
    """

    bias: Any

    def forward(self, input: Tensor) -> Tensor:
        """Slide the window."""
        if not isinstance(input, Tensor):
            # What follows the code of modules would take the sum of today for a constant.
            raise TypeError("a convolution with LoRA makes its kernel anew in each call")
        return self._conv_forward(input, self.merged(), self.bias)  # type: ignore[attr-defined]


class LoraConv1d(LowRankConvolution, nn.Conv1d):
    """For `(batch, channels, steps)`."""


class LoraConv2d(LowRankConvolution, nn.Conv2d):
    """For `(batch, channels, height, width)`."""


class LoraConv3d(LowRankConvolution, nn.Conv3d):
    """For `(batch, channels, depth, height, width)`."""


# The torch modules that take LoRA, and what they become: as with torch's parametrisations, the
# module stays the same object, with its weights and hooks, and changes its class.
ADAPTED: dict[type, type[LowRank]] = {
    nn.Linear: LoraLinear,
    nn.Embedding: LoraEmbedding,
    nn.Conv1d: LoraConv1d,
    nn.Conv2d: LoraConv2d,
    nn.Conv3d: LoraConv3d,
}


class Adaptable(Layer):
    """A layer whose kernels can be adapted. A subclass says which they are, and who holds them.

    Args:
        *args: Those of the layer.
        lora_rank: Enables LoRA when the layer is built. `None` or 0 does not.
        lora_alpha: The strength: A @ B counts `lora_alpha / lora_rank`. By default `lora_rank`.
        **kwargs: Those of the layer.

    Raises:
        ValueError: If the rank is no positive integer, or the strength no number.
    """

    lora_enabled: bool = False

    def __init__(
        self,
        *args: Any,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lora_rank = positive_int(self, "lora_rank", lora_rank) if lora_rank else None
        self._lora_alpha = self._strength(lora_alpha, self.lora_rank)
        if lora_alpha is not None and self.lora_rank is None:
            warnings.warn(
                f'{type(self).__name__} "{self.name}": `lora_alpha` has no effect without '
                "`lora_rank`; give both, or call enable_lora(rank, lora_alpha) later.",
                stacklevel=3,
            )

    def adaptations(self) -> list[tuple[Any, KerasWeight]]:
        """Of each kernel the torch module that holds it, or the layer itself; and the kernel."""
        raise NotImplementedError

    @property
    def lora_alpha(self) -> float | None:
        """The strength. Another one may be set at any time; 0 switches the adaptation off."""
        return self._lora_alpha

    @lora_alpha.setter
    def lora_alpha(self, value: float | None) -> None:
        self._lora_alpha = self._strength(value, self.lora_rank)
        if self.lora_enabled:
            for place, _ in self.adaptations():
                place.lora_scale = self._lora_alpha / self.lora_rank

    def _strength(self, lora_alpha: Any, rank: int | None) -> Any:
        if lora_alpha is None:
            return rank
        if isinstance(lora_alpha, bool) or not isinstance(lora_alpha, (int, float)):
            raise ValueError(
                f"{type(self).__name__}: `lora_alpha` must be a number, got {describe(lora_alpha)}."
            )
        return lora_alpha

    def _finish_build(self) -> None:
        super()._finish_build()
        if self.lora_rank is not None:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Put each kernel to rest, and let two matrices of low rank learn what to add to it.

        The layer computes with `kernel + lora_alpha / rank * A @ B`. A kernel stays frozen,
        whatever thaws the layer; bias, A and B learn as the layer does, from the next `fit` on.

        Shapes:
            A: in Keras's layout as the kernel, with `rank` for its last axis; float32
            B: `(rank, last axis of the kernel)`; float32

        Args:
            rank: How many numbers pass between A and B. Positive, small.
            lora_alpha: The strength; by default `rank`.
            a_initializer: Fills A.
            b_initializer: Fills B. Zeros leave the layer's output as it is at first.

        Raises:
            ValueError: If the layer is not built, has LoRA already, or has a constraint on the
                kernel, which could not hold for the sum.
        """
        rank = positive_int(self, "rank", rank)
        strength = self._strength(lora_alpha, rank)
        found = self._ready_for_lora()
        made: list[Any] = [
            initializers.get(f or "glorot_uniform") for f in (a_initializer, b_initializer)
        ]
        for place, kernel in found:
            self._adapt(place, kernel, rank, made)
        self._lora_initializers = made
        self.lora_enabled, self.lora_rank, self.lora_alpha = True, rank, strength

    def _adapt(self, place: Any, kernel: KerasWeight, rank: int, made: list[Any]) -> None:
        if place is not self:
            place.__class__ = ADAPTED[type(place)]
        *window, last = kernel.shape
        for part, shape, make in zip("ab", ((*window, rank), (rank, last)), made, strict=True):
            values = make(shape, dtype=torch.float32).to(kernel.tensor.device)
            self._register(place, kernel, part, values)
        kernel.tensor.requires_grad_(False)

    def _ready_for_lora(self) -> list[tuple[Any, KerasWeight]]:
        who = f'{type(self).__name__} "{self.name}".enable_lora'
        if not self.built:
            raise ValueError(
                f"{who} needs a kernel, and the layer is not built yet. Call the layer or build "
                "it first, or give lora_rank= to its constructor."
            )
        if self.lora_enabled:
            raise ValueError(f"{who} works once, and this layer has rank {self.lora_rank} already.")
        found = self.adaptations()
        for place, kernel in found:
            if kernel.constraint is not None:
                raise ValueError(
                    f"{who}: the {kernel.name} has a constraint, {describe(kernel.constraint)}, "
                    "which cannot hold for a sum. Make the layer without it."
                )
            if place is not self and type(place) not in ADAPTED:
                raise ValueError(
                    f"{who}: expected torch's own module to hold the {kernel.name}, got "
                    f"{type(place).__name__}. Enable LoRA before anything that replaces modules."
                )
        return found

    def _register(self, place: Any, kernel: KerasWeight, part: str, values: Tensor) -> None:
        """Make A or B a parameter, in torch's layout where a torch module holds it."""
        name, learns = _names(kernel)[part], self._trainable
        if place is self:
            path = f"{self.name}/{name}"
            values = Variable.of(values, name, path=path, trainable=learns, is_parameter=True)
        else:
            layout = _layouts(place, kernel)[part].get("from_keras", torch.clone)
            values = nn.Parameter(layout(values).contiguous(), learns)
        place.register_parameter(name, values)

    def lora_weights(self) -> list[KerasWeight]:
        """A and B once LoRA is enabled; a subclass's `own_weights` ends with them."""
        found = self.adaptations() if self.lora_enabled else []
        return [weight for place, kernel in found for weight in self._pair_of(place, kernel)]

    def _pair_of(self, place: Any, kernel: KerasWeight) -> list[KerasWeight]:
        layouts, names = _layouts(place, kernel), _names(kernel)
        path = kernel.name.rpartition("/")
        return [
            KerasWeight(
                "".join([*path[:2], names[part]]),
                place._parameters[names[part]],
                initializer,
                kernel.regularizer,
                **layouts[part],
            )
            for part, initializer in zip("ab", self._lora_initializers, strict=True)
        ]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, LoRA's among them once it is enabled."""
        config = super().get_config()
        if self.lora_enabled:
            config.update(lora_rank=self.lora_rank, lora_alpha=self.lora_alpha)
        return config

    def fixed_parameters(self) -> list[nn.Parameter]:
        """The kernels, once LoRA is enabled."""
        found = self.adaptations() if self.lora_enabled else []
        return [kernel.tensor for _, kernel in found]  # type: ignore[misc]


class LoraLayer(Adaptable):
    """A layer with one kernel to adapt. A subclass says which weight that is, and who holds it."""

    def adapted(self) -> tuple[Any, KerasWeight]:
        """The torch module that holds the kernel, or the layer itself; and the kernel."""
        raise NotImplementedError

    def adaptations(self) -> list[tuple[Any, KerasWeight]]:
        """That one."""
        return [self.adapted()]

    def merged_kernel(self) -> Tensor:
        """The kernel that the layer computes with, in Keras's layout, with its history."""
        place, kernel = self.adapted()
        return kernel.to_keras(place.merged() if self.lora_enabled else kernel.tensor)

    def _weight_named(self, name: str) -> Tensor | None:
        # In Keras, too, the layer's attribute is the sum, and `weights` holds the kernel at rest.
        is_kernel = self.lora_enabled and name == self.adapted()[1].name
        return self.merged_kernel() if is_kernel else super()._weight_named(name)


def _names(kernel: KerasWeight) -> dict[str, str]:
    """What A and B are called where they lie."""
    name = kernel.name.rpartition("/")[2]
    return {part: f"lora_{name}_{part}" for part in "ab"}


def _layouts(place: Any, kernel: KerasWeight) -> dict[str, dict[str, Any]]:
    """How A and B lie in torch: A as the kernel does, B as the module wants it."""
    as_kernel = {"to_keras": kernel.to_keras, "from_keras": kernel.from_keras}
    return {"a": as_kernel, "b": getattr(place, "b_layout", {})}


def without_adaptation(model: nn.Module, given: Collection[str]) -> dict[str, Tensor]:
    """What A and B are when weights come from a model without LoRA: A as it is, B zeros.

    Args:
        model: A model some of whose layers have LoRA.
        given: The names, as in `state_dict()`, of the weights that come.

    Returns:
        By name in `state_dict()`, both matrices of each layer that is given neither.
    """
    paths = {id(module): path for path, module in model.named_modules()}
    layers = [m for m in model.modules() if isinstance(m, Adaptable) and m.lora_enabled]
    found: dict[str, Tensor] = {}
    for layer in layers:
        for place, kernel in layer.adaptations():
            prefix = f"{paths[id(place)]}.".lstrip(".")
            parts = {f"{prefix}{name}": place._parameters[name] for name in _names(kernel).values()}
            a, b = parts
            if a not in given and b not in given:
                found.update({a: parts[a].detach(), b: torch.zeros_like(parts[b])})
    return found
