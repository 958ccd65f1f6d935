"""torch.nn's own modules as plain data and back, where attributes tell how they were made."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Constructors that take anything (`*args`), and the names that count.
_RECURRENT = (
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)
_OPEN_SIGNATURES: dict[type, tuple[str, ...]] = {
    nn.RNN: (*_RECURRENT, "nonlinearity"),
    nn.GRU: _RECURRENT,
    nn.LSTM: (*_RECURRENT, "proj_size"),
}
_CONTAINERS = (nn.Sequential, nn.ModuleList)
# What differs between two modules that were made alike, or is compared piece by piece.
_NOT_COMPARED = {"training", "_parameters", "_buffers", "_modules", "_init_arguments"}


def stock_class(name: Any) -> type[nn.Module] | None:
    """The class that `torch.nn` defines under this name, or `None`: the only ones a file names."""
    found = getattr(nn, name, None) if isinstance(name, str) else None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        return None
    is_own = found.__module__.startswith("torch.nn.modules.") and found.__name__ == name
    return found if is_own and found is not nn.Module else None


def stock_config(module: Any) -> dict[str, Any] | None:
    """How to make a module like this again, or `None` where its attributes do not tell.

    The answer is tried before it is given: what it makes has the same settings, and weights of the
    same shapes. A module with hooks, parametrisations or attributes of its own has no such answer.

    Example:
        >>> stock_config(nn.Dropout(0.25))
        {'class': 'Dropout', 'arguments': {'p': 0.25, 'inplace': False}}
        >>> stock_config(nn.TransformerEncoderLayer(4, 2)) is None
        True
    """
    if stock_class(type(module).__name__) is not type(module):
        return None
    config = _container_config(module) if type(module) in _CONTAINERS else _leaf_config(module)
    if config is None:
        return None
    try:
        with torch.device("meta"):
            twin = make_stock(config)
    except Exception:  # whatever a constructor raises: then this is no way to make the module
        return None
    return config if _same(module, twin) else None


def make_stock(config: Any) -> nn.Module:
    """The module that `stock_config` describes, with new weights.

    Raises:
        ValueError: If the description names anything but a class of `torch.nn` and plain values.
    """
    cls = stock_class(config.get("class")) if isinstance(config, dict) else None
    if cls is None:
        raise ValueError(
            f"The file names a torch module that is not torch.nn's own: {config!r:.80}"
        )
    if cls in _CONTAINERS:
        children = {str(key): make_stock(child) for key, child in config["children"]}
        if cls is nn.ModuleList:
            return nn.ModuleList(children.values())
        made = nn.Sequential()
        for key, child in children.items():
            made.add_module(key, child)
        return made
    arguments = config["arguments"]
    known = (*inspect.signature(cls.__init__).parameters, *_OPEN_SIGNATURES.get(cls, ()))
    if not isinstance(arguments, dict) or not all(
        key in known and _is_plain(value) for key, value in arguments.items()
    ):
        raise ValueError(f"The file gives torch.nn.{cls.__name__} arguments that it does not take.")
    return cls(**{key: _from_plain(value) for key, value in arguments.items()})


def _container_config(module: Any) -> dict[str, Any] | None:
    children = [[key, stock_config(child)] for key, child in module.named_children()]
    if any(child is None for _, child in children):
        return None
    return {"class": type(module).__name__, "children": children}


def _leaf_config(module: nn.Module) -> dict[str, Any] | None:
    names = _OPEN_SIGNATURES.get(type(module)) or list(_parameters_of(type(module)))
    arguments = {}
    for name in names:
        value = getattr(module, name, inspect.Parameter.empty)
        if name in ("bias", "affine") and (value is None or isinstance(value, Tensor)):
            value = value is not None
        if name == "dtype":
            value = _dtype_name(module)
        if value is inspect.Parameter.empty or name == "device" or (name == "dtype" and not value):
            continue  # an argument that leaves no trace; the trial shows whether that matters
        if not _is_plain(value):
            return None
        arguments[name] = _to_plain(value)
    return {"class": type(module).__name__, "arguments": arguments}


def _parameters_of(cls: type) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(cls.__init__).parameters
    return {name: p for name, p in parameters.items() if name != "self" and name[0] != "_"}


def _dtype_name(module: nn.Module) -> str | None:
    dtypes = {p.dtype for p in module.parameters()}
    if len(dtypes) != 1 or dtypes == {torch.get_default_dtype()}:
        return None
    return str(dtypes.pop())


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _to_plain(value: Any) -> Any:
    return [_to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_from_plain(item) for item in value)
    if isinstance(value, str) and value.startswith("torch."):
        found = getattr(torch, value.removeprefix("torch."), None)
        if not isinstance(found, torch.dtype):
            raise ValueError(f"The file names {value}, which is not a type of tensors.")
        return found
    return value


def _same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have the same settings, and tensors of the same shapes and types."""
    if type(one) is not type(other) or vars(one).keys() != vars(other).keys():
        return False
    for key, value in vars(one).items():
        held_elsewhere = key.startswith("_flat_weight")  # a recurrent layer's list of parameters
        if key not in _NOT_COMPARED and not held_elsewhere and not _equal(value, vars(other)[key]):
            return False
    for a, b in ((one._parameters, other._parameters), (one._buffers, other._buffers)):
        if a.keys() != b.keys() or not all(_alike(a[key], b[key]) for key in a):
            return False
    if one._modules.keys() != other._modules.keys():
        return False
    pairs = [(child, other._modules[key]) for key, child in one._modules.items()]
    return all(a is b or (a is not None and b is not None and _same(a, b)) for a, b in pairs)


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b) or (a != a and b != b)
    except Exception:  # values that cannot be compared
        return False


def _alike(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype
