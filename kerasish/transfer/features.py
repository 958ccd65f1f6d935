"""What the stages of a network make of data, as arrays."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from kerasish.config import image_data_format
from kerasish.data import Feed, make_feed
from kerasish.describe import describe, suggest
from kerasish.hooks import removed_after
from kerasish.layers.holder import WeightHolder
from kerasish.models.freezing import stages
from kerasish.modes import evaluating
from kerasish.saving.files import replacing
from kerasish.training.loop import Passes
from kerasish.training.placement import place_model
from kerasish.training.plan import StepPlan
from kerasish.training.planned import fit_inputs
from kerasish.training.recipe import Recipe

_POOLS = (None, "avg", "max")


def extract_features(
    model: Any,
    data: Any,
    layers: Sequence[str] | str | None = None,
    *,
    batch_size: int | None = None,
    pooling: str | None = None,
    file: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Run data through a network up to some stages, and collect what these give.

    The network is in evaluation mode, and each batch stops at the last stage that is asked for.

    Shapes:
        result: for each name `(rows, ...)`, as the stage gives it; `(rows, channels)` if pooled

    Args:
        model: A built model.
        data: Anything that `predict` takes. Targets that come with it are collected under
            `"targets"`, in the same order.
        layers: Names of stages, layers or modules inside torch modules, such as `"layer3"`; by
            default `"features"` alone, what the last stage gets.
        batch_size: Rows in a batch, 32 by default.
        pooling: `"avg"` or `"max"` over all axes but rows and channels, for maps of features.
        file: An `.npz` file to write as well, or for one stage an `.npy` file, which is written
            batch by batch and whose result is a map of it: features need not fit into memory. It
            takes the place of an older one only when whole.

    Raises:
        ValueError: If a name is unknown, a stage did not run, or an `.npy` file is to hold several.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> model = Sequential([Input((4,)), layers.Dense(3, name="body"), layers.Dense(2)])
        >>> {name: array.shape for name, array in extract_features(model, np.ones((5, 4))).items()}
        {'features': (5, 3)}
    """
    if pooling not in _POOLS:
        raise ValueError(f"extract_features: `pooling` must be one of {_POOLS}, got {pooling!r}.")
    modules = _modules(model, [layers] if isinstance(layers, str) else layers)
    is_map = file is not None and os.fspath(file).endswith(".npy")
    if is_map and len(modules) > 1:
        raise ValueError(
            f"extract_features: an .npy file holds one array, not those of {[*modules]}; name an "
            ".npz file, or one stage."
        )
    first = next(model.parameters(), None)
    recipe = model._recipe or Recipe(
        optimizer=None,  # type: ignore[arg-type]
        device="auto" if first is None else str(first.device),
    )
    device = place_model(model, recipe)
    data = model._open_inputs(data, lazily=True)
    feed = make_feed(data, batch_size=batch_size, device=device, floats=recipe.floats)
    fit_inputs(model, feed)
    batches = _batches(StepPlan(model, recipe, None, device), feed, modules, pooling)
    if is_map:
        assert file is not None
        return _mapped(batches, next(iter(modules)), file)
    features = _joined(batches)
    if file is not None:
        with replacing(file) as stream:
            np.savez(stream, **features)  # type: ignore[arg-type]
    return features


def _batches(
    plan: StepPlan, feed: Feed, modules: dict[str, tuple[nn.Module, bool]], pooling: str | None
) -> Iterator[dict[str, np.ndarray]]:
    """What each batch gives, by name, and its targets."""
    model = plan.model
    with evaluating(model):
        for x, y, _ in Passes(feed, None, restarts=True).next_epoch():
            found = _run(model, plan.cast(x), modules)
            arrays = {n: _array(found[n], pooling, modules[n][0]) for n in modules}
            yield arrays | ({"targets": y.cpu().numpy()} if isinstance(y, Tensor) else {})


