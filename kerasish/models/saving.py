"""Models as files: configuration and weights in one archive that runs no code when read."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kerasish.custom_objects import custom_object_scope
from kerasish.describe import describe, suggest
from kerasish.layers.base import Layer
from kerasish.layers.lora import without_adaptation
from kerasish.layers.naming import snake_case
from kerasish.models import bundle, freezing
from kerasish.models.keras_archive import read_config
from kerasish.models.keras_weights import is_keras_file, load_keras_weights
from kerasish.models.own_state import own_state, restore_own_state
from kerasish.registry import NotSerializableError, deserialize, serialize
from kerasish.saving.archive import Archive, read_archive, write_archive
from kerasish.saving.plain import flatten, unflatten
from kerasish.saving.tensors import read_tensors, write_tensors


def save_model(
    model: Any, filepath: str | Path, overwrite: bool = True, *, include_optimizer: bool = True
) -> None:
    """Write a model to one file: configuration, weights, and, if compiled, the optimizer's state.

    Args:
        model: The model.
        filepath: Usually ends in `.kerasish`.
        overwrite: Whether an existing file may be replaced; a failure leaves it whole.
        include_optimizer: Whether to save the optimizer's state too.

    Raises:
        FileExistsError: If the file exists and `overwrite` is false.
        ValueError: If the model has no weights yet.
    """
    path = _free_path(filepath, overwrite)
    model._require_built("save")
    documents: dict[str, Any] = {"model": _config_or_none(model)}
    documents["about"], documents["frozen"] = bundle.about(model), freezing.frozen_parts(model)
    documents["build"] = serialize(getattr(model, "_call_shapes", None))
    tensors = {"weights": dict(model.state_dict()), **own_state(model)}
    if model.compiled:
        documents["compile"] = _compile_config(model)
        if include_optimizer and model.optimizer.torch is not None:
            state, tensors["optimizer"] = flatten(
                model.optimizer.state_dict(), "save: the optimizer's state"
            )
            documents["optimizer"], documents["optimizer_names"] = state, _names_bound(model)
    write_archive(path, documents, tensors)


def load_model(
    filepath: str | Path,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Any:
    """Read a model that `model.save` wrote, or Keras (`.keras`, `.h5`). No code in it is run.

    Of Keras's files the network, its weights and how it was compiled are read; the optimizer's
    state is not.

    Args:
        filepath: The file.
        custom_objects: Classes and functions of yours by name, beside the registered ones.
        compile: Whether to compile it as it was and to restore the optimizer's state.
        safe_mode: Accepted for Keras's sake; loading is always safe.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, foreign, or names unknown classes.
    """
    if is_keras_file(Path(filepath)):
        return _load_from_keras(Path(filepath), custom_objects, compile)
    archive = read_archive(filepath)
    config = archive.documents.get("model")
    if config is None:
        raise ValueError(
            f"{filepath} holds weights but no configuration (its model had parts that no file can "
            "describe). Build the model in code, then call model.load_weights(...)."
        )
    model = _made(config, custom_objects, filepath)
    _build_again(model, deserialize(archive.documents.get("build"), custom_objects))
    _load_state(model, archive.tensors["weights"], str(filepath))
    restore_own_state(model, archive.tensors, _renaming(model, archive.tensors["weights"]))
    bundle.restore(model, archive.documents.get("about"), custom_objects)
    if archive.documents.get("frozen") is not None:
        renamed = _renaming(model, archive.tensors["weights"])
        freezing.freeze_parts(model, archive.documents["frozen"], renamed)
    if compile and archive.documents.get("compile"):
        _compile_again(model, archive, custom_objects)
    model.eval()
    return model


def _load_from_keras(path: Path, custom_objects: Mapping[str, Any] | None, compiled: bool) -> Any:
    config, how = read_config(path)
    model = _made(config, custom_objects, path)
    shape = (config.get("build_config") or {}).get("input_shape")
    if not model.built and shape:
        model.build(_for_any_batch(shape))
    load_keras_weights(model, path, "load_model")
    if compiled and how:
        compile_from_config(model, how, custom_objects)
    model.eval()
    return model


def _made(config: Any, custom_objects: Mapping[str, Any] | None, path: str | Path) -> Any:
    model = deserialize(config, custom_objects)
    if not isinstance(model, Layer):
        raise ValueError(f"Cannot read {path}: it describes no model but {describe(model)}.")
    return model


def _for_any_batch(shape: Any) -> Any:
    if isinstance(shape, dict):
        return {key: _for_any_batch(inner) for key, inner in shape.items()}
    is_shape = all(isinstance(size, int | None) for size in shape)
    return (None, *shape[1:]) if is_shape else [_for_any_batch(inner) for inner in shape]


def save_weights(model: Any, filepath: str | Path, overwrite: bool = True) -> None:
    """Write a model's `state_dict()` to a safetensors file."""
    path = _free_path(filepath, overwrite)
    model._require_built("save_weights")
    write_tensors(path, model.state_dict())


