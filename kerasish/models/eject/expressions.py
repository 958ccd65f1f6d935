"""Values and calls of a `torch.fx` graph as the source text that a person would write."""

from __future__ import annotations

import inspect
import json
import operator
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx

from kerasish import activations
from kerasish.graph import products
from kerasish.models.eject.modes import ByMode
from kerasish.models.eject.refusal import refusal

_BINARY = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
    operator.ne: "!=",
    operator.and_: "&",
    operator.or_: "|",
    operator.xor: "^",
}
_UNARY = {operator.neg: "-", operator.invert: "~", operator.pos: "+"}
# Functions of torch that Python code need not spell as calls.
_OPERATORS = {torch.add: "+", torch.sub: "-", torch.mul: "*", torch.div: "/", torch.matmul: "@"}
# torch's builtins do not tell their arguments: after how many the optional ones begin, and these.
_OPTIONAL: dict[Any, tuple[int, dict[str, Any]]] = {
    F.scaled_dot_product_attention: (
        3,
        {"attn_mask": None, "dropout_p": 0.0, "is_causal": False, "scale": None},
    ),
}
# Functions that torch keeps under another name than that by which they are called.
_NAMED = {"log_sigmoid": "F.logsigmoid"}
_REDUCTIONS = ("mean", "sum", "amax", "amin")
_INFINITIES = {float("inf"): 'float("inf")', float("-inf"): 'float("-inf")'}

Text = Callable[[fx.Node], str]


def value_text(value: Any, text: Text) -> str:
    """A value as source.

    Args:
        value: Nodes, numbers, torch's constants, or a structure of them.
        text: The source of a node.

    Raises:
        ValueError: If there is no plain way to write it.
    """
    if isinstance(value, fx.Node):
        return text(value)
    if isinstance(value, ByMode):
        if (value.training, value.evaluation) == (True, False):
            return "self.training"
        both = value_text(value.training, text), value_text(value.evaluation, text)
        return f"{both[0]} if self.training else {both[1]}"
    if isinstance(value, slice):
        parts = ["" if p is None else value_text(p, text) for p in (value.start, value.stop)]
        step = "" if value.step is None else f":{value_text(value.step, text)}"
        return ":".join(parts) + step
    if isinstance(value, list):
        return f"[{', '.join(value_text(item, text) for item in value)}]"
    if isinstance(value, tuple):
        items = [value_text(item, text) for item in value]
        return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"
    if isinstance(value, dict):
        items = [f"{key!r}: {value_text(item, text)}" for key, item in value.items()]
        return f"{{{', '.join(items)}}}"
    if isinstance(value, float) and value in _INFINITIES:
        return _INFINITIES[value]
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is Ellipsis:
        return "None" if value is None else "..."
    if isinstance(value, torch.device):
        return "DEVICE"  # the script's own, wherever that is
    if isinstance(value, (bool, int, float, torch.dtype)):
        return str(value)
    raise refusal(f"A value of type {type(value).__name__}", "Compute it inside a layer instead.")


def call_text(node: fx.Node, text: Text) -> str:
    """The source of a recorded call of a function or method."""
    args: Any = node.args
    kwargs: Any = node.kwargs
    if node.op == "call_method":
        receiver = _operand(args[0], text)
        if node.target in _REDUCTIONS and len(args) == 3 and args[2] is False:  # keepdim
            args = args[:2]
        return f"{receiver}.{node.target}({_arguments(args[1:], kwargs, text)})"
    target: Any = node.target
    if target is operator.getitem:
        index = args[1]
        places = index if isinstance(index, tuple) and index else [index]
        inside = ", ".join(value_text(place, text) for place in places)
        return f"{_operand(args[0], text)}[{inside}]"
    if target is getattr and str(args[1]).isidentifier():
        return f"{_operand(args[0], text)}.{args[1]}"
    sign = _BINARY.get(target) or (_OPERATORS.get(target) if not kwargs else None)
    if sign and len(args) == 2:
        return f"{_operand(args[0], text)} {sign} {_operand(args[1], text)}"
    if target in _UNARY:
        return f"{_UNARY[target]}{_operand(args[0], text)}"
    if target in (activations.softmax, activations.sigmoid):
        name = "torch.sigmoid" if target is activations.sigmoid else "torch.softmax"
        axis = "" if target is activations.sigmoid else f", dim={kwargs.get('axis', -1)}"
        return f"{name}({value_text(args[0], text)}{axis})"
    target = F.linear if target is products.linear else target
    args, kwargs = _without_defaults(target, args, kwargs)
    return f"{function_name(target)}({_arguments(args, kwargs, text)})"


def function_name(function: Any) -> str:
    """How a script with the usual imports calls a function of torch.

    Raises:
        ValueError: If it is none of torch's.
    """
    name = getattr(function, "__name__", "")
    for prefix, place in (("torch", torch), ("F", F), ("math", sys.modules["math"])):
        if getattr(place, name, None) is function:
            return f"{prefix}.{name}"
    if name in _NAMED:
        return _NAMED[name]
    for package in ("linalg", "fft", "special"):
        short = name.removeprefix(f"{package}_")
        if getattr(getattr(torch, package), short, None) is function:
            return f"torch.{package}.{short}"
    owner = getattr(function, "__module__", None)
    raise refusal(
        f"The function {owner}.{name}" if owner else f"The function {name}",
        "Use torch's own functions, or to_torch() for a twin of the network alone.",
    )


def quoted(text: str) -> str:
    """A string in double quotes; whatever is in it stays in it."""
    return json.dumps(text)


def plain_number(value: Any) -> str:
    """A number as source; settings that come from a file may be anything.

    Raises:
        ValueError: If it is no number.
    """
    if not isinstance(value, (int, float)):
        raise refusal(f"The setting {value!r}", "Give a number.")
    return str(value)


def attribute(path: str) -> str:
    """How Python code reaches what torch names by a path: `blocks[0].weight` for `blocks.0.weight`.

    Example:
        >>> attribute("blocks.0.weight")
        'blocks[0].weight'
    """
    first, *parts = path.split(".")
    return first + "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)


def _operand(value: Any, text: Text) -> str:
    source = value_text(value, text)
    is_simple = source.replace("_", "").replace(".", "").isalnum()
    return source if is_simple or _is_closed(source) else f"({source})"


def _is_closed(source: str) -> bool:
    """Whether it is one call or item, with nothing outside its brackets but its name."""
    depth = 0
    for character in source:
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character == " ":
            return False
    return source[0] not in "-~+"


def _arguments(args: Any, kwargs: Any, text: Text) -> str:
    given = [value_text(arg, text) for arg in args]
    return ", ".join([*given, *(f"{key}={value_text(v, text)}" for key, v in kwargs.items())])


def _without_defaults(target: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """The arguments without those that say what the function does anyway."""
    if target in _OPTIONAL:
        required, optional = _OPTIONAL[target]
        kwargs = {**dict(zip(optional, args[required:], strict=False)), **kwargs}
        given = {k: v for k, v in kwargs.items() if k not in optional or not _is(v, optional[k])}
        return args[:required], given
    try:
        known = inspect.signature(target).parameters
    except (TypeError, ValueError):  # torch's builtins do not tell
        return args, {k: v for k, v in kwargs.items() if k != "out"}
    return args, {
        key: value
        for key, value in kwargs.items()
        if key not in known or not _is(value, known[key].default)
    }


def _is(value: Any, default: Any) -> bool:
    return type(value) is type(default) and value == default
