"""Builds one configuration in both libraries and compares everything that a user can see of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch.testing import assert_close

from kerasish import layers
from kerasish.registry import serialize
from tests.layers.parity import (
    assert_same_shapes,
    compare_weight_gradients,
    flat,
    in_peace,
)
from tests.parity.case import Case, in_library

# Entries of Keras's configs that are not compared: names are counted up, seeds are drawn, number
# types are written as objects there.
OTHER_WORDS = {"name", "dtype", "trainable", "seed", "autocast"}
# Entries that we do not have, or only where they were given: `quantization_config` must be `None`,
# `rms_scaling` is an outdated one of LayerNormalization.
ABSENT = {"quantization_config", "rms_scaling"}
# Entries that Keras overwrites: once built, by what the input's shape makes of them; in the layers
# of a Bidirectional, which hides its outputs at masked steps.
FILLED_IN = {"attention_axes": None, "groups": -1, "zero_output_for_mask": False}
# Keras stops masks here, though the layer works on each step by itself.
LETS_MASKS_THROUGH = {"RMSNormalization"}
# Names of one thing.
SAME = {"silu": "swish", "hard_silu": "hard_swish"}


def compare(case: Case, keras: Any) -> None:
    """Outputs, gradients, masks, shapes, parameter counts, weights and configs of one case."""
    ours = getattr(layers, case.name)(**in_library(case.arguments, layers))
    theirs = in_peace(getattr(keras.layers, case.name), **in_library(case.arguments, keras.layers))
    here, there = case.make_inputs(), case.make_inputs()
    in_peace(ours, *here[0], training=False, **here[1])
    in_peace(theirs, *there[0], **there[1])
    compare_weights(ours, theirs)
    compare_calls(ours, theirs, case)
    compare_shapes(ours, theirs, case)
    compare_masks(ours, theirs, case)
    compare_configs(ours, theirs)


def compare_weights(ours: Any, theirs: Any) -> None:
    """The same shapes in the same order; what one gives the other takes; counts agree."""
    shapes = [tuple(weight.shape) for weight in theirs.weights if weight.dtype != "uint32"]
    assert [w.shape for w in ours.get_weights()] == shapes, [w.name for w in ours.keras_weights()]
    assert ours.count_params() == theirs.count_params()
    generator = np.random.default_rng(0)
    values = [generator.uniform(0.1, 0.6, shape).astype("float32") for shape in shapes]
    in_peace(theirs.set_weights, values)
    ours.set_weights([weight.value.detach().numpy() for weight in theirs.weights])
    for mine, value in zip(ours.get_weights(), values, strict=True):
        np.testing.assert_array_equal(mine, value)
    trained = [weight.trainable for weight in ours.keras_weights()]
    assert trained == [weight.trainable for weight in theirs.weights]


def compare_calls(ours: Any, theirs: Any, case: Case) -> None:
    """Outputs, and the gradients of inputs and weights that come from all of them."""
    (args, kwargs), (their_args, their_kwargs) = case.make_inputs(), case.make_inputs()
    for tensors in (args, their_args):
        for x in floats(tensors):
            x.requires_grad_()
    got = flat(in_peace(ours, *args, training=case.training, **kwargs))
    want = flat(in_peace(theirs, *their_args, **training(theirs, case), **their_kwargs))
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert_close(one, other, rtol=2e-5, atol=2e-5)
    weigh = [torch.randn_like(y) for y in got if y.requires_grad]
    for outputs in (got, want):
        outputs = [y for y in outputs if y.requires_grad]
        if outputs:
            sum((y * w).sum() for y, w in zip(outputs, weigh, strict=True)).backward()
    for one, other in zip(floats(args), floats(their_args), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            # Relative to the largest: the gradients of spectra are sums of large opposite numbers.
            slack = 2e-4 * max(1.0, float(other.grad.abs().max()))
            assert_close(one.grad, other.grad, rtol=2e-4, atol=slack)
    compare_weight_gradients(ours, theirs, 2e-4)
    for one, other in zip(ours.keras_weights(), theirs.weights, strict=True):
        if not one.trainable:
            assert_close(one.read(), other.value, rtol=1e-5, atol=1e-6)


def training(theirs: Any, case: Case) -> dict:
    """Keras's cells and wrappers take `training` too, but not every call does."""
    takes = "training" in inspect.signature(theirs.call).parameters
    return {"training": case.training} if takes or case.training else {}


def floats(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value] if value.is_floating_point() else []
    return [x for item in value for x in floats(item)] if isinstance(value, list) else []


