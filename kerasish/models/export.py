"""`model.export`: the network without its code, as a torch program or an ONNX file."""

from __future__ import annotations

import importlib.util
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from kerasish.config import as_dtype, as_policy, dtype_name
from kerasish.describe import describe, suggest
from kerasish.graph.symbolic import map_nested
from kerasish.layers.base import Layer
from kerasish.modes import evaluating
from kerasish.saving.files import replacing

# What an axis of open size has while the network is followed: the batch, and any other axis.
_ROWS, _ANY = 4, 64
_LARGEST = 2**31 - 2**24  # bytes of weights in an ONNX file; beyond, they go to a file beside it

_ELSEWHERE = {
    "tf_saved_model": "export to ONNX and convert that",
    "litert": "give the exported program to litert-torch",
    "openvino": "give the ONNX file to openvino.convert_model",
}


@dataclass(frozen=True)
class Slot:
    """One input of the program: sizes, `None` where any will do, and the type of its numbers."""

    shape: tuple[int | None, ...]
    dtype: torch.dtype

    def example(self, device: torch.device) -> torch.Tensor:
        """A tensor that fits."""
        open_sizes = [_ROWS if axis == 0 else _ANY for axis in range(len(self.shape))]
        sizes = [b if a is None else a for a, b in zip(self.shape, open_sizes, strict=True)]
        return torch.zeros(sizes, dtype=self.dtype, device=device)

    def open_axes(self, name: str = "") -> dict[int, Any]:
        """The axes of open size; with a name, what they are called in a file."""
        axes = [axis for axis, size in enumerate(self.shape) if size is None]
        if not name:
            return dict.fromkeys(axes, Dim.DYNAMIC)
        return {axis: "batch" if axis == 0 else f"{name}_{axis}" for axis in axes}


def export_model(
    model: Any,
    filepath: str | Path,
    format: str | None = None,
    verbose: bool | None = None,
    input_signature: Any = None,
    **options: Any,
) -> None:
    """Write what `model(x, training=False)` computes, weights included, to one file.

    Args:
        model: A built model.
        filepath: Where to write; `.pt2` and `.onnx` are usual.
        format: `"torch"` or `"onnx"`; by default what the file's ending says, else `"torch"`.
        verbose: Whether to print what was written.
        input_signature: The inputs, see `Model.export`.
        **options: Given to `torch.export.export` or `torch.onnx.export`.

    Raises:
        ValueError: If the format is none of these, or the network cannot be written so.
        ImportError: If `"onnx"` is asked for and its packages are missing.
    """
    path = Path(filepath)
    write = _writer(path, format)
    model._require_built("export")
    stateful = next((m for m in model.modules() if getattr(m, "stateful", False) is True), None)
    if stateful is not None:
        raise ValueError(
            f'export: {type(stateful).__name__} "{stateful.name}" is stateful: it keeps its state '
            "from call to call, and a program keeps none. Make the model with stateful=False, and "
            "hand states on as inputs and outputs (initial_state=, return_state=True)."
        )
    slots = _slots(model, input_signature)
    with _without_torchs_warnings(), evaluating(model), torch.no_grad():
        write(model, slots, path, options)
    if verbose:
        print(f"{path}: {model.name}, inputs {', '.join(_words(slots))}")  # noqa: T201


def _writer(path: Path, format: str | None) -> Callable[..., None]:
    if format is None:
        format = "onnx" if path.suffix == ".onnx" else "torch"
    if format in _ELSEWHERE:
        raise ValueError(
            f"export: kerasish does not write '{format}'. Use format='torch' or 'onnx': you could "
            f"{_ELSEWHERE[format]}."
        )
    writers = {"torch": _write_torch, "onnx": _write_onnx}
    if format not in writers:
        raise ValueError(f"export: unknown format {describe(format)}{suggest(format, writers)}.")
    return writers[format]


# Inputs


def _slots(model: Any, signature: Any) -> tuple[Any, ...]:
    """The positional arguments of the model's call, with a `Slot` for each tensor."""
    # The members of an ensemble take what it takes.
    for source in (model, *getattr(model, "members", ())):
        if source.__dict__.get("_output_structure") is not None:
            return (_slots_of_graph(source, signature),)
    if signature is not None:
        args = tuple(signature) if isinstance(signature, (list, tuple)) else (signature,)
        return map_nested(lambda spec: _slot(spec, model.compute_dtype), args)
    noted = model._call_shapes
    if noted is None:
        raise ValueError(
            f'export: the inputs of "{model.name}" are not known. Call the model on data first, or '
            "pass input_signature=[InputSpec(shape=(None, ...))]."
        )
    return tuple(_slots_of_call(value) for value in noted)


def _slots_of_graph(model: Any, signature: Any) -> Any:
    if signature is None:
        return map_nested(lambda t: Slot(tuple(t.shape), t.dtype), model.input)
    given: list[Any] = []
    map_nested(given.append, signature)
    if len(given) != len(model.inputs):
        raise ValueError(
            f'export: "{model.name}" has {len(model.inputs)} inputs ({", ".join(model.input_names)}'
            f"), `input_signature` {len(given)}."
        )
    pairs = zip(model.inputs, given, strict=True)
    slots = {id(tensor): _slot(spec, tensor.dtype) for tensor, spec in pairs}
    return map_nested(lambda tensor: slots[id(tensor)], model.input)


