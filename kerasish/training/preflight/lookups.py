"""Are numbers that are looked up in an embedding among those that it knows, and whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves, map_leaves
from kerasish.data.feed import Feed
from kerasish.hooks import removed_after
from kerasish.layers import Embedding
from kerasish.training.plan import StepPlan
from kerasish.training.preflight.probe import evaluated, first_rows
from kerasish.training.preflight.subject import Subject, some_rows, span

_MOST_ROWS = 32

Calls = list[tuple[nn.Module, Tensor]]


def check_first_lookups(plan: StepPlan, feed: Feed) -> Calls:
    """Look at what the first rows look up, before any of it reaches a kernel.

    A GPU that is asked for a row that a table has not is of no use for the rest of the process.

    Returns:
        Which tables were given which numbers.

    Raises:
        ValueError: If there is a number that an embedding does not know.
    """
    tables = _tables(plan.model)
    return _calls(plan, feed, tables) if tables else []


def check_lookups(subject: Subject, calls: Calls) -> None:
    """Look at all numbers that go from the data straight into an embedding.

    Args:
        subject: What is checked.
        calls: What `check_first_lookups` found.

    Raises:
        ValueError: If there is one that it does not know.
    """
    if not calls:
        return
    tables = _tables(subject.plan.model)
    first = [t.cpu() for t in leaves(_rows(subject.plan, subject.feed))]
    for module, given in calls:
        same = [i for i, x in enumerate(first) if _is_same(x, given.cpu())]
        if len(same) != 1:
            continue  # made by the model, or one of several inputs: nobody knows which
        x = list(leaves(subject.x))[same[0]]
        _check_range(module, tables[module], *span(x))
        if x.is_floating_point() and bool((some_rows(x) != some_rows(x).trunc()).any()):
            subject.report.advise(
                "K129",
                f"{tables[module]} looks up whole numbers, but x holds fractions, which are cut "
                "off. Number the categories from 0, or use a Dense layer for measurements.",
            )


def _tables(model: nn.Module) -> dict[nn.Module, str]:
    """The embeddings of a model that are called as modules, and what to call them."""
    found: dict[nn.Module, str] = {}
    for path, module in model.named_modules():
        if isinstance(module, Embedding):
            found[module] = f"the layer '{module.name}'"
            found[module.embedding] = found[module]
        elif isinstance(module, nn.Embedding) and module not in found:
            found[module] = f"the Embedding '{path}'"
    return found


def _calls(plan: StepPlan, feed: Feed, tables: dict[nn.Module, str]) -> Calls:
    """Run the first rows: which tables were given which numbers."""
    calls: Calls = []

    def note(module: nn.Module, args: tuple) -> None:
        x: Any = args[0] if args else None
        if isinstance(x, Tensor) and x.numel() and not x.is_complex() and x.device.type != "meta":
            _check_range(module, tables[module], *span(x))
            calls.append((module, x))

    handles = [module.register_forward_pre_hook(note) for module in tables]
    x = map_leaves(lambda t: t.to(plan.device), _rows(plan, feed))
    with removed_after(handles):
        evaluated(plan, x)
    return calls


def _rows(plan: StepPlan, feed: Feed) -> Any:
    """More rows than elsewhere, so that inputs can be told apart by what they hold."""
    return first_rows(plan.model, feed, _MOST_ROWS)[0]


def _is_same(x: Tensor, given: Tensor) -> bool:
    return x.shape == given.shape and torch.equal(x.to(given.dtype), given)


def _check_range(module: Any, name: str, low: float, high: float) -> None:
    rows = module.input_dim if isinstance(module, Embedding) else module.num_embeddings
    if high >= rows or low <= -1:
        wrong = high if high >= rows else low
        remedy = f"make input_dim {int(high) + 1}" if high >= rows else "number them from 0"
        raise ValueError(
            f"K128: {name} has rows for the numbers 0 to {rows - 1}, but is given "
            f"{int(wrong)}. Look at how x was made, or {remedy}."
        )
