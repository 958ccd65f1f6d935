"""Code that is not ours as layers: functions, and any torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from kerasish.describe import describe
from kerasish.layers.base import Layer
from kerasish.layers.naming import snake_case, unique_name
from kerasish.layers.structure import map_shapes
from kerasish.modes import evaluating
from kerasish.registry import deserialize


class Lambda(Layer):
    """Any function of tensors as a layer. It must hold no weights.

    Args:
        function: Takes the input tensor (and `mask` or `training`, if its signature names them).
        output_shape: Accepted for Keras's sake; shapes are found by running the function.
        mask: A mask for the output, or a function of `(inputs, mask)` that gives one.
        arguments: Further keyword arguments for the function.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If `function` cannot be called.

    Example:
        >>> import torch
        >>> Lambda(lambda x: x * 2)(torch.ones(1, 2))
        tensor([[2., 2.]])
    """

    def __init__(
        self,
        function: Callable,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda: `function` must be callable, got {describe(function)}.")
        self.function = function
        self.mask = mask
        self.arguments = arguments or {}

    @property
    def makes_mask(self) -> bool:
        """Whether a mask was given."""
        return self.mask is not None

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The given mask, or what the given function makes of the input's."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def forward(self, inputs: Any) -> Any:
        """Call the function."""
        return self.function(inputs, **self.arguments)


class TorchModule(Layer):
    """Any `nn.Module` as a layer; its state is found under `module.` in `state_dict()`.

    A part whose parameters are all frozen stays in evaluation mode, so that the statistics of a
    frozen batch normalisation stay as they are.

    Args:
        module: A plain torch module, or a class of one, made with the further arguments.
        *args: For the class, such as `TorchModule(nn.Linear, 3, 4)`. Such a layer is saved with its
            configuration; so is a ready-made module of `torch.nn` whose attributes tell how it was
            made. Any other saves its weights.
        name: The layer's name.
        trainable: `False` freezes it.
        **kwargs: For the class.

    Raises:
        TypeError: If it is not a module.

    Example:
        >>> import torch
        >>> TorchModule(nn.Linear(3, 2))(torch.ones(1, 3)).shape
        torch.Size([1, 2])
    """

    is_transparent = True
    casts_outputs = False  # torch's autocast knows best what its modules give

    def __init__(
        self,
        module: Any,
        *args: Any,
        name: str | None = None,
        trainable: bool = True,
        **kwargs: Any,
    ) -> None:
        cls = module if isinstance(module, type) else type(module)
        if not issubclass(cls, nn.Module):
            raise TypeError(f"TorchModule: expected an nn.Module, got {describe(module)}.")
        from_class = isinstance(module, type)
        if not from_class and (args or kwargs):
            raise TypeError("TorchModule: further arguments are for a class, not for a module.")
        super().__init__(name=name or unique_for(cls), trainable=trainable)
        self.module = module(*args, **kwargs) if from_class else module
        self.takes_integers = any(
            isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in self.module.modules()
        )

    def build(self, input_shape: Any) -> None:
        """Let torch's lazy modules inside make their weights, by a run on zeros."""
        if not any(map(is_lazy, (*self.module.parameters(), *self.module.buffers()))):
            return
        dtype = torch.int64 if self.takes_integers else self.compute_dtype

        def zeros(shape: tuple[int | None, ...]) -> torch.Tensor:
            rows, *sizes = shape
            return torch.zeros(rows or 2, *(size or 32 for size in sizes), dtype=dtype)

        with torch.no_grad(), evaluating(self.module):
            self.module(map_shapes(zeros, input_shape))

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*inputs, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The class and arguments it was made from."""
        args, kwargs = self._init_arguments
        rest = {key: value for key, value in kwargs.items() if key not in ("name", "trainable")}
        base = {"module": args[0] if args else kwargs["module"], "args": list(args[1:])}
        return {**base, "kwargs": rest, "name": self.name, "trainable": self._trainable}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> TorchModule:
        """Make it again, from a class that is known."""
        made = deserialize(dict(config), custom_objects)
        rest = {"name": made["name"], "trainable": made["trainable"], **made["kwargs"]}
        return cls(made["module"], *made["args"], **rest)


def unique_for(cls: type) -> str:
    """An automatic name from a torch class."""
    return unique_name(snake_case(cls.__name__))


def as_layer(value: Any) -> Layer:
    """A layer as it is; a plain torch module wrapped; a function as a Lambda.

    Raises:
        TypeError: If it is none of these.
    """
    if isinstance(value, Layer):
        return value
    if isinstance(value, nn.Module):
        return TorchModule(value)
    if callable(value) and not isinstance(value, type):
        return Lambda(value)
    raise TypeError(
        f"Expected a layer, an nn.Module or a function, got {describe(value)}."
        + (" Make an instance of it, with parentheses." if isinstance(value, type) else "")
    )
