"""`model.eject("train.py")`: the network and its training as a short script of plain PyTorch."""

from __future__ import annotations

import io
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kerasish.data import ArrayFeed, make_feed, split_tail
from kerasish.data.arrays import leaves, map_leaves
from kerasish.describe import describe
from kerasish.graph.build import identifier
from kerasish.layers.normalization.biased import BiasedBatchNorm1d
from kerasish.models.eject.data import Data, described, distinct
from kerasish.models.eject.formulas import activation_of
from kerasish.models.eject.network import write_network
from kerasish.models.eject.proof import check_network
from kerasish.models.eject.refusal import refusal
from kerasish.models.eject.script import Run, script
from kerasish.models.eject.updates import write_update
from kerasish.modes import kept_modes
from kerasish.saving.files import replacing
from kerasish.training.objective import Objective
from kerasish.training.placement import target_device
from kerasish.training.planned import preparer_of
from kerasish.training.session import check_count, unpack_validation

_OWN = ("train_step", "test_step", "compute_loss", "compute_metrics")


def eject(
    model: Any,
    path: str | Path,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    seed: int = 0,
) -> None:
    """Write the script and the files it loads; see `Model.eject`."""
    check_count("epochs", epochs, required=True)
    check_count("batch_size", batch_size)
    recipe = model._require_compiled("eject")
    if not hasattr(model, "_input_dtypes"):
        raise refusal(
            f"The code of {type(model).__name__}",
            "Only models with a graph (built Sequential or functional ones) can be written.",
        )
    _refuse_what_is_not_plain(model, recipe)
    if not isinstance(shuffle, bool):
        raise ValueError(f"eject: `shuffle` must be True or False, got {describe(shuffle)}.")
    path = Path(path)
    if path.suffix != ".py" or not path.stem.replace("-", "_").isidentifier():
        raise ValueError(
            f"eject: `path` is a script, such as 'train.py'; got {describe(str(path))}."
        )
    if validation_split and validation_data is None and x is not None:
        (x, y, _), validation_data = split_tail(x, y, None, validation_split)
    with torch.random.fork_rng(range(torch.cuda.device_count())), kept_modes(model):
        objective, columns = _columns(model, x, y, batch_size, validation_data)
    network = write_network(model, [activation_of(output.loss) for output in objective.outputs])
    data = _data(model, objective, network.inputs, columns)
    run = Run(
        model,
        objective,
        network,
        write_update(model, network.names),
        data,
        path.stem,
        epochs,
        batch_size or 32,
        shuffle,
        seed,
    )
    _refuse_lonely_rows(model, run)
    text = script(run)
    check_network(model, text, network.weights, network.scores)
    _write(path, text, network.weights, data.stored())


def _refuse_what_is_not_plain(model: Any, recipe: Any) -> None:
    for name in _OWN:
        if model.overrides(name):
            raise refusal(
                f"The {name} of {type(model).__name__}",
                "Its code is yours already: write the loop around model.to_torch().",
            )
    settings = {
        "data_parallel": recipe.data_parallel,
        "jit_compile": recipe.jit_compile,
        "memory_format": recipe.memory_format,
        "deterministic": recipe.deterministic,
        "debug_nans": recipe.debug_nans,
        'precision="float64"': recipe.precision == "float64",
    }
    for name, value in settings.items():
        if value:
            raise refusal(f"compile's {name}", "Compile without it, and add it to the script.")
    if model.has_output_masks:
        raise refusal("A loss under a mask", "Let a layer end the mask before the output.")
    if model.optimizer.iterations:
        raise refusal(
            "A run that goes on with the state of the optimizer",
            "Compile the model again: it keeps its weights, and begins with a fresh optimizer.",
        )
    for layer in model.sublayers():
        if getattr(layer, "activity_regularizer", None) is not None:
            raise refusal(f'The activity_regularizer of "{layer.name}"', "Leave it out.")
    for weight in model.keras_weights():
        if weight.constraint is not None and weight.trainable:
            raise refusal(f"The constraint {type(weight.constraint).__name__}", "Leave it out.")


def _refuse_lonely_rows(model: Any, run: Run) -> None:
    """A batch of one row has no variance, which the script's normalisation divides by."""
    rows = len(next(iter(run.data.tensors.values()))) if run.data.tensors else 0
    is_lonely = rows % run.batch_size == 1 or run.batch_size == 1
    if is_lonely and any(isinstance(m, BiasedBatchNorm1d) for m in model.modules()):
        raise refusal(
            "A batch normalisation over a last batch of one row", "Choose another batch_size."
        )


