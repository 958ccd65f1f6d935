"""A layer called on symbolic tensors: nodes of a graph, masks, and shapes found by a run."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from kerasish.describe import describe
from kerasish.graph.symbolic import (
    Node,
    SymbolicTensor,
    expansion,
    map_nested,
    record,
    symbolic_input,
    symbolic_leaves,
)
from kerasish.layers.holder import WeightHolder
from kerasish.layers.structure import map_shapes, note_zeros, shape_of, zeros_like


class SymbolicCalls(WeightHolder):
    """The part of a layer that graphs are made with."""

    supports_masking: bool = False
    # Whether integers are indices or categories to this layer, rather than numbers to compute with.
    takes_integers: bool = False
    autocast: bool
    _call_parameters: ClassVar[frozenset[str]] = frozenset()
    _nodes: list[Node]

    def _call_symbolically(self, args: tuple, kwargs: dict) -> Any:
        training = kwargs.get("training")
        if training is None:  # the mode that the model is in
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        if self.built and expansion.covers(self, training):
            return self.forward(
                *args, **{key: value for key, value in kwargs.items() if key != "training"}
            )
        self._check(args)
        masks = [leaf.mask for leaf in symbolic_leaves(args) if isinstance(leaf, SymbolicTensor)]
        mask = masks if args and isinstance(args[0], (list, tuple)) else (masks or [None])[0]
        has_mask = any(m is not None for m in masks)
        if "mask" in kwargs:
            mask, has_mask = kwargs["mask"], kwargs["mask"] is not None
            if "mask" not in self._call_parameters:
                kwargs = {key: value for key, value in kwargs.items() if key != "mask"}
        elif has_mask and "mask" in self._call_parameters:
            kwargs = {**kwargs, "mask": mask}
        self._build_symbolically(args, kwargs)
        if self.dtype_policy.name == "float32" and self.autocast:
            halves = (torch.float16, torch.bfloat16)
            if any(getattr(leaf, "dtype", None) in halves for leaf in symbolic_leaves(args)):
                self._expect_half()
        outputs = record(self, args, kwargs)
        first = next(iter(symbolic_leaves(outputs)), None)
        if first is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" returned {describe(outputs)}, which holds no '
                "tensor. Does its call() end with `return`?"
            )
        self._nodes.append(first.node)
        if has_mask or self.makes_mask:
            self._attach_mask(args, mask, outputs)
        return outputs

    @property
    def makes_mask(self) -> bool:
        """Whether the output may have a mask even where the input has none (Embedding, Masking).

        So it may where a subclass has a `compute_mask` of its own: that is asked.
        """
        return type(self).compute_mask is not SymbolicCalls.compute_mask

    def _attach_mask(self, args: tuple, mask: Any, outputs: Any) -> None:
        new = self.compute_mask(args[0] if args else None, mask)
        leaves = [leaf for leaf in symbolic_leaves(outputs) if isinstance(leaf, SymbolicTensor)]
        new = list(new) if isinstance(new, (list, tuple)) else [new]
        for leaf, item in zip(leaves, new, strict=False):
            leaf.mask = item

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, from the inputs and their mask.

        Args:
            inputs: What the layer was called on.
            mask: Boolean, (batch, time), true where a step counts; or `None`.

        Returns:
            `mask` where `supports_masking`, else `None`.
        """
        return mask if self.supports_masking else None

    def _build_symbolically(self, args: tuple, kwargs: dict) -> None:
        if not self.built:
            self._build_for_shapes(map_nested(shape_of, args), map_nested(shape_of, kwargs))
        if all(child.built for child in self.sublayers()):
            return
        # Sublayers learn their shapes by a trial run of forward(), first on symbolic tensors, then,
        # where the code needs numbers, on zeros.
        self.trial_run(args, kwargs)

    def trial_run(self, args: tuple, kwargs: dict) -> None:
        """Run forward() once so that every sublayer is built; outputs are thrown away."""
        if "training" not in self._call_parameters:
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        was, self.training = self.training, False
        nodes = {id(layer): len(layer._nodes) for layer in self.sublayers()}
        try:
            self.forward(*args, **kwargs)
        except Exception:
            zeros, named_zeros = map_nested(zeros_like, args), map_nested(zeros_like, kwargs)
            try:
                with torch.no_grad(), self._mode(False):
                    self.forward(*zeros, **named_zeros)
            except Exception as error:
                note_zeros(error, args)
                raise
        finally:
            self.training = was
            self._has_run = True
            for layer in self.sublayers():
                del layer._nodes[nodes.get(id(layer), 0) :]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for an input shape, batch axis included, `None` where unknown."""
        dtype = torch.int64 if self.takes_integers else self.compute_dtype
        inputs = map_shapes(lambda shape: symbolic_input(shape, dtype), input_shape)
        count = len(self._nodes)
        outputs = self(inputs)
        del self._nodes[count:]
        return map_nested(shape_of, outputs)

    @property
    def input(self) -> Any:
        """What the layer was first called on, symbolically."""
        node = self._first_node()
        return node.args[0] if len(node.args) == 1 else list(node.args)

    @property
    def output(self) -> Any:
        """What its first symbolic call gave."""
        return self._first_node().outputs

    def _first_node(self) -> Node:
        for node in self._nodes:
            # A layer with several outputs is reached through the items of its result.
            while node.target is not self:
                node = node.args[0].node
            return node
        raise AttributeError(
            f'Layer "{self.name}" has not been called on a symbolic tensor yet, so it has no '
            "input or output."
        )
