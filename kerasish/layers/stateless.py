"""A layer as a function of its weights: nothing that it holds is read or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from kerasish.layers.holder import tensors_of
from kerasish.other_tensors import call_with

if TYPE_CHECKING:
    from kerasish.layers.base import Layer


def stateless_call(
    layer: Layer,
    trainable: Sequence[Tensor],
    non_trainable: Sequence[Tensor],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    return_losses: bool,
) -> tuple[Any, ...]:
    """Call a layer with other weights than its own.

    Args:
        layer: A built layer.
        trainable: What stands for its `trainable_variables`.
        non_trainable: What stands for its `non_trainable_variables`; not changed.
        args: Of the call.
        kwargs: Of the call.
        return_losses: Whether to give what `add_loss` added, and the weights' penalties.

    Returns:
        The outputs, the non-trainable variables after the call, and the losses if asked for.

    Raises:
        ValueError: If numbers or shapes of variables differ.
    """
    layer._require_built("stateless_call")
    own = layer.keras_weights()
    learned = tensors_of(weight for weight in own if weight.trainable)
    others = tensors_of(weight for weight in own if not weight.trainable)
    _check(layer, "trainable", learned, trainable)
    _check(layer, "non_trainable", others, non_trainable)
    # A call may write into buffers: into copies, then, and so for those that Keras does not count.
    copies = [tensor.clone() for tensor in non_trainable]
    given = dict(zip(map(id, [*learned, *others]), [*trainable, *copies], strict=True))
    kept = {id(b): b.clone() for b in layer.buffers() if id(b) not in given}
    layer.clear_losses()
    outputs = call_with(layer, given | kept, args, kwargs)
    added = [loss for part in (layer, *layer.sublayers()) for loss in part._losses]
    layer.clear_losses()  # which belong to this call, and under torch.func end with it
    if not return_losses:
        return outputs, copies
    penalties = [
        weight.regularizer(weight.arranged([given[id(t)] for t in weight.tensors]))
        for weight in own
        if weight.trainable and weight.regularizer is not None
    ]
    return outputs, copies, added + penalties


def _check(layer: Layer, what: str, own: Sequence[Tensor], given: Sequence[Tensor]) -> None:
    want, got = [tuple(t.shape) for t in own], [tuple(t.shape) for t in given]
    if want != got:
        raise ValueError(
            f'{type(layer).__name__} "{layer.name}".stateless_call: {what}_variables must have the '
            f"shapes {want}, got {got}. They are in torch's layout, as layer.{what}_variables is."
        )
