"""What each layer costs: multiply-adds per sample and receptive field, measured by running it.

The model runs once, on one sample without data, while torch's operators are watched. So the numbers
hold for every module, not only for layers with a formula.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from kerasish.config import image_data_format
from kerasish.graph.abstract import run_without_data, stand_in_shapes
from kerasish.graph.symbolic import Symbolic, map_nested
from kerasish.hooks import removed_after
from kerasish.models.receptive_field import FieldTracker
from kerasish.models.rows import Row, has_graph
from kerasish.models.spans import Field, Source, joined
from kerasish.modes import evaluating


@dataclasses.dataclass
class Cost:
    """What one layer, module or recorded function costs, over all its calls.

    Attributes:
        macs: Multiplications followed by an addition, for the whole batch.
        field: What its output depends on; `None` if unknown.
        shapes: The shapes of its outputs, one list for each call.
    """

    macs: int = 0
    field: Field | None = dataclasses.field(default_factory=dict)
    shapes: list[list[tuple[int, ...]]] = dataclasses.field(default_factory=list)


class Costs:
    """The costs of all parts of a model.

    Args:
        model: A model with a graph, or one that has been called on data.

    Attributes:
        problem: Why nothing could be measured, or `None`.
    """

    def __init__(self, model: Any) -> None:
        self._costs: dict[int, Cost] = {}
        self._pending: list[tuple[int, int, Any]] = []
        self._counter = FlopCounterMode(display=False)
        self._tracker = FieldTracker()
        self._inputs: list[Tensor] = []
        self._exact = True
        self._total = 0
        self.problem: str | None = None
        self._measure(model)

    def macs(self, row: Row) -> int | None:
        """Multiply-adds per sample; `None` where sizes other than the batch are unknown."""
        cost = self._costs.get(id(row.key))
        return None if cost is None or not self._exact else cost.macs // self._batch

    @property
    def total_macs(self) -> int | None:
        """Multiply-adds of the whole model per sample."""
        known = self._exact and self.problem is None
        return self._total // self._batch if known else None

    def receptive_field(self, row: Row) -> tuple[float, ...] | None:
        """How many input positions an output depends on, for each axis of sequences or images.

        Infinite means all of them; empty, that the inputs have no such axes; `None`, unknown.
        """
        cost = self._costs.get(id(row.key))
        if cost is None or cost.field is None:
            return None
        spatial = self._positions()
        return tuple(span.size for source, span in cost.field.items() if source in spatial)

    def shapes(self, row: Row) -> list[tuple[int | None, ...]]:
        """The shapes of all outputs, with an open batch axis."""
        cost = self._costs.get(id(row.key), Cost())
        calls = [shapes for i, shapes in enumerate(cost.shapes) if shapes not in cost.shapes[:i]]
        return [
            (None, *shape[1:]) if shape[:1] == (self._batch,) else shape
            for call in calls
            for shape in call
        ]

    @property
    def _batch(self) -> int:
        return self._inputs[0].shape[0] if self._inputs and self._inputs[0].dim() else 1

    def _positions(self) -> set[Source]:
        """The axes of the inputs that are positions: not the batch, not channels or features."""
        found: set[Source] = set()
        for number, tensor in enumerate(self._inputs):
            axes = {(number, axis) for axis in range(1, tensor.dim())}
            if not tensor.dtype.is_floating_point:
                found |= axes
                continue
            features = axes - self._tracker.positions
            channels = features & self._tracker.channels
            if not channels and features:
                first = tensor.dim() > 3 and image_data_format() == "channels_first"
                usual = (number, 1 if first else tensor.dim() - 1)
                channels = {usual if usual in features else min(features)}
            found |= axes - channels
        return found

    # Running

    def _measure(self, model: Any) -> None:
        try:
            with self._hooks(model), evaluating(model):
                self._run_model(model)
        except Exception as error:
            # Code that looks at values cannot run without them; then the costs stay unknown.
            self._costs.clear()
            self.problem = f"{type(error).__name__}: {error}".splitlines()[0]

    def _run_model(self, model: Any) -> None:
        shapes = getattr(model, "_call_shapes", None)
        if has_graph(model):
            self._take_inputs([(tensor.shape, tensor.dtype) for tensor in model.inputs])
            self._walk(model, list(self._inputs))
        elif shapes is not None:
            self._take_inputs([((None, *shape[1:]), dtype) for shape, dtype in _specs(shapes)])
            self._run(model, _filled(shapes, iter(self._inputs)), {})
        else:
            self.problem = "the input shape is not known"

    def _take_inputs(self, specs: list[tuple[Any, torch.dtype]]) -> None:
        for number, (shape, dtype) in enumerate(specs):
            self._exact &= None not in shape[1:]
            sizes = stand_in_shapes(shape)[0]
            sizes = (1, *sizes[1:]) if shape[:1] == (None,) else sizes
            tensor = torch.empty(sizes, dtype=dtype, device="meta")
            self._tracker.start(number, tensor)
            self._inputs.append(tensor)

    def _walk(self, model: Any, inputs: list[Any]) -> Any:
        """Run a graph node by node, so that functions between the layers are counted too."""
        values = {id(t.node): value for t, value in zip(model.inputs, inputs, strict=True)}
        for tensor in model.inputs:
            self._note(tensor.node, 0, values[id(tensor.node)])

        def fill(value: Any) -> Any:
            return values[id(value.node)] if isinstance(value, Symbolic) else value

        for node in model.nodes:
            args, kwargs = map_nested(fill, node.args), map_nested(fill, node.kwargs)
            before = self._total
            if has_graph(node.target) and not kwargs:
                result = self._walk(node.target, list(node.target._flatten(args)))
            else:
                result = self._run(node.target, args, kwargs)
            values[id(node)] = result
            if not isinstance(node.target, nn.Module) or has_graph(node.target):
                key = node.target if isinstance(node.target, nn.Module) else node
                self._note(key, self._total - before, result)
        return map_nested(fill, model._output_structure)

    def _run(self, target: Any, args: Any, kwargs: Any) -> Any:
        observed = _Observed(target, tree_leaves((args, kwargs)), self._tracker)
        result = run_without_data(observed, args, kwargs, self._watch)
        self._tracker.carry_over(tree_leaves(observed.result), tree_leaves(result))
        for key, macs, outputs in self._pending:
            self._note_by_id(key, macs, outputs)
        self._total += self._counter.get_total_flops() // 2
        return result

    @contextmanager
    def _watch(self) -> Iterator[None]:
        self._pending = []
        self._counter = FlopCounterMode(display=False, custom_mapping=_UNCOUNTED)
        with self._counter, self._tracker:
            yield

    @contextmanager
    def _hooks(self, model: nn.Module) -> Iterator[None]:
        """Note what every module inside does while it is called."""
        starts: list[int] = []

        def before(module: nn.Module, args: Any) -> None:
            starts.append(self._counter.get_total_flops())

        def after(module: nn.Module, args: Any, output: Any) -> None:
            macs = (self._counter.get_total_flops() - starts.pop()) // 2
            self._pending.append((id(module), macs, output))

        handles = [module.register_forward_pre_hook(before) for module in model.modules()]
        handles += [module.register_forward_hook(after) for module in model.modules()]
        with removed_after(handles):
            yield

    def _note(self, key: Any, macs: int, outputs: Any) -> None:
        self._note_by_id(id(key), macs, outputs)

    def _note_by_id(self, key: int, macs: int, outputs: Any) -> None:
        cost = self._costs.setdefault(key, Cost())
        tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
        fields = [self._tracker.field_of(tensor) for tensor in tensors]
        cost.macs += macs
        cost.shapes.append([tuple(tensor.shape) for tensor in tensors])
        if cost.field is None or any(field is None for field in fields):
            cost.field = None
        else:
            cost.field = joined([cost.field, *(field for field in fields if field is not None)])


class _Observed(nn.Module):
    """A call whose arguments and results the tracker recognises, though they are copied for it."""

    def __init__(self, target: Any, given: list[Any], tracker: FieldTracker) -> None:
        super().__init__()
        self.target = target
        self._given, self._tracker = given, tracker
        self.result: Any = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the target."""
        self._tracker.carry_over(self._given, tree_leaves((args, kwargs)))
        self.result = self.target(*args, **kwargs)
        return self.result


def _recurrent_flops(x: Any, kernel: Any, recurrent: Any, *rest: Any, **options: Any) -> int:
    """Two operations for each weight, step and sample; `x` is (time, batch, features)."""
    return 2 * x[0] * x[1] * (math.prod(kernel) + math.prod(recurrent))


# What torch's counter does not know: the CPU's recurrent kernel, met under autocast.
_UNCOUNTED = {torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops}


def _is_spec(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], torch.dtype)


def _specs(value: Any) -> Iterator[Any]:
    if _is_spec(value):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _specs(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _specs(item)


def _filled(value: Any, tensors: Iterator[Tensor]) -> Any:
    if _is_spec(value):
        return next(tensors)
    if isinstance(value, dict):
        return {key: _filled(item, tensors) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_filled(item, tensors) for item in value)
    return value