def _columns(model: Any, x: Any, y: Any, batch_size: int | None, validation: Any) -> tuple:
    """The objective, and the rows of training and validation as `fit` prepares them."""
    if x is None:
        if validation is not None:
            raise ValueError("eject: validation_data needs x and y to be given too.")
        return _objective_without_data(model), (None, None)
    feed = _feed(model, x, y, batch_size)
    resolved = model._objective
    plan, tracker = model._plan(feed)
    model._objective = resolved  # fit resolves losses by its own data
    held = None
    if validation is not None:
        held = _feed(model, *unpack_validation(validation)[:2], batch_size)
        held.prepare(preparer_of(plan, held))
        held = held.known_rows()[0]
    return tracker.objective, (feed.known_rows()[0], held)


def _feed(model: Any, x: Any, y: Any, batch_size: int | None) -> ArrayFeed:
    feed = make_feed(x, y, batch_size=batch_size, device=target_device(model, model._recipe))
    if not isinstance(feed, ArrayFeed):
        raise refusal(
            f"Data that comes as {describe(x)}",
            "Pass arrays or tensors, or no data: the script then has a load_data() to fill in.",
        )
    return feed


def _objective_without_data(model: Any) -> Objective:
    """Losses and metrics for targets of the shapes that the losses call for."""
    recipe = model._recipe
    if any(loss in ("crossentropy", "ce") for loss in _listed(recipe.loss)):
        raise ValueError(
            'eject: what loss="crossentropy" means depends on the targets. Pass x and y, or '
            "compile with the loss's own name."
        )
    y_pred = map_leaves(_rows_of, model._output_structure)
    names = model.output_names
    losses = [output.loss for output in Objective(recipe, names, None, y_pred).outputs]
    targets = [
        p.argmax(getattr(loss, "axis", -1)) if getattr(loss, "target_dtype", None) else p
        for p, loss in zip(leaves(y_pred), losses, strict=True)
    ]
    return Objective(recipe, names, targets[0] if len(targets) == 1 else targets, y_pred)


def _listed(value: Any) -> list[Any]:
    """What `compile` was given for all outputs together."""
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _rows_of(tensor: Any) -> Tensor:
    return torch.zeros([1 if size is None else size for size in tensor.shape])


def _data(model: Any, objective: Objective, inputs: list[str], columns: tuple) -> Data:
    outputs = objective.outputs
    words = ["y"] if len(outputs) == 1 else [f"{identifier(o.name)}_true" for o in outputs]
    by_output = distinct(words, inputs)
    used = [
        name
        for name, output in zip(by_output, outputs, strict=True)
        if output.loss is not None or output.metrics or output.weighted_metrics
    ]
    train, held = (
        None if rows is None else _named(model, objective, inputs, by_output, used, rows)
        for rows in columns
    )
    shapes = {
        name: described(tensor.shape, tensor.dtype)
        for name, tensor in zip(inputs, model.inputs, strict=True)
    }
    for name, output, tensor in zip(by_output, outputs, model.outputs, strict=True):
        if name in used:
            shapes[name] = _target_shape(output, tensor)
    return Data(inputs, used, by_output, shapes, train, held)


def _target_shape(output: Any, tensor: Any) -> str:
    if getattr(output.loss, "target_dtype", None):
        axis = getattr(output.loss, "axis", -1) % len(tensor.shape)
        kept = [size for place, size in enumerate(tensor.shape) if place != axis]
        return described(kept, torch.int64)
    return described(tensor.shape, tensor.dtype)


def _named(
    model: Any,
    objective: Objective,
    inputs: list[str],
    targets: list[str],
    used: list[str],
    rows: Any,
) -> dict[str, Tensor]:
    x, y, _ = rows
    flat = model._flatten((x,))
    # Bytes that become floats stay bytes in the file, a quarter of the size.
    kinds = [
        (tensor.dtype, wanted.dtype) for tensor, wanted in zip(flat, model.inputs, strict=True)
    ]
    is_bytes = kinds == [(torch.uint8, torch.float32)]
    if is_bytes and model.preprocessing is not None:
        raise refusal(
            "The preprocessing of raw images", "Pass images that are ready for the model."
        )
    arranged = flat if is_bytes else model._arrange((x,))
    columns = dict(zip(inputs, arranged, strict=True))
    by_name = zip(targets, objective.flat(y), strict=True)
    return columns | {name: tensor for name, tensor in by_name if name in used}


def _write(path: Path, text: str, weights: dict[str, Tensor], data: dict[str, Tensor]) -> None:
    """Write all files, or none."""
    files = {path: text.encode(), path.with_name(f"{path.stem}_weights.pt"): _packed(weights)}
    if data:
        files[path.with_name(f"{path.stem}_data.pt")] = _packed(data)
    with ExitStack() as stack:
        for target, content in files.items():
            stack.enter_context(replacing(target)).write(content)


def _packed(tensors: dict[str, Tensor]) -> bytes:
    stream = io.BytesIO()
    # Copies: a slice would take all of the array that it is part of along.
    torch.save({name: t.detach().cpu().clone() for name, t in tensors.items()}, stream)
    return stream.getvalue()
