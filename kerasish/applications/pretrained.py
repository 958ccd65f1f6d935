"""Pretrained weights: found by name, downloaded or read, and fitted into a backbone and a head."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.applications.backbone import Backbone
from kerasish.describe import describe, suggest
from kerasish.saving.tensors import read_tensors
from kerasish.utils.download import download, file_in

State = dict[str, Tensor]

OF_KERAS = (".h5", ".hdf5", ".keras")

_HASHED = re.compile(r"-[a-f0-9]{8,}\.")
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|conv))\.([12]\.\w+)$")


def weights_enum(architecture: str) -> Any:
    """Torchvision's list of weights for an architecture."""
    from torchvision import models

    return models.get_model_weights(architecture)


def read_weights(name: str, architecture: str, weights: Any) -> State | None:
    """The state dict that `weights` means; `None` for new weights.

    Args:
        name: The network's name, for messages.
        architecture: torchvision's name of it.
        weights: `None`, `"imagenet"`, torchvision's enum or its name, a path or an address.

    Raises:
        ValueError: If the name is unknown, the file holds no weights, or a download has not the
            hash in its name.
        FileNotFoundError: If there is no such file.
        ConnectionError: If a download fails; the message says which file to put where.
    """
    if weights is None:
        return None
    if isinstance(weights, str) and weights.startswith(("http://", "https://", "file://")):
        return _download(name, weights)
    if isinstance(weights, os.PathLike) or _looks_like_a_file(weights):
        return read_file(name, Path(weights))
    return _download(name, _find_weights(name, architecture, weights).url)


def _looks_like_a_file(weights: Any) -> bool:
    return isinstance(weights, str) and (
        weights.endswith((".pth", ".pt", ".safetensors", *OF_KERAS)) or os.sep in weights
    )


def _find_weights(name: str, architecture: str, weights: Any) -> Any:
    known = weights_enum(architecture)
    if isinstance(weights, known):
        return weights
    if isinstance(weights, str):
        short = weights.removeprefix(f"{known.__name__}.")
        if short.lower() in ("imagenet", "default"):
            return known.DEFAULT
        if short in known.__members__:
            return known[short]
    names = ["imagenet", *known.__members__]
    raise ValueError(
        f"{name}: `weights` must be one of {names}, a .pth or .safetensors file, an address or "
        f"None; got {describe(weights)}{suggest(weights, names)}."
    )


def _download(name: str, url: str) -> State:
    return read_file(name, fetch(name, url))


def fetch(name: str, address: str, digits: str | None = None, others: Sequence[Path] = ()) -> Path:
    """The file of an address, downloaded into torch hub's folder unless it is there.

    A file that torch hub or a user has put there is taken by its name. One that was downloaded
    here, with no hash in its name, stands for its address alone: where another address ends in the
    same name, that file gets a folder of its own.

    Args:
        name: The network's name, for messages.
        address: Where the file is.
        digits: Its hash, if it is known and not in its name.
        others: Where else the file may lie.

    Raises:
        ConnectionError: If a download fails; the message says which file to put where.
        ValueError: If a download has another hash.
    """
    file = file_in(address)
    found = _HASHED.search(file)
    plain = Path(torch.hub.get_dir()) / "checkpoints" / file
    for place in (plain if found else _own_place(plain, address), *others):
        if place.is_file():
            return place
    if not found and not plain.exists():
        _claim(plain, address)
    path = plain if found else _own_place(plain, address)
    expected = found[0][1:-1] if found else digits
    algorithm = "sha256" if found else "auto"
    try:
        return download(address, path, file_hash=expected, hash_algorithm=algorithm)
    except (ConnectionError, ValueError) as error:
        raise type(error)(
            f"{name}: {error} (Or give the file's path as `weights=`, or pass weights=None.)"
        ) from error


def _own_place(plain: Path, address: str) -> Path:
    """Where an address's file goes: by its name, unless that is another address's already."""
    note = _note(plain)
    if not note.exists() or note.read_text(encoding="utf-8") == address:
        return plain
    return plain.parent / hashlib.sha256(address.encode()).hexdigest()[:12] / plain.name


def _claim(plain: Path, address: str) -> None:
    """Note whose a name is. Of processes that run at once, the first has it."""
    plain.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError), _note(plain).open("x", encoding="utf-8") as stream:
        stream.write(address)


def _note(plain: Path) -> Path:
    return plain.with_name(f"{plain.name}.origin")


