"""Layers that turn numbers into categories and categories into vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.checks import one_of, positive_int
from kerasish.layers.data_layer import DataLayer, has_data
from kerasish.layers.streams import as_array


def encode(
    index: Tensor,
    output_mode: str,
    depth: int,
    dtype: torch.dtype,
    count_weights: Tensor | None = None,
) -> Tensor:
    """Encode categories; negative ones count as nothing.

    Shapes:
        index: `(..., items)`
        output: `index`'s for `"int"`; `(..., items, depth)`, or `(..., depth)` if there is one
            item, for `"one_hot"`; `(..., depth)` for `"multi_hot"` and `"count"`

    Args:
        index: Integers below `depth`.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        depth: How many categories there are.
        dtype: The type of the output.
        count_weights: What each item counts, 1 by default.
    """
    if output_mode == "int":
        return index.to(dtype)
    if output_mode == "one_hot" and index.dim() and (index.dim() == 1 or index.shape[-1] != 1):
        index = index.unsqueeze(-1)
    if index.dim() == 0:
        index = index.unsqueeze(0)
    present = (index >= 0).to(dtype)
    counts = torch.zeros((*index.shape[:-1], depth), dtype=dtype, device=index.device)
    if count_weights is not None:
        present = present * count_weights.reshape(index.shape).to(present)
    counts = counts.scatter_add(-1, index.long().clamp(min=0), present)
    return counts if output_mode == "count" else counts.clamp(max=1)


def refuse_sparse(layer: Any, sparse: bool) -> None:
    """Say that outputs are dense.

    Raises:
        ValueError: If `sparse`.
    """
    if sparse:
        raise ValueError(
            f"{type(layer).__name__}: sparse=True is not offered; outputs are dense. For large "
            "vocabularies use output_mode='int' and an Embedding layer."
        )


class CategoryEncoding(DataLayer):
    """Integers `0 … num_tokens - 1` as vectors: one-hot, multi-hot or counts.

    Shapes:
        input: `(batch, items)` or `(items,)`, integers
        output: `(batch, items, num_tokens)` for `"one_hot"`, where a last axis of size 1 is
            dropped; else `(batch, num_tokens)`

    Args:
        num_tokens: How many categories there are.
        output_mode: `"one_hot"`: a vector for each item. `"multi_hot"`: 1 for each category that
            occurs in a row. `"count"`: how often it occurs.
        sparse: Must be false.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or a category is not below `num_tokens`.

    Example:
        >>> CategoryEncoding(4, "count")([[0, 1, 1], [3, 3, 3]])
        tensor([[1., 2., 0., 0.],
                [0., 0., 0., 3.]])
    """

    takes_integers = True

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_sparse(self, sparse)
        if num_tokens is None:
            raise ValueError(
                "CategoryEncoding: `num_tokens` must be given. If it is unknown, use "
                "IntegerLookup, which learns the categories from data."
            )
        self.num_tokens = positive_int(self, "num_tokens", num_tokens)
        mode = "multi_hot" if output_mode == "binary" else output_mode
        self.output_mode = one_of(self, "output_mode", mode, ("one_hot", "multi_hot", "count"))

    def own_weights(self) -> list:
        """None."""
        return []

    def forward(self, inputs: Tensor, count_weights: Tensor | None = None) -> Tensor:
        """Encode; `count_weights`, shaped like the inputs, says what each item counts."""
        if count_weights is not None and self.output_mode != "count":
            raise ValueError(
                f"CategoryEncoding: `count_weights` needs output_mode='count', this layer has "
                f"'{self.output_mode}'."
            )
        if has_data(inputs) and inputs.numel():
            low, high = (int(v) for v in inputs.aminmax())
            if low < 0 or high >= self.num_tokens:
                raise ValueError(
                    f'CategoryEncoding "{self.name}" expects integers from 0 to '
                    f"{self.num_tokens - 1}, got some from {low} to {high}."
                )
        if count_weights is not None:
            count_weights = as_array(count_weights, "CategoryEncoding").to(inputs.device)
        dtype = self.output_dtype(self.output_mode)
        return encode(inputs, self.output_mode, self.num_tokens, dtype, count_weights)


class Discretization(DataLayer):
    """Numbers as the bins they fall into: bin i holds `boundaries[i - 1] <= x < boundaries[i]`.

    Boundaries are given, or learned by `adapt` as quantiles, from a summary of bounded size, so
    that data may come in any number of batches.

    Shapes:
        input: any
        output: the same, int32, for `"int"`; see `CategoryEncoding` for the others

    Args:
        bin_boundaries: The boundaries in rising order: one fewer than there are bins.
        num_bins: Instead of boundaries: how many bins `adapt` should find.
        epsilon: How exact quantiles are: the share of the data that a summary's step stands for.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: Must be false.
        dtype: The type of encoded outputs.
        name: The layer's name.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If neither or both of boundaries and number are given; when called, if there
            are no boundaries yet.

    Example:
        >>> Discretization([0.0, 1.0])([[-1.5, 0.0, 0.5, 7.0]])
        tensor([[0, 1, 1, 2]], dtype=torch.int32)
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=dtype, name=name, **kwargs)
        refuse_sparse(self, sparse)
        if (bin_boundaries is None) == (num_bins is None):
            raise ValueError(
                "Discretization: give either `bin_boundaries` or `num_bins`, got "
                f"{describe(bin_boundaries)} and {describe(num_bins)}."
            )
        self.num_bins = None if num_bins is None else positive_int(self, "num_bins", num_bins)
        self.epsilon = epsilon
        modes = ("int", "one_hot", "multi_hot", "count")
        self.output_mode = one_of(self, "output_mode", output_mode, modes)
        self.summary = np.zeros((2, 0), np.float32)
        self.register_buffer("_boundaries", None, persistent=False)
        if bin_boundaries is not None:
            self.bin_boundaries = bin_boundaries

    @property
    def bin_boundaries(self) -> list[float] | None:
        """The boundaries in rising order, `None` before `adapt`."""
        return None if self._boundaries is None else self._boundaries.tolist()

    @bin_boundaries.setter
    def bin_boundaries(self, values: Any) -> None:
        boundaries = as_array(values, "Discretization").float()
        if boundaries.dim() != 1 or bool((boundaries.diff() < 0).any()):
            raise ValueError(
                "Discretization: `bin_boundaries` must be a list of numbers in rising order, got "
                f"{describe(values)}."
            )
        was = self._boundaries
        self._boundaries = boundaries.to(boundaries.device if was is None else was.device)

    def own_weights(self) -> list:
        """None: boundaries are part of the configuration."""
        return []

    def forward(self, inputs: Tensor) -> Tensor:
        """Find the bins."""
        if self._boundaries is None:
            raise ValueError(
                f'Discretization "{self.name}" has no boundaries yet. Call adapt(data), or give '
                "`bin_boundaries`."
            )
        values = inputs if inputs.is_floating_point() else inputs.to(self.compute_dtype)
        bins = torch.bucketize(values, self._boundaries.to(values.dtype), right=True)
        dtype = self.output_dtype(self.output_mode, torch.int32)
        return encode(bins, self.output_mode, len(self._boundaries) + 1, dtype)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the boundaries from data.

        Args:
            data: An array, or batches from a dataset, a `DataLoader` or any iterable.
            steps: At most so many batches.

        Raises:
            ValueError: If the layer was made with boundaries.
        """
        self._learn(data, steps)

    def reset_state(self) -> None:
        """Forget the summary of the data."""
        if self.num_bins is None:
            raise ValueError(
                "Discretization: adapt() is for layers made with `num_bins`; this one has its "
                "boundaries."
            )
        self.summary = np.zeros((2, 0), np.float32)

    def update_state(self, data: Any) -> None:
        """Add a batch to the summary of the data."""
        values = as_array(data, "Discretization").cpu().numpy().astype(np.float32)
        added = _summary_of(values.ravel(), self.epsilon)
        together = np.concatenate([added, self.summary], axis=1)
        self.summary = _shortened(together[:, np.argsort(together[0])], self.epsilon)

    def finalize_state(self) -> None:
        """Take the boundaries from the summary."""
        if self.num_bins is not None and self.summary.shape[1]:
            self.bin_boundaries = _shortened(self.summary, 1.0 / self.num_bins)[0, :-1]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, learned boundaries included."""
        return {**super().get_config(), "bin_boundaries": self.bin_boundaries}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> Discretization:
        """Make the layer again, with the boundaries it had learned."""
        learned = config.get("bin_boundaries") if config.get("num_bins") is not None else None
        given = {**config, "bin_boundaries": None} if learned is not None else config
        layer = cls(**given)
        if learned is not None:
            layer.bin_boundaries = learned
        return layer


def _summary_of(values: np.ndarray, epsilon: float) -> np.ndarray:
    """Every so many of the sorted values, and how many each stands for: `(2, steps)`."""
    # Not times epsilon, which rounds 2900 * 0.01 below 29.
    step = max(values.size / (1.0 / epsilon), 1.0)
    kept = np.sort(values)[int(step - 1) :: int(step)]
    return np.stack([kept, np.full_like(kept, step)])


def _shortened(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """A summary of `1 / epsilon` values, interpolated where the shares of the data ask for it."""
    values, weights = summary
    if values.size * epsilon < 1:
        return summary
    shares = epsilon + np.arange(0.0, 1.0, epsilon)
    running = np.cumsum(weights)
    places = running / running[-1]
    totals = np.interp(shares, places, running)
    found = np.interp(shares, places, values)
    return np.stack([found, np.diff(totals, prepend=0.0)]).astype(np.float32)
