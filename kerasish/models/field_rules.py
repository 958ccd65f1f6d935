"""What torch's operators do to receptive fields, one rule for each kind of operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish.models.spans import Field, joined, mixed, moved, reshaped, slid


class Call:
    """One operator's call, as its rule sees it."""

    def __init__(
        self,
        tracker: Any,
        func: Any,
        args: tuple,
        kwargs: dict,
        sources: list[Tensor],
        outputs: list[Tensor],
    ) -> None:
        self.tracker, self.sources, self.outputs = tracker, sources, outputs
        self.name = func.overloadpacket.__name__.rstrip("_")
        names = [argument.name for argument in func._schema.arguments]
        defaults = {
            a.name: a.default_value for a in func._schema.arguments if a.has_default_value()
        }
        self.values = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        self.first = sources[0]

    def field(self, tensor: Tensor | None = None) -> Field:
        """The field of an argument, of the first one by default."""
        return self.tracker.field_of(self.first if tensor is None else tensor) or {}

    def axis(self, name: str = "dim") -> int:
        """An argument that names an axis of the first tensor, counted from the front."""
        return self.values[name] % max(self.first.dim(), 1)

    def axes(self, name: str = "dim") -> list[int]:
        """An argument that names axes of the first tensor; all where it names none."""
        value = self.values.get(name)
        if value is None or value == []:
            return list(range(self.first.dim()))
        value = [value] if isinstance(value, int) else value
        return [axis % max(self.first.dim(), 1) for axis in value]


# The rule of each operator

Rule = Callable[[Call], "Field | list[Field | None] | None"]
_rules: dict[str, Rule] = {}


def rule_of(call: Call, func: Any) -> Rule | None:
    """The rule for an operator, or `None` if there is none."""
    pointwise = _pointwise if torch.Tag.pointwise in func.tags else None
    return _rules.get(call.name, pointwise)


def _rule(names: str) -> Callable[[Rule], Rule]:
    def add(function: Rule) -> Rule:
        _rules.update(dict.fromkeys(names.split(), function))
        return function

    return add


def _pointwise(call: Call) -> Field:
    return joined(_broadcast(call, tensor) for tensor in call.sources)


def _broadcast(call: Call, tensor: Tensor) -> Field:
    shape = call.outputs[0].shape
    shift = len(shape) - tensor.dim()
    places = {
        axis: axis + shift
        for axis, size in enumerate(tensor.shape)
        # Where one value is repeated, it does not move with the index.
        if size == shape[axis + shift]
    }
    return moved(call.field(tensor), places)


@_rule(
    "alias clone copy detach contiguous _to_copy native_dropout expand lift_fresh bernoulli "
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training hardswish "
    "hardsigmoid hardtanh threshold masked_fill prelu _prelu_kernel"
)
def _same(call: Call) -> Field:
    return _broadcast(call, call.first)


@_rule("repeat")
def _repeat(call: Call) -> Field:
    field = call.field()
    shift = call.outputs[0].dim() - call.first.dim()
    for axis, size in enumerate(call.first.shape):
        if size != call.outputs[0].shape[axis + shift]:
            field = mixed(field, axis, size)
    return moved(field, {axis: axis + shift for axis in range(call.first.dim())})


@_rule("split split_with_sizes unsafe_split unsafe_split_with_sizes")
def _split(call: Call) -> list[Field | None]:
    axis, start, fields = call.axis(), 0, []
    for part in call.outputs:
        fields.append(slid(call.field(), axis, start, start, 1))
        start += part.shape[axis]
    return fields


@_rule("_softmax _safe_softmax _log_softmax cumsum cumprod logcumsumexp sort topk")
def _along(call: Call) -> Field:
    axis = call.axis()
    return mixed(call.field(), axis, call.first.shape[axis])


@_rule("roll")
def _roll(call: Call) -> Field:
    field = call.field()
    for axis in call.axes("dims"):
        field = mixed(field, axis, call.first.shape[axis])
    return field


@_rule("native_layer_norm _fused_rms_norm")
def _layer_norm(call: Call) -> Field:
    field, rank = call.field(), call.first.dim()
    for axis in range(rank - len(call.values["normalized_shape"]), rank):
        field = mixed(field, axis, call.first.shape[axis])
    return field


@_rule("native_group_norm")
def _group_norm(call: Call) -> Field:
    field = call.field()
    for axis in range(1, call.first.dim()):
        field = mixed(field, axis, call.first.shape[axis])
    return field


