"""DataLayer: what layers that prepare data share, whether they take numbers or strings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kerasish.config import as_dtype, dtype_name
from kerasish.describe import describe
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers.base import Layer
from kerasish.layers.streams import as_array, batches_of, mapped
from kerasish.layers.texts import as_texts, holds_strings


class DataLayer(Layer):
    """A layer in front of a model. It may learn from data (`adapt`) and takes lists as well.

    Args:
        dtype: The type of the output where it is encoded; integer types are welcome.
        **kwargs: Those of `Layer`.
    """

    # Whether strings come in or go out, so that it cannot stand inside a model.
    is_for_strings: bool = False
    # Whether strings may come in beside numbers.
    takes_strings: bool = False
    encoding: str = "utf-8"

    def __init__(self, *, dtype: Any = None, **kwargs: Any) -> None:
        kind = as_dtype(dtype) if isinstance(dtype, (torch.dtype, type)) else dtype
        named = dtype_name(kind) if isinstance(kind, torch.dtype) else kind
        integers = isinstance(named, str) and named.startswith(("int", "uint", "bool"))
        super().__init__(dtype=None if integers else dtype, **kwargs)
        self._integer_dtype = as_dtype(named) if integers else None

    def output_dtype(self, output_mode: str, integer: torch.dtype = torch.int64) -> torch.dtype:
        """The type of the output: integers for indices, floats for encodings, unless given."""
        if self._integer_dtype is not None:
            return self._integer_dtype
        return integer if output_mode == "int" else self.compute_dtype

    # Calling

    def _call_in_full(self, args: tuple, kwargs: dict) -> Any:
        if is_symbolic(args):
            if self.is_for_strings:
                raise TypeError(self._only_outside())
            return super()._call_in_full(args, kwargs)
        ready = tuple(self._ready(value) for value in args)
        if all(isinstance(value, Tensor) for value in ready):
            return super()._call_in_full(ready, kwargs)
        kwargs.pop("training", None)
        return nn.Module.__call__(self, *ready, **kwargs)

    def _only_outside(self) -> str:
        return (
            f'{type(self).__name__} "{self.name}" cannot stand inside a model: torch has no '
            "tensors of strings. Apply it before the model, `layer(texts)` or "
            "`layer.map(dataset)`, and feed the model the integers."
        )

    def _ready(self, value: Any) -> Any:
        """What `forward` takes: numbers as a tensor; strings, where they may come, as `Texts`."""
        if isinstance(value, Tensor):
            return value
        if self.takes_strings and holds_strings(value):
            return as_texts(value, type(self).__name__, self.encoding)
        return as_array(value, type(self).__name__)

    def map(self, data: Any) -> Any:
        """A dataset, loader or iterable whose inputs pass through this layer as they are read.

        Args:
            data: A torch `Dataset` of rows, or a `DataLoader` or iterable of batches. Of `(x, y)`
                and `(x, y, sample_weight)` only `x` is changed.

        Returns:
            The like of it, which `fit` takes.
        """
        return mapped(data, self, type(self).__name__)

    # Learning

    def _learn(self, data: Any, steps: int | None = None) -> None:
        self.reset_state()
        for batch in batches_of(data, type(self).__name__, steps):
            self.update_state(batch)
        self.finalize_state()

    def reset_state(self) -> None:
        """Forget what was seen of data not yet made use of."""
        raise TypeError(f"{type(self).__name__} learns nothing from data.")

    def update_state(self, data: Any) -> None:
        """See one batch."""
        raise TypeError(f"{type(self).__name__} learns nothing from {describe(data)}.")

    def finalize_state(self) -> None:
        """Make use of all that was seen."""

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        config = super().get_config()
        if self._integer_dtype is not None:
            config["dtype"] = dtype_name(self._integer_dtype)
        return config


def has_data(x: Tensor) -> bool:
    """Whether a tensor's values may be looked at: not while a graph is traced or compiled."""
    fake = x.is_meta or type(x) not in (Tensor, nn.Parameter)
    return not fake and not torch.compiler.is_compiling()