def _slots_of_call(value: Any) -> Any:
    """From the shapes and types that a model of own code was first called on."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], torch.dtype):
        return Slot((None, *value[0][1:]), value[1])
    if isinstance(value, (list, tuple)):
        return type(value)(_slots_of_call(item) for item in value)
    if isinstance(value, dict):
        return {key: _slots_of_call(item) for key, item in value.items()}
    return value


def _slot(spec: Any, otherwise: torch.dtype) -> Slot:
    shape, dtype = getattr(spec, "shape", None), getattr(spec, "dtype", None)
    if shape is None:
        raise ValueError(
            "export: `input_signature` is a list of InputSpec(shape=(None, ...), dtype=...), "
            f"symbolic tensors or arrays, one for each input; got {describe(spec)}."
        )
    is_example = isinstance(spec, (torch.Tensor, np.ndarray))  # of one number of rows among others
    sizes = (None, *shape[1:]) if is_example else tuple(shape)
    return Slot(sizes, otherwise if dtype is None else as_dtype(dtype))


def _flat(slots: Any) -> list[Slot]:
    found: list[Any] = []
    map_nested(found.append, slots)
    return [value for value in found if isinstance(value, Slot)]


def _words(slots: Any) -> Iterator[str]:
    for slot in _flat(slots):
        sizes = ", ".join("any" if size is None else str(size) for size in slot.shape)
        yield f"({sizes}) {str(slot.dtype)[6:]}"


# Files


def _program(model: Any, slots: tuple[Any, ...], options: dict[str, Any]) -> ExportedProgram:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    args = map_nested(lambda s: s.example(device) if isinstance(s, Slot) else s, slots)
    axes = map_nested(lambda s: s.open_axes() if isinstance(s, Slot) else None, slots)
    try:
        axes = _by_parameter(model, axes)
        return torch.export.export(model, args, dynamic_shapes=axes, **options)
    except Exception as error:
        raise ValueError(
            f'export: torch cannot follow "{model.name}": {error}\n'
            "Python that depends on values cannot be exported; write such parts of a call() with "
            "torch.where. Where an axis of open size is at fault, as in a recurrent layer, give "
            "its size: input_signature=[InputSpec(shape=(None, 20, 8))]."
        ) from error


def _by_parameter(model: Any, axes: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arranged as `forward` names its arguments: what goes to `*inputs` is one of them."""
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    return (axes,) if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL else axes


def _write_torch(model: Any, slots: Any, path: Path, options: dict[str, Any]) -> None:
    program = _program(model, slots, options)
    with replacing(path) as stream:
        torch.export.save(program, stream)


def _write_onnx(model: Any, slots: Any, path: Path, options: dict[str, Any]) -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"export: format 'onnx' takes {' and '.join(missing)}: pip install onnx onnxscript (or "
            "kerasish[onnx])."
        )
    with _in_single_precision(model):
        program = _program(model, slots, {})
    inputs, outputs = _names(model, slots)
    names = iter(inputs)
    called = map_nested(
        lambda slot: slot.open_axes(next(names)) if isinstance(slot, Slot) else None, slots
    )
    settings = {"input_names": inputs, "output_names": outputs, "verbose": False, **options}
    settings["dynamic_shapes"] = _by_parameter(model, called)
    try:
        converted = torch.onnx.export(program, dynamo=True, **settings)
    except Exception as error:
        raise ValueError(
            f'export: "{model.name}" has an operation that torch cannot write as ONNX: {error}'
        ) from error
    assert converted is not None
    if sum(t.nbytes for t in model.state_dict().values()) > _LARGEST:
        converted.save(path, external_data=True)
        return
    with replacing(path) as stream:
        stream.write(converted.model_proto.SerializeToString())


def _names(model: Any, slots: Any) -> tuple[list[str], list[str] | None]:
    """What inputs and outputs are called in an ONNX file: as the layers they come from."""
    if model.__dict__.get("_output_structure") is None:
        count = len(_flat(slots))
        return [f"input_{i}" if i else "input" for i in range(count)], None
    taken: list[str] = list(model.input_names)
    for name in model.output_names:
        number = sum(known == name or known.startswith(f"{name}:") for known in taken)
        taken.append(f"{name}:{number}" if number else name)
    return taken[: len(model.inputs)], taken[len(model.inputs) :]


@contextmanager
def _in_single_precision(model: Any) -> Iterator[None]:
    """Layers of a mixed policy compute in their weights' type: ONNX has no automatic casts."""
    layers = [m for m in model.modules() if isinstance(m, Layer)]
    mixed = [m for m in layers if m.compute_dtype != m.variable_dtype]
    policies = [layer.dtype_policy for layer in mixed]
    for layer in mixed:
        layer.set_policy(as_policy(dtype_name(layer.variable_dtype)))
    try:
        yield
    finally:
        for layer, policy in zip(mixed, policies, strict=True):
            layer.set_policy(policy)


@contextmanager
def _without_torchs_warnings() -> Iterator[None]:
    """Exporters warn of their own insides, about which no user can do anything."""
    with warnings.catch_warnings():
        for category in (UserWarning, FutureWarning, DeprecationWarning):
            warnings.filterwarnings("ignore", category=category)
        yield