@_rule("convolution")
def _convolution(call: Call) -> Field:
    field, values = call.field(), call.values
    field = _over_channels(call, field, 1)
    window = zip(
        *(_spread(call, values[key]) for key in ("stride", "padding", "dilation")), strict=True
    )
    _mark_positions(call, range(2, call.first.dim()))
    for axis, (stride, padding, dilation) in enumerate(window, start=2):
        reach = (values["weight"].shape[axis] - 1) * dilation
        if values["transposed"]:
            first, last, stride = (padding - reach) / stride, padding / stride, 1 / stride
        else:
            first, last = -padding, reach - padding
        field = slid(field, axis, first, last, stride)
    return field


def _mark_positions(call: Call, axes: Iterable[int]) -> None:
    for source, span in call.field().items():
        if not span.steps.keys().isdisjoint(axes):
            call.tracker.positions.add(source)


def _over_channels(call: Call, field: Field, axis: int) -> Field:
    for source, span in field.items():
        if set(span.steps) == {axis} and span.low == span.high == 0:
            call.tracker.channels.add(source)
    return mixed(field, axis, call.first.shape[axis])


def _spread(call: Call, value: Any, default: Any = None) -> list[int]:
    value = default if value == [] else value
    value = [value] if isinstance(value, int) else list(value)
    return value * (call.first.dim() - 2) if len(value) == 1 else value


@_rule(
    "max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices avg_pool1d "
    "avg_pool2d avg_pool3d"
)
def _pool(call: Call) -> Field:
    field, values = call.field(), call.values
    sizes = _spread(call, values["kernel_size"])
    strides = _spread(call, values["stride"], sizes)
    paddings = _spread(call, values["padding"])
    dilations = _spread(call, values.get("dilation", 1))
    front = call.first.dim() - len(sizes)
    _mark_positions(call, range(front, call.first.dim()))
    for i, size in enumerate(sizes):
        last = (size - 1) * dilations[i] - paddings[i]
        field = slid(field, front + i, -paddings[i], last, strides[i])
    return field


@_rule(
    "_adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_avg_pool1d adaptive_max_pool1d "
    "adaptive_max_pool2d adaptive_max_pool3d"
)
def _adaptive_pool(call: Call) -> Field:
    field = call.field()
    for axis, (old, new) in enumerate(zip(call.first.shape, call.outputs[0].shape, strict=True)):
        if new == 1:
            field = mixed(field, axis, old)
        elif new != old:
            field = slid(field, axis, 0, math.ceil(old / new) - 1, old / new)
    return field


@_rule(
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact1d "
    "_upsample_nearest_exact2d _upsample_nearest_exact3d upsample_linear1d upsample_bilinear2d "
    "upsample_trilinear3d _upsample_bilinear2d_aa upsample_bicubic2d"
)
def _upsample(call: Call) -> Field:
    field = call.field()
    first, last = 0, 0 if "nearest" in call.name else 1
    if "cubic" in call.name:
        first, last = -1, 2
    for axis, (old, new) in enumerate(zip(call.first.shape, call.outputs[0].shape, strict=True)):
        if new != old:
            field = slid(field, axis, first, last, old / new)
    return field


@_rule("constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d")
def _pad(call: Call) -> Field:
    field = call.field()
    pads = call.values["pad" if "pad" in call.values else "padding"]
    for i, before in enumerate(pads[::2]):
        field = slid(field, call.first.dim() - 1 - i, -before, -before, 1)
    return field


@_rule(
    "mean sum amax amin var std any all argmax argmin max min prod logsumexp norm var_mean "
    "linalg_vector_norm"
)
def _reduce(call: Call) -> Field:
    field, axes = call.field(), call.axes()
    for axis in axes:
        field = mixed(field, axis, call.first.shape[axis])
    if call.outputs[0].dim() == call.first.dim():
        return field
    return moved(field, _after_removal(call.first.dim(), axes))


def _after_removal(rank: int, axes: Sequence[int]) -> dict[int, int]:
    kept = [axis for axis in range(rank) if axis not in axes]
    return {axis: place for place, axis in enumerate(kept)}


@_rule("mm bmm addmm baddbmm")
def _matmul(call: Call) -> Field:
    left, right = [t for t in call.sources if t.dim() == call.outputs[0].dim()][-2:]
    rank = left.dim()
    call.first = left
    first = _over_channels(call, call.field(left), rank - 1)
    call.first = right
    second = mixed(call.field(right), rank - 2, right.shape[rank - 2])
    return joined([first, second])


@_rule("mv dot addmv")
def _vectors(call: Call) -> Field:
    left = call.sources[-2]
    call.first = left
    axis = left.dim() - 1
    return joined(
        [
            _over_channels(call, call.field(left), axis),
            mixed(call.field(call.sources[-1]), 0, left.shape[axis]),
        ]
    )


