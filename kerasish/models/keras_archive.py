"""What Keras's model files say of the network: `.keras`, and the older `.h5`."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

from kerasish.models.keras_hdf5 import is_hdf5, opened, read_member

Config = dict[str, Any]

# The older kind names no modules: a setting's name says what kind of thing it holds.
_KINDS = ("initializer", "regularizer", "constraint")
_MODELS = ("Functional", "Model", "Sequential")
_ROOMS = {"loss": "losses", "metrics": "metrics", "weighted_metrics": "metrics"}


def read_config(path: Path) -> tuple[Config, Config | None]:
    """The configuration of the model in a file of Keras's, and how it was compiled.

    Raises:
        ImportError: If h5py is missing, for `.h5`.
        ValueError: If the file holds weights alone, or is too large.
    """
    if is_hdf5(path):
        return _of_hdf5(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(read_member(archive, "config.json", path))
        assets = [name for name in archive.namelist() if name.startswith("assets/")]
    if assets:
        warnings.warn(
            f"load_model: the vocabularies in {path} ({', '.join(assets[:3])}) are not read; call "
            "set_vocabulary on their layers.",
            stacklevel=4,
        )
    return config, config.get("compile_config") if isinstance(config, dict) else None


def _of_hdf5(path: Path) -> tuple[Config, Config | None]:
    with opened(path, "load_model") as file:
        text, training = file.attrs.get("model_config"), file.attrs.get("training_config")
    if text is None:
        raise ValueError(
            f"Cannot read {path}: it holds weights and no model. Build the model and call "
            "load_weights, or save it in Keras 3 as a .keras file."
        )
    config = with_modules(json.loads(text))
    if training is None:
        return config, None
    compiled = json.loads(training)
    optimizer = compiled.pop("optimizer_config", None)
    named = {key: with_modules(item, _ROOMS.get(key, "layers")) for key, item in compiled.items()}
    return config, {**named, "optimizer": with_modules(optimizer, "optimizers")}


def with_modules(value: Any, room: str = "layers") -> Any:
    """A configuration of the older kind, with the modules that the newer one names.

    Args:
        value: What the file holds, or a part of it.
        room: Where a class is that says nothing of it.
    """
    if isinstance(value, list):
        return [with_modules(item, room) for item in value]
    if not isinstance(value, dict):
        return value
    named = {key: with_modules(item, _room_of(key, room)) for key, item in value.items()}
    name = named.get("class_name")
    if isinstance(name, str) and not name.startswith("__") and "module" not in named:
        named["module"] = "keras.models" if name in _MODELS else f"keras.{room}"
    shape = named.pop("batch_input_shape", None)  # Keras 2's word, in a layer's settings
    if shape is not None:
        is_input = "sparse" in named and "ragged" in named
        named |= {"batch_shape": shape} if is_input else {"input_shape": tuple(shape[1:])}
    return named


def _room_of(key: str, room: str) -> str:
    return next((f"{kind}s" for kind in _KINDS if key.endswith(f"_{kind}")), room)
