"""Weights from Keras's own files: `.weights.h5`, `.keras`, and the older `.h5`."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from kerasish.layers.naming import snake_case
from kerasish.layers.weights import KerasWeight
from kerasish.models import Sequential
from kerasish.models.keras_hdf5 import is_older, listed_arrays, opened, variables
from kerasish.models.keras_weights import layers_as_keras

Arrays = list[np.ndarray]


def load_keras_weights(model: Any, path: Path, head: str | None, who: str) -> bool:
    """Fill a functional model from a file that Keras wrote for the same network.

    These files tell layers by their places, not by names: by the place among all layers with
    weights in `.h5` files, among layers of one class in the others. So the places are counted as
    Keras counts them.

    Args:
        model: A model of layers, and of `Sequential`s of layers.
        path: The file.
        head: The layer that may differ from the file's, or be absent there: then it stays as it is.
        who: Who asks, for messages.

    Returns:
        Whether the head was filled, too.

    Raises:
        ImportError: If h5py is missing.
        ValueError: If the file is damaged or of another network; nothing is changed then.
    """
    layers = layers_as_keras(model)
    targets = [(layer.name, layer.keras_weights()) for layer in layers]
    with opened(path, who) as file:
        given = _by_place(file, targets) if is_older(file) else _by_class(file, layers)
    writes, problems, has_head = [], [], False
    for name, weights in targets:
        arrays = given.pop(name, [])
        fits = [w.shape for w in weights] == [a.shape for a in arrays]
        if fits:
            writes += zip(weights, arrays, strict=True)
            has_head = has_head or (name == head and bool(weights))
        elif name != head:
            problems.append(_difference(name, weights, arrays))
    extra = [name for name, arrays in given.items() if arrays]
    if head is not None or len(extra) > 1:  # a single one is the file's head
        problems += [f"'{name}' of the file has no place" for name in extra]
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(
            f"{who}: the weights of {path} do not fit: {'; '.join(problems[:3])}{more}. Nothing "
            "was loaded. The file must be of the same network, made with the same arguments."
        )
    for weight, array in writes:
        weight.write(array)
    return has_head


def _by_place(file: Any, targets: list[tuple[str, list[KerasWeight]]]) -> dict[str, Arrays]:
    """The arrays of an older file, under the names of the layers in the same places."""
    places = iter([name for name, weights in targets if weights])
    return {next(places, label): arrays for label, arrays in listed_arrays(file)}


def _by_class(file: Any, layers: list[Any]) -> dict[str, Arrays]:
    """The arrays of a newer file: the third convolution's are at `conv2d_2`."""
    old = "_layer_checkpoint_dependencies"
    groups = file[old] if old in file else file.get("layers", {})
    unread = list(groups)
    counts: Counter[str] = Counter()
    given = {}
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        label = f"{kind}_{counts[kind]}" if counts[kind] else kind
        counts[kind] += 1
        if label in unread:
            unread.remove(label)
            group = groups[label]
            inner = _by_class(group, layer.layers) if isinstance(layer, Sequential) else {}
            given[layer.name] = [*variables(group), *chain(*inner.values())]
    return {**given, **{label: variables(groups[label]) for label in unread}}


def _difference(name: str, weights: list[KerasWeight], arrays: Arrays) -> str:
    if not arrays:
        return f"'{name}' is missing"
    own, other = [w.shape for w in weights], [a.shape for a in arrays]
    return f"'{name}' has shapes {own}, and the file {other}"