@_rule("mkldnn_rnn_layer")
def _recurrence(call: Call) -> Field:
    return mixed(_over_channels(call, call.field(), 2), 0, call.first.shape[0])


@_rule("_scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu")
def _attention(call: Call) -> Field:
    query, *rest = call.sources[:3]
    time = query.dim() - 2
    keys = [mixed(call.field(tensor), time, tensor.shape[time]) for tensor in rest]
    return joined([call.field(query), *keys])


@_rule("view _unsafe_view reshape _reshape_alias as_strided")
def _view(call: Call) -> Field | None:
    if call.name == "as_strided" and call.first.squeeze().shape != call.outputs[0].squeeze().shape:
        return None
    return reshaped(call.field(), call.first.shape, call.outputs[0].shape)


@_rule("pixel_unshuffle pixel_shuffle")
def _pixels(call: Call) -> Field:
    old, new = call.first.shape[-3:], call.outputs[0].shape[-3:]
    lead, front = call.first.shape[:-3], call.first.dim() - 3
    channels, r = min(old[0], new[0]), max(old[1] // new[1], new[1] // old[1])
    height, width = min(old[1], new[1]), min(old[2], new[2])
    if call.name == "pixel_unshuffle":
        parts, order = (channels, height, r, width, r), (0, 2, 4, 1, 3)
    else:
        parts, order = (channels, r, r, height, width), (0, 3, 1, 4, 2)
    field = reshaped(call.field(), call.first.shape, (*lead, *parts))
    places = {axis: axis for axis in range(front)}
    field = moved(field, places | {front + axis: front + i for i, axis in enumerate(order)})
    return reshaped(field, (*lead, *(parts[axis] for axis in order)), call.outputs[0].shape)


@_rule("permute")
def _permute(call: Call) -> Field:
    order = [axis % call.first.dim() for axis in call.values["dims"]]
    return moved(call.field(), {old: new for new, old in enumerate(order)})


@_rule("transpose t")
def _transpose(call: Call) -> Field:
    rank = call.first.dim()
    a = call.values.get("dim0", 0) % max(rank, 1)
    b = call.values.get("dim1", 1) % max(rank, 1)
    return moved(call.field(), {axis: {a: b, b: a}.get(axis, axis) for axis in range(rank)})


@_rule("unsqueeze")
def _unsqueeze(call: Call) -> Field:
    rank = call.first.dim()
    place = call.values["dim"] % (rank + 1)
    return moved(call.field(), {axis: axis + (axis >= place) for axis in range(rank)})


@_rule("squeeze")
def _squeeze(call: Call) -> Field:
    gone = [axis for axis in call.axes() if call.first.shape[axis] == 1]
    return moved(call.field(), _after_removal(call.first.dim(), gone))


@_rule("select")
def _select(call: Call) -> Field:
    axis = call.axis()
    index = call.values["index"] % call.first.shape[axis]
    field = slid(call.field(), axis, index, index, 1)
    return moved(field, _after_removal(call.first.dim(), [axis]))


@_rule("unbind")
def _unbind(call: Call) -> list[Field | None]:
    axis, places = call.axis(), _after_removal(call.first.dim(), [call.axis()])
    return [
        moved(slid(call.field(), axis, index, index, 1), places)
        for index in range(len(call.outputs))
    ]


@_rule("slice")
def _slice(call: Call) -> Field:
    axis = call.axis()
    size = call.first.shape[axis]
    start = call.values["start"] or 0
    start = max(start + size, 0) if start < 0 else min(start, size)
    return slid(call.field(), axis, start, start, call.values["step"])


@_rule("flip")
def _flip(call: Call) -> Field:
    field = call.field()
    for axis in call.axes("dims"):
        last = call.first.shape[axis] - 1
        field = slid(field, axis, last, last, -1)
    return field


@_rule("cat")
def _cat(call: Call) -> Field:
    axis, start, fields = call.axis(), 0, []
    for tensor in call.sources:
        fields.append(slid(call.field(tensor), axis, -start, -start, 1))
        start += tensor.shape[axis]
    return joined(fields)


@_rule("stack")
def _stack(call: Call) -> Field:
    place = call.values["dim"] % call.outputs[0].dim()
    places = {axis: axis + (axis >= place) for axis in range(call.first.dim())}
    return moved(joined(call.field(tensor) for tensor in call.sources), places)


@_rule("new_zeros new_ones new_empty new_full zeros_like ones_like empty_like full_like")
def _constant(call: Call) -> Field:
    return {}


@_rule("embedding")
def _embedding(call: Call) -> Field:
    call.first = call.values["indices"]
    _mark_positions(call, range(call.first.dim()))
    return call.field()