def _joined(batches: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    collected: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        for name, array in batch.items():
            collected.setdefault(name, []).append(array)
    return {name: np.concatenate(arrays) for name, arrays in collected.items()}


def _mapped(
    batches: Iterator[dict[str, np.ndarray]], name: str, file: str | os.PathLike
) -> dict[str, np.ndarray]:
    """One array, written to an `.npy` file as it comes and mapped from there; and the targets."""
    rows = 0
    header: dict[str, Any] = {}

    def written(stream: BinaryIO) -> Iterator[dict[str, np.ndarray]]:
        nonlocal rows
        for batch in batches:
            array = np.ascontiguousarray(batch.pop(name))
            if not header:
                descr = np.lib.format.dtype_to_descr(array.dtype)
                header.update(descr=descr, fortran_order=False, shape=(0, *array.shape[1:]))
                np.lib.format.write_array_header_1_0(stream, header)
            stream.write(array.tobytes())
            rows += len(array)
            yield batch

    with replacing(file) as stream:
        others = _joined(written(stream))
        stream.seek(0)
        # NumPy leaves room for the number of rows to grow, so that the header keeps its length.
        header["shape"] = (rows, *header["shape"][1:])
        np.lib.format.write_array_header_1_0(stream, header)
    return {name: np.load(file, mmap_mode="r"), **others}


class _Enough(BaseException):
    """Ends a forward pass; no Exception, so that nobody on the way explains it."""


@torch.inference_mode()
def _run(model: Any, x: Any, modules: dict[str, tuple[nn.Module, bool]]) -> dict[str, Any]:
    """The outputs of modules, or their inputs where so marked, in one pass."""
    found: dict[str, Any] = {}

    def keep(name: str, value: Any) -> None:
        found.setdefault(name, value)
        if len(found) == len(modules):
            raise _Enough

    handles = []
    for name, (module, is_input) in modules.items():
        if is_input:
            before = functools.partial(lambda name, _, args: keep(name, args[0]), name)
            handles.append(module.register_forward_pre_hook(before))
        else:
            after = functools.partial(lambda name, _, args, output: keep(name, output), name)
            handles.append(module.register_forward_hook(after))
    with removed_after(handles), suppress(_Enough):
        model(x)
    silent = [name for name in modules if name not in found]
    if silent:
        raise ValueError(f"extract_features: {silent} did not run when the model was called.")
    return found


def _modules(model: Any, names: Sequence[str] | None) -> dict[str, tuple[nn.Module, bool]]:
    """The modules that are meant, and whether their input is wanted instead of their output."""
    parts = stages(model)
    if names is None:
        return {"features": (model.get_submodule(parts[-1].paths[0]), True)}
    ends = {stage.name: stage.paths[-1] for stage in parts if stage.paths}
    paths = [path for path, _ in model.named_modules() if path]
    chosen = {}
    for name in names:
        path = ends.get(name) or next(
            (path for path in paths if f".{path}".endswith(f".{name}")), None
        )
        if path is None:
            known = [*ends, *(layer.name for layer in getattr(model, "layers", []))]
            raise ValueError(
                f"extract_features: \"{model.name}\" has no stage or module '{name}'"
                f"{suggest(name, dict.fromkeys(known))}."
            )
        chosen[name] = (model.get_submodule(path), False)
    if not chosen:
        raise ValueError("extract_features: `layers` is empty; name a stage, or leave it out.")
    return chosen


def _array(value: Any, pooling: str | None, module: nn.Module) -> np.ndarray:
    if not isinstance(value, Tensor):
        raise ValueError(
            f"extract_features: a stage gives {describe(value)}, not one tensor; name a module "
            "inside it."
        )
    if pooling is not None and value.dim() > 2:
        last = value.dim() == 3 or _is_channels_last(module)
        axes = tuple(range(1, value.dim() - 1) if last else range(2, value.dim()))
        value = value.mean(axes) if pooling == "avg" else value.amax(axes)
    value = value.float() if value.dtype == torch.bfloat16 else value
    return value.cpu().numpy()


def _is_channels_last(module: nn.Module) -> bool:
    """Whether a module's images have their channels last: tokens of Swin, or as a layer says."""
    if isinstance(module, WeightHolder):
        formats = {getattr(m, "data_format", None) for m in module.modules()} - {None}
        return "channels_last" in (formats or {image_data_format()})
    return any(type(m).__name__.startswith("SwinTransformer") for m in module.modules())