def load_weights(model: Any, filepath: str | Path, skip_mismatch: bool = False) -> None:
    """Read weights from a safetensors file, from a saved model's file, or from Keras's files."""
    path = Path(filepath)
    model._require_built("load_weights")
    if is_keras_file(path):
        if skip_mismatch:
            raise ValueError(
                "load_weights: `skip_mismatch` is for kerasish's own files; Keras's must fit."
            )
        load_keras_weights(model, path)
        return
    if path.suffix == ".safetensors" or not _is_archive(path):
        state = read_tensors(path)
    else:
        state = read_archive(path).tensors["weights"]
    _load_state(model, state, str(filepath), skip_mismatch)


def to_json(model: Any) -> str:
    """A model's configuration as JSON text."""
    return json.dumps(serialize(model))


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the model that `model.to_json()` describes, with new weights.

    Keras's own text is understood, too: its layers are made under their names, `set_weights` takes
    what `get_weights` of Keras's model gives, and the model is compiled as that was.

    Args:
        json_string: What `to_json` returned, here or in Keras 3.
        custom_objects: Classes and functions of yours by name, beside the registered ones.

    Raises:
        ValueError: If the text names unknown classes.
    """
    config = json.loads(json_string)
    model = deserialize(config, custom_objects)
    if config.get("compile_config"):
        compile_from_config(model, config["compile_config"], custom_objects)
    return model


def compile_from_config(
    model: Any, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
) -> None:
    """Compile a model as a configuration says, one of `get_compile_config` or of Keras."""
    known = inspect.signature(model.compile).parameters.keys() - {"jit_compile"}  # the machine's
    given = deserialize({k: v for k, v in config.items() if k in known}, custom_objects)
    model.compile(**given)


def compile_config(model: Any) -> dict[str, Any]:
    """How a model is compiled, by values that JSON can hold."""
    recipe = model._recipe
    return {
        "optimizer": serialize(recipe.optimizer),
        **{
            key: serialize(getattr(recipe, key))
            for key in ("loss", "loss_weights", "metrics", "weighted_metrics")
        },
        **{
            key: getattr(recipe, key)
            for key in ("precision", "memory_format", "accumulate_steps", "clip_norm")
        },
        "lr_multipliers": serialize(recipe.lr_multipliers),
    }


def _free_path(filepath: str | Path, overwrite: bool) -> Path:
    path = Path(filepath)
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already; pass overwrite=True to replace it.")
    return path


def _is_archive(path: Path) -> bool:
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}.")
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _config_or_none(model: Any) -> Any:
    try:
        return serialize(model)
    except NotSerializableError as error:
        warnings.warn(
            f'save: only the weights of "{model.name}" are saved, not its configuration: {error}',
            stacklevel=4,
        )
        return None


def _compile_config(model: Any) -> Any:
    try:
        if not type(model).get_compile_config.__module__.startswith("kerasish."):
            return {"own": serialize(model.get_compile_config())}
        return compile_config(model)
    except NotSerializableError as error:
        warnings.warn(
            f"save: how the model was compiled is not saved; compile it again after loading. "
            f"{error}",
            stacklevel=4,
        )
        return None


def _compile_again(model: Any, archive: Archive, custom_objects: Any) -> None:
    config = archive.documents["compile"]
    if "own" in config:  # what a get_compile_config of the user's own said
        with custom_object_scope(custom_objects or {}):
            model.compile_from_config(config["own"])
    else:
        model.compile(**deserialize(config, custom_objects))
    if "optimizer" in archive.documents:
        renamed = _renaming(model, archive.tensors["weights"])
        _bind(model, archive.documents.get("optimizer_names"), renamed)
        state = unflatten(archive.documents["optimizer"], archive.tensors["optimizer"])
        own = state.get("kerasish", {})
        if "averages" in own:
            own["averages"] = {renamed(key): value for key, value in own["averages"].items()}
        model.optimizer.load_state_dict(state)


def _names_bound(model: Any) -> list[str]:
    """The parameters that the optimizer has state for: those that learned in the last fit."""
    bound = {id(p) for group in model.optimizer.torch.param_groups for p in group["params"]}
    return [name for name, parameter in model.named_parameters() if id(parameter) in bound]


def _bind(model: Any, names: list[str] | None, renamed: Callable[[str], str]) -> None:
    """Bind the optimizer to the parameters that its saved state is for, frozen since or not."""
    known = {renamed(name) for name in names or ()}
    named = [(name, p) for name, p in model.named_parameters() if name in known]
    if len(named) != len(known) or not named:
        model._bind_optimizer()
        return
    model.optimizer.bind(named, model._recipe.lr_multipliers)


def _build_again(model: Any, shapes: Any) -> None:
    """Run a model of own code once on zeros of the shapes it was first called on."""
    if shapes is None or all(layer.built for layer in (model, *model.sublayers())):
        return
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.eval()
        model(*_zeros(shapes))


def _is_spec(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[1], torch.dtype)


def _zeros(shapes: Any) -> list[Any]:
    def fill(value: Any) -> Any:
        if _is_spec(value):
            return torch.zeros(value[0], dtype=value[1])
        if isinstance(value, (list, tuple)):
            return type(value)(fill(item) for item in value)
        if isinstance(value, dict):
            return {key: fill(item) for key, item in value.items()}
        return value

    return [fill(item) for item in shapes]


def _renaming(model: Any, given: Iterable[str]) -> Callable[[str], str]:
    """From a file's keys to the model's, where only automatic numbers differ.

    The second model that a program builds has `dense_2` and `dense_3` where the first had `dense`
    and `dense_1`.
    """

    def is_automatic(path: str) -> bool:
        module = model.get_submodule(path)
        base = snake_case(type(getattr(module, "module", module)).__name__)
        kinds = {base, snake_case(type(module).__name__)}
        return isinstance(module, Layer) and _numbered(module.name)[0] in kinds

    def match(own_keys: list[list[str]], keys: list[list[str]], path: str) -> None:
        pairs = _paired([key[0] for key in own_keys], [key[0] for key in keys])
        for head in dict.fromkeys(key[0] for key in keys):
            mine = pairs.get(head, head)
            inner = [key[1:] for key in own_keys if key[0] == mine]
            whole = f"{path}{mine}"
            if mine != head and not ([] not in inner and is_automatic(whole)):
                mine, inner = head, [key[1:] for key in own_keys if key[0] == head]
            names[(path, head)] = mine
            theirs = [key[1:] for key in keys if key[0] == head]
            if inner and [] not in inner and [] not in theirs:
                match(inner, theirs, f"{path}{mine}.")

    names: dict[tuple[str, str], str] = {}
    match([key.split(".") for key in model.state_dict()], [key.split(".") for key in given], "")

    def renamed(key: str) -> str:
        path = ""
        for part in key.split("."):
            path += names.get((path, part), part) + "."
        return path[:-1]

    return renamed


def _paired(own: list[str], given: list[str]) -> dict[str, str]:
    """For each group of names that differ in their number only, which one is which."""
    groups: dict[str, tuple[dict, dict]] = {}
    for side, names in enumerate((own, given)):
        for name in names:
            base, number = _numbered(name)
            groups.setdefault(base, ({}, {}))[side][number] = name
    pairs = {}
    for mine, theirs in groups.values():
        if len(mine) == len(theirs):
            pairs |= {theirs[b]: mine[a] for a, b in zip(sorted(mine), sorted(theirs), strict=True)}
    return pairs


def _numbered(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition("_")
    return (base, int(number)) if base and number.isdigit() else (name, 0)


def _load_state(
    model: Any, state: Mapping[str, Tensor], source: str, skip_mismatch: bool = False
) -> None:
    """Copy tensors into the model, all or none of them.

    Raises:
        ValueError: If names or shapes do not fit, unless `skip_mismatch`.
    """
    own = model.state_dict()
    if own.keys() != state.keys():
        renamed = _renaming(model, state)
        state = {renamed(key): value for key, value in state.items()}
        state = {**state, **without_adaptation(model, state)}
    missing = [key for key in own if key not in state]
    extra = [key for key in state if key not in own]
    wrong = [k for k in own if k in state and own[k].shape != state[k].shape]
    if (missing or extra or wrong) and not skip_mismatch:
        problems = [
            *(f"missing {key}" for key in missing[:3]),
            *(f"unexpected {key}{suggest(key, own, limit=3)}" for key in extra[:3]),
            *(
                f"{key} has shape {tuple(own[key].shape)}, the file has {tuple(state[key].shape)}"
                for key in wrong[:3]
            ),
        ]
        count = len(missing) + len(extra) + len(wrong)
        has_lora = any(key.rpartition(".")[2].startswith("lora_") for key in extra)
        advice = (
            "Call enable_lora on its layers first" if has_lora else "Build the same architecture"
        )
        raise ValueError(
            f"{source} does not fit this model ({count} differences): {'; '.join(problems)}. "
            f"{advice}, or pass skip_mismatch=True to load what fits."
        )
    if skip_mismatch and (missing or wrong):
        warnings.warn(f"load_weights: not loaded: {', '.join((missing + wrong)[:5])}", stacklevel=4)
    fitting = {k: v for k, v in state.items() if k in own and own[k].shape == v.shape}
    model.load_state_dict(fitting, strict=False)