def compare_shapes(ours: Any, theirs: Any, case: Case) -> None:
    """Output shapes for an unknown batch size, where the call takes a single argument."""
    args, kwargs = case.make_inputs()
    if len(args) != 1 or kwargs:
        return

    def unknown_batch(value: Any) -> Any:
        if isinstance(value, list):
            return [unknown_batch(item) for item in value]
        return (None, *value.shape[1:])

    shape = unknown_batch(args[0])
    want = in_peace(theirs.compute_output_shape, shape)
    assert_same_shapes(shapes_in(ours.compute_output_shape(shape)), shapes_in(want))


def shapes_in(value: Any) -> list[list]:
    """The shapes in a nested structure, in order: Keras nests single states in two ways."""
    if all(size is None or isinstance(size, int) for size in value):
        return [list(value)]
    return [shape for item in value for shape in shapes_in(item)]


def compare_masks(ours: Any, theirs: Any, case: Case) -> None:
    """What becomes of a mask over the steps, and whether the layer lets one through at all."""
    if case.name in LETS_MASKS_THROUGH:
        assert (ours.supports_masking, theirs.supports_masking) == (True, False)
        return
    assert ours.supports_masking == theirs.supports_masking
    (args, _), (their_args, _) = case.make_inputs(), case.make_inputs()
    if len(args) != 1 or not theirs.supports_masking:
        return
    tensors = args[0] if isinstance(args[0], list) else [args[0]]
    if any(x.dim() < 3 for x in tensors):
        masks: Any = [None for _ in tensors]
    else:
        masks = [torch.arange(x.shape[1]) < x.shape[1] - 1 for x in tensors]
        masks = [m.expand(len(x), -1) for m, x in zip(masks, tensors, strict=True)]
    mask = masks if isinstance(args[0], list) else masks[0]
    got = ours.compute_mask(args[0], mask)
    want = in_peace(theirs.compute_mask, their_args[0], mask)
    for one, other in zip(masks_in(got), masks_in(want), strict=True):
        assert one.broadcast_to(other.shape).equal(other)


def masks_in(value: Any) -> list[torch.Tensor]:
    if isinstance(value, (list, tuple)):
        return [mask for item in value for mask in masks_in(item)]
    return [] if value is None else [value]


def compare_configs(ours: Any, theirs: Any) -> None:
    """The same keys, and the same values in the same words."""
    compare_words(ours, in_peace(theirs.get_config))


def compare_words(ours: Any, their: dict) -> None:
    """Each entry of Keras's config is said by ours, or by the attribute the argument became."""
    mine = ours.get_config()
    for key, value in their.items():
        if key in OTHER_WORDS | ABSENT:
            continue
        kept = getattr(ours, key, mine.get(key))
        given = mine.get(key, kept)
        if key in FILLED_IN and given == FILLED_IN[key]:
            continue
        assert key in mine or hasattr(ours, key), f"{key} is in Keras's config and not in ours"
        assert same(given, value) or same(kept, value), (
            f"{key}: {given!r} in the config, {kept!r} in the layer, Keras {value!r}"
        )


def same(ours: Any, theirs: Any) -> bool:
    """Whether a value of ours is what a value in Keras's config describes."""
    if isinstance(theirs, dict) and "class_name" in theirs:
        return same_object(ours, theirs)
    if isinstance(theirs, (list, tuple)):
        many = [ours] * len(theirs) if isinstance(ours, (int, float, str)) else ours
        return (
            isinstance(many, Iterable)
            and len(list(many)) == len(theirs)
            and all(map(same, many, theirs))
        )
    if isinstance(theirs, str) and (callable(ours) or ours is None):
        name = "linear" if ours is None else getattr(ours, "__name__", "")
        return SAME.get(name, name) == SAME.get(theirs, theirs)
    if isinstance(theirs, float) and isinstance(ours, (int, float)):
        return math.isclose(ours, theirs, rel_tol=1e-6)
    return bool(ours == theirs)


def same_object(ours: Any, theirs: dict) -> bool:
    """The same for an object: a layer, an initialiser, a regulariser, a constraint."""
    if isinstance(ours, layers.Layer):
        compare_words(ours, theirs["config"])
        return type(ours).__name__ == theirs["class_name"]
    written = serialize(ours)
    if not isinstance(written, dict):
        return False
    return written["class_name"] == theirs["class_name"] and all(
        key in OTHER_WORDS or same(written["config"].get(key), value)
        for key, value in theirs["config"].items()
    )
