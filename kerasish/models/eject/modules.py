"""torch's own modules as the constructor calls that make them."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from kerasish.layers.normalization.biased import BiasedNorm
from kerasish.models.eject.expressions import quoted
from kerasish.models.eject.refusal import refusal

# "mode" is the kind of a recurrent module; two are what losses had before `reduction`.
_LEFT_OUT = ("device", "dtype", "mode", "reduce", "size_average")


def constructor(module: nn.Module, *, is_frozen: bool = False) -> str:
    """The call that makes a module like this one, such as `nn.Linear(4, 2)`.

    Args:
        module: The module.
        is_frozen: Whether it stays in evaluation mode.

    Raises:
        ValueError: If it is not one of `torch.nn`, or does not tell its arguments.
    """
    name = type(module).__name__
    if isinstance(module, BiasedNorm):
        name = biased_name(module)  # the script's own class, or torch's where the two are alike
        return _call(f"nn.{name}" if is_frozen else name, _arguments(module))
    if getattr(nn, name, None) is not type(module):
        raise refusal(
            f"The module {name} ({type(module).__module__})",
            "Build it of layers or of torch.nn's modules; or keep it, and write the loop around "
            "model.to_torch().",
        )
    takes_nothing = type(module).__init__ is nn.Module.__init__  # such as Sigmoid
    if takes_nothing or isinstance(module, nn.Identity):
        return f"nn.{name}()"
    if isinstance(module, nn.Sequential):
        return f"nn.{name}({', '.join(constructor(child) for child in module)})"
    return _call(f"nn.{name}", _arguments(module))


def is_torchs(module: nn.Module) -> bool:
    """Whether a module is one of `torch.nn` that a script can make, or a chain of such."""
    if isinstance(module, nn.Sequential):
        is_plain = list(module._modules) == [str(place) for place in range(len(module))]
        return is_plain and type(module) is nn.Sequential and all(map(is_torchs, module))
    if isinstance(module, BiasedNorm):
        return True
    is_stock = getattr(nn, type(module).__name__, None) is type(module)
    return is_stock and not any(True for _ in module.children())


def biased_name(module: BiasedNorm) -> str:
    """The name of torch's class behind one of kerasish's batch normalisations."""
    return _torch_class(module).__name__


def _call(name: str, arguments: list[str]) -> str:
    return f"{name}({', '.join(arguments)})"


def _arguments(module: nn.Module) -> list[str]:
    base = nn.RNNBase if isinstance(module, nn.RNNBase) else _torch_class(module)
    parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
    given = []
    by_place = True
    for parameter in parameters:
        if parameter.name in _LEFT_OUT or parameter.name.startswith("_"):
            continue
        value = _setting(module, parameter)
        is_rate = parameter.name == "p"  # of dropout: said even where it is torch's own
        is_default = parameter.default is not parameter.empty and value == parameter.default
        is_default = is_default and not is_rate
        by_place = by_place and (parameter.default is parameter.empty or is_rate)
        if is_default or (parameter.name == "stride" and value == _kernel_size(module)):
            continue
        text = _text(value)
        given.append(text if by_place else f"{parameter.name}={text}")
    return given


def _torch_class(module: nn.Module) -> type:
    return next(c for c in type(module).__mro__ if getattr(nn, c.__name__, None) is c)


def _setting(module: nn.Module, parameter: inspect.Parameter) -> Any:
    """What an argument must have been, by the attribute of its name."""
    name = parameter.name
    kinds = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    if parameter.kind in kinds or not hasattr(module, name):
        raise refusal(
            f"The module {type(module).__name__}, which does not tell its argument `{name}`,",
            "Build it of simpler modules.",
        )
    value: Any = getattr(module, name)
    if name == "bias" and not isinstance(value, bool):
        return value is not None
    return _shortest(value, parameter)


def _shortest(value: Any, parameter: inspect.Parameter) -> Any:
    """A setting as a person would give it: 3 for `(3, 3)`, and no digits that rounding made."""
    if isinstance(value, float):
        return round(value, 12)
    if not isinstance(value, tuple) or len(set(value)) != 1 or isinstance(parameter.default, tuple):
        return value
    first: Any = next(iter(value))
    is_size = parameter.name == "normalized_shape" and len(value) > 1  # (3, 3) is not 3 there
    return value if is_size or not isinstance(first, int) else first


def _kernel_size(module: nn.Module) -> Any:
    """What pooling moves by if nothing is said; `None` for modules that are no pooling."""
    if not type(module).__name__.endswith(("Pool1d", "Pool2d", "Pool3d")):
        return None
    size = module.kernel_size
    return size[0] if isinstance(size, tuple) and len(set(size)) == 1 else size


def _text(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else repr(value)
