"""Weights in Keras's files, `.keras`, `.weights.h5` and `.h5`, for a model of ours like theirs."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from kerasish.graph.symbolic import symbolic_leaves
from kerasish.keras_words import INSIDE
from kerasish.layers.base import Layer
from kerasish.layers.lora import LoraLayer
from kerasish.layers.naming import snake_case
from kerasish.layers.weights import KerasWeight
from kerasish.layers.wrappers import SpectralNormalization
from kerasish.models.keras_hdf5 import WEIGHTS, is_hdf5, is_older, listed_arrays, opened, variables

# Keras writes the parts of an attention layer down by the alphabet; its weights go by this order.
_ORDER = ("query_dense", "key_dense", "value_dense", "output_dense")

_CONTAINERS = (nn.ModuleList, nn.ModuleDict, list, tuple, dict)


def is_keras_file(path: Path) -> bool:
    """Whether a file is one of Keras's: HDF5, or a zip with the members of a `.keras` file."""
    if not path.is_file():
        return False
    if is_hdf5(path):
        return True
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return {"config.json", WEIGHTS} <= set(archive.namelist())


def load_keras_weights(model: Any, path: Path, who: str = "load_weights") -> None:
    """Fill a model from a file that Keras wrote for the same model.

    Such a file tells layers by the attributes that hold them, or by their classes and places in a
    list; an older one by their places among all that have weights. Weights go by their places.

    Args:
        model: A built model.
        path: A `.keras`, `.weights.h5` or `.h5` file.
        who: Who asks, for messages.

    Raises:
        ImportError: If h5py is missing.
        ValueError: If the file is damaged or of another model; nothing is changed then.
    """
    with opened(path, who) as file:
        match = _Match()
        if is_older(file):
            match.by_places(model, [arrays for _, arrays in listed_arrays(file)])
        else:
            match.layer(model, file, model.name)
            match.look_for_missing(model)
    if match.problems:
        more = f", and {len(match.problems) - 3} more" if len(match.problems) > 3 else ""
        raise ValueError(
            f"{who}: the weights of {path} do not fit: {'; '.join(match.problems[:3])}{more}. "
            "Nothing was loaded. The file must be of the same model, made with the same arguments."
        )
    for weight, array in match.pairs:
        weight.write(array)


