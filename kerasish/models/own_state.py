"""What layers save by hooks of their own, beside configuration and weights: values and files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from torch import Tensor

from kerasish.layers.base import Layer
from kerasish.saving.files import ArchiveError

Groups = dict[str, dict[str, Tensor]]


def own_state(model: Any) -> Groups:
    """Tensors by layer and name, in the groups that the file keeps them under; none if empty.

    `"own_variables"` holds what `save_own_variables` put into its dict, `"assets"` the bytes of the
    files that `save_assets` wrote.
    """
    groups: Groups = {"own_variables": {}, "assets": {}}
    for path, layer in _layers(model).items():
        if layer.has_own("save_own_variables"):
            store: dict[str, Any] = {}
            layer.save_own_variables(store)
            groups["own_variables"] |= {f"{path}/{k}": _tensor(v) for k, v in store.items()}
        if layer.has_own("save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                groups["assets"] |= {f"{path}/{k}": v for k, v in _files(Path(folder)).items()}
    return {name: group for name, group in groups.items() if group}


def restore_own_state(model: Any, groups: Mapping[str, Any], renamed: Callable[[str], str]) -> None:
    """Hand to the layers of a model what `own_state` found.

    Args:
        model: The model, with its weights.
        groups: All groups of the file.
        renamed: From a layer's path in the file to the model's, where automatic numbers differ.

    Raises:
        ArchiveError: If a file's name would lead out of its folder, or no layer reads it.
        ValueError: If own variables do not fit.
    """
    layers = _layers(model)
    for path, store in _by_layer(groups.get("own_variables", {}), layers, renamed).items():
        layers[path].load_own_variables(store)
    for path, files in _by_layer(groups.get("assets", {}), layers, renamed).items():
        if not layers[path].has_own("load_assets"):
            raise ArchiveError(
                f"The file holds assets of '{path}', and {type(layers[path]).__name__} has no "
                "load_assets(folder) to read them. Give the class one, beside its save_assets."
            )
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items():
                file = _inside(Path(folder), name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data.numpy().tobytes())
            layers[path].load_assets(folder)


def _layers(model: Any) -> dict[str, Any]:
    return {path: layer for path, layer in model.named_modules() if isinstance(layer, Layer)}


def _tensor(value: Any) -> Tensor:
    return torch.as_tensor(value).detach().cpu()


def _files(folder: Path) -> dict[str, Tensor]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): torch.tensor(
            bytearray(path.read_bytes()), dtype=torch.uint8
        )
        for path in files
    }


def _by_layer(
    group: Mapping[str, Tensor], layers: Mapping[str, Any], renamed: Callable[[str], str]
) -> dict[str, dict[str, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in group.items():
        path, _, name = key.partition("/")
        path = path if path in layers else renamed(path)
        if path in layers:  # else a class that has lost its layer, whose weights did not fit
            found.setdefault(path, {})[name] = value
    return found


def _inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name).parts
    is_plain = parts and not any(part in ("..", "/") or "\\" in part for part in parts)
    if not is_plain or PureWindowsPath(name).drive:
        raise ArchiveError(f"The file is damaged: it has an asset of a strange name, {name!r:.80}.")
    return folder.joinpath(*parts)
