"""Named tensors as safetensors bytes and files; tied tensors are stored once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from kerasish.config import dtype_name
from kerasish.describe import describe
from kerasish.saving.files import ArchiveError, existing_file, replacing, unreadable

# What safetensors can both write and read; complex128 and the packed 4-bit types are not among
# them.
STORABLE = frozenset(
    getattr(torch, name)
    for name in (
        *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
        *("float16", "bfloat16", "float32", "float64", "complex64"),
        *("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz"),
    )
    if hasattr(torch, name)
)


def encode_tensors(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """The bytes of a `.safetensors` file that holds these tensors.

    Tensors that are the same view of the same memory are stored once, and the other names are kept
    in the file's metadata in the form that `safetensors.torch.save_model` uses.

    Raises:
        TypeError: If a value is not a dense tensor of a type that the format has.
    """
    from safetensors.torch import save

    kept: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    first_names: dict[tuple, str] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        _check_storable(name, tensor)
        first = first_names.setdefault(_view_key(name, tensor), name)
        if first == name:
            kept[name] = _own_memory(tensor, taken)
        else:
            aliases[name] = first
    return save(kept, metadata={"format": "pt", **aliases})


def decode_tensors(data: bytes) -> dict[str, torch.Tensor]:
    """The tensors in the bytes of a `.safetensors` file, on the CPU; tied names give one tensor.

    Raises:
        ArchiveError: If the bytes are not a whole safetensors file.
    """
    from safetensors.torch import load

    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.get("__metadata__") or {}
    # The parser reports damage in half a dozen exception types; all of them mean the same to a
    # caller.
    except Exception as error:
        raise ArchiveError(f"not a whole safetensors file ({error})") from error
    for alias, name in metadata.items():
        if alias not in tensors and name in tensors:
            tensors[alias] = tensors[name]
    return tensors


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a `.safetensors` file, which any safetensors reader opens; an old one goes whole.

    Raises:
        TypeError: If a value is not a dense tensor of a type that the format has.
    """
    data = encode_tensors(tensors)
    with replacing(path) as stream:
        stream.write(data)


def read_tensors(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read a `.safetensors` file, ours or anybody's, onto the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ArchiveError: If it is damaged or another kind of file.
    """
    path = existing_file(path)
    try:
        return decode_tensors(path.read_bytes())
    except ArchiveError as error:
        raise unreadable(path, "safetensors", error) from error


def _check_storable(name: str, tensor: torch.Tensor) -> None:
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"Cannot store '{name}': expected a tensor, got {describe(tensor)}.")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError(f"Cannot store '{name}': call .to_dense() or .dequantize() on it first.")
    if is_traceable_wrapper_subclass(tensor):
        raise TypeError(
            f"Cannot store '{name}': {type(tensor).__name__} is another library's kind of tensor, "
            "which no safetensors file can hold. Save before quantising or distributing the "
            "model, or use that library's own way to save."
        )
    if tensor.is_meta:
        raise TypeError(f"Cannot store '{name}': it is on the meta device and has no values.")
    if tensor.dtype not in STORABLE:
        raise TypeError(
            f"Cannot store '{name}': the file format has no {dtype_name(tensor.dtype)}; "
            "store torch.view_as_real of a complex tensor, or cast it."
        )


def _view_key(name: str, tensor: torch.Tensor) -> tuple:
    if tensor.numel() == 0:
        return (name,)
    view = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
    return (*view, tensor.is_conj(), tensor.is_neg())


def _own_memory(tensor: torch.Tensor, taken: set[int]) -> torch.Tensor:
    """The values, row after row, in memory that they share with no other tensor of the file."""
    tensor = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    storage = tensor.untyped_storage()
    if storage.nbytes() != tensor.nbytes or storage.data_ptr() in taken:
        tensor = tensor.clone()
    if tensor.nbytes:
        taken.add(tensor.untyped_storage().data_ptr())
    return tensor
