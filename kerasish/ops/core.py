"""Functions of functions: conditions, loops, scans, maps, custom gradients; and einops patterns."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import torch

from kerasish import tree
from kerasish.describe import describe
from kerasish.ops.patterns import rearrange as rearrange
from kerasish.ops.tensors import convert_to_tensor


def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """`true_fn()` if the condition holds, else `false_fn()`: only one is called."""
    return true_fn() if pred else false_fn()


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """The branch of that number called on the operands; numbers out of range mean the nearest."""
    number = builtins.min(builtins.max(int(index), 0), len(branches) - 1)
    return branches[number](*operands)


def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: int | None = None,
) -> Any:
    """Replace the variables by `body(*variables)` as long as `cond(*variables)` holds.

    Args:
        cond: Takes the variables; says whether to go on.
        body: Takes the variables; returns the new ones.
        loop_vars: One variable, or a tuple or list of them.
        maximum_iterations: When to stop at the latest.
    """
    is_several = isinstance(loop_vars, (tuple, list))
    values = tuple(loop_vars) if is_several else (loop_vars,)
    values = tree.map_structure(convert_to_tensor, values)
    count = 0
    while (maximum_iterations is None or count < maximum_iterations) and cond(*values):
        values = body(*values)
        values = tuple(values) if isinstance(values, (tuple, list)) else (values,)
        count += 1
    return values if is_several else values[0]


def fori_loop(lower: int, upper: int, body_fun: Callable[[int, Any], Any], init_val: Any) -> Any:
    """Replace a value by `body_fun(i, value)` for `i` from `lower` to `upper - 1`."""
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Carry a value along the slices of `xs`: `carry, y = f(carry, x)`.

    Args:
        f: Takes the carry and one slice; returns the next carry and an output.
        init: The first carry.
        xs: A structure of tensors; slices are taken along axis 0. `None` gives `f` no slices.
        length: The number of steps, needed without `xs`.
        reverse: Whether to go from the last slice to the first.
        unroll: Has no effect here.

    Returns:
        The last carry, and the outputs stacked in the order of the slices.
    """
    if xs is None and length is None:
        raise ValueError("scan: give `xs`, or `length`.")
    xs = tree.map_structure(convert_to_tensor, xs, none_is_leaf=False)
    num_steps = len(tree.flatten(xs)[0]) if length is None else int(length)
    carry = tree.map_structure(convert_to_tensor, init, none_is_leaf=False)
    outputs: list[Any] = [None] * num_steps
    steps = range(num_steps)
    for step in reversed(steps) if reverse else steps:
        x = None if xs is None else tree.map_structure(lambda part, i=step: part[i], xs)
        carry, outputs[step] = f(carry, x)
    if not outputs or outputs[0] is None:
        return carry, None
    stacked = tree.map_structure(
        lambda *ys: None if ys[0] is None else torch.stack([convert_to_tensor(y) for y in ys]),
        *outputs,
    )
    return carry, stacked


def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """The running result of `f` over slices, as `cumsum` is for addition, in log2(length) steps.

    Args:
        f: Takes two structures of slices; must be associative and work on whole axes at once.
        elems: A structure of tensors.
        reverse: Whether to start at the end.
        axis: Along which the slices follow each other.
    """
    elems = tree.map_structure(convert_to_tensor, elems)
    leaves = [leaf.movedim(axis, 0) for leaf in tree.flatten(elems)]
    if reverse:
        leaves = [leaf.flip(0) for leaf in leaves]
    lengths = {len(leaf) for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(f"associative_scan: the sizes of axis {axis} differ: {sorted(lengths)}.")

    def combine(earlier: list[torch.Tensor], later: list[torch.Tensor]) -> list[torch.Tensor]:
        # f sees the axis where the caller has it.
        parts = (
            tree.pack_sequence_as(elems, [leaf.movedim(0, axis) for leaf in leaves])
            for leaves in (earlier, later)
        )
        return [leaf.movedim(axis, 0) for leaf in tree.flatten(f(*parts))]

    # After the step of distance d each place holds the result of the 2d slices up to it.
    distance = 1
    while distance < next(iter(lengths)):
        later = combine([leaf[:-distance] for leaf in leaves], [leaf[distance:] for leaf in leaves])
        leaves = [
            torch.cat([leaf[:distance], new]) for leaf, new in zip(leaves, later, strict=True)
        ]
        distance *= 2
    if reverse:
        leaves = [leaf.flip(0) for leaf in leaves]
    return tree.pack_sequence_as(elems, [leaf.movedim(0, axis) for leaf in leaves])


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """`f` of each slice along axis 0, one after the other, and the results stacked."""
    return scan(lambda carry, x: (carry, f(x)), (), xs)[1]


def vectorized_map(function: Callable[[Any], Any], elements: Any) -> Any:
    """`function` of each slice along axis 0, all at once."""
    elements = tree.map_structure(convert_to_tensor, elements)
    return torch.vmap(function, randomness="different")(elements)


def vectorize(
    pyfunc: Callable[..., Any],
    *,
    excluded: Sequence[int | str] | None = None,
    signature: str | None = None,
) -> Callable[..., Any]:
    """A function of single elements made one of tensors, which broadcast.

    Args:
        pyfunc: The function.
        excluded: Numbers or names of arguments that are passed as they are.
        signature: The axes that it takes whole: `"(n),(n)->()"`. None if not given.
    """
    fixed = set(excluded or ())
    ranks = None if signature is None else _core_ranks(signature)

    def mapped(*args: Any, **kwargs: Any) -> Any:
        places = [i for i in range(len(args)) if i not in fixed]
        tensors = [convert_to_tensor(args[i]) for i in places]
        cores = [0] * len(tensors) if ranks is None else ranks
        if len(cores) != len(tensors):
            raise ValueError(
                f"vectorize: the signature {signature} names {len(cores)} arguments, "
                f"got {len(tensors)}."
            )
        loops = [t.shape[: t.ndim - core] for t, core in zip(tensors, cores, strict=True)]
        shape = torch.broadcast_shapes(*loops)
        rows = [
            t.expand(*shape, *t.shape[t.ndim - core :]).reshape(-1, *t.shape[t.ndim - core :])
            for t, core in zip(tensors, cores, strict=True)
        ]

        def call(*elements: torch.Tensor) -> Any:
            given = list(args)
            for place, element in zip(places, elements, strict=True):
                given[place] = element
            return pyfunc(*given, **kwargs)

        results = torch.vmap(call, randomness="different")(*rows)
        return tree.map_structure(lambda r: r.reshape(*shape, *r.shape[1:]), results)

    return mapped


def _core_ranks(signature: str) -> list[int]:
    if "->" not in signature:
        raise ValueError(
            f"vectorize: a signature looks like '(n),(n)->()', got {describe(signature)}."
        )
    inputs = signature.split("->")[0].replace(" ", "")
    groups = inputs.strip("()").split("),(")
    return [len([name for name in group.split(",") if name]) for group in groups]


def custom_gradient(f: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function a gradient of your own.

    Args:
        f: Returns its result and a function `grad(*args, upstream)`, where `args` are those of `f`
            and `upstream` is the gradient of the result; it returns one gradient per argument.
    """

    class Function(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            result, ctx.gradient = f(*args)
            ctx.args = args
            return result

        @staticmethod
        def backward(ctx: Any, *upstream: Any) -> Any:
            gradients = ctx.gradient(
                *ctx.args, upstream=upstream[0] if len(upstream) == 1 else upstream
            )
            return gradients if isinstance(gradients, tuple) else (gradients,)

    return Function.apply
