"""Ensemble: several networks that answer together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from torch import nn

from kerasish.config import as_dtype, floatx
from kerasish.data.arrays import leaves
from kerasish.describe import describe
from kerasish.graph.symbolic import SymbolicTensor
from kerasish.models.graph_model import is_raw
from kerasish.models.model import Model, ModuleModel
from kerasish.registry import deserialize
from kerasish.tta.mean import Mean, OutputKind, check_averaged, kinds_of


class Ensemble(Model):
    """Several models as one, whose output is the mean of theirs.

    It predicts, evaluates, trains (all members at once), and is saved with its members, which are
    `ensemble.members`.

    Shapes:
        input: as the members take it
        output: as each member gives it

    Args:
        models: Models or torch modules that take the same inputs; their outputs must be of one
            shape.
        weights: How much each member counts; equally by default.
        average: What is averaged: `"outputs"`, the numbers that the members give,
            `"probabilities"` or `"logits"`; see `kerasish.tta.Mean`. With the last two, some
            members may give logits and others probabilities; the result is what the first gives.
        name: The model's name.
        trainable: `False` freezes all members.

    Raises:
        TypeError: If a member is no module.
        ValueError: If there are none, if weights do not fit, or outputs differ in shape.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> members = [Sequential([Input((4,)), layers.Dense(2)]) for _ in range(3)]
        >>> Ensemble(members).predict([[1.0, 2.0, 3.0, 4.0]], verbose=0).shape
        (1, 2)
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        average: str = "outputs",
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name)
        listed = _listed(models)
        made = {id(member): member for member in listed}
        made = {key: _as_model(member) for key, member in made.items()}
        members = [made[id(member)] for member in listed]
        self.members = nn.ModuleList(members)
        self.member_weights = _checked_weights(weights, len(members))
        self.average = check_averaged(average, "Ensemble")
        self.takes_integers = members[0].takes_integers
        self.class_names = members[0].class_names
        self.preprocessing = _common_preprocessing(members)
        self._call_shapes = next((m._call_shapes for m in members if m._call_shapes), None)
        self._kinds: dict[int, list[OutputKind]] = {}
        self._check_shapes([_known_shapes(member) for member in members])
        if all(layer.built for layer in self.sublayers()):
            self._finish_build()
        if not trainable:
            self.trainable = False

    _preprocessing: Any = None

    @property
    def preprocessing(self) -> Any:
        """How raw images are made ready, where all members do it alike; they get the result."""
        return self._preprocessing

    @preprocessing.setter
    def preprocessing(self, value: Any) -> None:
        self.__dict__["_preprocessing"] = value
        if value is not None:
            # Said by a model that casts its inputs itself: bytes stay bytes until they get here.
            self._input_dtypes = [as_dtype(floatx())]

    def shortest_forward(self) -> Any:
        """The ensemble itself: its members' calls are all there is."""
        return self

    def forward(self, *inputs: Any) -> Any:
        """The mean of the members' outputs."""
        inputs = self._ready(inputs)
        return self._mean([member(*inputs) for member in self.members])

    @property
    def has_output_masks(self) -> bool:
        """Whether the first member's outputs have masks, which losses and metrics then respect."""
        return bool(getattr(self.members[0], "has_output_masks", False))

    @property
    def makes_mask(self) -> bool:
        """The same for layers that follow."""
        return self.has_output_masks

    def forward_with_masks(self, *inputs: Any) -> tuple[Any, Any]:
        """The mean of the members' outputs, and the masks of the first."""
        inputs = self._ready(inputs)
        first: Any = self.members[0]
        y_pred, mask = first.forward_with_masks(*inputs)
        return self._mean([y_pred, *(member(*inputs) for member in self.members[1:])]), mask

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks of the first member's outputs."""
        first: Any = self.members[0]
        return first.compute_mask(inputs, mask)

    def _ready(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        if self._preprocessing is not None and is_raw(inputs[0]):
            return (self._preprocessing(inputs[0]),)
        return inputs

    def _mean(self, outputs: list[Any]) -> Any:
        flat = [list(leaves(y_pred)) for y_pred in outputs]
        self._check_shapes([[tuple(t.shape) for t in tensors] for tensors in flat])
        mean = Mean(self.average, "Ensemble")
        for i, (y_pred, tensors) in enumerate(zip(outputs, flat, strict=True)):
            kinds = self._kinds_of(i, tensors)
            mean.add(y_pred, self.member_weights[i], keeps_spread=False, kinds=kinds)
        return mean.result()

    def fit_inputs(self, x: Any) -> Any:
        """Data as the first member takes it; raw images in the members' size."""
        if self._preprocessing is not None and is_raw(x):
            return self._preprocessing.arrange(x)
        adjust = getattr(self.members[0], "fit_inputs", None)
        return x if adjust is None else adjust(x)

    def _open_inputs(self, x: Any, lazily: bool = False) -> Any:
        own = self._preprocessing
        return x if own is None else own.open(x, lazily=lazily)

    def get_config(self) -> dict[str, Any]:
        """The members, and how they are averaged.

        One that comes again is given as the place where it came first, so that it stays one model.
        """
        places: dict[int, int] = {}
        firsts = [places.setdefault(id(member), i) for i, member in enumerate(self.members)]
        return {
            "models": [
                m if i == first else first
                for i, (m, first) in enumerate(zip(self.members, firsts, strict=True))
            ],
            "weights": self.member_weights,
            "average": self.average,
            "name": self.name,
            "trainable": self._trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Ensemble:
        """Make the ensemble that `get_config` described, with new weights."""
        given = {key: deserialize(value, custom_objects) for key, value in config.items()}
        models: list[Any] = []
        for model in given.pop("models"):
            models.append(models[model] if isinstance(model, int) else model)
        return cls(models, **given)

    def _kinds_of(self, index: int, outputs: list[Any]) -> list[OutputKind] | None:
        """What a member's outputs are; its first batch tells."""
        if self.average == "outputs":
            return None
        kinds = self._kinds.get(index) or kinds_of(outputs, f"Ensemble, member {index}")
        if not outputs[0].is_meta:
            self._kinds[index] = kinds
        return kinds

    def _check_shapes(self, shapes: list[Any]) -> None:
        known = [(i, shape) for i, shape in enumerate(shapes) if shape is not None]
        for i, shape in known[1:]:
            if shape != known[0][1]:
                first = known[0][0]
                raise ValueError(
                    f"Ensemble: members must give outputs of one shape, but member {first} "
                    f'("{self.members[first].name}") gives {_short(known[0][1])}, and member {i} '
                    f'("{self.members[i].name}") {_short(shape)}.'
                )


def _common_preprocessing(members: list[Any]) -> Any:
    """How all members make raw images ready; `None` where they take no raw images.

    Raises:
        ValueError: If they differ in it.
    """
    found = [getattr(member, "preprocessing", None) for member in members]
    if any(item != found[0] for item in found):
        raise ValueError(
            "Ensemble: members make raw images ready in different ways "
            f"({', '.join(member.name for member in members)}). Networks of kerasish.applications "
            "made with include_preprocessing=True and one input_shape agree."
        )
    return found[0]


def _listed(models: Any) -> list[Any]:
    is_one = isinstance(models, nn.Module) and not isinstance(models, nn.ModuleList)
    if is_one or not isinstance(models, Iterable):
        raise TypeError(f"Ensemble: pass a list of models, got {describe(models)}.")
    members = list(models)
    if not members:
        raise ValueError("Ensemble: there are no models to average.")
    return members


def _as_model(member: Any) -> Model:
    if isinstance(member, Model):
        return member
    if not isinstance(member, nn.Module):
        raise TypeError(
            f"Ensemble: members must be models or torch modules, got {describe(member)}."
        )
    return ModuleModel(member)


def _checked_weights(weights: Any, count: int) -> list[float]:
    if weights is None:
        return [1.0] * count
    listed = list(weights) if isinstance(weights, (Sequence, np.ndarray)) else []
    numbers = [float(w) for w in listed if isinstance(w, Real)]
    fits = len(numbers) == len(listed) == count and all(0 <= w < math.inf for w in numbers)
    if not fits or not sum(numbers):
        raise ValueError(
            f"Ensemble: `weights` must be {count} numbers of at least 0, one for each model, "
            f"got {describe(weights)}."
        )
    return numbers


def _known_shapes(member: Model) -> list[tuple] | None:
    """The shapes of a member's outputs, where they are known before it is called."""
    if member.__dict__.get("_output_structure") is None:
        return None
    return [tuple(t.shape) for t in member.outputs if isinstance(t, SymbolicTensor)]


def _short(shapes: list[tuple]) -> Any:
    return shapes[0] if len(shapes) == 1 else shapes