class _Match:
    """Which array of a file goes to which weight."""

    def __init__(self) -> None:
        self.pairs: list[tuple[KerasWeight, np.ndarray]] = []
        self.problems: list[str] = []
        self._met: set[int] = set()

    def layer(self, layer: Any, group: Any, where: str) -> None:
        """Match a layer, and those inside it, with a group of the file."""
        self._met.add(id(layer))
        loose: dict[str, Any] = {}
        for key in [key for key in group if key not in ("vars", "optimizer")]:
            if key == "layers" and hasattr(layer, "layers"):
                self._list(_layers_of(layer), group[key], where)
                continue
            part = getattr(layer, key, None)
            if isinstance(part, Layer):
                self.layer(part, group[key], f"{where}/{key}")
            elif isinstance(part, _CONTAINERS):
                self._list(part, group[key], f"{where}/{key}")
            elif "seed_generator" not in key:  # whose states are no weights
                loose[key] = group[key]
        arrays = variables(group)
        for key in sorted(loose, key=_place):
            arrays += _all_variables(loose[key])
        self._own(layer, arrays, where)

    def _list(self, layers: Any, group: Any, where: str) -> None:
        """Match the layers in a list, or in a dict, whose keys Keras does not write down."""
        counts: Counter[str] = Counter()
        for layer in layers.values() if isinstance(layers, (nn.ModuleDict, dict)) else layers:
            name = type(layer).__name__
            is_inner = isinstance(layer, _CONTAINERS)
            kind = "container" if is_inner else snake_case(INSIDE.get(name, name))
            label = f"{kind}_{counts[kind]}" if counts[kind] else kind
            counts[kind] += 1
            if label in group and is_inner:
                self._list(layer, group[label], f"{where}/{label}")
            elif label in group and id(layer) not in self._met:
                self.layer(layer, group[label], f"{where}/{layer.name}")

    def by_places(self, model: Any, given: list[list[np.ndarray]]) -> None:
        """Match the layers that have weights with those of a file of the older kind."""
        layers = [layer for layer in _layers_of(model) if layer.keras_weights()]
        if len(layers) != len(given):
            self.problems.append(
                f"'{model.name}' has {len(layers)} layers with weights, and the file {len(given)}"
            )
            return
        for layer, arrays in zip(layers, given, strict=True):
            # First what learns, then what does not, as Keras counts them.
            weights = sorted(layer.keras_weights(), key=lambda weight: not weight.trainable)
            self._pair(weights, arrays, layer.name)

    def _own(self, layer: Any, arrays: list[np.ndarray], where: str) -> None:
        own = layer.own_weights()
        if isinstance(layer, SpectralNormalization):
            arrays = arrays[-len(own) :]  # before them, the kernel of the layer inside once more
        adapted = layer.lora_weights() if isinstance(layer, LoraLayer) else []
        if adapted and len(arrays) == len(own) - len(adapted):
            # The kernel in the file is the sum with A @ B: nothing is left to add.
            own = own[: -len(adapted)]
            self.pairs += [(b, np.zeros(b.shape, "float32")) for b in adapted[1::2]]
        self._pair(own, arrays, where)

    def _pair(self, own: list[KerasWeight], arrays: list[np.ndarray], where: str) -> None:
        wanted, given = [w.shape for w in own], [array.shape for array in arrays]
        if wanted == given:
            self.pairs += zip(own, arrays, strict=True)
        else:
            self.problems.append(f"'{where}' has shapes {wanted}, and the file {given}")

    def look_for_missing(self, model: Any) -> None:
        """Note the layers with weights that the file said nothing of."""
        for layer in model.sublayers():
            if id(layer) not in self._met and layer.own_weights():
                self.problems.append(f"'{layer.name}' is missing")


def _layers_of(model: Any) -> list[Any]:
    is_graph = model.__dict__.get("_output_structure") is not None
    is_list = hasattr(model, "_stack")
    return layers_as_keras(model) if is_graph and not is_list else list(model.layers)


def _place(key: str) -> int:
    name = key.lstrip("_")
    return _ORDER.index(name) if name in _ORDER else -1


def _all_variables(group: Any) -> list[np.ndarray]:
    found = variables(group)
    for key in sorted(key for key in group if key != "vars" and "seed_generator" not in key):
        found += _all_variables(group[key])
    return found


def layers_as_keras(model: Any) -> list[Any]:
    """The layers of a functional model in Keras's order.

    Keras sorts them by how far they are from the outputs, and layers equally far by when a walk
    back from the outputs first meets them.
    """
    met: dict[int, int] = {}
    finished: list[Any] = []
    leaves: Iterator[Any] = symbolic_leaves(model._output_structure)
    waiting = [(tensor.node, False) for tensor in reversed(list(leaves))]
    # Walks with an explicit stack: networks are deeper than Python's limit for recursion.
    while waiting:
        node, is_finished = waiting.pop()
        if is_finished:
            finished.append(node)
        elif id(node) not in met:
            met[id(node)] = len(met)
            waiting.append((node, True))
            waiting += [(parent.node, False) for parent in reversed([*node.parents()])]
    depths: dict[int, int] = {}
    for node in reversed(finished):
        depth = depths.setdefault(id(node), 0)
        for parent in node.parents():
            depths[id(parent.node)] = max(depth + 1, depths.get(id(parent.node), 0))
    finished.sort(key=lambda node: (-depths[id(node)], met[id(node)]))
    found = [node.target for node in finished if isinstance(node.target, nn.Module)]
    return list(dict.fromkeys(found))