def read_file(name: str, path: Path) -> State:
    """The state dict in a file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no weights.
    """
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no weights file {path}.")
    if path.suffix in OF_KERAS:
        raise ValueError(
            f"{name}: {path} is a file of Keras's, whose network of this name is another one; this "
            "is torchvision's or timm's and takes .pth and .safetensors files."
        )
    if path.suffix == ".safetensors":
        return read_tensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, LookupError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{name}: {path} is damaged, or holds more than tensors ({_first_line(error)}). "
            "Delete it and download it again, or save a state_dict."
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{name}: {path} holds no state_dict, but {describe(state)}.")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def load_backbone(backbone: Backbone, state: State) -> State:
    """Load a torchvision state dict into a backbone.

    Args:
        backbone: What takes the weights.
        state: Weights of the whole network.

    Returns:
        Those of its last layer: `weight`, and `bias` where it has one.

    Raises:
        ValueError: If names or shapes do not fit; nothing is changed then.
    """
    state = _with_current_names(backbone, state)
    head_prefix = f"{backbone.head_path}."
    head = {k.removeprefix(head_prefix): v for k, v in state.items() if k.startswith(head_prefix)}
    own = backbone.module.state_dict()
    rest = {key: value for key, value in state.items() if not key.startswith(head_prefix)}
    if backbone.output_kind == "map":
        # The classifier is not there, and auxiliary ones never are.
        tops = {key.split(".")[0] for key in own}
        classifier = {"classifier", "fc", "head", "heads"} - tops
        rest = {key: value for key, value in rest.items() if key.split(".")[0] not in classifier}
    rest = fit_positions(backbone.module, rest)
    _check(backbone.name, own, rest)
    # Versions of modules: without them, MNASNet takes the file for one of its first version.
    rest = OrderedDict(rest)
    rest._metadata = own._metadata  # type: ignore[attr-defined]
    backbone.module.load_state_dict(rest)
    return head


def _with_current_names(backbone: Backbone, state: State) -> State:
    auxiliary = ("aux1.", "aux2.", "AuxLogits.")
    named: State = {}
    for key, value in state.items():
        key = key.removeprefix("module.")
        if backbone.architecture.startswith("densenet"):
            # As in torchvision: the published files are older than the names.
            old = _OLD_DENSENET.match(key)
            key = old[1] + old[2] if old else key
        if not key.startswith(auxiliary):
            named[key] = value
    return named


def fit_positions(module: nn.Module, state: State) -> State:
    """Position embeddings for the network's image size, interpolated from the file's."""
    embedding = state.get("encoder.pos_embedding")
    if embedding is None or not hasattr(module, "class_token"):
        return state
    if embedding.shape == module.encoder.pos_embedding.shape:  # type: ignore[union-attr]
        return state
    from torchvision.models.vision_transformer import interpolate_embeddings

    size, patch = module.image_size, module.patch_size
    return dict(interpolate_embeddings(size, patch, state))  # type: ignore[arg-type]


def fitted_state(name: str, own: State, given: State, head: str | None) -> tuple[State, bool]:
    """A whole state dict, whose head is the model's own where the given one has another shape.

    Args:
        name: Who asks, for messages.
        own: The model's state dict.
        given: What is to be loaded.
        head: The name of the layer that may differ or be absent.

    Returns:
        The state dict, and whether the head in it is the given one.

    Raises:
        ValueError: If anything else does not fit.
    """
    given = {key.removeprefix("module."): value for key, value in given.items()}
    keys = [key for key in {**own, **given} if head and key.startswith(f"{head}.")]
    has_head = bool(keys) and all(
        key in own and key in given and own[key].shape == given[key].shape for key in keys
    )
    if not has_head:
        given = {key: value for key, value in given.items() if key not in keys}
        given |= {key: own[key] for key in keys if key in own}
    _check(name, own, given)
    return given, has_head


def _check(name: str, own: State, given: State) -> None:
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    missing = [key for key in own if key not in given and key not in counters]
    unexpected = [key for key in given if key not in own]
    misshapen = [
        f"{key} {tuple(given[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    for counter in counters - given.keys():
        given[counter] = own[counter]
    problems = [
        f"{label}: {_some(keys)}"
        for label, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if keys
    ]
    if problems:
        raise ValueError(
            f"{name}: the weights do not fit. " + "; ".join(problems) + ". Nothing was loaded."
        )


def _some(keys: list[str], limit: int = 3) -> str:
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + more
