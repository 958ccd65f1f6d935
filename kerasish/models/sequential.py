"""Sequential: a stack of layers, each fed by the one before."""

from __future__ import annotations

from typing import Any

import torch

from kerasish.config import floatx
from kerasish.describe import describe
from kerasish.graph.symbolic import SymbolicTensor, map_nested
from kerasish.layers.base import Layer
from kerasish.layers.core import Input, InputLayer
from kerasish.layers.foreign import as_layer
from kerasish.layers.structure import tensors_in
from kerasish.models.graph_model import GraphModel
from kerasish.registry import deserialize


class Sequential(GraphModel):
    """A stack of layers. Plain torch modules and functions are wrapped by themselves.

    Args:
        layers: The layers, in order; the first may be an `Input`. Without one, the model is built
            at its first call.
        trainable: `False` freezes it.
        name: The model's name.

    Example:
        >>> from kerasish import layers
        >>> Sequential([layers.Input((4,)), layers.Dense(2)]).output_shape
        (None, 2)
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(name=name)
        self._stack: list[Layer] = []
        self._placeholder: SymbolicTensor | None = None
        self._tensors: list[Any] = []  # what each layer of the stack gives, once known
        for layer in layers if isinstance(layers, (list, tuple)) else [layers] * bool(layers):
            self.add(layer)
        if self._tensors:
            self._compile_graph()  # now, because torch.compile cannot follow it at the first call
        if not trainable:
            self.trainable = False

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top.

        Raises:
            TypeError: If it is not a layer, an `nn.Module` or a function.
            ValueError: If an `Input` comes after other layers, a name is taken, or the layer does
                not fit what is below it.
        """
        if isinstance(layer, (SymbolicTensor, InputLayer)):
            tensor = layer.tensor if isinstance(layer, InputLayer) else layer
            if self._stack or self._placeholder is not None:
                raise ValueError(f'Sequential "{self.name}": an Input can only come first.')
            self._placeholder = tensor
            return
        layer = as_layer(layer)
        self._register_layer(layer)
        if not self._stack and self._placeholder is None:
            self._placeholder = _placeholder_of(layer)
        if self._placeholder is not None:
            below = self._tensors[-1] if self._tensors else self._placeholder
            try:
                self._tensors.append(layer(below))
            except Exception:
                self._forget(layer)
                raise
        self._stack.append(layer)
        self._settle()

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the top layer off and return it.

        Raises:
            ValueError: If there is none.
        """
        if not self._stack:
            raise ValueError(f'Sequential "{self.name}".pop: there are no layers.')
        layer = self._stack.pop()
        if self._tensors:
            self._tensors.pop()
        if layer not in self._stack:
            self._forget(layer)
        self._settle()
        return layer

    def _forget(self, layer: Layer) -> None:
        for key in [key for key, module in self._modules.items() if module is layer]:
            del self._modules[key]

    def _settle(self) -> None:
        """Take the graph that the stack makes now, if its shapes are known."""
        self.built = self._direct = False
        self._output_structure = None
        if self._tensors:
            self._set_graph(self._placeholder, self._tensors[-1])
            self._finish_build()

    def build(self, input_shape: Any = None) -> None:
        """Make all weights for an input shape, batch axis included, `None` where unknown."""
        if input_shape is None:
            if self._placeholder is None:
                raise ValueError(f'Sequential "{self.name}".build needs an input shape.')
            input_shape = self._placeholder.shape
        if not self._tensors:
            self._place(tuple(input_shape), None)

    def _place(self, shape: tuple, dtype: torch.dtype | None) -> None:
        if not self._stack:
            raise ValueError(f'Sequential "{self.name}" has no layers; add one first.')
        if dtype is None or not self._stack[0].takes_integers or dtype.is_floating_point:
            dtype = torch.int64 if self._stack[0].takes_integers else None
        x = Input(batch_shape=(None, *shape[1:]), dtype=dtype or floatx())
        tensors: list[Any] = []
        for layer in self._stack:
            tensors.append(layer(tensors[-1] if tensors else x))
        self._placeholder, self._tensors = x, tensors
        self._settle()

    def _build_for(self, args: tuple, kwargs: dict) -> None:
        if not self._tensors:
            first = next(iter(tensors_in(args)), None)
            if first is None:
                raise TypeError(
                    f'Sequential "{self.name}": expected a tensor or an array, got '
                    f"{describe(args[0] if args else kwargs)}."
                )
            with torch.device(first.device):
                self._place(tuple(first.shape), first.dtype)

    def _call_symbolically(self, args: tuple, kwargs: dict) -> Any:
        if not self._tensors:
            tensor = next(iter(tensors_in(args)))
            self._place(tuple(tensor.shape), tensor.dtype)
        return super()._call_symbolically(args, kwargs)

    @property
    def layers(self) -> list[Layer]:
        """The layers in order, without the input."""
        return list(self._stack)

    def __len__(self) -> int:
        return len(self._stack)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> Layer:
        return self._stack[index]

    def __iter__(self) -> Any:
        return iter(self._stack)

    def get_config(self) -> dict[str, Any]:
        """The configurations of the layers, and the input if it is known."""
        known = self._placeholder is not None
        return {
            "name": self.name,
            "trainable": self._trainable,
            "layers": list(self._stack),
            "input": self._placeholder.node.target if known else None,  # type: ignore[union-attr]
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Sequential:
        """Make the model that `get_config` described, with new weights."""
        start = deserialize(config.get("input"), custom_objects)
        layers = [deserialize(layer, custom_objects) for layer in config["layers"]]
        stack = layers if start is None else [start, *layers]
        made = cls(stack, trainable=config.get("trainable", True), name=config["name"])
        shape = config.get("build_input_shape")  # by Keras, of a model that began without an Input
        if shape and made._placeholder is None:
            made.build((None, *shape[1:]))
        return made


def _placeholder_of(layer: Layer) -> Any:
    """An input from the first layer's `input_shape`, or from a model's own input."""
    if layer.sample_shape is not None:
        return Input(layer.sample_shape, dtype="int64" if layer.takes_integers else floatx())
    if isinstance(layer, GraphModel) and layer.built:
        return map_nested(
            lambda t: Input(batch_shape=t.shape, dtype=t.dtype), layer._input_structure
        )
    return None
