"""Functional models: `Model(inputs, outputs)`."""

from __future__ import annotations

from typing import Any

from torch import nn

from kerasish.describe import describe
from kerasish.graph.symbolic import (
    Symbolic,
    SymbolicTensor,
    is_symbolic,
    map_nested,
    symbolic_leaves,
)
from kerasish.layers.base import Layer
from kerasish.models.graph_config import graph_to_config
from kerasish.models.graph_model import GraphModel
from kerasish.models.model import model_form


@model_form(is_symbolic)
class Functional(GraphModel):
    """A model from symbolic inputs to symbolic outputs; layers may be shared, branch and join.

    Args:
        inputs: A symbolic tensor, or a list, tuple or dict of them.
        outputs: The same; any structure. A list of one gives its tensor when called, as in Keras.
        name: The model's name.
        trainable: `False` freezes it.

    Raises:
        TypeError: If inputs or outputs are not symbolic.
        ValueError: If the outputs cannot be computed from the inputs.

    Example:
        >>> from kerasish import Input, Model, layers
        >>> x = Input((4,))
        >>> Model(x, layers.Dense(2)(x)).output_shape
        (None, 2)
    """

    _given: type = object  # what the outputs came in

    def __init__(
        self, inputs: Any, outputs: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        for label, value in (("inputs", inputs), ("outputs", outputs)):
            leaves = list(symbolic_leaves(value))
            if not leaves or not all(isinstance(leaf, SymbolicTensor) for leaf in leaves):
                got = value if isinstance(value, Symbolic) else describe(value)
                raise TypeError(
                    f"Model: `{label}` must be symbolic tensors, made by Input(...) and by calling "
                    f"layers on it; got {got}."
                )
        super().__init__(name=name)
        self._set_graph(inputs, self._result_of(outputs))
        self._given = type(outputs)
        for node in self.nodes:
            if isinstance(node.target, nn.Module):
                self._register_layer(node.target)
        self._check_input_names()
        self._compile_graph()
        self._finish_build()
        if not trainable:
            self.trainable = False

    def _result_of(self, outputs: Any) -> Any:
        """What a call gives: of a list of one output that output alone, as in Keras."""
        return _alone(outputs)

    @property
    def output(self) -> Any:
        """The symbolic output, or the structure of them that the model was made of."""
        output = self._output_structure
        is_alone = self._given in (list, tuple) and isinstance(output, SymbolicTensor)
        return self._given((output,)) if is_alone else output

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or a structure of shapes if there are several."""
        return map_nested(lambda tensor: tensor.shape, _alone(self._input_structure))

    def _check_input_names(self) -> None:
        """Inputs are given by name in a dict, so their names must be theirs alone."""
        names = [tensor.name for tensor in self._input_list if tensor.node.is_input]
        taken = {layer.name for layer in self._modules.values() if isinstance(layer, Layer)}
        for name in names:
            if names.count(name) > 1 or name in taken:
                raise ValueError(
                    f"The name '{name}' is given to an Input and to another Input or layer of the "
                    f'model "{self.name}"; give one of them another `name`.'
                )

    def get_config(self) -> dict[str, Any]:
        """The layers' configurations and how they are connected."""
        if type(self).__init__ is not Functional.__init__:
            return super().get_config()
        return {"name": self.name, "trainable": self._trainable, **graph_to_config(self)}


def _alone(structure: Any) -> Any:
    """The item of a list or tuple of one; everything else as it is."""
    is_one = isinstance(structure, (list, tuple)) and len(structure) == 1
    return structure[0] if is_one else structure


class Function(Functional):
    """The calls between symbolic tensors, to be called: the part of a model that gives `outputs`.

    It shares the layers, and computes in the modes that these are in: after `fit`, `evaluate` and
    `predict` in evaluation mode.

    Args:
        inputs: A symbolic tensor, or a list, tuple or dict of them; inputs of a model, or what a
            layer of it gave.
        outputs: The same; any structure.
        name: A label.
        trainable: `False` freezes the layers.

    Raises:
        TypeError: If inputs or outputs are not symbolic.
        ValueError: If the outputs cannot be computed from the inputs.

    Example:
        >>> import torch
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(3, name="hidden"), layers.Dense(1)])
        >>> hidden = Function(model.inputs, model.get_layer("hidden").output)
        >>> hidden(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    def _result_of(self, outputs: Any) -> Any:
        """The structure that it was made of, whatever it is."""
        return outputs
