"""FeatureSpace: tables of numbers, categories and texts as vectors."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.config import as_dtype
from kerasish.describe import describe, suggest
from kerasish.graph.symbolic import SymbolicTensor, is_symbolic
from kerasish.layers.base import Layer
from kerasish.layers.core import Input
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.encoding import CategoryEncoding, Discretization, encode
from kerasish.layers.features import Cross, Feature, FeatureKinds, check_mode
from kerasish.layers.hashing import HashedCrossing, Hashing
from kerasish.layers.preprocessing import Normalization
from kerasish.layers.streams import as_array, batches_of
from kerasish.layers.text import TextVectorization
from kerasish.layers.texts import Texts, as_texts, holds_strings
from kerasish.layers.vocabulary import VocabularyLayer
from kerasish.registry import deserialize


class FeatureSpace(FeatureKinds, DataLayer):  # type: ignore[override]
    """A dict of columns as one vector for each row, or a dict of vectors.

    Vectors are joined in the order of the columns' names, then of the crosses'. With numbers
    only, a FeatureSpace may stand inside a model; with strings, in front: call it on dicts, or
    let `space.map(dataset)` do so as data is read.

    Shapes:
        input: a dict of columns, each `(batch,)` or `(batch, 1)`; a dict of single values is a row
        output: `(batch, width)`, or a dict of such

    Args:
        features: By column: what `FeatureSpace.float()` and its like give, or their names:
            `"float"`, `"float_normalized"`, `"float_rescaled"`, `"float_discretized"`,
            `"integer_categorical"`, `"string_categorical"`, `"integer_hashed"`,
            `"string_hashed"`.
        output_mode: `"concat"` or `"dict"`.
        crosses: Tuples of columns, or what `FeatureSpace.cross` gives: columns taken together as
            one category.
        crossing_dim: How many bins a cross has.
        hashing_dim: How many bins a hashed column has.
        num_discretization_bins: How many bins `"float_discretized"` has.
        name: The layer's name.

    Raises:
        ValueError: If an argument is out of range or names unknown columns; when called, if
            `adapt` is missing or columns are.

    Example:
        >>> table = {"size": [1.0, 3.0], "colour": ["red", "blue"]}
        >>> space = FeatureSpace({"size": "float_normalized", "colour": "string_categorical"})
        >>> space.adapt(table)
        >>> space(table)  # unknown, red, blue; then the size
        tensor([[ 0.,  1.,  0., -1.],
                [ 0.,  0.,  1.,  1.]])
    """

    compiled = False  # for saving, which asks models
    _single: bool

    def __init__(
        self,
        features: Mapping[str, Any],
        output_mode: str = "concat",
        crosses: Sequence[Any] | None = None,
        crossing_dim: int = 32,
        hashing_dim: int = 32,
        num_discretization_bins: int = 32,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        if not isinstance(features, Mapping) or not features:
            raise ValueError(
                f"FeatureSpace: `features` must be a dict of columns, got {describe(features)}."
            )
        check_mode("output_mode", output_mode, ("concat", "dict"))
        self.output_mode = output_mode
        self.crossing_dim, self.hashing_dim = crossing_dim, hashing_dim
        self.num_discretization_bins = num_discretization_bins
        self.features = {key: self._as_feature(key, value) for key, value in features.items()}
        self.crosses = [self._as_cross(cross) for cross in crosses or ()]
        # Past the attribute rules: torch is to find these layers once, under `_layers`.
        self.__dict__["preprocessors"] = {
            key: value.preprocessor for key, value in self.features.items()
        }
        self.__dict__["crossers"] = {c.name: HashedCrossing(c.crossing_dim) for c in self.crosses}
        self._layers = nn.ModuleList([*self.preprocessors.values(), *self.crossers.values()])
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._is_adapted = not self._to_adapt()
        self.built = self._is_adapted

    def _as_feature(self, column: str, value: Any) -> Feature:
        if isinstance(value, Feature):
            return value
        if isinstance(value, Mapping):
            return Feature(**value)
        sizes = {
            "float_discretized": (self.num_discretization_bins,),
            "integer_hashed": (self.hashing_dim,),
            "string_hashed": (self.hashing_dim,),
        }
        plain = ("float", "float_rescaled", "float_normalized")
        kinds = (*plain, "integer_categorical", "string_categorical", *sizes)
        if value not in kinds:
            raise ValueError(
                f"FeatureSpace: column '{column}' has the unknown type {describe(value)}"
                f"{suggest(value, kinds)}"
            )
        return getattr(type(self), value)(*sizes.get(value, ()))

    def _as_cross(self, value: Any) -> Cross:
        if isinstance(value, Mapping):
            value = Cross(**{**value, "feature_names": tuple(value["feature_names"])})
        if not isinstance(value, Cross):
            value = Cross(tuple(value), self.crossing_dim)
        for column in value.feature_names:
            if column not in self.features:
                raise ValueError(
                    f"FeatureSpace: a cross names the unknown column '{column}'"
                    f"{suggest(column, self.features)}"
                )
        return value

    # Learning

    def _to_adapt(self) -> list[str]:
        """The columns whose layers learn from data."""
        return [name for name, layer in self.preprocessors.items() if _learns(layer)]

    def adapt(self, dataset: Any, steps: int | None = None) -> None:
        """Let the layers of all columns learn from data, in one pass.

        Args:
            dataset: A dict of columns, a frame, or batches of dicts from a dataset, a `DataLoader`
                or any iterable, which may bring targets too.
            steps: At most so many batches.

        Raises:
            ValueError: If columns are missing.
        """
        learners: dict[str, Any] = {name: self.preprocessors[name] for name in self._to_adapt()}
        for learner in learners.values():
            learner.reset_state()
        table = isinstance(dataset, Mapping) or hasattr(dataset, "columns")
        for batch in [dataset] if table else batches_of(dataset, "FeatureSpace", steps):
            columns = self._columns(batch)
            for name, learner in learners.items():
                column = columns[name]
                learner.update_state(column)
                self._shapes[name] = tuple(column.shape)
        for learner in learners.values():
            learner.finalize_state()
        self._is_adapted = self.built = True

    # Calling

    def _columns(self, data: Any) -> dict[str, Any]:
        """The columns of a dict or frame, each `(batch, 1)`."""
        if not isinstance(data, Mapping) and not hasattr(data, "columns"):
            raise ValueError(
                f"FeatureSpace takes dicts of columns, got {describe(data)}. Its columns are "
                f"{list(self.features)}."
            )
        missing = [name for name in self.features if name not in data]
        if missing:
            raise ValueError(
                f"FeatureSpace: the data lacks the column '{missing[0]}'"
                f"{suggest(missing[0], map(str, data))}"
            )
        return {name: _as_column(data[name], name) for name in self.features}

    def _call_in_full(self, args: tuple, kwargs: dict) -> Any:
        self._require_adapted()
        data = args[0] if args else None
        if is_symbolic(data):
            if self._strings():
                raise TypeError(self._only_outside())
            return Layer._call_in_full(self, args, kwargs)
        columns = self._columns(data)
        y = nn.Module.__call__(self, columns)
        single = all(_is_single(data[name]) for name in self.features)  # type: ignore[index]
        if not single:
            return y
        return {name: value[0] for name, value in y.items()} if isinstance(y, dict) else y[0]

    def _require_adapted(self) -> None:
        if not self._is_adapted:
            raise ValueError(
                f'FeatureSpace "{self.name}" must learn from data first: call adapt(data).'
            )

    def _require_built(self, action: str) -> None:
        self._require_adapted()

    def own_weights(self) -> list:
        """None of its own."""
        return []

    def forward(self, columns: dict[str, Any]) -> Any:
        """Prepare each column, cross, encode, and join."""
        ready = {}
        for name, feature in self.features.items():
            x = columns[name]
            if isinstance(x, Tensor) and feature.dtype.startswith("float"):
                x = x.to(self.compute_dtype)
            ready[name] = feature.preprocessor(x)
        encoded = {
            name: self._encoded(name, ready[name], self.features[name].output_mode, layer)
            for name, layer in sorted(self.preprocessors.items())
        }
        for cross in sorted(self.crosses, key=lambda cross: cross.name):
            layer = self.crossers[cross.name]
            crossed = layer([ready[name] for name in cross.feature_names])
            encoded[cross.name] = self._encoded(cross.name, crossed, cross.output_mode, layer)
        return encoded if self.output_mode == "dict" else self._joined(encoded)

    def _encoded(self, name: str, value: Tensor, mode: str, layer: Layer) -> Tensor:
        if mode != "one_hot":
            return value
        if value.is_floating_point():
            raise ValueError(
                f"FeatureSpace: column '{name}' has output_mode='one_hot', but its layer gives "
                f"{describe(value)} instead of integers."
            )
        return encode(value, "multi_hot", _cardinality(name, layer), self.compute_dtype)

    def _joined(self, encoded: dict[str, Tensor]) -> Tensor:
        for name, value in encoded.items():
            if not value.is_floating_point():
                raise ValueError(
                    f"FeatureSpace: column '{name}' is an integer, which cannot be joined to "
                    "floats. Give it output_mode='one_hot', or the space output_mode='dict'."
                )
        return torch.cat(list(encoded.values()), dim=-1)

    # Inside models

    def get_inputs(self) -> dict[str, SymbolicTensor]:
        """A placeholder for each column, for a functional model."""
        if self._strings():
            raise TypeError(self._only_outside())
        if "_inputs" not in self.__dict__:
            kinds = {name: feature.dtype for name, feature in self.features.items()}
            made = {name: Input((1,), dtype=kind, name=name) for name, kind in kinds.items()}
            self.__dict__["_inputs"] = made
        return self.__dict__["_inputs"]

    def get_encoded_features(self) -> Any:
        """What the space makes of `get_inputs()`; with strings, placeholders for what it gives.

        Either way a model may begin there, and be trained on `space.map(dataset)`.
        """
        if not self._strings():
            return self(self.get_inputs())
        self._require_adapted()
        if "_placeholders" not in self.__dict__:
            samples = {name: self._sample(name) for name in self.features}
            given = nn.Module.__call__(self, samples)
            self.__dict__["_placeholders"] = (
                {name: Input(y.shape[1:], dtype=y.dtype, name=name) for name, y in given.items()}
                if isinstance(given, dict)
                else Input(given.shape[1:], dtype=given.dtype)
            )
        return self.__dict__["_placeholders"]

    def _sample(self, name: str) -> Tensor | Texts:
        """A row of a column, known to the column's layer."""
        shape = (1, *self._shapes.get(name, (1, 1))[1:])
        layer, kind = self.preprocessors[name], self.features[name].dtype
        known = layer.get_vocabulary(False) if isinstance(layer, VocabularyLayer) else ()
        if kind == "string":
            return Texts([known[0] if known else ""] * math.prod(shape), shape)
        return torch.full(shape, known[0] if known else 0, dtype=as_dtype(kind))

    def _strings(self) -> list[str]:
        """The columns of strings."""
        return [name for name, value in self.features.items() if value.dtype == "string"]

    def _only_outside(self) -> str:
        return (
            f'FeatureSpace "{self.name}" cannot stand inside a model: torch has no tensors of '
            f"strings (columns: {', '.join(self._strings())}). Let the model begin with "
            "space.get_encoded_features(), train it on space.map(dataset), and predict on "
            "space(rows)."
        )

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this space again, with what its layers have learned."""
        return {
            "features": {name: dict(vars(value)) for name, value in self.features.items()},
            "output_mode": self.output_mode,
            "crosses": [
                {**vars(cross), "feature_names": list(cross.feature_names)}
                for cross in self.crosses
            ],
            "crossing_dim": self.crossing_dim,
            "hashing_dim": self.hashing_dim,
            "num_discretization_bins": self.num_discretization_bins,
            "name": self.name,
            "is_adapted": self._is_adapted,
            "shapes": {key: list(shape[1:]) for key, shape in self._shapes.items()},
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> FeatureSpace:
        """Make the space again; statistics of numbers come with its state."""
        made = {key: deserialize(value, custom_objects) for key, value in config.items()}
        shapes, is_adapted = made.pop("shapes", {}), made.pop("is_adapted", False)
        space = cls(**made)
        for name, shape in shapes.items():
            space._shapes[name] = (1, *shape)
            layer = space.preprocessors[name]
            if isinstance(layer, Normalization) and not layer.built:
                layer.build((None, *shape))
        space._is_adapted = space.built = is_adapted or not space._to_adapt()
        return space

    def save(self, filepath: str | Path, overwrite: bool = True) -> None:
        """Write the space to a file that `kerasish.load_model` reads."""
        # By name: files are a layer above this one.
        importlib.import_module("kerasish.models").save_model(self, filepath, overwrite)


def _learns(layer: Layer) -> bool:
    """Whether a layer has something to learn that it was not given."""
    if isinstance(layer, TextVectorization):
        layer = layer.lookup
    if isinstance(layer, Discretization):
        return layer.num_bins is not None
    if isinstance(layer, (Normalization, VocabularyLayer)):
        return not layer._is_given
    return hasattr(layer, "adapt")


def _cardinality(name: str, layer: Layer) -> int:
    """How many categories a layer's integers stand for."""
    if isinstance(layer, VocabularyLayer):
        return layer.vocabulary_size()
    if isinstance(layer, CategoryEncoding):
        return layer.num_tokens
    if isinstance(layer, Discretization):
        return layer.num_bins or len(layer.bin_boundaries or ()) + 1
    if isinstance(layer, (Hashing, HashedCrossing)):
        return layer.num_bins
    raise ValueError(
        f"FeatureSpace: how many categories column '{name}' has is unknown, so it cannot be "
        "one-hot encoded. Use output_mode='int'."
    )


def _is_single(value: Any) -> bool:
    if isinstance(value, (str, bytes, int, float)):
        return True
    return getattr(value, "shape", None) == ()


def _as_column(value: Any, name: str) -> Tensor | Texts:
    """A column as `(batch, 1)`; wider ones stay."""
    if holds_strings(value):
        texts = as_texts(value, f"FeatureSpace column '{name}'")
        shape = texts.shape if len(texts.shape) > 1 else (len(texts.flat), 1)
        return Texts(texts.flat, shape)
    column = as_array(value, f"FeatureSpace column '{name}'")
    return column if column.dim() > 1 else column.reshape(-1, 1)
