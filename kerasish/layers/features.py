"""What the columns of a FeatureSpace may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kerasish.config import dtype_name
from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.core import Identity
from kerasish.layers.encoding import Discretization
from kerasish.layers.hashing import Hashing
from kerasish.layers.lookup import IntegerLookup, StringLookup
from kerasish.layers.preprocessing import Normalization, Rescaling


@dataclass(frozen=True)
class Feature:
    """One column: its type, the layer that prepares it, and what becomes of the result.

    Attributes:
        dtype: `"float32"`, `"int64"` or `"string"`.
        preprocessor: A layer.
        output_mode: `"float"`: as it is; `"int"`: an index; `"one_hot"`: an index as a vector.
    """

    dtype: str
    preprocessor: Layer
    output_mode: str

    def __post_init__(self) -> None:
        check_mode("feature", self.output_mode, ("float", "int", "one_hot"))


@dataclass(frozen=True)
class Cross:
    """Several columns as one category.

    Attributes:
        feature_names: The columns.
        crossing_dim: How many bins their combinations are hashed into.
        output_mode: `"int"` or `"one_hot"`.
    """

    feature_names: tuple[str, ...]
    crossing_dim: int
    output_mode: str = "one_hot"

    def __post_init__(self) -> None:
        check_mode("cross", self.output_mode, ("int", "one_hot"))

    @property
    def name(self) -> str:
        """What the result is called."""
        return "_X_".join(self.feature_names)


def check_mode(what: str, mode: Any, choices: tuple[str, ...]) -> None:
    """Refuse an output mode that is none of the choices."""
    if mode not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(
            f"FeatureSpace.{what}: `output_mode` must be one of {listed}, got {describe(mode)}."
        )


class FeatureKinds:
    """The kinds of columns, as class methods."""

    @classmethod
    def cross(
        cls, feature_names: Sequence[str], crossing_dim: int, output_mode: str = "one_hot"
    ) -> Cross:
        """Columns taken together as one category."""
        return Cross(tuple(feature_names), crossing_dim, output_mode)

    @classmethod
    def feature(cls, dtype: Any, preprocessor: Layer, output_mode: str) -> Feature:
        """A column prepared by a layer of your choice; `dtype` may be `"string"`."""
        kind = dtype_name(dtype) if isinstance(dtype, torch.dtype) else dtype
        return Feature(kind, preprocessor, output_mode)

    @classmethod
    def float(cls, name: str | None = None) -> Feature:
        """A number as it is."""
        return Feature("float32", Identity(name=_layer_name(name)), "float")

    @classmethod
    def float_rescaled(
        cls, scale: Any = 1.0, offset: Any = 0.0, name: str | None = None
    ) -> Feature:
        """A number times `scale` plus `offset`."""
        return Feature("float32", Rescaling(scale, offset, name=_layer_name(name)), "float")

    @classmethod
    def float_normalized(cls, name: str | None = None) -> Feature:
        """A number brought to mean 0 and variance 1."""
        return Feature("float32", Normalization(-1, name=_layer_name(name)), "float")

    @classmethod
    def float_discretized(
        cls,
        num_bins: int | None = None,
        bin_boundaries: Any = None,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """A number's bin: one of `num_bins` quantiles, or between boundaries."""
        number = None if bin_boundaries is not None else num_bins
        layer = Discretization(bin_boundaries, number, name=_layer_name(name))
        return Feature("float32", layer, output_mode)

    @classmethod
    def integer_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """An integer that stands for a category."""
        layer = IntegerLookup(max_tokens, num_oov_indices, name=_layer_name(name))
        return Feature("int64", layer, output_mode)

    @classmethod
    def string_categorical(
        cls,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        output_mode: str = "one_hot",
        name: str | None = None,
    ) -> Feature:
        """A string that stands for a category."""
        layer = StringLookup(max_tokens, num_oov_indices, name=_layer_name(name))
        return Feature("string", layer, output_mode)

    @classmethod
    def string_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """A string hashed into bins."""
        return Feature("string", Hashing(num_bins, name=_layer_name(name)), output_mode)

    @classmethod
    def integer_hashed(
        cls, num_bins: int, output_mode: str = "one_hot", name: str | None = None
    ) -> Feature:
        """An integer hashed into bins."""
        return Feature("int64", Hashing(num_bins, name=_layer_name(name)), output_mode)


def _layer_name(name: str | None) -> str | None:
    return None if name is None else f"{name}_preprocessor"
